//! Whether a client has sent more.

use nix::sys::socket::{MsgFlags, recv};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Returns whether there are bytes to read (`recv` with MSG_PEEK). An end and an error do not count.
pub(crate) fn has_more(stream: BorrowedFd<'_>) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    matches!(recv(stream.as_raw_fd(), &mut [0], flags), Ok(1..))
}
