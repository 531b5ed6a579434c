//! Accepting, for as long as this process is the owner.

use crate::drain::latch::Latch;
use crate::drain::{Connections, Guard};
use crate::migrate::Incoming;
use crate::socket::Stream;
use crate::socket::accept_error::{Backoff, is_connection_error, is_shortage};
use crate::socket::kinds::Socket;
use crate::socket::shared::{OpenSocket, SharedSocket};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, OnceLock, Weak};

/// An iterator over connections that ends with the term of this process. Returned by
/// [`Listener::acceptor`](crate::Listener::acceptor).
///
/// A [term](crate::guide::restart#words) is the time in which a process accepts: from the moment when it becomes the owner
/// until it hands over or stops.
///
/// It waits in `poll` for the listener and for the end of the term, and accepts each connection with a non-blocking
/// `accept`, since a blocked `accept` would take one more connection after the end. Any number of threads can have an
/// acceptor each. It never shuts the listener down, since all processes that hold the listener would lose it.
///
/// If the successor has dropped the listener, the acceptor still yields the connections that are in the queue at the end of the
/// term, and ends after them.
///
/// Connections that the predecessor [migrated](crate::migrate) to this process are yielded first. All of those that have
/// arrived before the end of the term are yielded.
///
/// # Errors
/// - An error that belongs to one connection, such as ECONNABORTED, is skipped.
/// - If the process or the system is out of descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM), the acceptor waits and
///   tries again: after 10 milliseconds, then longer, up to one second. The connections stay in the queue.
/// - Any other error is yielded as `Some(Err)`. Accepting again would not help, so the iterator ends after it.
#[derive(Debug)]
pub struct Acceptor {
    /// Held during a call only, and not while the application serves what it has accepted, so that the library can close the
    /// listener in time.
    listener: Weak<OpenSocket<Socket>>,
    /// Held from the moment when the application has asked for the descriptor.
    polled: OnceLock<Option<Arc<OpenSocket<Socket>>>>,
    has_ended: bool,
    shared: SharedSocket<Socket>,
    term: Arc<Latch>,
    connections: Connections,
    incoming: Option<Incoming>,
}

impl Acceptor {
    pub(crate) fn new(
        listener: Weak<OpenSocket<Socket>>,
        shared: SharedSocket<Socket>,
        term: Arc<Latch>,
        connections: Connections,
        incoming: Option<Incoming>,
    ) -> Acceptor {
        Acceptor { listener, polled: OnceLock::new(), has_ended: false, shared, term, connections, incoming }
    }

    /// Returns the next connection if there is one now, and never waits. Returns `None` too when the term has ended.
    ///
    /// For event loops: they poll the descriptor of the acceptor, and, if connections migrate, that of the listener's
    /// [`incoming_migrations`](crate::Listener::incoming_migrations).
    ///
    /// # Errors
    /// The errors of `accept` that the iterator would yield, and those after which it would wait: EMFILE, ENFILE, ENOBUFS and
    /// ENOMEM. After one of these four, try again later.
    pub fn try_accept(&mut self) -> io::Result<Option<(Stream, Guard)>> {
        if let Some(migrated) = self.take_migrated() {
            return Ok(Some(migrated));
        }
        let Some(listener) = self.listener.upgrade() else { return Ok(None) };
        while !self.is_over() {
            match listener.socket.accept() {
                Ok(stream) => return Ok(Some(self.track(stream))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if is_connection_error(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn accept(&self, listener: &Socket) -> io::Result<Option<(Stream, Guard)>> {
        let mut backoff = Backoff::default();
        loop {
            // The end is looked at first: whatever was migrated before it is in the queue when it is seen.
            let has_ended = self.term.is_set();
            if let Some(migrated) = self.take_migrated() {
                return Ok(Some(migrated));
            }
            if has_ended && self.is_over() {
                return Ok(None);
            }
            let error = match listener.accept() {
                Ok(stream) => return Ok(Some(self.track(stream))),
                Err(error) => error,
            };
            match error.raw_os_error().map(nix::Error::from_raw) {
                Some(nix::Error::EAGAIN) if has_ended => return Ok(None),
                Some(nix::Error::EAGAIN) => self.wait(Some(listener), PollTimeout::NONE)?,
                _ if is_shortage(&error) && !has_ended => {
                    self.wait(None, PollTimeout::try_from(backoff.next()).unwrap_or(PollTimeout::MAX))?
                }
                _ if is_connection_error(&error) => {}
                _ => return Err(error),
            }
        }
    }

    /// Waits for the end of the term, and for a connection or, after a shortage, for a time.
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

    /// Makes the guard of a connection.
    fn track(&self, stream: Stream) -> (Stream, Guard) {
        let mut guard = self.connections.begin();
        if self.connections.closes_unfinished() {
            // If there is no descriptor for the duplicate, the connection is served all the same, and cannot be closed later.
            let _ = guard.set_socket(&stream);
        }
        if stream.has_unread() {
            guard.set_has_unread();
        }
        (stream, guard)
    }

    /// Returns a connection that the predecessor migrated to this process, if there is one now. A connection that its client has
    /// reset meanwhile is skipped.
    pub(crate) fn take_migrated(&self) -> Option<(Stream, Guard)> {
        let incoming = self.incoming.as_ref()?;
        let adopted = std::iter::from_fn(|| incoming.take()).find_map(|each| Stream::adopt(each).ok());
        adopted.map(|(stream, attached)| {
            let (stream, mut guard) = self.track(stream);
            guard.set_migrated(attached);
            (stream, guard)
        })
    }

    /// Whether nothing is accepted any longer. If the successor has dropped the listener, the queue is still emptied.
    fn is_over(&self) -> bool {
        self.term.is_set() && !self.shared.is_dropped()
    }
}

/// The descriptor of the listener during the term, for event loops: it is readable when there may be a connection. After the
/// term it is a descriptor that is always readable.
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
            // The library has closed it at the end of the term. Connections that were migrated before that are still here.
            None => self.take_migrated().map(Ok),
        };
        self.has_ended = !matches!(accepted, Some(Ok(_)));
        accepted
    }
}

impl std::iter::FusedIterator for Acceptor {}
