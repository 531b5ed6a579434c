//! A process, held so that no other process is signaled by mistake.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::{Pid, Relation, sys};

/// A child or the parent of this process, verified, and on Linux held by a pidfd.
///
/// The system reuses the numbers of ended processes, so a number from the environment must not be signaled directly.
/// This type first verifies that the process is the child or the parent. Once the process is reaped, the methods return
/// ESRCH, even if another process has the number by then.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    relation: Relation,
    handle: sys::Handle,
    exit: Option<Exit>,
}

impl Process {
    /// Opens a child of this process, which runs or has ended but is not reaped. On Linux: `pidfd_open(2)`, then
    /// `waitid(2)` with P_PIDFD, WNOHANG and WNOWAIT, which does not reap. Elsewhere: only `waitid`.
    ///
    /// # Errors
    /// - ECHILD: there is no such process, it is not a child, or it is reaped.
    /// - ENOSYS, EINVAL: a Linux before 5.4.
    /// - EMFILE: no descriptor is left.
    pub fn child(pid: Pid) -> io::Result<Process> {
        #[cfg(goagain_faults)]
        crate::fault::hit("pidfd_open")?;
        Ok(Process { pid, relation: Relation::Child, handle: sys::Handle::child(pid)?, exit: None })
    }

    /// Opens the parent of this process: `getppid(2)` before and after `pidfd_open(2)`.
    ///
    /// # Errors
    /// - ESRCH: it is not the parent, or no longer.
    /// - ENOSYS: a Linux before 5.3.
    /// - EMFILE: no descriptor is left.
    pub fn parent(pid: Pid) -> io::Result<Process> {
        Ok(Process { pid, relation: Relation::Parent, handle: sys::Handle::parent(pid)?, exit: None })
    }

    /// Returns the process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns whether it is the child or the parent of this process.
    pub fn relation(&self) -> Relation {
        self.relation
    }

    /// Returns how the process ended, or `None` while it runs. Never blocks, and remembers the result.
    ///
    /// A child is reaped, by `waitid(2)`. The result is unknown if another caller has reaped it, or if SIGCHLD is
    /// ignored. It is also unknown for a parent, whose end shows as a readable pidfd (`poll(2)`).
    ///
    /// # Errors
    /// The errors of `waitid` and `poll`, except ECHILD and EINTR.
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

    /// Sends a signal, by its number: `pidfd_send_signal(2)`; elsewhere `kill(2)`, after checking that the process is
    /// still the child or the parent.
    ///
    /// # Errors
    /// - ESRCH: it has ended and is reaped.
    /// - EINVAL: there is no such signal.
    /// - EPERM: it belongs to another user.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        if self.exit.is_some() {
            return Err(Errno::ESRCH.into());
        }
        self.handle.signal(self.pid, self.relation, signal)
    }

    /// Sends SIGKILL.
    ///
    /// # Errors
    /// The errors of [`signal`](Process::signal).
    pub fn kill(&self) -> io::Result<()> {
        self.signal(libc::SIGKILL)
    }

    /// Returns a descriptor that becomes readable when the process ends: the pidfd. `None` on systems without pidfds.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.handle.as_fd()
    }
}

/// How a process ended. `Display` completes a sentence: "exited with status 3".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit(ExitKind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum ExitKind {
    Exited(i32),
    Killed(i32),
    Unknown,
}

impl Exit {
    /// Creates the value for a process that exited with this status.
    pub fn exited(status: i32) -> Exit {
        Exit(ExitKind::Exited(status))
    }

    /// Creates the value for a process that this signal killed.
    pub fn signalled(signal: i32) -> Exit {
        Exit(ExitKind::Killed(signal))
    }

    /// Creates the value for a process that ended in an unknown way: it was the parent, or another caller reaped it.
    pub fn unknown() -> Exit {
        Exit(ExitKind::Unknown)
    }

    /// Returns the status, if the process exited.
    pub fn code(&self) -> Option<i32> {
        if let ExitKind::Exited(status) = self.0 { Some(status) } else { None }
    }

    /// Returns the number of the signal that killed the process, if one did.
    pub fn signal(&self) -> Option<i32> {
        if let ExitKind::Killed(signal) = self.0 { Some(signal) } else { None }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ExitKind::Exited(status) => write!(f, "exited with status {status}"),
            ExitKind::Killed(number) => match Signal::try_from(number) {
                Ok(signal) => write!(f, "was killed by signal {number} ({signal})"),
                Err(_) => write!(f, "was killed by signal {number}"),
            },
            ExitKind::Unknown => f.write_str("ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// Starts `cat`, which ends when its stdin is closed.
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
        while child_exit(id).is_none() {
            std::thread::yield_now();
        }
    }

    fn child_exit(id: libc::id_t) -> Option<Exit> {
        sys::raw::wait(libc::P_PID, id, false).unwrap()
    }

    #[test]
    fn a_child_is_opened_signaled_and_reaped() {
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
    fn a_zombie_is_still_a_child_and_opening_does_not_reap_it() {
        let (mut cat, pid) = cat();
        drop(cat.stdin.take());
        wait_for_end(&mut cat);
        let mut process = Process::child(pid).unwrap();
        assert_eq!(process.try_wait().unwrap(), Some(Exit::exited(0)));
        assert_eq!(Process::child(pid).unwrap_err().raw_os_error(), Some(libc::ECHILD));
    }

    #[test]
    fn a_child_that_was_reaped_elsewhere_has_an_unknown_end_and_is_not_signaled() {
        let (mut cat, pid) = cat();
        let mut process = Process::child(pid).unwrap();
        cat.stdin.take().unwrap().write_all(b"x").unwrap();
        cat.wait().unwrap();
        assert_eq!(process.signal(libc::SIGTERM).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        assert_eq!(process.try_wait().unwrap(), Some(Exit::unknown()));
    }

    #[test]
    fn an_unrelated_process_is_neither_child_nor_parent() {
        let own = Pid::current();
        assert_eq!(Process::child(own).unwrap_err().raw_os_error(), Some(libc::ECHILD));
        assert_eq!(Process::parent(own).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        let (mut cat, pid) = cat();
        assert_eq!(Process::parent(pid).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        drop(cat.stdin.take());
        cat.wait().unwrap();
    }

    #[test]
    fn the_parent_is_opened_and_runs() {
        let parent = Pid::new_or_init(nix::unistd::getppid().as_raw()).unwrap();
        let mut process = Process::parent(parent).unwrap();
        assert_eq!(process.relation(), Relation::Parent);
        assert_eq!(process.try_wait().unwrap(), None);
        process.signal(0).ok();
    }

    #[test]
    fn an_exit_is_displayed_as_part_of_a_sentence() {
        assert_eq!(Exit::exited(3).to_string(), "exited with status 3");
        assert_eq!(Exit::signalled(9).to_string(), "was killed by signal 9 (SIGKILL)");
        assert_eq!(Exit::signalled(40).to_string(), "was killed by signal 40");
        assert_eq!(Exit::unknown().to_string(), "ended");
        assert_eq!((Exit::exited(3).code(), Exit::exited(3).signal()), (Some(3), None));
    }
}
