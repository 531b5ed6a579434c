//! Whether a client has sent more.

use nix::sys::socket::{MsgFlags, recv};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Whether there are bytes to read: the kernel is asked (`recv` with MSG_PEEK). Neither an end nor an error is one.
pub(crate) fn has_more(stream: BorrowedFd<'_>) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    matches!(recv(stream.as_raw_fd(), &mut [0], flags), Ok(1..))
}
