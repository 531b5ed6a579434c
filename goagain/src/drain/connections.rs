//! Counting the connections in flight.

use super::guard::Guard;
use super::jitter::Jitter;
use super::list::List;
use super::phase::{DrainPhase, Latches, ShutdownSignal};
use super::unfinished::Unfinished;
use goagain_signals::{ConnectionInfo, InFlight};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One atomic integer holds the count of all guards (bits 0 to 29), the count of the idle ones (bits 30 to 59) and the phase. So a
/// thread that changes a count knows the phase at that very moment.
pub(super) const ONE: u64 = 1;
pub(super) const ONE_IDLE: u64 = 1 << 30;
pub(super) const COUNT: u64 = ONE_IDLE - 1;
pub(super) const CLOSING_LONG_LIVED: u64 = 1 << 61;
pub(super) const DRAINING: u64 = 1 << 62;
pub(super) const CLOSING_IDLE: u64 = 1 << 63;

/// All connections in flight, and other work that a drain waits for. Each of them holds a [`Guard`]. Returned by
/// [`Goagain::connections`](crate::Goagain::connections).
///
/// An [`Acceptor`](crate::Acceptor) makes a guard for each connection. For other work, call [`Connections::begin`]. A guard
/// costs one atomic addition when it begins, one when it ends, and one when it changes from idle to busy or back.
///
/// A drain has this order: the process stops accepting; idle connections are asked to close; requests are finished; long-lived
/// connections are asked to close, and have [`long_lived_timeout`](crate::Builder::long_lived_timeout) for it.
/// [`Connections::shutdown_signal`] returns a signal for a phase of the drain. Code can wait for this signal by its descriptor,
/// as a future, or with a blocking call.
#[derive(Clone, Debug)]
pub struct Connections(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    /// The count of all guards, the count of the idle ones, and the phase.
    pub(super) state: AtomicU64,
    /// The count of the long-lived ones. Other guards do not touch it.
    pub(super) long_lived: AtomicU64,
    wake: UnixStream,
    woken: UnixStream,
    latches: Latches,
    pub(super) jitter: Jitter,
    pub(super) unfinished: Unfinished,
    pub(super) idle_grace: Duration,
    pub(super) list: List,
}

