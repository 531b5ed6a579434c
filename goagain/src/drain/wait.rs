//! Waiting for the next request of a connection, or for its shutdown.

use super::guard::Guard;
use goagain_signals::ConnectionKind;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

impl Guard {
    /// Waits for the next request on `stream` (`poll`). Returns `true` when there is something to read, and `false` when this
    /// connection is asked to close and there is nothing to read. The guard is idle while it waits, and busy after `true`.
    ///
    /// A long-lived connection stays long-lived, and is asked to close in the phase for long-lived connections. After `false`,
    /// such a server sends the goodbye of its protocol and continues to read without this call.
    ///
    /// This is for servers with a thread for each connection. It waits like a blocking `read`, but also ends when a drain asks
    /// the connection to close.
    ///
    /// # Errors
    /// The errors of `poll`, except EINTR.
    pub fn wait_readable(&mut self, stream: impl AsFd) -> io::Result<bool> {
        loop {
            if let Some(readable) = self.wait_either(stream.as_fd(), None)? {
                return Ok(readable);
            }
        }
    }

    /// Waits like [`Guard::wait_readable`], and returns `None` as soon as `other` is ready.
    pub(crate) fn wait_either(
        &mut self,
        stream: BorrowedFd<'_>,
        other: Option<(BorrowedFd<'_>, PollFlags)>,
    ) -> io::Result<Option<bool>> {
        if std::mem::take(&mut self.migration.has_unread) {
            self.busy();
            return Ok(Some(true));
        }
        self.begin_to_wait();
        if self.kind != ConnectionKind::LongLived {
            self.idle();
        }
        loop {
            let phase = self.shutdown_signal();
            let moment = self.shutdown_at_after(&phase);
            // Without another descriptor the stream takes its place, since it is polled anyway.
            let (second, flags) = other.unwrap_or((stream, PollFlags::empty()));
            let mut fds = [
                PollFd::new(stream, PollFlags::POLLIN),
                PollFd::new(second, flags),
                PollFd::new(phase.as_fd(), PollFlags::POLLIN),
            ];
            let polled = match moment {
                None => poll(&mut fds, PollTimeout::NONE),
                Some(moment) => poll(&mut fds[..2], timeout_until(moment)),
            };
            match polled {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            // A request that has arrived is served, even if the connection is asked to close.
            if fds[0].any() == Some(true) {
                if self.kind != ConnectionKind::LongLived {
                    self.busy();
                }
                return Ok(Some(true));
            }
            // If the drain was rolled back meanwhile, this is false, and the wait goes on.
            if self.is_shutdown_due() {
                return Ok(Some(false));
            }
            if other.is_some() && fds[1].any() == Some(true) {
                return Ok(None);
            }
        }
    }
}

/// Returns the timeout for a `poll` until `moment`. It is rounded up: waking before the moment would only mean waiting again.
pub(crate) fn timeout_until(moment: Instant) -> PollTimeout {
    let left = moment.saturating_duration_since(Instant::now());
    let milliseconds = left.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
}
