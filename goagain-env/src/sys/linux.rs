//! Linux: pidfds (5.4 or newer) and SOCK_SEQPACKET.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, getsockopt, socketpair, sockopt,
};
use nix::unistd::getppid;

use super::raw::{self, Taken};
use super::spawn::PosixSpawnFileActions;
use super::{Frame, LONGEST_FRAME};
use crate::{Exit, Pid, Relation};

/// What a process is held by: a pidfd, which names it and no later one of the same number.
#[derive(Debug)]
pub(crate) struct Handle(OwnedFd);

impl Handle {
    /// `pidfd_open`, then `waitid(P_PIDFD, WNOHANG | WNOWAIT)`, which fails if that very process is no child of ours.
    pub(crate) fn child(pid: Pid) -> io::Result<Handle> {
        let handle = Handle(raw::pidfd_open(pid.as_raw()).map_err(no_such_child)?);
        handle.wait(false)?;
        Ok(handle)
    }

    /// `pidfd_open` between two looks at `getppid`: a parent that was ours before and after is the one that is held.
    pub(crate) fn parent(pid: Pid) -> io::Result<Handle> {
        let is_parent = || getppid().as_raw() == pid.as_raw();
        if !is_parent() {
            return Err(Errno::ESRCH.into());
        }
        let handle = Handle(raw::pidfd_open(pid.as_raw())?);
        if is_parent() { Ok(handle) } else { Err(Errno::ESRCH.into()) }
    }

    /// Reaps a child that has ended.
    pub(crate) fn reap(&self, _: Pid) -> io::Result<Option<Exit>> {
        self.wait(true)
    }

    /// Whether a parent has ended: its pidfd is readable then.
    pub(crate) fn is_gone(&self, _: Pid) -> io::Result<bool> {
        let mut descriptors = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut descriptors, PollTimeout::ZERO) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// `pidfd_send_signal`.
    pub(crate) fn signal(&self, _: Pid, _: Relation, signal: i32) -> io::Result<()> {
        raw::pidfd_send_signal(self.0.as_fd(), signal)
    }

    /// The pidfd.
    pub(crate) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn wait(&self, reap: bool) -> io::Result<Option<Exit>> {
        raw::wait(libc::P_PIDFD, self.0.as_raw_fd() as libc::id_t, reap)
    }
}

/// A number that no process has is no child either.
fn no_such_child(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(libc::ESRCH) { Errno::ECHILD.into() } else { error }
}

/// The channel's kind of socket.
pub(crate) const CHANNEL_TYPE: SockType = SockType::SeqPacket;

/// The same, as `Address` names it.
pub(crate) const CHANNEL_NETWORK: &str = "unixpacket";

/// LEAVING as a signal handler writes it.
pub(crate) const LEAVING: &[u8] = b"goagain/1 LEAVING";

/// `socketpair(2)`, both ends close-on-exec and non-blocking.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(AddressFamily::Unix, CHANNEL_TYPE, None, flags)?)
}

/// `memfd_create(2)`, close-on-exec; it can be sealed.
pub(crate) fn nameless_file() -> io::Result<OwnedFd> {
    Ok(memfd_create(c"goagain", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?)
}

/// SO_PEERCRED: the process that made the pair.
pub(crate) fn peer_pid(channel: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    Ok(Some(getsockopt(&channel, sockopt::PeerCredentials)?.pid()))
}

/// The name of an abstract socket, without its leading NUL.
pub(crate) fn abstract_name(address: &UnixAddr) -> Option<&OsStr> {
    address.as_abstract().map(OsStr::from_bytes)
}

/// Sends one packet, and descriptors with it (SCM_RIGHTS).
pub(crate) fn send_frame(
    channel: BorrowedFd<'_>,
    packet: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> nix::Result<()> {
    super::send(channel, packet, descriptors, MsgFlags::MSG_NOSIGNAL).map(drop)
}

/// Reads packets. The kernel keeps their bounds, so nothing is kept here.
#[derive(Debug, Default)]
pub(crate) struct Frames(());

impl Frames {
    pub(crate) fn next(&mut self, channel: BorrowedFd<'_>) -> io::Result<Frame> {
        let mut buffer = [0; LONGEST_FRAME];
        // MSG_TRUNC: the result is the packet's whole length, even where the buffer was too short.
        let flags = libc::MSG_TRUNC | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        loop {
            return match raw::receive(channel, &mut buffer, flags) {
                // An empty packet reads like the end. We never send one.
                Ok(Taken { length: 0, .. }) => Ok(Frame::End),
                Ok(Taken { length, descriptors }) => Ok(match buffer.get(..length) {
                    Some(packet) => Frame::Packet(packet.into(), descriptors),
                    None => Frame::TooLong,
                }),
                // The peer died with packets of ours unread: told once, before the packets that it sent us.
                Err(Errno::EINTR | Errno::ECONNRESET) => continue,
                Err(Errno::EAGAIN) => Ok(Frame::Nothing),
                Err(error) => Err(error.into()),
            };
        }
    }
}

/// Nobody changes it any more: `fcntl(F_ADD_SEALS)`.
pub(crate) fn seal(file: &File) -> io::Result<()> {
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    Ok(fcntl(file, FcntlArg::F_ADD_SEALS(seals | SealFlag::F_SEAL_SEAL)).map(drop)?)
}

/// How the directory of this process is opened to come back to it: that needs no permission to read it.
pub(crate) const HERE: OFlag = OFlag::O_PATH;

/// A child starts in `directory`; this process stays where it is.
pub(crate) fn start_in(actions: &mut PosixSpawnFileActions, directory: &CStr) -> io::Result<()> {
    raw::add_chdir(actions, directory)
}

/// A child of `posix_spawn(3)` gets these descriptors under their numbers. Elsewhere that takes a spare one; here it does not.
pub(crate) fn pass_on<'fd>(
    actions: &mut PosixSpawnFileActions,
    descriptors: impl IntoIterator<Item = BorrowedFd<'fd>>,
) -> io::Result<Option<OwnedFd>> {
    for descriptor in descriptors {
        // Onto itself: in the child alone this clears close-on-exec (glibc 2.29, musl 1.1.22, POSIX 2024).
        actions.add_dup2(descriptor.as_raw_fd(), descriptor.as_raw_fd())?;
    }
    Ok(None)
}
