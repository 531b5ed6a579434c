//! Any Unix: `waitid` and `kill` by number, and lines over SOCK_STREAM.
//!
//! The system does not reuse a child's number before the child is reaped, and only this process reaps it. A parent's
//! number is checked with `getppid` just before it is used. Compared with Linux, three things are missing: no
//! descriptor becomes readable when a process dies (SIGCHLD and the end of the channel must show it); a parent that
//! dies between the check and `kill` can in theory be mistaken for a later process; and the channel does not say who
//! made it, on systems without credentials for a pair of sockets.

use std::collections::VecDeque;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::kill;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, socketpair};
use nix::unistd::{getppid, mkstemp, unlink};

use super::raw::{self, RawPacket};
use super::spawn::PosixSpawnFileActions;
use super::{Frame, MAX_FRAME_BYTES};
use crate::directory::Entered;
use crate::{Exit, Pid, Relation};

/// What holds a process: nothing but its number.
#[derive(Debug)]
pub(crate) struct Handle;

impl Handle {
    /// Checks a child: `waitid(P_PID, WNOHANG | WNOWAIT)`.
    pub(crate) fn child(pid: Pid) -> io::Result<Handle> {
        wait(pid, false).map(|_| Handle)
    }

    /// Checks the parent: `getppid`.
    pub(crate) fn parent(pid: Pid) -> io::Result<Handle> {
        if is_parent(pid) { Ok(Handle) } else { Err(Errno::ESRCH.into()) }
    }

    /// Reaps a child that has ended.
    pub(crate) fn reap(&self, pid: Pid) -> io::Result<Option<Exit>> {
        wait(pid, true)
    }

    /// Returns whether a parent has ended: this process has another parent then.
    pub(crate) fn is_gone(&self, pid: Pid) -> io::Result<bool> {
        Ok(!is_parent(pid))
    }

    /// Sends a signal by `kill`, after checking that the process is still the child or the parent.
    pub(crate) fn signal(&self, pid: Pid, relation: Relation, signal: i32) -> io::Result<()> {
        let is_relation = match relation {
            Relation::Child => wait(pid, false).is_ok(),
            Relation::Parent => is_parent(pid),
        };
        if !is_relation {
            return Err(Errno::ESRCH.into());
        }
        let pid = nix::unistd::Pid::from_raw(pid.as_raw());
        let signal = nix::sys::signal::Signal::try_from(signal)?;
        Ok(kill(pid, signal)?)
    }

    /// No descriptor becomes readable when a process dies.
    pub(crate) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

fn wait(pid: Pid, reap: bool) -> io::Result<Option<Exit>> {
    raw::wait(libc::P_PID, pid.as_raw() as libc::id_t, reap)
}

fn is_parent(pid: Pid) -> bool {
    getppid().as_raw() == pid.as_raw()
}

/// The channel's type of socket.
pub(crate) const CHANNEL_TYPE: SockType = SockType::Stream;

/// The name that `Address` uses for that type.
pub(crate) const CHANNEL_NETWORK: &str = "unix";

/// LEAVING, as a signal handler sends it, with the end of its line.
pub(crate) const LEAVING: &[u8] = b"goagain/1 LEAVING\n";

/// Calls `socketpair(2)`, then makes both ends close-on-exec and non-blocking: not every system can do it in one call.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, CHANNEL_TYPE, None, SockFlag::empty())?;
    for end in [&ours, &theirs] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        #[cfg(target_vendor = "apple")]
        raw::no_sigpipe(end)?;
    }
    Ok((ours, theirs))
}

/// Creates a file by `mkstemp(3)` and `unlink(2)`, and makes it close-on-exec.
pub(crate) fn anonymous_file() -> io::Result<OwnedFd> {
    let (file, path) = mkstemp(&std::env::temp_dir().join("goagain-XXXXXX"))?;
    unlink(&path)?;
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(file)
}

/// These systems do not say who made the pair.
pub(crate) fn peer_pid(_: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    Ok(None)
}

/// These systems have no abstract sockets.
pub(crate) fn abstract_name(_: &UnixAddr) -> Option<&OsStr> {
    None
}

cfg_if::cfg_if! {
    if #[cfg(target_vendor = "apple")] {
        /// SO_NOSIGPIPE on the socket has the effect here.
        const SEND: MsgFlags = MsgFlags::empty();
    } else {
        const SEND: MsgFlags = MsgFlags::MSG_NOSIGNAL;
    }
}

/// On systems that cannot receive descriptors as close-on-exec, they are made so right after.
#[cfg(target_vendor = "apple")]
const CLOSE_ON_EXEC: libc::c_int = 0;
#[cfg(not(target_vendor = "apple"))]
const CLOSE_ON_EXEC: libc::c_int = libc::MSG_CMSG_CLOEXEC;

