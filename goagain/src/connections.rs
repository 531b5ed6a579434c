//! Counting what is in flight.

use crate::gate::Gate;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// One atomic holds it all, so that whoever changes a count knows the phase at that very moment.
const CONNECTION: u64 = 1;
const WAITING: u64 = 1 << 31;
const COUNT: u64 = WAITING - 1;
const DRAINING: u64 = 1 << 62;
const CLOSING: u64 = 1 << 63;

/// What is in flight: each connection, or whatever else a drain waits for, holds a [`Guard`].
///
/// A guard costs an atomic addition when it begins and one when it ends. An acceptor makes one for each connection; for
/// other work call [`Connections::begin`].
#[derive(Clone, Debug)]
pub struct Connections(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    state: AtomicU64,
    wake: UnixStream,
    woken: UnixStream,
    closing: Mutex<Arc<Gate>>,
}

impl Connections {
    pub(crate) fn new() -> io::Result<Connections> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let closing = Mutex::new(Arc::new(Gate::new()?));
        Ok(Connections(Arc::new(Counts { state: AtomicU64::new(0), wake, woken, closing })))
    }

    /// Counts one more, until the guard is dropped. It begins as one that has not sent a request yet.
    pub fn begin(&self) -> Guard {
        self.0.state.fetch_add(CONNECTION + WAITING, Ordering::SeqCst);
        Guard { connections: self.clone(), waiting: true }
    }

    /// How many guards there are.
    pub fn len(&self) -> usize {
        (self.state() & COUNT) as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of them wait for a request: new ones, and idle ones.
    pub fn waiting(&self) -> usize {
        ((self.state() >> 31) & COUNT) as usize
    }

    /// Whether this process has stopped accepting: from now on every answer closes its connection.
    pub fn is_draining(&self) -> bool {
        self.state() & DRAINING != 0
    }

    /// Whether the drain is in its second phase: a connection that waits for a request is to be closed.
    pub fn is_closing(&self) -> bool {
        self.state() & CLOSING != 0
    }

    fn state(&self) -> u64 {
        self.0.state.load(Ordering::SeqCst)
    }

    /// Back to serving: at the start of a term.
    pub(crate) fn serve(&self) -> io::Result<()> {
        self.0.state.fetch_and(!(DRAINING | CLOSING), Ordering::SeqCst);
        let mut gate = self.0.closing.lock().unwrap_or_else(PoisonError::into_inner);
        if gate.is_closed() {
            *gate = Arc::new(Gate::new()?);
        }
        Ok(())
    }

    pub(crate) fn drain(&self) {
        self.0.state.fetch_or(DRAINING, Ordering::SeqCst);
    }

    pub(crate) fn close_idle(&self) {
        self.0.state.fetch_or(CLOSING, Ordering::SeqCst);
        self.closing_gate().close();
    }

    fn closing_gate(&self) -> Arc<Gate> {
        Arc::clone(&self.0.closing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the wake-up, before the count is looked at.
    pub(crate) fn take_wake(&self) {
        let mut buffer = [0; 64];
        while matches!((&self.0.woken).read(&mut buffer), Ok(64)) {}
    }

    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        self.0.woken.as_fd()
    }

    fn ended(&self, before: u64) {
        if before & DRAINING != 0 && before & COUNT == 1 {
            self.wake_up();
        }
    }

    pub(crate) fn wake_up(&self) {
        // A full buffer wakes the loop as well.
        let _ = (&self.0.wake).write(&[0]);
    }
}

/// One connection in flight, or one piece of other work; the drain waits until it is dropped.
///
/// It can say whether the connection waits for a request ([`Guard::idle`]) or is in one ([`Guard::busy`]): what a drain
/// does with it depends on that. A guard begins as one that waits.
#[derive(Debug)]
pub struct Guard {
    connections: Connections,
    waiting: bool,
}

impl Guard {
    /// Whether the answer being written should close its connection (`Connection: close`).
    pub fn is_draining(&self) -> bool {
        self.connections.is_draining()
    }

    /// Whether a connection that waits for a request should be closed now.
    pub fn is_closing(&self) -> bool {
        self.connections.is_closing()
    }

    /// The connection waits for its next request.
    pub fn idle(&mut self) {
        if !std::mem::replace(&mut self.waiting, true) {
            self.connections.0.state.fetch_add(WAITING, Ordering::SeqCst);
        }
    }

    /// A request has begun.
    pub fn busy(&mut self) {
        if std::mem::replace(&mut self.waiting, false) {
            self.connections.0.state.fetch_sub(WAITING, Ordering::SeqCst);
        }
    }

    /// Waits for the next request on `stream` (`poll`): `true` when there is something to read, `false` when a drain tells
    /// the idle to go and there is nothing. The guard is idle meanwhile, and busy after `true`.
    ///
    /// For servers with a thread a connection. It is a wait that a blocking `read` would do as well, but for the drain.
    ///
    /// # Errors
    /// Those of `poll`.
    pub fn wait_readable(&mut self, stream: impl AsFd) -> io::Result<bool> {
        self.idle();
        let gate = self.connections.closing_gate();
        let mut fds =
            [PollFd::new(stream.as_fd(), PollFlags::POLLIN), PollFd::new(gate.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) => break,
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // A request that is there is served, whatever else is said.
        let readable = fds[0].any() == Some(true);
        if readable {
            self.busy();
        }
        Ok(readable)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let gone = if self.waiting { CONNECTION + WAITING } else { CONNECTION };
        let before = self.connections.0.state.fetch_sub(gone, Ordering::SeqCst);
        self.connections.ended(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_are_counted_and_say_what_they_do() {
        let connections = Connections::new().unwrap();
        assert!(connections.is_empty());
        let mut first = connections.begin();
        let second = connections.begin();
        assert_eq!((connections.len(), connections.waiting()), (2, 2));
        first.busy();
        first.busy();
        assert_eq!((connections.len(), connections.waiting()), (2, 1));
        first.idle();
        assert_eq!((connections.len(), connections.waiting()), (2, 2));
        first.busy();
        drop(first);
        drop(second);
        assert_eq!((connections.len(), connections.waiting()), (0, 0));
    }

    #[test]
    fn the_last_guard_of_a_drain_wakes_and_no_other_does() {
        let connections = Connections::new().unwrap();
        let woken = || {
            let mut fds = [PollFd::new(connections.wake(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
        };
        drop(connections.begin());
        assert!(!woken(), "nothing waits while serving");
        let (first, second) = (connections.begin(), connections.begin());
        connections.drain();
        drop(first);
        assert!(!woken(), "one is left");
        drop(second);
        assert!(woken());
        connections.take_wake();
        assert!(!woken());
    }

    #[test]
    fn closing_ends_a_wait_unless_a_request_is_there() {
        let connections = Connections::new().unwrap();
        let (client, server) = UnixStream::pair().unwrap();
        let mut guard = connections.begin();
        connections.drain();
        let waiting = std::thread::spawn(move || {
            let first = guard.wait_readable(&server).unwrap();
            let waiting = guard.connections.waiting();
            (first, waiting, guard, server)
        });
        connections.close_idle();
        let (first, waiting, mut guard, server) = waiting.join().unwrap();
        assert!(!first, "an idle connection is told to go");
        assert_eq!(waiting, 1);
        (&client).write_all(b"GET").unwrap();
        assert!(guard.wait_readable(&server).unwrap(), "a request that is there is served");
        assert_eq!(connections.waiting(), 0);
    }

    #[test]
    fn a_new_term_serves_again() {
        let connections = Connections::new().unwrap();
        let guard = connections.begin();
        connections.drain();
        connections.close_idle();
        assert!(guard.is_draining() && guard.is_closing());
        connections.serve().unwrap();
        assert!(!guard.is_draining() && !guard.is_closing());
        assert!(!connections.closing_gate().is_closed());
    }
}
