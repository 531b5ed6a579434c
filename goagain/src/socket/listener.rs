//! A handle to a listener.

use crate::drain::Connections;
#[cfg(feature = "tokio")]
use crate::drain::ShutdownSignal;
use crate::migrate::ListenerMigrations;
use crate::migrate::{Incoming, Migrator};
use crate::socket::Acceptor;
use crate::socket::kinds::Socket;
use crate::socket::shared::SharedSocket;
use crate::socket::term::CurrentTerm;
use goagain_env::Address;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Weak};

/// A listener that crosses restarts. The library keeps the socket, and this is a handle to it. Returned by
/// [`Goagain::listen`](crate::Goagain::listen) and [`Bind`](crate::socket::Bind).
///
/// The socket is non-blocking and has to stay so: O_NONBLOCK belongs to the open file description, which all processes share.
#[derive(Clone, Debug)]
pub struct Listener {
    pub(crate) name: String,
    pub(crate) address: Address,
    pub(crate) inherited: bool,
    pub(crate) shared: SharedSocket<Socket>,
    pub(crate) term: CurrentTerm,
    pub(crate) connections: Connections,
    pub(crate) migrations: Option<ListenerMigrations>,
}

impl Listener {
    /// Returns the name by which the next process finds the listener.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the predecessor handed the listener over. If not, this process has bound or adopted it.
    pub fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// Returns the address at which it listens. For a Unix socket this is the path that was asked for.
    pub fn local_addr(&self) -> &Address {
        &self.address
    }

    /// Returns an acceptor for the current term. One that is made after the end of a term, and before the next term, ends at once.
    ///
    /// A [term](crate::guide::restart#words) is the time in which a process accepts: from the moment when it becomes the owner
    /// until it hands over or stops.
    ///
    /// # Errors
    /// - [`io::ErrorKind::InvalidInput`] before [`ready`](crate::Goagain::ready) has returned: this process must not accept yet.
    /// - [`io::ErrorKind::NotConnected`] after the library has closed the listener: this process will not accept again.
    pub fn acceptor(&self) -> io::Result<Acceptor> {
        let term = self.term.latch("an acceptor")?;
        // If the term is over, a closed listener is no error: the acceptor would end at once anyway.
        let listener =
            if term.is_set() { Weak::new() } else { Arc::downgrade(&self.shared.open(&self.name)?) };
        let (shared, connections) = (self.shared.clone(), self.connections.clone());
        Ok(Acceptor::new(listener, shared, term, connections, self.incoming_migrations()))
    }

    /// Returns whether the successor of this process has dropped the listener: it was handed the listener and did not ask for
    /// it. Then no process accepts after this one, so code that accepts on a duplicate has to empty the queue before it ends. An
    /// acceptor does that by itself.
    pub fn is_dropped(&self) -> bool {
        self.shared.is_dropped()
    }

    /// Returns a [`Migrator`], which sends connections of this listener to the successor. Without
    /// [`Builder::migrate_connections`](crate::Builder::migrate_connections) it never sends any.
    pub fn migrator(&self) -> Migrator {
        let outgoing = self.migrations.as_ref().map(|migrations| migrations.outgoing.clone());
        Migrator::new(&self.name, outgoing, self.connections.clone())
    }

    /// Returns the connections that the predecessor migrated to this process, for code that accepts without an
    /// [`Acceptor`](crate::Acceptor). Returns `None` without
    /// [`Builder::migrate_connections`](crate::Builder::migrate_connections).
    pub fn incoming_migrations(&self) -> Option<Incoming> {
        self.migrations.as_ref().map(|migrations| migrations.incoming.clone())
    }

    /// Returns the end of the current term.
    #[cfg(feature = "tokio")]
    pub(crate) fn end(&self) -> io::Result<ShutdownSignal> {
        Ok(ShutdownSignal::of(self.term.latch("an acceptor")?))
    }

    /// Returns a duplicate as a listener of the standard library (`fcntl(F_DUPFD_CLOEXEC)`). It is non-blocking.
    ///
    /// The library can neither stop nor track what is accepted on it. Stop accepting at the end of the term, and hold a
    /// [`Guard`](crate::Guard) for each connection.
    ///
    /// # Errors
    /// - [`io::ErrorKind::InvalidInput`] if this is not a TCP listener.
    /// - [`io::ErrorKind::NotConnected`] if the library has closed it.
    /// - The errors of `fcntl`.
    pub fn to_std_tcp(&self) -> io::Result<TcpListener> {
        match &*self.socket()? {
            socket @ Socket::Tcp(_) => Ok(socket.try_clone_to_owned()?.into()),
            _ => Err(self.another_kind("TCP")),
        }
    }

    /// Returns a duplicate like [`Listener::to_std_tcp`], of a Unix listener.
    ///
    /// # Errors
    /// - [`io::ErrorKind::InvalidInput`] if this is not a Unix stream listener.
    /// - [`io::ErrorKind::NotConnected`] if the library has closed it.
    /// - The errors of `fcntl`.
    pub fn to_std_unix(&self) -> io::Result<UnixListener> {
        match &*self.socket()? {
            socket @ Socket::Unix(_) => Ok(socket.try_clone_to_owned()?.into()),
            _ => Err(self.another_kind("Unix")),
        }
    }

    /// Returns a duplicate like [`Listener::to_std_tcp`], of a SOCK_SEQPACKET listener, as a descriptor, since the standard
    /// library has no type for it. A `UnixListener` made of the descriptor works: each read and each write of its connections is
    /// one packet.
    ///
    /// # Errors
    /// - [`io::ErrorKind::InvalidInput`] if this is not a SOCK_SEQPACKET listener.
    /// - [`io::ErrorKind::NotConnected`] if the library has closed it.
    /// - The errors of `fcntl`.
    pub fn to_owned_seqpacket(&self) -> io::Result<OwnedFd> {
        match &*self.socket()? {
            socket @ Socket::UnixSeqpacket(_) => socket.try_clone_to_owned(),
            _ => Err(self.another_kind("SEQPACKET")),
        }
    }

    fn socket(&self) -> io::Result<Arc<Socket>> {
        Ok(Arc::clone(&self.shared.open(&self.name)?.socket))
    }

    fn another_kind(&self, kind: &str) -> io::Error {
        let message = format!("the listener `{}` is {}, expected a {kind} socket", self.name, self.address);
        io::Error::new(io::ErrorKind::InvalidInput, message)
    }
}
