//! The phases of a drain, and signals to wait for them.

use crate::drain::latch::Latch;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// How far a drain has come. The phases come in this order. [`guide::drain`](crate::guide::drain) describes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DrainPhase {
    /// Nothing is accepted any longer. A connection that sends a request is still served, and the response closes the
    /// connection, unless the client has sent more.
    Draining,
    /// Idle connections are asked to close. Begins [`Builder::idle_grace`](crate::Builder::idle_grace) after the drain has
    /// begun.
    ClosingIdle,
    /// Long-lived connections are asked to close. Begins when the idle connections were asked and only long-lived connections are
    /// left, and in any case early enough before the deadline of the drain: see
    /// [`Builder::long_lived_timeout`](crate::Builder::long_lived_timeout).
    ClosingLongLived,
}

/// A signal that a phase of the drain has begun, to wait for. Returned by
/// [`Connections::shutdown_signal`](crate::Connections::shutdown_signal) and
/// [`Guard::shutdown_signal`](crate::Guard::shutdown_signal).
///
/// There are three ways to wait for it:
///
/// - Its descriptor is readable from the beginning of the phase on (poll(2)), for any number of threads.
/// - It is a future for any executor, and needs no descriptor to be registered.
/// - [`wait`](ShutdownSignal::wait) blocks.
///
/// It belongs to the term in which it was made. A [term](crate::guide::restart#words) is the time in which a process accepts:
/// from the moment when it becomes the owner until it hands over or stops. If this process takes over again, make a new signal.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct ShutdownSignal {
    latch: Arc<Latch>,
    /// The number under which the latch knows the waker, if a task waits.
    id: Option<u64>,
    waker: Option<Waker>,
}

impl ShutdownSignal {
    pub(crate) fn of(latch: Arc<Latch>) -> ShutdownSignal {
        ShutdownSignal { latch, id: None, waker: None }
    }

    /// Returns whether the phase has begun.
    pub fn is_requested(&self) -> bool {
        self.latch.is_set()
    }

    /// Returns when the phase began, or `None` before that.
    pub fn at(&self) -> Option<Instant> {
        self.latch.set_at()
    }

    /// Blocks until the phase begins (`poll`).
    ///
    /// # Errors
    /// The errors of `poll`, except EINTR.
    pub fn wait(&self) -> io::Result<()> {
        let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) => return Ok(()),
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Clone for ShutdownSignal {
    fn clone(&self) -> ShutdownSignal {
        ShutdownSignal::of(Arc::clone(&self.latch))
    }
}

impl Future for ShutdownSignal {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.latch.is_set() {
            return Poll::Ready(());
        }
        // The task of a connection polls this at each request. All tasks share the lock of the latch, so each takes it only once.
        if self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            return Poll::Pending;
        }
        self.waker = Some(context.waker().clone());
        let id = self.id.unwrap_or_else(|| self.latch.new_id());
        self.id = Some(id);
        match self.latch.is_set_or_wakes(id, context.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Drop for ShutdownSignal {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.latch.forget(id);
        }
    }
}

impl AsFd for ShutdownSignal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.latch.as_fd()
    }
}

impl AsRawFd for ShutdownSignal {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// One latch for each phase, new in each term.
#[derive(Debug)]
pub(super) struct Latches(Mutex<[Arc<Latch>; 3]>);

impl Latches {
    pub(super) fn new() -> io::Result<Latches> {
        let latch = || Latch::new().map(Arc::new);
        Ok(Latches(Mutex::new([latch()?, latch()?, latch()?])))
    }

    /// Replaces the latches that are set, for a new term. If there is no descriptor for a new one, the old one stays set: the
    /// process serves, and asks the connections of that phase to close.
    pub(super) fn renew(&self) -> io::Result<()> {
        for latch in self.lock().iter_mut().filter(|latch| latch.is_set()) {
            *latch = Arc::new(Latch::new()?);
        }
        Ok(())
    }

    pub(super) fn set(&self, phase: DrainPhase) {
        self.shutdown_signal(phase).latch.set();
    }

    pub(super) fn shutdown_signal(&self, phase: DrainPhase) -> ShutdownSignal {
        ShutdownSignal::of(Arc::clone(&self.lock()[phase as usize]))
    }

    fn lock(&self) -> MutexGuard<'_, [Arc<Latch>; 3]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_phase_wakes_each_task_that_still_waits_once() {
        let latches = Latches::new().unwrap();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let (mut first, mut second) = (
            latches.shutdown_signal(DrainPhase::ClosingIdle),
            latches.shutdown_signal(DrainPhase::ClosingIdle),
        );
        let mut dropped = first.clone();
        for _ in 0..2 {
            for signal in [&mut first, &mut second, &mut dropped] {
                assert!(Pin::new(signal).poll(&mut context).is_pending());
            }
        }
        drop(dropped);
        latches.set(DrainPhase::Draining);
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        latches.set(DrainPhase::ClosingIdle);
        assert_eq!(woken.0.load(Ordering::SeqCst), 2);
        assert!(Pin::new(&mut first).poll(&mut context).is_ready());
        assert!(first.is_requested() && first.at().is_some());
        second.wait().unwrap();
        // The next term has a latch of its own.
        latches.renew().unwrap();
        assert!(second.is_requested() && !latches.shutdown_signal(DrainPhase::ClosingIdle).is_requested());
    }
}
