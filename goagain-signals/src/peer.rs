//! The process on the other side of an attempt: its channel, and the process itself.

use goagain_env::{Channel, GoSignal, Pid, Process, Relation};
use std::os::fd::{AsFd, BorrowedFd};

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) attempt: u64,
    /// Also of a process that is dead. `None` if it was gone before this one could look for it.
    pub(crate) pid: Option<Pid>,
    /// `None` once it is dead.
    pub(crate) process: Option<Process>,
    /// `None` once it has ended, or was closed.
    pub(crate) channel: Option<Channel>,
    /// What it sends is ignored from here on. Without pidfds the channel stays open, as its end shows the death of the process.
    pub(crate) ignored: bool,
    /// The signal that a process of the Go package expects.
    pub(crate) signal: GoSignal,
}

impl Peer {
    pub(crate) fn new(attempt: u64, process: Option<Process>, channel: Option<Channel>) -> Peer {
        let pid = process.as_ref().map(Process::pid);
        Peer { attempt, pid, process, channel, ignored: false, signal: GoSignal::Quit }
    }

    /// Stops sending and reading.
    pub(crate) fn close(&mut self) {
        self.ignored = true;
        if self.process.as_ref().is_none_or(|process| process.as_fd().is_some()) {
            self.channel = None;
        }
    }

    /// Returns whether only the end of the channel shows the death: of a parent, without pidfds, and of a process that was gone
    /// before this one could look for it.
    pub(crate) fn dies_with_its_channel(&self) -> bool {
        let unwatched =
            |process: &Process| process.as_fd().is_none() && process.relation() == Relation::Parent;
        self.process.as_ref().is_none_or(unwatched)
    }

    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let channel = self.channel.as_ref().map(AsFd::as_fd);
        let process = self.process.as_ref().and_then(Process::as_fd);
        channel.into_iter().chain(process)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.process.is_none() && self.channel.is_none()
    }

    pub(crate) fn has_pid(&self, pid: i32) -> bool {
        self.process.as_ref().is_some_and(|process| process.pid().as_raw() == pid)
    }
}
