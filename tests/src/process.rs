//! A process that the harness follows by pidfd. It can be signalled and waited for, and is never confused with another one.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

/// A process, dead or alive. It can still be identified after its death, until this is dropped.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    pidfd: OwnedFd,
}

impl Process {
    /// Opens a process (`pidfd_open(2)`); returns `None` if there is none.
    ///
    /// # Errors
    /// - `pid` is not positive, or no descriptor is left.
    pub fn open(pid: i32) -> io::Result<Option<Self>> {
        // A negative number would panic below.
        let known = Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw);
        let known = known.ok_or(io::ErrorKind::InvalidInput)?;
        match pidfd_open(known, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Some(Self { pid, pidfd })),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns its pid.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends it a signal (`pidfd_send_signal(2)`); returns `false` if it is dead.
    ///
    /// # Errors
    /// - the process belongs to somebody else.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        let signal =
            rustix::process::Signal::from_named_raw(signal as i32).ok_or(io::ErrorKind::InvalidInput)?;
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it is dead (`poll(2)` on the pidfd); returns `false` if it is still alive after `time`.
    ///
    /// # Errors
    /// - `poll` fails.
    pub fn await_death(&self, time: Duration) -> io::Result<bool> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // Rounded up, so that the last millisecond is not a busy loop.
            let left = PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)], left) {
                Ok(0) if Instant::now() >= end => return Ok(false),
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns whether it is dead, reaped or not.
    ///
    /// # Errors
    /// - `poll` fails.
    pub fn is_dead(&self) -> io::Result<bool> {
        self.await_death(Duration::ZERO)
    }

    /// Reaps it (`waitid(2)`) if it is dead and our child; returns its exit status.
    ///
    /// # Errors
    /// - `waitid` fails.
    pub fn reap(&self) -> io::Result<Option<WaitStatus>> {
        match waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => Ok(None),
            Ok(status) => Ok(Some(status)),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_is_signalled_awaited_and_reaped() {
        #[expect(clippy::zombie_processes, reason = "it is reaped by its pidfd")]
        let child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = Process::open(child.id() as i32).unwrap().unwrap();
        assert!(!process.is_dead().unwrap());
        assert!(process.signal(Signal::SIGTERM).unwrap());
        assert!(process.await_death(Duration::from_secs(10)).unwrap());
        let status = process.reap().unwrap();
        assert!(matches!(status, Some(WaitStatus::Signaled(_, Signal::SIGTERM, _))), "{status:?}");
        assert!(!process.signal(Signal::SIGTERM).unwrap());
        assert_eq!(process.reap().unwrap(), None);
    }

    #[test]
    fn a_pid_that_means_many_processes_is_refused() {
        for pid in [0, -1] {
            assert_eq!(Process::open(pid).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
