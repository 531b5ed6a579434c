//! A listener in the user's hands.

use crate::drain::Connections;
#[cfg(feature = "tokio")]
use crate::drain::ShutdownSignal;
use crate::drain::latch::Latch;
use crate::migrate::ListenerMigrations;
use crate::migrate::{Incoming, Migrator};
use crate::socket::Acceptor;
use crate::socket::kinds::Socket;
use goagain_env::Address;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What the library shares with the listeners and acceptors that it has handed out.
#[derive(Clone, Debug)]
pub(crate) struct Terms(Arc<Mutex<Term>>);

#[derive(Debug, Default)]
struct Term {
    latch: Option<Arc<Latch>>,
    /// For the next term: a net that takes over again may have no descriptor left, and has to accept all the same.
    spare: Option<Latch>,
}

impl Terms {
    pub(crate) fn new() -> Terms {
        Terms(Arc::default())
    }

    pub(crate) fn begin(&self) -> io::Result<()> {
        let mut term = self.lock();
        let latch = term.spare.take().map_or_else(Latch::new, Ok)?;
        *term = Term { latch: Some(Arc::new(latch)), spare: Latch::new().ok() };
        Ok(())
    }

    pub(crate) fn end(&self) {
        if let Some(latch) = &self.lock().latch {
            latch.close();
        }
    }

