//! All unsafe code of this crate. Its guarantees:
//!
//! - A number becomes an owned descriptor only through [`Unowned`]: it was open, and it was not close-on-exec. Rust's
//!   standard library, and every crate that follows its rules, opens everything close-on-exec. So such a number came
//!   across exec, and nothing in this process owns it. Adoption sets close-on-exec, so it cannot be adopted twice.
//! - A descriptor that the kernel has just created for this process, a pidfd or one that came with a packet, is owned
//!   at once.
//! - No system call gets a pointer that is invalid before the call ends.
#![allow(unsafe_code)]

#[cfg(target_os = "android")]
pub(crate) mod spawn;

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;

use crate::Exit;

/// A descriptor that came across exec and has no owner in this process yet.
pub(crate) struct Unowned(BorrowedFd<'static>);

/// Why a number is not an inherited descriptor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotInherited {
    /// `fcntl` returns EBADF.
    Closed,
    /// It is close-on-exec, so this process opened it or has already adopted it.
    Owned,
}

impl fmt::Display for NotInherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotInherited::Closed => "is not open",
            NotInherited::Owned => "is close-on-exec, so it did not come across exec",
        })
    }
}

impl Unowned {
    /// Checks a number with `fcntl(F_GETFD)`, and changes nothing.
    pub(crate) fn probe(number: RawFd) -> Result<Unowned, NotInherited> {
        if number < 0 {
            return Err(NotInherited::Closed);
        }
        // SAFETY: F_GETFD reads a flag of a number, and fails on one that is not open.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags < 0 {
            return Err(NotInherited::Closed);
        }
        if flags & libc::FD_CLOEXEC != 0 {
            return Err(NotInherited::Owned);
        }
        // SAFETY: the number is open and not negative, and nothing in this process owns it (see the top of this file).
        // So nothing closes it as long as this value lives, which is its only way to an owner.
        Ok(Unowned(unsafe { BorrowedFd::borrow_raw(number) }))
    }

    /// Makes the descriptor close-on-exec, and returns it owned.
    pub(crate) fn adopt(self) -> OwnedFd {
        let number = self.0.as_raw_fd();
        // SAFETY: F_SETFD changes a flag of a descriptor that is open. With that flag, the number is never adopted
        // again.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        // SAFETY: it is open and has no owner, and `self`, the only way to one, ends here.
        unsafe { OwnedFd::from_raw_fd(number) }
    }
}

impl AsFd for Unowned {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0
    }
}

impl fmt::Debug for Unowned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unowned({})", self.0.as_raw_fd())
    }
}

/// Returns how a child ended, by `waitid(2)`, without waiting: `None` while it runs. With `reap`, its zombie is
/// removed.
pub(crate) fn wait(kind: libc::idtype_t, id: libc::id_t, reap: bool) -> io::Result<Option<Exit>> {
    let options = libc::WEXITED | libc::WNOHANG | if reap { 0 } else { libc::WNOWAIT };
    // SAFETY: siginfo_t is plain data, and all zeroes are a valid value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    loop {
        // SAFETY: `info` outlives the call, which writes at most one siginfo_t.
        if unsafe { libc::waitid(kind, id, &mut info, options) } == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: waitid fills the fields of SIGCHLD, or leaves our zeroes.
    if unsafe { info.si_pid() } == 0 {
        return Ok(None);
    }
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    Ok(Some(match info.si_code {
        libc::CLD_EXITED => Exit::exited(status),
        libc::CLD_KILLED | libc::CLD_DUMPED => Exit::signalled(status),
        _ => Exit::unknown(),
    }))
}

