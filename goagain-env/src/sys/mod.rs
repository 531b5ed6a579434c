//! What differs between systems, and what no safe crate offers. `raw` holds all unsafe code of this crate.
//!
//! `linux` has pidfds and packets that keep their bounds. `portable` has `waitpid`, and lines over a stream; it is what
//! every other Unix gets, and `--cfg goagain_portable` chooses it on Linux too, so that it can be tested there.

pub(crate) mod raw;

use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

cfg_if::cfg_if! {
    if #[cfg(all(target_os = "linux", not(goagain_portable)))] {
        mod linux;
        pub(crate) use self::linux::*;
    } else {
        mod portable;
        pub(crate) use self::portable::*;
    }
}

/// `sendmsg(2)`: bytes, and a copy of a descriptor with them (SCM_RIGHTS).
fn send(
    channel: BorrowedFd<'_>,
    bytes: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
    flags: MsgFlags,
) -> nix::Result<usize> {
    let numbers = descriptor.map(|descriptor| [descriptor.as_raw_fd()]);
    let control: Vec<_> = numbers.iter().map(|numbers| ControlMessage::ScmRights(numbers)).collect();
    sendmsg::<()>(channel.as_raw_fd(), &[IoSlice::new(bytes)], &control, flags, None)
}

/// What one read of the channel gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The bytes of one message.
    Packet(Vec<u8>),
    /// More bytes than any message has; they are discarded.
    TooLong,
    /// Nothing is queued now.
    Nothing,
    /// The last holder of the other end has closed it, or died.
    End,
}

/// More than any message has: a reason is at most 1,000 bytes.
pub(crate) const LONGEST_FRAME: usize = 2048;
