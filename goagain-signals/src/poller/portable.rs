//! poll(2): each wait is given the descriptors. There is no single descriptor that is readable when one of them is.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Poller {
    deadline: Option<Instant>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        Ok(Poller { deadline: None })
    }

    pub(crate) fn watch(&mut self, _: &[BorrowedFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
        self.deadline = deadline;
        Ok(())
    }

    /// Blocks until there may be something to do (`poll`).
    pub(crate) fn wait(&self, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut polled: Vec<PollFd<'_>> = fds.iter().map(|&fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let timeout = self.deadline.map_or(PollTimeout::NONE, |deadline| {
            // Rounded up: waking before the deadline would only mean waiting again.
            let left = deadline.saturating_duration_since(Instant::now()).as_millis() + 1;
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut polled, timeout) {
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
