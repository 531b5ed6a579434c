//! Accepting, for as long as this process is the owner.

use crate::drain::latch::Latch;
use crate::drain::{Connections, Guard};
use crate::migrate::Incoming;
use crate::socket::Stream;
use crate::socket::kinds::Socket;
use crate::socket::listener::{Open, Slot};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// Yields connections until the term of this process ends: at commit, or at a stop.
///
/// It waits in `poll` for the listener and for the end of its term, and takes each connection by a non-blocking
/// `accept`, since a blocked `accept` would take one more connection after the end. Any number of threads can have one
/// each. It never shuts a listener down: all processes that hold it would lose it.
///
/// Of a listener that the successor has not asked for it takes what is queued at the end of the term, and then ends.
///
/// Connections that the predecessor moved here come out of it too, and first, also such as have come just before the end.
///
/// What goes wrong with one connection (ECONNABORTED and its like) is passed over. When the process or the system is
/// out of descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM) it waits for the end of its term under a timeout that
/// grows from 10 ms to a second, and tries again: the connections stay in the queue. `Some(Err)` is what accepting again
/// would not mend; the iterator ends after it.
#[derive(Debug)]
pub struct Acceptor {
    /// ConnectionInfo while it accepts, and not while what it has accepted is served: the library closes it in time.
    listener: Weak<Open<Socket>>,
    /// ConnectionInfo, if its descriptor was asked for.
    polled: OnceLock<Option<Arc<Open<Socket>>>>,
    has_ended: bool,
    slot: Slot<Socket>,
    term: Arc<Latch>,
    connections: Connections,
    incoming: Option<Incoming>,
}

impl Acceptor {
    pub(crate) fn new(
        listener: Weak<Open<Socket>>,
        slot: Slot<Socket>,
        term: Arc<Latch>,
        connections: Connections,
        incoming: Option<Incoming>,
    ) -> Acceptor {
        Acceptor { listener, polled: OnceLock::new(), has_ended: false, slot, term, connections, incoming }
    }

    fn accept(&self, listener: &Socket) -> io::Result<Option<(Stream, Guard)>> {
        let mut pressure = Pressure::default();
        loop {
            // Looked at in this order: what has been moved here before the end is there when the end is seen.
            let has_ended = self.term.is_closed();
            if let Some(arrived) = self.arrived() {
                return Ok(Some(arrived));
            }
            if has_ended && self.is_over() {
                return Ok(None);
            }
            let error = match listener.accept() {
                Ok(stream) => return Ok(Some(self.counted(stream))),
                Err(error) => error,
            };
            match error.raw_os_error().map(nix::Error::from_raw) {
                Some(nix::Error::EAGAIN) if has_ended => return Ok(None),
                Some(nix::Error::EAGAIN) => self.wait(Some(listener), PollTimeout::NONE)?,
                _ if is_shortage(&error) && !has_ended => {
                    self.wait(None, PollTimeout::try_from(pressure.next()).unwrap_or(PollTimeout::MAX))?
                }
                _ if is_of_one(&error) => {}
                _ => return Err(error),
            }
        }
    }

    /// Waits for the end of the term, and for a connection or, under pressure, for a time.
    fn wait(&self, listener: Option<&Socket>, timeout: PollTimeout) -> io::Result<()> {
        let term = Some(self.term.as_fd());
        let fds = [term, listener.map(Socket::as_fd), self.incoming.as_ref().map(Incoming::as_fd)];
        let mut fds: Vec<_> =
            fds.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Descriptors or memory are short.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    let short = [nix::Error::EMFILE, nix::Error::ENFILE, nix::Error::ENOBUFS, nix::Error::ENOMEM];
    error.raw_os_error().is_some_and(|code| short.contains(&nix::Error::from_raw(code)))
}

/// What went wrong with one connection; the next may be well.
pub(crate) fn is_of_one(error: &io::Error) -> bool {
    let of_one = [
        nix::Error::EINTR,
        nix::Error::ECONNABORTED,
        nix::Error::EPROTO,
        nix::Error::EPERM,
        nix::Error::ENETDOWN,
        nix::Error::ENETUNREACH,
        nix::Error::EHOSTDOWN,
        nix::Error::EHOSTUNREACH,
        nix::Error::ENOPROTOOPT,
        nix::Error::ETIMEDOUT,
    ];
    error.raw_os_error().is_some_and(|code| of_one.contains(&nix::Error::from_raw(code)))
}

/// How long to wait when descriptors or memory are short: nothing tells when there are some again.
#[derive(Debug, Default)]
pub(crate) struct Pressure(u32);

impl Pressure {
    pub(crate) fn next(&mut self) -> Duration {
        let wait = Duration::from_millis(10 << self.0).min(Duration::from_secs(1));
        self.0 = (self.0 + 1).min(7);
        wait
    }
}

impl Acceptor {
    /// The next connection, if there is one now, and never waits: for loops that poll the acceptor's descriptor, and that of
    /// the listener's [incoming](crate::Listener::incoming) where connections move. `None` too when the term has ended.
    ///
    /// # Errors
    /// Those of `accept` that the iterator would give, and those after which it would wait: EMFILE, ENFILE, ENOBUFS, ENOMEM. Try
    /// again after a time.
    pub fn try_accept(&mut self) -> io::Result<Option<(Stream, Guard)>> {
        if let Some(arrived) = self.arrived() {
            return Ok(Some(arrived));
        }
        let Some(listener) = self.listener.upgrade() else { return Ok(None) };
        while !self.is_over() {
            match listener.socket.accept() {
                Ok(stream) => return Ok(Some(self.counted(stream))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if is_of_one(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// A connection that the predecessor moved here, if there is one now.
    #[cfg(feature = "tokio")]
    pub(crate) fn take_arrived(&self) -> Option<(Stream, Guard)> {
        self.arrived()
    }

    fn counted(&self, stream: Stream) -> (Stream, Guard) {
        let mut guard = self.connections.begin();
        if self.connections.closes_unfinished() {
            // Short of descriptors, it is served all the same, and is not cut.
            let _ = guard.set_socket(&stream);
        }
        if stream.has_unread() {
            guard.prime();
        }
        (stream, guard)
    }

    /// A connection that the predecessor moved here. One that its client has reset meanwhile is passed over.
    fn arrived(&self) -> Option<(Stream, Guard)> {
        let incoming = self.incoming.as_ref()?;
        let adopted = std::iter::from_fn(|| incoming.take()).find_map(|arrived| Stream::adopt(arrived).ok());
        adopted.map(|(stream, attached)| {
            let (stream, mut guard) = self.counted(stream);
            guard.set_migrated(attached);
            (stream, guard)
        })
    }

    /// Whether nothing is accepted any longer. What is queued of a listener that nobody has after this process still is.
    fn is_over(&self) -> bool {
        self.term.is_closed() && !self.slot.is_dropped()
    }
}

/// The listener while the term lasts, to be polled: readable when there may be a connection. After the term it is the
/// term's end, which is readable.
impl AsFd for Acceptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let polled = self.polled.get_or_init(|| self.listener.upgrade());
        polled.as_ref().map_or_else(|| self.term.as_fd(), |listener| listener.socket.as_fd())
    }
}

impl Iterator for Acceptor {
    type Item = io::Result<(Stream, Guard)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let accepted = match self.listener.upgrade() {
            Some(listener) => self.accept(&listener.socket).transpose(),
            // It was closed at the end of the term: what came before that is here.
            None => self.arrived().map(Ok),
        };
        self.has_ended = !matches!(accepted, Some(Ok(_)));
        accepted
    }
}

impl std::iter::FusedIterator for Acceptor {}
