//! Counting what is in flight.

use super::guard::Guard;
use super::jitter::Jitter;
use super::list::Register;
use super::phase::{DrainPhase, Latches, ShutdownSignal};
use super::unfinished::Unfinished;
use goagain_signals::{ConnectionInfo, InFlight};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One atomic holds what each connection changes, so that whoever changes a count knows the phase at that very moment.
pub(super) const CONNECTION: u64 = 1;
pub(super) const WAITING: u64 = 1 << 30;
pub(super) const COUNT: u64 = WAITING - 1;
pub(super) const PARTING: u64 = 1 << 61;
pub(super) const DRAINING: u64 = 1 << 62;
pub(super) const CLOSING: u64 = 1 << 63;

/// What is in flight: each connection, or whatever else a drain waits for, holds a [`Guard`].
///
/// A guard costs an atomic addition when it begins, one when it ends, and one when it goes from idle to in a request or
/// back. An acceptor makes one for each connection; for other work call [`Connections::begin`].
///
/// What a drain does, it does in this order: nothing is accepted; the idle are told to go; what is in a request is
/// finished; the long-lived are told to go, and have their time. [`Connections::reached`] is a phase of it as something to
/// wait for: by a descriptor, by a future, or blocking.
#[derive(Clone, Debug)]
pub struct Connections(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    /// How many there are, how many of them are idle, and the phase.
    pub(super) state: AtomicU64,
    /// How many of them are long-lived. Only they touch it.
    pub(super) long_lived: AtomicU64,
    wake: UnixStream,
    woken: UnixStream,
    latches: Latches,
    pub(super) jitter: Jitter,
    pub(super) unfinished: Unfinished,
    pub(super) idle_grace: Duration,
    pub(super) register: Register,
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
            register: Register::default(),
        })))
    }

    /// Counts one more, until the guard is dropped. It begins as one that has not sent a request yet.
    pub fn begin(&self) -> Guard {
        self.0.state.fetch_add(CONNECTION + WAITING, Ordering::SeqCst);
        Guard::new(self.clone())
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
        ((self.state() / WAITING) & COUNT) as usize
    }

    /// How many there are of each kind. What changes at this very moment may be counted as in a request.
    pub fn in_flight(&self) -> InFlight {
        let state = self.state();
        let long_lived = self.0.long_lived.load(Ordering::SeqCst) as usize;
        let (all, idle) = ((state & COUNT) as usize, ((state / WAITING) & COUNT) as usize);
        let long_lived = long_lived.min(all - idle);
        InFlight { idle, in_request: all - idle - long_lived, long_lived }
    }

    /// What is held by guards that were [given a name](Guard::set_name) or [a connection to cut](Guard::set_socket), the
    /// oldest first: for the operator who wants to know what a drain waits for.
    pub fn list(&self) -> Vec<ConnectionInfo> {
        self.0.register.list()
    }

    /// Whether this process has stopped accepting: from now on every answer closes its connection.
    pub fn is_draining(&self) -> bool {
        self.state() & DRAINING != 0
    }

    /// Whether the drain is in its second phase: a connection that waits for a request is to be closed. With a
    /// [spread](crate::Builder::spread), ask its [guard](Guard::is_closing).
    pub fn is_closing_idle(&self) -> bool {
        self.state() & CLOSING != 0
    }

    /// Whether the drain is in its third phase: what is long-lived is to come to an end.
    pub fn is_closing_long_lived(&self) -> bool {
        self.state() & PARTING != 0
    }

    /// A phase of this term's drain, to wait for: by its descriptor, as a future, or blocking.
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

    /// Back to serving: at the start of a term.
    pub(crate) fn serve(&self) -> io::Result<()> {
        self.0.state.fetch_and(!(DRAINING | CLOSING | PARTING), Ordering::SeqCst);
        self.0.latches.open()
    }

    pub(crate) fn drain(&self) {
        self.enter(DRAINING, DrainPhase::Draining);
    }

    pub(crate) fn close_idle(&self) {
        self.enter(CLOSING, DrainPhase::ClosingIdle);
    }

    /// The phases come in order, however short the times are.
    pub(crate) fn close_long_lived(&self) {
        self.close_idle();
        self.enter(PARTING, DrainPhase::ClosingLongLived);
    }

    fn enter(&self, flag: u64, phase: DrainPhase) {
        self.0.state.fetch_or(flag, Ordering::SeqCst);
        self.0.latches.close(phase);
    }

    /// Whether the idle have been told to go, nothing but what is long-lived is left, and that has not been told.
    pub(crate) fn only_long_lived(&self) -> bool {
        let state = self.state();
        // In this order: one that goes in between makes this false, and wakes the loop; in the other, it could make it true
        // beside a request.
        let long_lived = self.0.long_lived.load(Ordering::SeqCst);
        may_part(state) && long_lived > 0 && state & COUNT == long_lived
    }

    /// The drain is over, and these are not: they are closed or reset, as was chosen.
    pub(crate) fn close_unfinished(&self) {
        self.0.register.close(self.0.unfinished);
    }

    /// Whether each connection that is accepted can be cut.
    pub(crate) fn closes_unfinished(&self) -> bool {
        self.0.unfinished != Unfinished::Leave
    }

    /// Takes the wake-up, before the count is looked at.
    pub(crate) fn take_wake(&self) {
        let mut buffer = [0; 64];
        while matches!((&self.0.woken).read(&mut buffer), Ok(64)) {}
    }

    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        self.0.woken.as_fd()
    }

    /// One is gone, or has become long-lived: `before` and `left` say what was there and is.
    pub(super) fn fewer(&self, before: u64, left: u64) {
        if before & DRAINING == 0 {
            return;
        }
        // Of two that do this at once, the second sees what both did.
        let parts = may_part(before) && left == self.0.long_lived.load(Ordering::SeqCst);
        if left == 0 || parts {
            self.wake_up();
        }
    }

    pub(crate) fn wake_up(&self) {
        // A full buffer wakes the loop as well.
        let _ = (&self.0.wake).write(&[0]);
    }
}

/// Whether the third phase is the next.
fn may_part(state: u64) -> bool {
    state & (CLOSING | PARTING) == CLOSING
}
