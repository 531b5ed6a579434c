//! Ends the processes that a case started.

use std::process::{Child, Command, Stdio};

use goagain_env::{Exit, Pid, Process};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::wait::{WaitStatus, waitpid};

/// A child that is killed and reaped, even if the case fails.
pub(crate) struct Guard(pub(crate) Process);

impl Guard {
    /// Waits for the child's end.
    pub(crate) fn end(&mut self) -> Exit {
        let Some(pidfd) = self.0.as_fd() else {
            return self.end_without_pidfd();
        };
        let mut descriptors = [PollFd::new(pidfd, PollFlags::POLLIN)];
        assert!(poll(&mut descriptors, 30_000_u16).unwrap() > 0, "{:?} does not end", self.0);
        self.0.try_wait().unwrap().unwrap()
    }

    fn end_without_pidfd(&mut self) -> Exit {
        let exit = match waitpid(raw(self.0.pid()), None).unwrap() {
            WaitStatus::Exited(_, status) => Exit::exited(status),
            WaitStatus::Signaled(_, signal, _) => Exit::signalled(signal as i32),
            other => panic!("{other:?}"),
        };
        assert_eq!(self.0.try_wait().unwrap(), Some(Exit::unknown()), "somebody else has reaped it");
        exit
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            let _ = waitpid(raw(self.0.pid()), None);
        }
    }
}

fn raw(pid: Pid) -> nix::unistd::Pid {
    nix::unistd::Pid::from_raw(pid.as_raw())
}

/// A process that is part of no handoff. It ends when this value is dropped.
pub(crate) struct Victim(Child);

impl Victim {
    pub(crate) fn start() -> Victim {
        Victim(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends the process through its input, and checks its exit status: no signal has reached it.
    pub(crate) fn ends_well(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
