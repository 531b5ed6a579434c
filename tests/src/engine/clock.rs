//! A timer with a finer resolution than the runtime's own, which counts in milliseconds.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::events::now;

/// A timer of CLOCK_MONOTONIC (`timerfd_create(2)`).
#[derive(Debug)]
pub(super) struct Clock {
    timer: AsyncFd<Timer>,
}

#[derive(Debug)]
struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Clock {
    #[allow(
        deprecated,
        reason = "what replaces it is unsafe, and a Timer keeps its descriptor open and the same"
    )]
    pub(super) fn new() -> io::Result<Self> {
        // The default slack of 50 microseconds would show in the latencies.
        nix::sys::prctl::set_timerslack(1)?;
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = Timer(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?);
        Ok(Self { timer: AsyncFd::with_interest(timer, Interest::READABLE)? })
    }

    /// Waits until `time`, in nanoseconds of CLOCK_MONOTONIC. Yields to other tasks even if that time is past.
    pub(super) async fn until(&self, time: u64) -> io::Result<()> {
        if time <= now() {
            tokio::task::yield_now().await;
            return Ok(());
        }
        let expiration = Expiration::OneShot(TimeSpec::from(Duration::from_nanos(time)));
        self.timer.get_ref().0.set(expiration, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        loop {
            let mut guard = self.timer.readable().await?;
            // Clears the readiness. A wakeup for an earlier setting finds nothing and waits again.
            match guard.try_io(|timer| timer.get_ref().0.wait().map_err(io::Error::from)) {
                Ok(result) => return result,
                Err(_) => continue,
            }
        }
    }
}
