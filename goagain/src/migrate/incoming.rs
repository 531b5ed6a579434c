//! Connections that the predecessor has sent and that wait to be accepted.

use nix::sys::socket::{SockType, getsockopt, sockopt};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

/// More than any server reads of a request that it has not begun to serve.
pub(super) const MAX_BYTES: u64 = 16 << 20;

/// A connection that the predecessor has accepted and sent to this process. Returned by [`Incoming::take`].
#[derive(Debug)]
pub struct IncomingConnection {
    fd: OwnedFd,
    unread: Vec<u8>,
    attached: Vec<u8>,
}

impl IncomingConnection {
    /// Returns the descriptor of the connection, and the bytes that the predecessor has read and not served. Serve these bytes
    /// before those that you read from the descriptor.
    ///
    /// The descriptor is close-on-exec, and has the options that the predecessor has set (O_NONBLOCK, timeouts).
    pub fn into_parts(self) -> (OwnedFd, Vec<u8>) {
        (self.fd, self.unread)
    }

    /// Returns the bytes that the server in the predecessor has [attached](crate::Guard::attach) to the connection.
    pub fn attached(&self) -> &[u8] {
        &self.attached
    }

    /// Checks the descriptors that have come with a message.
    pub(super) fn of(
        descriptors: Vec<OwnedFd>,
        unread: bool,
        attached: bool,
    ) -> Result<IncomingConnection, String> {
        let expected = 1 + usize::from(unread) + usize::from(attached);
        let found = descriptors.len();
        let mut descriptors = descriptors.into_iter();
        let (Some(fd), true) = (descriptors.next(), found == expected) else {
            return Err(format!(
                "expected {expected} descriptors, found {found}: if this process has reached its limit, raise RLIMIT_NOFILE"
            ));
        };
        let is_stream =
            matches!(getsockopt(&fd, sockopt::SockType), Ok(SockType::Stream | SockType::SeqPacket));
        if !is_stream || getsockopt(&fd, sockopt::AcceptConn) != Ok(false) {
            return Err("expected a connection, found another kind of descriptor".into());
        }
        let mut bytes_of = |is_there: bool, what: &str| {
            let mut bytes = Vec::new();
            if let Some(file) = is_there.then(|| descriptors.next()).flatten() {
                let read = File::from(file).take(MAX_BYTES).read_to_end(&mut bytes);
                read.map_err(|error| format!("cannot read its {what} bytes: {error}"))?;
            }
            Ok::<_, String>(bytes)
        };
        let (unread, attached) = (bytes_of(unread, "unread")?, bytes_of(attached, "attached")?);
        Ok(IncomingConnection { fd, unread, attached })
    }
}

/// The connections of one listener that the predecessor has sent and that wait to be accepted.
///
/// Returned by [`Listener::incoming_migrations`](crate::Listener::incoming_migrations), for code that accepts without an
/// [`Acceptor`](crate::Acceptor). An acceptor yields these connections by itself.
///
/// The descriptor is readable as long as there are connections. At the end of the term, take all of them before you stop:
/// connections that are left are lost.
#[derive(Clone, Debug)]
pub struct Incoming(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<VecDeque<IncomingConnection>>,
    /// Has one byte to read as long as the queue is not empty.
    ready: UnixStream,
    /// The other end.
    notify: UnixStream,
}

impl Incoming {
    pub(super) fn new() -> io::Result<Incoming> {
        let (ready, notify) = UnixStream::pair()?;
        ready.set_nonblocking(true)?;
        notify.set_nonblocking(true)?;
        Ok(Incoming(Arc::new(Shared { queue: Mutex::default(), ready, notify })))
    }

    pub(super) fn push(&self, connection: IncomingConnection) {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.is_empty() {
            // There always is room for the one byte.
            let _ = (&self.0.notify).write(&[0]);
        }
        queue.push_back(connection);
    }

    /// Returns the next connection, if there is one. Never blocks.
    pub fn take(&self) -> Option<IncomingConnection> {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = queue.pop_front();
        if connection.is_some() && queue.is_empty() {
            let _ = (&self.0.ready).read(&mut [0]);
        }
        connection
    }
}

impl AsFd for Incoming {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.ready.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    #[test]
    fn it_is_readable_as_long_as_it_is_not_empty() {
        let incoming = Incoming::new().unwrap();
        let ready =
            || poll(&mut [PollFd::new(incoming.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 1;
        for _ in 0..2 {
            assert!(!ready() && incoming.take().is_none());
            for _ in 0..3 {
                incoming.push(
                    IncomingConnection::of(vec![UnixStream::pair().unwrap().0.into()], false, false).unwrap(),
                );
            }
            for _ in 0..3 {
                assert!(ready());
                assert!(incoming.take().is_some());
            }
        }
    }

    #[test]
    fn other_descriptors_are_refused() {
        let refused = |descriptors, unread| IncomingConnection::of(descriptors, unread, false).unwrap_err();
        assert!(refused(vec![], false).starts_with("expected 1 descriptors, found 0"));
        let connection = || OwnedFd::from(UnixStream::pair().unwrap().0);
        assert!(refused(vec![connection()], true).starts_with("expected 2 descriptors, found 1"));
        let none_attached = IncomingConnection::of(vec![connection(), connection()], true, true).unwrap_err();
        assert!(none_attached.starts_with("expected 3 descriptors, found 2"));
        assert!(
            refused(vec![connection(), connection()], false).starts_with("expected 1 descriptors, found 2")
        );
        let file = tempfile::tempfile().unwrap().into();
        assert!(refused(vec![file], false).starts_with("expected a connection"));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap().into();
        assert!(refused(vec![listener], false).starts_with("expected a connection"));
    }
}
