//! One process, held so that no other is ever meant.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::{Pid, Relation, sys};

/// A child or the parent of this process, verified, and on Linux held by a pidfd.
///
/// Processes come and go and their numbers are used again. So no number from the environment is signalled; this type
/// first makes sure whose process it is, and after it is reaped it says ESRCH, whoever has the number then.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    relation: Relation,
    handle: sys::Handle,
    exit: Option<Exit>,
}

impl Process {
    /// A child of this process, running or ended but not reaped. On Linux: `pidfd_open(2)`, then `waitid(2)` with
    /// P_PIDFD, WNOHANG and WNOWAIT, which reaps nothing. Elsewhere: `waitid` alone.
    ///
    /// # Errors
    /// - ECHILD: there is no such process, it is not our child, or it is reaped.
    /// - ENOSYS, EINVAL: a Linux before 5.4. EMFILE: no descriptor is left.
    pub fn child(pid: Pid) -> io::Result<Process> {
        #[cfg(goagain_faults)]
        crate::fault::hit("pidfd_open")?;
        Ok(Process { pid, relation: Relation::Child, handle: sys::Handle::child(pid)?, exit: None })
    }

    /// The parent of this process: `getppid(2)` before and after `pidfd_open(2)`.
    ///
    /// # Errors
    /// - ESRCH: it is not our parent, or not any longer.
    /// - ENOSYS: a Linux before 5.3. EMFILE: no descriptor is left.
    pub fn parent(pid: Pid) -> io::Result<Process> {
        Ok(Process { pid, relation: Relation::Parent, handle: sys::Handle::parent(pid)?, exit: None })
    }

    /// Its id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether it is our child or our parent.
    pub fn relation(&self) -> Relation {
        self.relation
    }

    /// How it ended, or `None` as long as it runs. Never blocks, and remembers the answer.
    ///
    /// A child is reaped, by `waitid(2)`. One that somebody else has reaped (or nobody had to, as SIGCHLD is ignored) has
    /// ended in a way that is unknown, and so has a parent, whose pidfd `poll(2)` finds readable.
    ///
    /// # Errors
    /// Those of `waitid` and `poll`, but for ECHILD and EINTR.
    pub fn try_wait(&mut self) -> io::Result<Option<Exit>> {
        if self.exit.is_none() {
            self.exit = match self.relation {
                Relation::Child => match self.handle.reap(self.pid) {
                    Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Some(Exit::unknown()),
                    answer => answer?,
                },
                Relation::Parent => self.handle.is_gone(self.pid)?.then(Exit::unknown),
            };
        }
        Ok(self.exit.clone())
    }

    /// Sends a signal, by its number: `pidfd_send_signal(2)`, elsewhere `kill(2)` after a look that it is still relation.
    ///
    /// # Errors
    /// - ESRCH: it has ended and is reaped.
    /// - EINVAL: there is no such signal. EPERM: it is another user's.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        if self.exit.is_some() {
            return Err(Errno::ESRCH.into());
        }
        self.handle.signal(self.pid, self.relation, signal)
    }

    /// Sends SIGKILL.
    ///
    /// # Errors
    /// Those of [`signal`](Process::signal).
    pub fn kill(&self) -> io::Result<()> {
        self.signal(libc::SIGKILL)
    }

    /// A descriptor that is readable once the process has ended: the pidfd. `None` on a system without.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.handle.as_fd()
    }
}

/// How a process ended. Its `Display` follows a subject: "exited with status 3".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit(How);

#[derive(Clone, Debug, PartialEq, Eq)]
enum How {
    Exited(i32),
    SignalReceived(i32),
    Unknown,
}

impl Exit {
    /// It exited with this status.
    pub fn exited(status: i32) -> Exit {
        Exit(How::Exited(status))
    }

    /// A signal of this number killed it.
    pub fn signalled(signal: i32) -> Exit {
        Exit(How::SignalReceived(signal))
    }

    /// It ended, and nobody told us how: it was our parent, or somebody else reaped it.
    pub fn unknown() -> Exit {
        Exit(How::Unknown)
    }

