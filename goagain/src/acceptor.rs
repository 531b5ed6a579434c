//! Accepting, for as long as this process is the owner.

use crate::gate::Gate;
use crate::listener::Slot;
use crate::socket::Socket;
use crate::{Connections, Guard, Stream};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// Yields connections until the term of this process ends: at commit, or at a stop.
///
/// It waits in `poll` for the listener and for the end of its term, and takes each connection by a non-blocking
/// `accept`, since a blocked `accept` would take one more connection after the end. Any number of threads can have one
/// each. It never shuts a listener down: all processes that hold it would lose it.
///
/// Of a listener that the successor has not asked for it takes what is queued at the end of the term, and then ends.
///
/// What goes wrong with one connection (ECONNABORTED and its like) is passed over. When the process or the system is
/// out of descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM) it waits for the end of its term under a timeout that
/// grows from 10 ms to a second, and tries again: the connections stay in the queue. `Some(Err)` is what accepting again
/// would not mend; the iterator ends after it.
#[derive(Debug)]
pub struct Acceptor {
    /// `None` once it has ended, so that the listener is not held.
    listener: Option<Arc<Socket>>,
    slot: Slot<Socket>,
    term: Arc<Gate>,
    connections: Connections,
}

impl Acceptor {
    pub(crate) fn new(
        listener: Option<Arc<Socket>>,
        slot: Slot<Socket>,
        term: Arc<Gate>,
        connections: Connections,
    ) -> Acceptor {
        Acceptor { listener, slot, term, connections }
    }

    fn accept(&self, listener: &Socket) -> io::Result<Option<Stream>> {
        let mut pressure = Pressure::default();
        loop {
            let is_over = self.term.is_closed();
            if is_over && !self.slot.is_dropped() {
                return Ok(None);
            }
            let error = match listener.accept() {
                Ok(stream) => return Ok(Some(stream)),
                Err(error) => error,
            };
            match error.raw_os_error().map(nix::Error::from_raw) {
                Some(nix::Error::EAGAIN) if is_over => return Ok(None),
                Some(nix::Error::EAGAIN) => self.wait(Some(listener), PollTimeout::NONE)?,
                Some(nix::Error::EMFILE | nix::Error::ENFILE | nix::Error::ENOBUFS | nix::Error::ENOMEM)
                    if !is_over =>
                {
                    self.wait(None, pressure.next())?
                }
                Some(
                    nix::Error::EINTR
                    | nix::Error::ECONNABORTED
                    | nix::Error::EPROTO
                    | nix::Error::EPERM
                    | nix::Error::ENETDOWN
                    | nix::Error::ENETUNREACH
                    | nix::Error::EHOSTDOWN
                    | nix::Error::EHOSTUNREACH
                    | nix::Error::ENOPROTOOPT
                    | nix::Error::ETIMEDOUT,
                ) => {}
                _ => return Err(error),
            }
        }
    }

    /// Waits for the end of the term, and for a connection or, under pressure, for a time.
    fn wait(&self, listener: Option<&Socket>, timeout: PollTimeout) -> io::Result<()> {
        let term = PollFd::new(self.term.as_fd(), PollFlags::POLLIN);
        let polled = match listener {
            Some(listener) => poll(&mut [term, PollFd::new(listener.as_fd(), PollFlags::POLLIN)], timeout),
            None => poll(&mut [term], timeout),
        };
        match polled {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// How long to wait when descriptors or memory are short: nothing tells when there are some again.
#[derive(Default)]
struct Pressure(u32);

impl Pressure {
    fn next(&mut self) -> PollTimeout {
        let wait = Duration::from_millis(10 << self.0).min(Duration::from_secs(1));
        self.0 = (self.0 + 1).min(7);
        PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX)
    }
}

impl Iterator for Acceptor {
    type Item = io::Result<(Stream, Guard)>;

    fn next(&mut self) -> Option<Self::Item> {
        let listener = self.listener.take()?;
        match self.accept(&listener) {
            Ok(None) => None,
            Ok(Some(stream)) => {
                let mut guard = self.connections.begin();
                if self.connections.cuts() {
                    // Short of descriptors, it is served all the same, and is not cut.
                    let _ = guard.let_cut(&stream);
                }
                self.listener = Some(listener);
                Some(Ok((stream, guard)))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl std::iter::FusedIterator for Acceptor {}
