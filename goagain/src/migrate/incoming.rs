//! Connections that have come from the predecessor and wait to be accepted.

use nix::sys::socket::{SockType, getsockopt, sockopt};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

/// More than any server keeps of a request that it has not begun to serve.
pub(super) const LONGEST_BYTES: u64 = 16 << 20;

/// A connection that the predecessor had accepted.
#[derive(Debug)]
pub struct IncomingConnection {
    fd: OwnedFd,
    unread: Vec<u8>,
    attached: Vec<u8>,
}

impl IncomingConnection {
    /// The connection's descriptor, close-on-exec, with the options that the predecessor gave it (O_NONBLOCK, timeouts), and
    /// the bytes that it had read and not served: they come before what is read from the descriptor.
    pub fn into_parts(self) -> (OwnedFd, Vec<u8>) {
        (self.fd, self.unread)
    }

    /// What the predecessor's server had the connection [carry](crate::Guard::carry).
    pub fn attached(&self) -> &[u8] {
        &self.attached
    }

    /// Looks at what has come with the message.
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
                "expected {expected} descriptors, found {found}: this process may not have more, so raise RLIMIT_NOFILE"
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
                let read = File::from(file).take(LONGEST_BYTES).read_to_end(&mut bytes);
                read.map_err(|error| format!("its {what} bytes cannot be read: {error}"))?;
            }
            Ok::<_, String>(bytes)
        };
        let (unread, attached) = (bytes_of(unread, "unread")?, bytes_of(attached, "attached")?);
        Ok(IncomingConnection { fd, unread, attached })
    }
}

/// The connections that have come from the predecessor for one listener, and that nobody has taken yet.
///
/// Made by [`Listener::incoming`](crate::Listener::incoming), for those who accept by other means than an
/// [`Acceptor`](crate::Acceptor), which yields them by itself. Its descriptor is readable as long as there are some. Take
/// them before you see that the term is over: what is left then is lost.
#[derive(Clone, Debug)]
pub struct Incoming(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<VecDeque<IncomingConnection>>,
    /// Holds one byte as long as the queue is not empty.
    ready: UnixStream,
    set: UnixStream,
}

impl Incoming {
    pub(super) fn new() -> io::Result<Incoming> {
        let (ready, set) = UnixStream::pair()?;
        ready.set_nonblocking(true)?;
        set.set_nonblocking(true)?;
        Ok(Incoming(Arc::new(Shared { queue: Mutex::default(), ready, set })))
    }

    pub(super) fn push(&self, arrived: IncomingConnection) {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.is_empty() {
            // There is room for the one byte.
            let _ = (&self.0.set).write(&[0]);
        }
        queue.push_back(arrived);
    }

    /// The next one, if there is one; never blocks.
    pub fn take(&self) -> Option<IncomingConnection> {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let arrived = queue.pop_front();
        if arrived.is_some() && queue.is_empty() {
            let _ = (&self.0.ready).read(&mut [0]);
        }
        arrived
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
    fn it_is_readable_as_long_as_there_are_some() {
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
    fn what_is_no_connection_is_refused() {
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
