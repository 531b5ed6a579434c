//! All unsafe code of this crate. What it promises:
//!
//! - A number becomes an owned descriptor only by [`Unowned`]: it was open, and it was not close-on-exec. Rust's own
//!   library (and every crate that keeps to its rules) opens everything close-on-exec, so such a number came across exec
//!   and nobody in this process owns it. Adoption sets close-on-exec, so it cannot be adopted twice.
//! - What the kernel has just made for this process, a pidfd or a descriptor that came with a packet, is owned at once.
//! - No system call here is given a pointer that outlives it.
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

/// Why a number is no inherited descriptor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotInherited {
    /// `fcntl` says EBADF.
    Closed,
    /// It is close-on-exec, so this process opened it, or adopted it before.
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
    /// Looks at a number with `fcntl(F_GETFD)`, and changes nothing.
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
        // SAFETY: the number is open and not negative, and nobody in this process owns it (see the top of this file),
        // so nobody closes it as long as this value, which is its only way to an owner, lives.
        Ok(Unowned(unsafe { BorrowedFd::borrow_raw(number) }))
    }

    /// Makes it close-on-exec, and gives it an owner.
    pub(crate) fn adopt(self) -> OwnedFd {
        let number = self.0.as_raw_fd();
        // SAFETY: F_SETFD changes a flag of a descriptor that is open; with it the number is never adopted again.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        // SAFETY: it is open and without an owner, and `self`, the only way to one, ends here.
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

/// What `waitid(2)` knows of a child, without waiting: `None` as long as it runs. With `reap` its zombie is gone after.
///
/// nix has `waitid`, but fails with EINVAL *after* it reaped a child that a real-time signal killed.
pub(crate) fn wait(kind: libc::idtype_t, id: libc::id_t, reap: bool) -> io::Result<Option<Exit>> {
    let options = libc::WEXITED | libc::WNOHANG | if reap { 0 } else { libc::WNOWAIT };
    // SAFETY: siginfo_t is plain data, for which zeroes are a value.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    loop {
        // SAFETY: `info` outlives the call, which writes no more than one siginfo_t.
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

/// `pidfd_open(2)`, Linux 5.3. The kernel makes it close-on-exec.
#[cfg(all(target_os = "linux", not(goagain_portable)))]
pub(crate) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: two integers in, a new descriptor or -1 out.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match RawFd::try_from(number) {
        // SAFETY: the kernel has just made it for us.
        Ok(number) if number >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(number) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `pidfd_send_signal(2)`, Linux 5.1: ESRCH once the process is reaped, whoever has its number now.
#[cfg(all(target_os = "linux", not(goagain_portable)))]
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none = ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is borrowed, so open; a null siginfo is allowed and means that of kill(2).
    match unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What one `recvmsg(2)` gave.
pub(crate) struct Taken {
    /// The length of the packet, which may be more than fitted.
    pub(crate) length: usize,
    /// The descriptors that came with it.
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// Room for the descriptors of one packet, aligned as their header is.
const CONTROL: usize = (super::MOST_WITH_A_FRAME * size_of::<RawFd>()).div_ceil(size_of::<u64>()) + 8;

/// `recvmsg(2)` with room for descriptors (SCM_RIGHTS). Where the process may have no more (EMFILE) the kernel gives fewer
/// than were sent.
///
/// nix has `recvmsg`, but loses the descriptors that came when not all did.
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], flags: libc::c_int) -> nix::Result<Taken> {
    let mut control = [0u64; CONTROL];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is plain data, for which zeroes are a value.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the header points to one buffer and to room for control data, each of the size said; all outlive the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    let length = usize::try_from(length).map_err(|_| Errno::last())?;
    let mut descriptors = Vec::new();
    // SAFETY: the kernel has filled the header, and the room that it points to still lives.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !next.is_null() {
        // SAFETY: not null, so it is within the room, aligned and filled.
        let (level, kind, size) = unsafe { ((*next).cmsg_level, (*next).cmsg_type, (*next).cmsg_len) };
        if level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS {
            // SAFETY: a calculation.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            #[allow(clippy::unnecessary_cast, reason = "it is a socklen_t on other systems")]
            let count = (size as usize).saturating_sub(head) / size_of::<RawFd>();
            for index in 0..count {
                // SAFETY: `next` is a header, and its data follows it.
                let data = unsafe { libc::CMSG_DATA(next) }.cast::<RawFd>();
                // SAFETY: `count` numbers lie there.
                let number = unsafe { data.add(index).read_unaligned() };
                // SAFETY: the kernel has just made it for us, and told it once.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
        // SAFETY: as for the first.
        next = unsafe { libc::CMSG_NXTHDR(&raw const header, next) };
    }
    Ok(Taken { length, descriptors })
}

/// `posix_spawn_file_actions_addchdir_np(3)`: glibc 2.29, musl 1.1.24.
#[cfg(all(target_os = "linux", not(goagain_portable)))]
pub(crate) fn add_chdir(
    actions: &mut nix::spawn::PosixSpawnFileActions,
    directory: &std::ffi::CStr,
) -> io::Result<()> {
    // nix has all other actions, and says that its type is laid out as the system's.
    let actions = (&raw mut *actions).cast::<libc::posix_spawn_file_actions_t>();
    // SAFETY: the type is `repr(transparent)` over the system's, and initialized; the path is copied.
    match unsafe { libc::posix_spawn_file_actions_addchdir_np(actions, directory.as_ptr()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// What is done on SIGPIPE now.
pub(crate) struct SigPipe(libc::sigaction);

impl SigPipe {
    /// Sets the default action and gives the one before, with `sigaction(2)`.
    pub(crate) fn set_default() -> io::Result<SigPipe> {
        // SAFETY: sigaction is plain data, for which zeroes are a value: no flags, an empty mask.
        let mut default: libc::sigaction = unsafe { mem::zeroed() };
        default.sa_sigaction = libc::SIG_DFL;
        // SAFETY: as above.
        let mut before: libc::sigaction = unsafe { mem::zeroed() };
        // SAFETY: both live through the call; SIG_DFL runs no code of ours.
        match unsafe { libc::sigaction(libc::SIGPIPE, &default, &mut before) } {
            0 => Ok(SigPipe(before)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Puts the action of before back.
    pub(crate) fn restore(&self) {
        // SAFETY: the action was in force before, so its handler, if it has one, is still good.
        unsafe { libc::sigaction(libc::SIGPIPE, &self.0, ptr::null_mut()) };
    }
}

/// SO_NOSIGPIPE, where no flag of `send(2)` keeps SIGPIPE away.
#[cfg(target_vendor = "apple")]
pub(crate) fn no_sigpipe(socket: &OwnedFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    let value = (&raw const on).cast();
    // SAFETY: the descriptor is owned, so open; `value` points to `size` bytes that live through the call.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NOSIGPIPE, value, size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `connect(2)` to AF_UNSPEC: on Linux a TCP connection is reset by it at once, whoever else holds it.
#[cfg(target_os = "linux")]
pub(crate) fn disconnect(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: sockaddr is plain data, for which zeroes are a value.
    let mut nobody: libc::sockaddr = unsafe { mem::zeroed() };
    nobody.sa_family = libc::AF_UNSPEC as libc::sa_family_t;
    let size = size_of::<libc::sockaddr>() as libc::socklen_t;
    // SAFETY: the descriptor is borrowed, so open; `nobody` has `size` bytes and outlives the call, which only reads it.
    match unsafe { libc::connect(socket.as_raw_fd(), &nobody, size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `ioctl(SIOCOUTQ)`: the bytes of a socket that its peer's kernel has not acknowledged (TCP), or its peer has not read (Unix).
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(crate) fn unsent(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed, so open; the call writes one int, which outlives it. TIOCOUTQ is SIOCOUTQ.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &mut bytes) } {
        0 => Ok(usize::try_from(bytes).unwrap_or(0)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// F_WRLCK and F_UNLCK in the type of the field that they are for: their own type differs from system to system.
pub(crate) const WRITE_LOCK: libc::c_short = libc::F_WRLCK as libc::c_short;
pub(crate) const NO_LOCK: libc::c_short = libc::F_UNLCK as libc::c_short;

/// What `fcntl(F_SETLK)` and `fcntl(F_GETLK)` are told: this kind of lock, on the bytes from `from` to before `to`.
pub(crate) fn flock(kind: libc::c_short, from: libc::off_t, to: libc::off_t) -> libc::flock {
    // SAFETY: flock is plain data, for which zeroes are a value. Its fields differ from system to system.
    let mut lock: libc::flock = unsafe { mem::zeroed() };
    lock.l_type = kind;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    (lock.l_start, lock.l_len) = (from, to - from);
    lock
}