/// Calls `pidfd_open(2)`, Linux 5.3. The kernel makes the descriptor close-on-exec.
#[cfg(all(target_os = "linux", not(goagain_portable)))]
pub(crate) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers, and returns a new descriptor or -1.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match RawFd::try_from(number) {
        // SAFETY: the kernel has just created it for this process.
        Ok(number) if number >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(number) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Calls `pidfd_send_signal(2)`, Linux 5.1. Returns ESRCH once the process is reaped, even if another process has its
/// number.
#[cfg(all(target_os = "linux", not(goagain_portable)))]
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none = ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is borrowed, so it is open. A null siginfo is allowed, and means the same as kill(2).
    match unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The result of one `recvmsg(2)`.
pub(crate) struct RawPacket {
    /// The length of the packet, which can be larger than the buffer.
    pub(crate) length: usize,
    /// The descriptors that came with it.
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// The space for the descriptors of one packet, aligned as their header is.
const CONTROL: usize = (super::MAX_FRAME_DESCRIPTORS * size_of::<RawFd>()).div_ceil(size_of::<u64>()) + 8;

/// Calls `recvmsg(2)` with space for descriptors (SCM_RIGHTS). If the process may not open more (EMFILE), the kernel
/// returns fewer than were sent.
///
/// nix has `recvmsg`, but loses the received descriptors if not all arrived.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: libc::c_int,
) -> nix::Result<RawPacket> {
    let mut control = [0u64; CONTROL];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is plain data, and all zeroes are a valid value.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the header points to one buffer and to the space for control data, with their sizes. All of them outlive
    // the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    let length = usize::try_from(length).map_err(|_| Errno::last())?;
    let mut descriptors = Vec::new();
    // SAFETY: the kernel has filled the header, and the space to which it points is still valid.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !next.is_null() {
        // SAFETY: it is not null, so it is inside that space, aligned and filled.
        let (level, kind, size) = unsafe { ((*next).cmsg_level, (*next).cmsg_type, (*next).cmsg_len) };
        if level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS {
            // SAFETY: this only computes a number.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            #[allow(clippy::unnecessary_cast, reason = "it is a socklen_t on other systems")]
            let count = (size as usize).saturating_sub(head) / size_of::<RawFd>();
            for index in 0..count {
                // SAFETY: `next` is a header, and its data follows it.
                let data = unsafe { libc::CMSG_DATA(next) }.cast::<RawFd>();
                // SAFETY: `count` numbers are there.
                let number = unsafe { data.add(index).read_unaligned() };
                // SAFETY: the kernel has just created it for this process, and has returned it once.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
        // SAFETY: as for the first header.
        next = unsafe { libc::CMSG_NXTHDR(&raw const header, next) };
    }
    Ok(RawPacket { length, descriptors })
}

/// Calls `posix_spawn_file_actions_addchdir_np(3)`: glibc 2.29, musl 1.1.24.
#[cfg(all(target_os = "linux", not(goagain_portable)))]
pub(crate) fn add_chdir(
    actions: &mut nix::spawn::PosixSpawnFileActions,
    directory: &std::ffi::CStr,
) -> io::Result<()> {
    // nix has all other actions, and documents that its type has the layout of the system's type.
    let actions = (&raw mut *actions).cast::<libc::posix_spawn_file_actions_t>();
    // SAFETY: the type is `repr(transparent)` over the system's type, and initialized. The path is copied.
    match unsafe { libc::posix_spawn_file_actions_addchdir_np(actions, directory.as_ptr()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// The action for SIGPIPE at one moment.
pub(crate) struct SigPipe(libc::sigaction);

impl SigPipe {
    /// Sets the default action, and returns the previous one, by `sigaction(2)`.
    pub(crate) fn set_default() -> io::Result<SigPipe> {
        // SAFETY: sigaction is plain data, and all zeroes are a valid value: no flags, an empty mask.
        let mut default: libc::sigaction = unsafe { mem::zeroed() };
        default.sa_sigaction = libc::SIG_DFL;
        // SAFETY: as above.
        let mut before: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: both outlive the call, and SIG_DFL runs no code of this process.
        match unsafe { libc::sigaction(libc::SIGPIPE, &default, &mut before) } {
            0 => Ok(SigPipe(before)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Restores the previous action.
    pub(crate) fn restore(&self) {
        // SAFETY: the action was in effect before, so its handler, if it has one, is still valid.
        unsafe { libc::sigaction(libc::SIGPIPE, &self.0, ptr::null_mut()) };
    }
}

/// Sets SO_NOSIGPIPE, on systems where no flag of `send(2)` prevents SIGPIPE.
#[cfg(target_vendor = "apple")]
pub(crate) fn no_sigpipe(socket: &OwnedFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    let value = (&raw const on).cast();
    // SAFETY: the descriptor is owned, so it is open. `value` points to `size` bytes that outlive the call.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NOSIGPIPE, value, size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Calls `connect(2)` to AF_UNSPEC. On Linux this resets a TCP connection at once, even if other descriptors hold it.
#[cfg(target_os = "linux")]
pub(crate) fn disconnect(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: sockaddr is plain data, and all zeroes are a valid value.
    let mut nobody: libc::sockaddr = unsafe { mem::zeroed() };
    nobody.sa_family = libc::AF_UNSPEC as libc::sa_family_t;
    let size = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed, so it is open. `nobody` has `size` bytes and outlives the call, which only
    // reads it.
    match unsafe { libc::connect(socket.as_raw_fd(), &nobody, size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Calls `ioctl(SIOCOUTQ)`: the bytes that the peer's kernel has not acknowledged (TCP), or the peer has not read
/// (Unix).
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(crate) fn unsent(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed, so it is open. The call writes one int, which outlives it. TIOCOUTQ is
    // SIOCOUTQ.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &mut bytes) } {
        0 => Ok(usize::try_from(bytes).unwrap_or(0)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// F_WRLCK and F_UNLCK, in the type of the field that they are for: their own type differs between systems.
pub(crate) const WRITE_LOCK: libc::c_short = libc::F_WRLCK as libc::c_short;
pub(crate) const NO_LOCK: libc::c_short = libc::F_UNLCK as libc::c_short;

/// Returns the argument of `fcntl(F_SETLK)` and `fcntl(F_GETLK)` for this kind of lock, on the bytes from `from` up to
/// `to`, which is not included.
pub(crate) fn flock(kind: libc::c_short, from: libc::off_t, to: libc::off_t) -> libc::flock {
    // SAFETY: flock is plain data, and all zeroes are a valid value. Its fields differ between systems.
    let mut lock: libc::flock = unsafe { mem::zeroed() };
    lock.l_type = kind;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    (lock.l_start, lock.l_len) = (from, to - from);
    lock
}
