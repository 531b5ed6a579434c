//! epoll(7) with a timerfd: one descriptor that is readable whenever there is something to do.

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Poller {
    epoll: Epoll,
    timer: TimerFd,
    deadline: Option<Instant>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        Ok(Poller { epoll, timer, deadline: None })
    }

    /// Watches these descriptors and this deadline. A descriptor that is watched already stays watched. One that was closed is
    /// removed from the epoll instance by the kernel, since no other process holds the descriptors that are watched.
    pub(crate) fn watch(&mut self, fds: &[BorrowedFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
        for fd in fds {
            match self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, 0)) {
                Ok(()) | Err(nix::Error::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if self.deadline != deadline {
            match deadline {
                Some(instant) => {
                    // A time of zero would disarm the timer.
                    let left = instant.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
                    let once = Expiration::OneShot(TimeSpec::from_duration(left));
                    self.timer.set(once, TimerSetTimeFlags::empty())?;
                }
                None => self.timer.unset()?,
            }
            self.deadline = deadline;
        }
        Ok(())
    }

    /// Blocks until there may be something to do (`epoll_wait`).
    pub(crate) fn wait(&self, _: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut events = [EpollEvent::empty()];
        match self.epoll.wait(&mut events, nix::sys::epoll::EpollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}
