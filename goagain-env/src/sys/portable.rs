//! Any Unix: `waitid` and `kill` by number, and lines over SOCK_STREAM.
//!
//! A child's number is not given to another process before it is reaped, and only we reap it; a parent's is checked with
//! `getppid` just before it is used. What is lost against Linux: no descriptor tells of a death (SIGCHLD, and the end of
//! the channel, must), a parent that dies between check and `kill` can in theory be taken for a later process, and the
//! channel does not say who made it where the system has no credentials for a pair of sockets.

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

use super::raw::{self, Taken};
use super::spawn::PosixSpawnFileActions;
use super::{Frame, LONGEST_FRAME};
use crate::directory::Entered;
use crate::{Exit, Pid, Relation};

/// What a process is held by: nothing but its number.
#[derive(Debug)]
pub(crate) struct Handle;

impl Handle {
    /// `waitid(P_PID, WNOHANG | WNOWAIT)`.
    pub(crate) fn child(pid: Pid) -> io::Result<Handle> {
        wait(pid, false).map(|_| Handle)
    }

    /// `getppid`.
    pub(crate) fn parent(pid: Pid) -> io::Result<Handle> {
        if is_parent(pid) { Ok(Handle) } else { Err(Errno::ESRCH.into()) }
    }

    /// Reaps a child that has ended.
    pub(crate) fn reap(&self, pid: Pid) -> io::Result<Option<Exit>> {
        wait(pid, true)
    }

    /// Whether a parent has ended: somebody else is our parent then.
    pub(crate) fn is_gone(&self, pid: Pid) -> io::Result<bool> {
        Ok(!is_parent(pid))
    }

    /// `kill`, after a look that the process is still relation.
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

    /// No descriptor tells of a death.
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

/// The channel's kind of socket.
pub(crate) const CHANNEL_TYPE: SockType = SockType::Stream;

/// The same, as `Address` names it.
pub(crate) const CHANNEL_NETWORK: &str = "unix";

/// LEAVING as a signal handler writes it: with the end of its line.
pub(crate) const LEAVING: &[u8] = b"goagain/1 LEAVING\n";

/// `socketpair(2)`, then both ends made close-on-exec and non-blocking: not every system can do it in one step.
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

/// `mkstemp(3)`, then `unlink(2)`, and made close-on-exec.
pub(crate) fn nameless_file() -> io::Result<OwnedFd> {
    let (file, path) = mkstemp(&std::env::temp_dir().join("goagain-XXXXXX"))?;
    unlink(&path)?;
    fcntl(&file, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(file)
}

/// Nobody says who made the pair.
pub(crate) fn peer_pid(_: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    Ok(None)
}

/// There are no abstract sockets.
pub(crate) fn abstract_name(_: &UnixAddr) -> Option<&OsStr> {
    None
}

cfg_if::cfg_if! {
    if #[cfg(target_vendor = "apple")] {
        /// SO_NOSIGPIPE on the socket does it here.
        const SEND: MsgFlags = MsgFlags::empty();
    } else {
        const SEND: MsgFlags = MsgFlags::MSG_NOSIGNAL;
    }
}

/// Where descriptors cannot be close-on-exec from the start, they are made so at once.
#[cfg(target_vendor = "apple")]
const CLOSE_ON_EXEC: libc::c_int = 0;
#[cfg(not(target_vendor = "apple"))]
const CLOSE_ON_EXEC: libc::c_int = libc::MSG_CMSG_CLOEXEC;

/// Sends one line, and descriptors with it (SCM_RIGHTS): a line that has some begins with their number, as in "+2 ". A
/// message is far shorter than any socket's buffer, so it is taken whole or not at all.
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

/// Reads lines, and keeps what came of the next ones.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    read: Vec<u8>,
    /// What came with the lines that are still to be looked at.
    descriptors: VecDeque<OwnedFd>,
    /// In a line that is too long: it is discarded up to its end.
    skipping: bool,
}

impl Frames {
    pub(crate) fn next(&mut self, channel: BorrowedFd<'_>) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.line() {
                return Ok(frame);
            }
            let mut buffer = [0; LONGEST_FRAME];
            match raw::receive(channel, &mut buffer, libc::MSG_DONTWAIT | CLOSE_ON_EXEC) {
                Ok(Taken { length: 0, .. }) => return Ok(Frame::End),
                Ok(Taken { length, descriptors }) => {
                    #[cfg(target_vendor = "apple")]
                    for descriptor in &descriptors {
                        fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
                    }
                    self.descriptors.extend(descriptors);
                    self.read.extend_from_slice(&buffer[..length]);
                }
                // The peer died with bytes of ours unread: told once, before the bytes that it sent us.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                Err(Errno::EAGAIN) => return Ok(Frame::Nothing),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn line(&mut self) -> Option<Frame> {
        let Some(end) = self.read.iter().position(|byte| *byte == b'\n') else {
            if self.read.len() > LONGEST_FRAME {
                self.read.clear();
                self.skipping = true;
            }
            return None;
        };
        let mut line: Vec<u8> = self.read.drain(..=end).collect();
        line.pop();
        let too_long = std::mem::take(&mut self.skipping) || line.len() > LONGEST_FRAME;
        let (with, head) = count(&line);
        let descriptors: Vec<OwnedFd> = self.descriptors.drain(..with.min(self.descriptors.len())).collect();
        line.drain(..head);
        Some(if too_long { Frame::TooLong } else { Frame::Packet(line, descriptors) })
    }
}

/// How many descriptors a line says that it has, and the length of its saying so.
fn count(line: &[u8]) -> (usize, usize) {
    let words = line.strip_prefix(b"+").and_then(|rest| {
        let end = rest.iter().position(|byte| *byte == b' ')?;
        let with = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        Some((with, end + 2))
    });
    words.unwrap_or((0, 0))
}

/// Nothing seals a file here.
pub(crate) fn seal(_: &File) -> io::Result<()> {
    Ok(())
}

/// How the directory of this process is opened to come back to it.
pub(crate) const HERE: OFlag = OFlag::O_RDONLY;

/// A child starts where this process is, so that goes to `directory` until the result is dropped: not every system's
/// `posix_spawn` can do it for the child alone.
pub(crate) fn start_in(_: &mut PosixSpawnFileActions, directory: &CStr) -> io::Result<Entered> {
    Entered::new(directory)
}

/// A child of `posix_spawn(3)` gets these descriptors under their numbers. What is returned must live until it is started.
///
/// Each goes to the number of a spare one and back: only a copy is not close-on-exec everywhere. Where `dup2` onto itself is
/// all that `posix_spawn` does (macOS, Android), a descriptor stays close-on-exec by it.
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