    /// The present term, or the last one, for what is to be made for it.
    pub(crate) fn of_owner(&self, what: &str) -> io::Result<Arc<Latch>> {
        self.lock().latch.clone().ok_or_else(|| {
            let message = format!("not ready yet: call `ready` before making {what}");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Term> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The socket itself: closed when the library lets it go, however many handles there are.
#[derive(Debug)]
pub(crate) struct Slot<S>(Arc<SlotState<S>>);

#[derive(Debug)]
struct SlotState<S> {
    open: Mutex<Option<Arc<Open<S>>>>,
    dropped: AtomicBool,
}

/// An open socket, for as long as somebody is in a call on it.
#[derive(Debug)]
pub(crate) struct Open<S> {
    pub(crate) socket: Arc<S>,
    /// Dropped after it: then the other end knows that nobody is any longer.
    _end: Sender<()>,
}

/// Told when nobody is in a call on a socket that the library has let go.
pub(crate) type Ended = Receiver<()>;

impl<S> Slot<S> {
    pub(crate) fn new(socket: Arc<S>) -> (Slot<S>, Ended) {
        let (end, ended) = channel();
        let open = Mutex::new(Some(Arc::new(Open { socket, _end: end })));
        (Slot(Arc::new(SlotState { open, dropped: AtomicBool::new(false) })), ended)
    }

    /// The socket of this name, for as long as this process has it.
    pub(crate) fn open(&self, name: &str) -> io::Result<Arc<Open<S>>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(|| {
            let message = format!("the listener `{name}` is closed: this process has let it go");
            io::Error::new(io::ErrorKind::NotConnected, message)
        })
    }

    pub(crate) fn close(&self) {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whether the successor has not asked for it. To be set before the end of the term is told; gives what it was.
    pub(crate) fn set_dropped(&self, dropped: bool) -> bool {
        self.0.dropped.swap(dropped, Ordering::SeqCst)
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.0.dropped.load(Ordering::SeqCst)
    }
}

impl<S> Clone for Slot<S> {
    fn clone(&self) -> Slot<S> {
        Slot(Arc::clone(&self.0))
    }
}

/// A listener that crosses restarts. The library keeps the socket; this is a handle to it.
///
/// The socket is non-blocking, and has to stay so: O_NONBLOCK belongs to the open file, which all processes share.
#[derive(Clone, Debug)]
pub struct Listener {
    pub(crate) name: String,
    pub(crate) address: Address,
    pub(crate) inherited: bool,
    pub(crate) slot: Slot<Socket>,
    pub(crate) terms: Terms,
    pub(crate) connections: Connections,
    pub(crate) moves: Option<ListenerMigrations>,
}

impl Listener {
    /// The name under which the next image finds it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it came from the predecessor, or was bound by this image.
    pub fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// Where it listens: for a Unix socket its path as asked for.
    pub fn local_addr(&self) -> &Address {
        &self.address
    }

    /// An acceptor for the present term. After the term has ended, and until the next, it ends at once.
    ///
    /// # Errors
    /// - Before [`ready`](crate::Goagain::ready): nothing may be accepted yet.
    /// - After the library has closed the listener: this process will not accept again.
    pub fn acceptor(&self) -> io::Result<Acceptor> {
        let term = self.terms.of_owner("an acceptor")?;
        // A listener that is closed already is no error while its term is over: the acceptor would end at once.
        let listener =
            if term.is_closed() { Weak::new() } else { Arc::downgrade(&self.slot.open(&self.name)?) };
        Ok(Acceptor::new(
            listener,
            self.slot.clone(),
            term,
            self.connections.clone(),
            self.incoming_migrations(),
        ))
    }

    /// Whether the successor that this process hands over to has not asked for it. Then nobody accepts after this process:
    /// who accepts on a duplicate takes what is queued before it ends. An acceptor does so by itself.
    pub fn is_dropped(&self) -> bool {
        self.slot.is_dropped()
    }

    /// What moves its connections to the successor, where [`Builder::migrate_connections`](crate::Builder::migrate_connections) was
    /// called; otherwise one that never does.
    pub fn migrator(&self) -> Migrator {
        let outgoing = self.moves.as_ref().map(|moves| moves.outgoing.clone());
        Migrator::new(&self.name, outgoing, self.connections.clone())
    }

    /// The connections that the predecessor moved here, for those who accept by other means than an
    /// [`Acceptor`](crate::Acceptor). `None` where [`Builder::migrate_connections`](crate::Builder::migrate_connections) was not
    /// called.
    pub fn incoming_migrations(&self) -> Option<Incoming> {
        self.moves.as_ref().map(|moves| moves.incoming.clone())
    }

    /// The end of the present term.
    #[cfg(feature = "tokio")]
    pub(crate) fn end(&self) -> io::Result<ShutdownSignal> {
        Ok(ShutdownSignal::of(self.terms.of_owner("an acceptor")?))
    }

    /// A duplicate as std's (`fcntl(F_DUPFD_CLOEXEC)`), non-blocking. The library can neither end nor count what is
    /// accepted on it: stop at the end of the term, and hold a [`Guard`](crate::Guard) for each connection.
    ///
    /// # Errors
    /// If this is no TCP listener, if the library has closed it, and those of `fcntl`.
    pub fn to_std_tcp(&self) -> io::Result<TcpListener> {
        match &*self.socket()? {
            socket @ Socket::Tcp(_) => Ok(socket.try_clone_to_owned()?.into()),
            _ => Err(self.another_kind("TCP")),
        }
    }

    /// As [`Listener::to_std_tcp`], for Unix sockets.
    ///
    /// # Errors
    /// If this is no Unix listener, if the library has closed it, and those of `fcntl`.
    pub fn to_std_unix(&self) -> io::Result<UnixListener> {
        match &*self.socket()? {
            socket @ Socket::Unix(_) => Ok(socket.try_clone_to_owned()?.into()),
            _ => Err(self.another_kind("Unix")),
        }
    }

    /// As [`Listener::to_std_tcp`], for SEQPACKET sockets, as a descriptor: std has no type for them. Its listener for Unix
    /// sockets can be made of it, and accepts connections whose every read and write is one packet.
    ///
    /// # Errors
    /// If this is no SEQPACKET listener, if the library has closed it, and those of `fcntl`.
    pub fn to_owned_seqpacket(&self) -> io::Result<OwnedFd> {
        match &*self.socket()? {
            socket @ Socket::UnixSeqpacket(_) => socket.try_clone_to_owned(),
            _ => Err(self.another_kind("SEQPACKET")),
        }
    }

    fn socket(&self) -> io::Result<Arc<Socket>> {
        Ok(Arc::clone(&self.slot.open(&self.name)?.socket))
    }

    fn another_kind(&self, kind: &str) -> io::Error {
        let message = format!("the listener `{}` is {}, not a {kind} socket", self.name, self.address);
        io::Error::new(io::ErrorKind::InvalidInput, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd, AsRawFd};

    #[test]
    fn the_next_term_needs_no_descriptor_that_is_not_there() {
        let terms = Terms::new();
        terms.begin().unwrap();
        terms.end();
        let number = |latch: &Latch| latch.as_fd().as_raw_fd();
        let spare = terms.lock().spare.as_ref().map(number);
        terms.begin().unwrap();
        let current = terms.of_owner("a test").unwrap();
        assert_eq!(spare, Some(number(&current)));
        assert!(!current.is_closed());
    }
}
