//! The phases of a drain, as something to wait for.

use crate::drain::latch::Latch;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// How far a drain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DrainPhase {
    /// Nothing is accepted; what sends a request is still served, and its answer closes the connection.
    Draining,
    /// The idle are told to go: after [`Builder::idle_grace`](crate::Builder::idle_grace).
    ClosingIdle,
    /// The long-lived are told to go: when the idle were told and nothing else is left, and soon enough before the drain's
    /// deadline. See [`Builder::long_lived_timeout`](crate::Builder::long_lived_timeout).
    ClosingLongLived,
}

/// A phase of a drain that is reached, or will be: see [`Connections::reached`](crate::Connections::reached).
///
/// It is readable from then on (poll(2)), for any number of threads; a future, of any executor, that needs no descriptor
/// registered; and can be waited for. It belongs to the term in which it was made: after a roll back, make another.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct ShutdownSignal {
    latch: Arc<Latch>,
    /// Where its task waits, if one does, and how it is woken.
    place: Option<u64>,
    waker: Option<Waker>,
}

impl ShutdownSignal {
    pub(crate) fn of(latch: Arc<Latch>) -> ShutdownSignal {
        ShutdownSignal { latch, place: None, waker: None }
    }

    /// Whether the phase has begun.
    pub fn is_requested(&self) -> bool {
        self.latch.is_closed()
    }

    /// When it began.
    pub fn at(&self) -> Option<Instant> {
        self.latch.closed_at()
    }

    /// Blocks until it begins (`poll`).
    ///
    /// # Errors
    /// Those of `poll`.
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
        if self.latch.is_closed() {
            return Poll::Ready(());
        }
        // A task that looks often, as that of a connection does at each request, takes the lock that all share only once.
        if self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            return Poll::Pending;
        }
        self.waker = Some(context.waker().clone());
        let place = self.place.unwrap_or_else(|| self.latch.place());
        self.place = Some(place);
        match self.latch.is_closed_or_wakes(place, context.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Drop for ShutdownSignal {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.latch.give_up(place);
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

/// A latch a phase, new in each term.
#[derive(Debug)]
pub(super) struct Latches(Mutex<[Arc<Latch>; 3]>);

impl Latches {
    pub(super) fn new() -> io::Result<Latches> {
        let latch = || Latch::new().map(Arc::new);
        Ok(Latches(Mutex::new([latch()?, latch()?, latch()?])))
    }

    /// A latch that no descriptor is left for stays closed: its connections are told to go, and the server serves.
    pub(super) fn open(&self) -> io::Result<()> {
        for latch in self.lock().iter_mut().filter(|latch| latch.is_closed()) {
            *latch = Arc::new(Latch::new()?);
        }
        Ok(())
    }

    pub(super) fn close(&self, phase: DrainPhase) {
        self.shutdown_signal(phase).latch.close();
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
        let mut gone = first.clone();
        for _ in 0..2 {
            for reached in [&mut first, &mut second, &mut gone] {
                assert!(Pin::new(reached).poll(&mut context).is_pending());
            }
        }
        drop(gone);
        latches.close(DrainPhase::Draining);
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        latches.close(DrainPhase::ClosingIdle);
        assert_eq!(woken.0.load(Ordering::SeqCst), 2);
        assert!(Pin::new(&mut first).poll(&mut context).is_ready());
        assert!(first.is_requested() && first.at().is_some());
        second.wait().unwrap();
        // The next term has a latch of its own.
        latches.open().unwrap();
        assert!(second.is_requested() && !latches.shutdown_signal(DrainPhase::ClosingIdle).is_requested());
    }
}