impl Connections {
    pub(crate) fn new(
        jitter: Duration,
        unfinished: Unfinished,
        idle_grace: Duration,
    ) -> io::Result<Connections> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        Ok(Connections(Arc::new(Shared {
            state: AtomicU64::new(0),
            long_lived: AtomicU64::new(0),
            wake,
            woken,
            latches: Latches::new()?,
            jitter: Jitter::over(jitter),
            unfinished,
            idle_grace,
            list: List::default(),
        })))
    }

    /// Returns a guard for one more connection, or for other work. A drain waits until the guard is dropped. A new guard is
    /// idle.
    pub fn begin(&self) -> Guard {
        self.0.state.fetch_add(ONE + ONE_IDLE, Ordering::SeqCst);
        Guard::new(self.clone())
    }

    /// Returns the number of guards: of all connections in flight and of other work.
    pub fn len(&self) -> usize {
        (self.state() & COUNT) as usize
    }

    /// Returns whether there is no guard, so that a drain has nothing to wait for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of idle guards: those of new connections, and of connections that wait for their next request.
    pub fn waiting(&self) -> usize {
        ((self.state() / ONE_IDLE) & COUNT) as usize
    }

    /// Returns the number of guards of each kind. A guard that changes its kind at this very moment may be counted as in a request.
    pub fn in_flight(&self) -> InFlight {
        let state = self.state();
        let long_lived = self.0.long_lived.load(Ordering::SeqCst) as usize;
        let (all, idle) = ((state & COUNT) as usize, ((state / ONE_IDLE) & COUNT) as usize);
        let long_lived = long_lived.min(all - idle);
        InFlight { idle, in_request: all - idle - long_lived, long_lived }
    }

    /// Returns the guards that have [a name](Guard::set_name) or [a socket](Guard::set_socket), the oldest first. It is for an
    /// operator who wants to know what a drain waits for.
    pub fn list(&self) -> Vec<ConnectionInfo> {
        self.0.list.list()
    }

    /// Returns whether this process has stopped accepting. From then on a response closes its connection, unless the client has sent
    /// more: see [`Guard::should_close`].
    pub fn is_draining(&self) -> bool {
        self.state() & DRAINING != 0
    }

    /// Returns whether the drain has reached [`DrainPhase::ClosingIdle`]: idle connections should be closed. With
    /// [`Builder::drain_jitter`](crate::Builder::drain_jitter), ask [the guard](Guard::is_shutdown_requested) of each.
    pub fn is_closing_idle(&self) -> bool {
        self.state() & CLOSING_IDLE != 0
    }

    /// Returns whether the drain has reached [`DrainPhase::ClosingLongLived`]: long-lived connections should come to their end.
    pub fn is_closing_long_lived(&self) -> bool {
        self.state() & CLOSING_LONG_LIVED != 0
    }

    /// Returns a signal for a phase of the drain of the current term, to wait for.
    pub fn shutdown_signal(&self, phase: DrainPhase) -> ShutdownSignal {
        self.0.latches.shutdown_signal(phase)
    }

    #[cfg(any(feature = "actix", feature = "hyper"))]
    pub(crate) fn idle_grace(&self) -> Duration {
        self.0.idle_grace
    }

    pub(super) fn state(&self) -> u64 {
        self.0.state.load(Ordering::SeqCst)
    }

    /// Ends the drain: a new term begins.
    pub(crate) fn serve(&self) -> io::Result<()> {
        self.0.state.fetch_and(!(DRAINING | CLOSING_IDLE | CLOSING_LONG_LIVED), Ordering::SeqCst);
        self.0.latches.renew()
    }

    pub(crate) fn drain(&self) {
        self.enter(DRAINING, DrainPhase::Draining);
    }

    pub(crate) fn close_idle(&self) {
        self.enter(CLOSING_IDLE, DrainPhase::ClosingIdle);
    }

    /// The phases come in order, however short the times are.
    pub(crate) fn close_long_lived(&self) {
        self.close_idle();
        self.enter(CLOSING_LONG_LIVED, DrainPhase::ClosingLongLived);
    }

    fn enter(&self, flag: u64, phase: DrainPhase) {
        self.0.state.fetch_or(flag, Ordering::SeqCst);
        self.0.latches.set(phase);
    }

    /// Whether idle connections have been asked to close, only long-lived connections are left, and those have not been asked.
    pub(crate) fn only_long_lived(&self) -> bool {
        let state = self.state();
        // In this order. A guard that is dropped in between makes this false, and wakes the loop. In the other order it could make
        // this true although a request is under way.
        let long_lived = self.0.long_lived.load(Ordering::SeqCst);
        is_long_lived_next(state) && long_lived > 0 && state & COUNT == long_lived
    }

    /// Closes or resets the connections that are left at the end of the drain, as was chosen.
    pub(crate) fn close_unfinished(&self) {
        self.0.list.close(self.0.unfinished);
    }

    /// Whether the library has to be able to close each accepted connection.
    pub(crate) fn closes_unfinished(&self) -> bool {
        self.0.unfinished != Unfinished::Leave
    }

    /// Consumes the wake-up. Call it before looking at the count.
    pub(crate) fn take_wake(&self) {
        let mut buffer = [0; 64];
        while matches!((&self.0.woken).read(&mut buffer), Ok(64)) {}
    }

    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        self.0.woken.as_fd()
    }

    /// Wakes the loop if nothing, or nothing but long-lived connections, is left of a drain. A guard was dropped or has become
    /// long-lived: `before` is the state before that, and `left` the count after it.
    pub(super) fn wake_if_drained(&self, before: u64, left: u64) {
        if before & DRAINING == 0 {
            return;
        }
        // If two threads do this at once, the second one sees what both did.
        let only_long_lived = is_long_lived_next(before) && left == self.0.long_lived.load(Ordering::SeqCst);
        if left == 0 || only_long_lived {
            self.wake_up();
        }
    }

    pub(crate) fn wake_up(&self) {
        // If the buffer is full, the loop is woken anyway.
        let _ = (&self.0.wake).write(&[0]);
    }
}

/// Whether asking the long-lived connections is the next phase.
fn is_long_lived_next(state: u64) -> bool {
    state & (CLOSING_IDLE | CLOSING_LONG_LIVED) == CLOSING_IDLE
}
