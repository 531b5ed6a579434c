//! Linux 5.4 or newer: pidfds and SOCK_SEQPACKET.

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

use super::raw::{self, RawPacket};
use super::spawn::PosixSpawnFileActions;
use super::{Frame, MAX_FRAME_BYTES};
use crate::{Exit, Pid, Relation};

/// What holds a process: a pidfd, which never refers to a later process with the same number.
#[derive(Debug)]
pub(crate) struct Handle(OwnedFd);

impl Handle {
    /// Opens a child: `pidfd_open`, then `waitid(P_PIDFD, WNOHANG | WNOWAIT)`, which fails if that process is not a
    /// child.
    pub(crate) fn child(pid: Pid) -> io::Result<Handle> {
        let handle = Handle(raw::pidfd_open(pid.as_raw()).map_err(no_such_child)?);
        handle.wait(false)?;
        Ok(handle)
    }

    /// Opens the parent: `pidfd_open` between two calls of `getppid`. If both return the same parent, the pidfd refers
    /// to it.
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

    /// Returns whether a parent has ended: its pidfd is readable then.
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

    /// Sends a signal, by `pidfd_send_signal`.
    pub(crate) fn signal(&self, _: Pid, _: Relation, signal: i32) -> io::Result<()> {
        raw::pidfd_send_signal(self.0.as_fd(), signal)
    }

    /// Returns the pidfd.
    pub(crate) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn wait(&self, reap: bool) -> io::Result<Option<Exit>> {
        raw::wait(libc::P_PIDFD, self.0.as_raw_fd() as libc::id_t, reap)
    }
}

/// A pid that no process has is not a child either.
fn no_such_child(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(libc::ESRCH) { Errno::ECHILD.into() } else { error }
}

/// The channel's type of socket.
pub(crate) const CHANNEL_TYPE: SockType = SockType::SeqPacket;

/// The name that `Address` uses for that type.
pub(crate) const CHANNEL_NETWORK: &str = "unixpacket";

/// LEAVING, as a signal handler sends it.
pub(crate) const LEAVING: &[u8] = b"goagain/1 LEAVING";

/// Calls `socketpair(2)`: both ends are close-on-exec and non-blocking.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(AddressFamily::Unix, CHANNEL_TYPE, None, flags)?)
}

/// Creates a file by `memfd_create(2)`: close-on-exec, and it can be sealed.
pub(crate) fn anonymous_file() -> io::Result<OwnedFd> {
    Ok(memfd_create(c"goagain", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?)
}

/// Returns the process that made the pair, by SO_PEERCRED.
pub(crate) fn peer_pid(channel: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    Ok(Some(getsockopt(&channel, sockopt::PeerCredentials)?.pid()))
}

/// Returns the name of an abstract socket, without its leading NUL.
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

/// Reads packets. The kernel keeps their boundaries, so there is no state here.
#[derive(Debug, Default)]
pub(crate) struct Frames(());

impl Frames {
    pub(crate) fn next(&mut self, channel: BorrowedFd<'_>) -> io::Result<Frame> {
        let mut buffer = [0; MAX_FRAME_BYTES];
        // With MSG_TRUNC the result is the packet's whole length, even if the buffer was too short.
        let flags = libc::MSG_TRUNC | libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
        loop {
            return match raw::receive(channel, &mut buffer, flags) {
                // An empty packet looks like the end. None is ever sent.
                Ok(RawPacket { length: 0, .. }) => Ok(Frame::End),
                Ok(RawPacket { length, descriptors }) => Ok(match buffer.get(..length) {
                    Some(packet) => Frame::Packet(packet.into(), descriptors),
                    None => Frame::TooLong,
                }),
                // ECONNRESET: the peer died without reading our packets. It is reported once, before the packets that
                // the peer sent.
                Err(Errno::EINTR | Errno::ECONNRESET) => continue,
                Err(Errno::EAGAIN) => Ok(Frame::Nothing),
                Err(error) => Err(error.into()),
            };
        }
    }
}

/// Makes the file unchangeable: `fcntl(F_ADD_SEALS)`.
pub(crate) fn seal(file: &File) -> io::Result<()> {
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    Ok(fcntl(file, FcntlArg::F_ADD_SEALS(seals | SealFlag::F_SEAL_SEAL)).map(drop)?)
}

/// The flag for opening this process's directory to return to it: O_PATH needs no permission to read the directory.
pub(crate) const DIRECTORY_ACCESS: OFlag = OFlag::O_PATH;

/// Makes a child start in `directory`. This process stays where it is.
pub(crate) fn start_in(actions: &mut PosixSpawnFileActions, directory: &CStr) -> io::Result<()> {
    raw::add_chdir(actions, directory)
}

/// Passes these descriptors to a child of `posix_spawn(3)`, under the same numbers. Other systems need a spare
/// descriptor for that; Linux does not.
pub(crate) fn pass_on<'fd>(
    actions: &mut PosixSpawnFileActions,
    descriptors: impl IntoIterator<Item = BorrowedFd<'fd>>,
) -> io::Result<Option<OwnedFd>> {
    for descriptor in descriptors {
        // Duplicating a descriptor onto itself clears close-on-exec in the child alone (glibc 2.29, musl 1.1.22, POSIX
        // 2024).
        actions.add_dup2(descriptor.as_raw_fd(), descriptor.as_raw_fd())?;
    }
    Ok(None)
}
