//! The differences between systems, and calls that no safe crate has. All unsafe code of this crate is in `raw`.
//!
//! `linux` uses pidfds, and packets whose boundaries the kernel keeps. `portable` uses `waitpid`, and lines over a
//! stream. All other Unixes use `portable`. `--cfg goagain_portable` selects it on Linux too, so that it can be tested
//! there.

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

/// Sends bytes and copies of descriptors, by `sendmsg(2)` with SCM_RIGHTS.
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

/// The result of one read of the channel.
#[derive(Debug)]
pub(crate) enum Frame {
    /// The bytes of one message, and the descriptors that came with it.
    Packet(Vec<u8>, Vec<OwnedFd>),
    /// More bytes than any message has. They are discarded.
    TooLong,
    /// Nothing is queued now.
    Nothing,
    /// The last process that held the other end has closed it or died.
    End,
}

/// The maximum number of descriptors in one packet: SCM_MAX_FD of Linux, and no system has less.
pub(crate) const MAX_FRAME_DESCRIPTORS: usize = 253;

/// More than any message has: a reason is at most 1,000 bytes.
pub(crate) const MAX_FRAME_BYTES: usize = 2048;
