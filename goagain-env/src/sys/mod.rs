//! What differs between systems, and what no safe crate offers. `raw` holds all unsafe code of this crate.
//!
//! `linux` has pidfds and packets that keep their bounds. `portable` has `waitpid`, and lines over a stream; it is what
//! every other Unix gets, and `--cfg goagain_portable` chooses it on Linux too, so that it can be tested there.

pub(crate) mod raw;
#[cfg(feature = "tokio")]
pub(crate) mod watched;

/// `posix_spawn(3)`.
pub(crate) mod spawn {
    cfg_if::cfg_if! {
        if #[cfg(target_os = "android")] {
            pub(crate) use super::raw::spawn::*;
        } else {
            pub(crate) use nix::spawn::*;
        }
    }
}

use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

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

/// `sendmsg(2)`: bytes, and copies of descriptors with them (SCM_RIGHTS).
fn send(
    channel: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: MsgFlags,
) -> nix::Result<usize> {
    let numbers: Vec<_> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&numbers)];
    let control = if numbers.is_empty() { &[] } else { &rights[..] };
    sendmsg::<()>(channel.as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None)
}

/// What one read of the channel gave.
#[derive(Debug)]
pub(crate) enum Frame {
    /// The bytes of one message, and the descriptors that came with it.
    Packet(Vec<u8>, Vec<OwnedFd>),
    /// More bytes than any message has; they are discarded.
    TooLong,
    /// Nothing is queued now.
    Nothing,
    /// The last holder of the other end has closed it, or died.
    End,
}

/// The most descriptors that go with one packet (SCM_MAX_FD of Linux; no system has less).
pub(crate) const MOST_WITH_A_FRAME: usize = 253;

/// More than any message has: a reason is at most 1,000 bytes.
pub(crate) const LONGEST_FRAME: usize = 2048;