/// Sends one line, and descriptors with it (SCM_RIGHTS). A line with descriptors begins with their number, as in "+2 ".
/// A message is far smaller than any socket's buffer, so it is sent whole or not at all.
pub(crate) fn send_frame(
    channel: BorrowedFd<'_>,
    packet: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> nix::Result<()> {
    let count = if descriptors.is_empty() { String::new() } else { format!("+{} ", descriptors.len()) };
    let line = [count.as_bytes(), packet, b"\n"].concat();
    match super::send(channel, &line, descriptors, SEND)? {
        sent if sent == line.len() => Ok(()),
        _ => Err(Errno::EMSGSIZE),
    }
}

/// Reads lines, and keeps the bytes of the lines after the current one.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    read: Vec<u8>,
    /// The descriptors of the lines that have not been decoded yet.
    descriptors: VecDeque<OwnedFd>,
    /// The current line is too long. It is discarded up to its end.
    skipping: bool,
}

impl Frames {
    pub(crate) fn next(&mut self, channel: BorrowedFd<'_>) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.line() {
                return Ok(frame);
            }
            let mut buffer = [0; MAX_FRAME_BYTES];
            match raw::receive(channel, &mut buffer, libc::MSG_DONTWAIT | CLOSE_ON_EXEC) {
                Ok(RawPacket { length: 0, .. }) => return Ok(Frame::End),
                Ok(RawPacket { length, descriptors }) => {
                    #[cfg(target_vendor = "apple")]
                    for descriptor in &descriptors {
                        fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
                    }
                    self.descriptors.extend(descriptors);
                    self.read.extend_from_slice(&buffer[..length]);
                }
                // ECONNRESET: the peer died without reading our bytes. It is reported once, before the bytes that the
                // peer sent.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                Err(Errno::EAGAIN) => return Ok(Frame::Nothing),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn line(&mut self) -> Option<Frame> {
        let Some(end) = self.read.iter().position(|byte| *byte == b'\n') else {
            if self.read.len() > MAX_FRAME_BYTES {
                self.read.clear();
                self.skipping = true;
            }
            return None;
        };
        let mut line: Vec<u8> = self.read.drain(..=end).collect();
        line.pop();
        let too_long = std::mem::take(&mut self.skipping) || line.len() > MAX_FRAME_BYTES;
        let (with, head) = count(&line);
        let descriptors: Vec<OwnedFd> = self.descriptors.drain(..with.min(self.descriptors.len())).collect();
        line.drain(..head);
        Some(if too_long { Frame::TooLong } else { Frame::Packet(line, descriptors) })
    }
}

/// Returns the number of descriptors that a line announces, and the length of the announcement.
fn count(line: &[u8]) -> (usize, usize) {
    let words = line.strip_prefix(b"+").and_then(|rest| {
        let end = rest.iter().position(|byte| *byte == b' ')?;
        let with = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        Some((with, end + 2))
    });
    words.unwrap_or((0, 0))
}

/// These systems cannot seal a file.
pub(crate) fn seal(_: &File) -> io::Result<()> {
    Ok(())
}

/// The flag for opening this process's directory to return to it.
pub(crate) const DIRECTORY_ACCESS: OFlag = OFlag::O_RDONLY;

/// Moves this process to `directory` until the result is dropped, because a child starts where this process is: not
/// every system's `posix_spawn` can change the directory of the child alone.
pub(crate) fn start_in(_: &mut PosixSpawnFileActions, directory: &CStr) -> io::Result<Entered> {
    Entered::new(directory)
}

/// Passes these descriptors to a child of `posix_spawn(3)`, under the same numbers. The result must live until the
/// child is started.
///
/// Each descriptor is duplicated to the number of a spare one and back, because on every system a copy is not
/// close-on-exec. On some systems (macOS, Android) `posix_spawn` only calls `dup2`, and a descriptor that is duplicated
/// onto itself stays close-on-exec.
pub(crate) fn pass_on<'fd>(
    actions: &mut PosixSpawnFileActions,
    descriptors: impl IntoIterator<Item = BorrowedFd<'fd>>,
) -> io::Result<Option<OwnedFd>> {
    let spare = OwnedFd::from(File::open("/dev/null")?);
    for descriptor in descriptors {
        actions.add_dup2(descriptor.as_raw_fd(), spare.as_raw_fd())?;
        actions.add_dup2(spare.as_raw_fd(), descriptor.as_raw_fd())?;
    }
    actions.add_close(spare.as_raw_fd())?;
    Ok(Some(spare))
}