    /// The status, if it exited.
    pub fn code(&self) -> Option<i32> {
        if let How::Exited(status) = self.0 { Some(status) } else { None }
    }

    /// The signal's number, if one killed it.
    pub fn signal(&self) -> Option<i32> {
        if let How::SignalReceived(signal) = self.0 { Some(signal) } else { None }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            How::Exited(status) => write!(f, "exited with status {status}"),
            How::SignalReceived(number) => match Signal::try_from(number) {
                Ok(signal) => write!(f, "was killed by signal {number} ({signal})"),
                Err(_) => write!(f, "was killed by signal {number}"),
            },
            How::Unknown => f.write_str("ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// `cat` with its ends in our hands: it ends when stdin does.
    fn cat() -> (Child, Pid) {
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let pid = Pid::new(child.id().try_into().unwrap()).unwrap();
        (child, pid)
    }

    /// Waits for the child's end without reaping it.
    fn wait_for_end(child: &mut Child) {
        let mut rest = String::new();
        child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        let id = child.id() as libc::id_t;
        while raw_state(id).is_none() {
            std::thread::yield_now();
        }
    }

    fn raw_state(id: libc::id_t) -> Option<Exit> {
        sys::raw::wait(libc::P_PID, id, false).unwrap()
    }

    #[test]
    fn a_child_is_seen_signalled_and_reaped() {
        let (mut cat, pid) = cat();
        let mut process = Process::child(pid).unwrap();
        assert_eq!((process.pid(), process.relation()), (pid, Relation::Child));
        assert_eq!(process.try_wait().unwrap(), None);
        process.kill().unwrap();
        wait_for_end(&mut cat);
        assert_eq!(process.try_wait().unwrap(), Some(Exit::signalled(9)));
        assert_eq!(process.try_wait().unwrap(), Some(Exit::signalled(9)));
        assert_eq!(process.signal(0).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn a_zombie_is_still_a_child_and_not_reaped_by_the_look() {
        let (mut cat, pid) = cat();
        drop(cat.stdin.take());
        wait_for_end(&mut cat);
        let mut process = Process::child(pid).unwrap();
        assert_eq!(process.try_wait().unwrap(), Some(Exit::exited(0)));
        assert_eq!(Process::child(pid).unwrap_err().raw_os_error(), Some(libc::ECHILD));
    }

    #[test]
    fn a_child_that_somebody_else_reaped_ended_somehow_and_is_never_signalled() {
        let (mut cat, pid) = cat();
        let mut process = Process::child(pid).unwrap();
        cat.stdin.take().unwrap().write_all(b"x").unwrap();
        cat.wait().unwrap();
        assert_eq!(process.signal(libc::SIGTERM).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        assert_eq!(process.try_wait().unwrap(), Some(Exit::unknown()));
    }

    #[test]
    fn a_stranger_is_neither_child_nor_parent() {
        let own = Pid::current();
        assert_eq!(Process::child(own).unwrap_err().raw_os_error(), Some(libc::ECHILD));
        assert_eq!(Process::parent(own).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        let (mut cat, pid) = cat();
        assert_eq!(Process::parent(pid).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        drop(cat.stdin.take());
        cat.wait().unwrap();
    }

    #[test]
    fn the_parent_is_held_and_lives() {
        let parent = Pid::new_or_init(nix::unistd::getppid().as_raw()).unwrap();
        let mut process = Process::parent(parent).unwrap();
        assert_eq!(process.relation(), Relation::Parent);
        assert_eq!(process.try_wait().unwrap(), None);
        process.signal(0).ok();
    }

    #[test]
    fn an_end_reads_well() {
        assert_eq!(Exit::exited(3).to_string(), "exited with status 3");
        assert_eq!(Exit::signalled(9).to_string(), "was killed by signal 9 (SIGKILL)");
        assert_eq!(Exit::signalled(40).to_string(), "was killed by signal 40");
        assert_eq!(Exit::unknown().to_string(), "ended");
        assert_eq!((Exit::exited(3).code(), Exit::exited(3).signal()), (Some(3), None));
    }
}
