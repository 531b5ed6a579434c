//! Counts the processes of a service that are draining.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, fcntl};

use crate::Pid;
use crate::sys::{self, raw};

/// An anonymous file that every process of a service inherits, with one record lock for each process that drains.
///
/// The lock is on the byte at the offset of the pid. The kernel removes it when the process dies, for whatever reason,
/// so dead processes are never counted. Nothing is written to the file.
///
/// Record locks belong to the process, not to the descriptor, and closing any descriptor of the file removes them. So
/// each process has one descriptor, and this type has no `try_clone`.
#[derive(Debug)]
pub struct Draining(OwnedFd);

impl Draining {
    /// Creates the file for the first process of a service: `memfd_create(2)` on Linux, `mkstemp(3)` and `unlink(2)`
    /// elsewhere.
    ///
    /// # Errors
    /// The errors of these calls.
    pub fn new() -> io::Result<Draining> {
        sys::anonymous_file().map(Draining)
    }

    /// Marks this process as draining (`fcntl(F_SETLK)`).
    ///
    /// # Errors
    /// The errors of `fcntl`: most likely ENOLCK.
    pub fn begin(&self) -> io::Result<()> {
        self.lock(raw::WRITE_LOCK)
    }

    /// Marks this process as no longer draining (`fcntl(F_SETLK)`).
    ///
    /// # Errors
    /// The errors of `fcntl`.
    pub fn end(&self) -> io::Result<()> {
        self.lock(raw::NO_LOCK)
    }

    /// Keeps the mark until the process ends: the descriptor is never closed.
    pub fn keep(self) {
        // The number has no owner any longer, so nothing closes it.
        let _ = self.0.into_raw_fd();
    }

    fn lock(&self, kind: libc::c_short) -> io::Result<()> {
        let own = libc::off_t::from(Pid::current().as_raw());
        fcntl(&self.0, FcntlArg::F_SETLK(&raw::flock(kind, own, own + 1)))?;
        Ok(())
    }

    /// Returns the other processes that drain, in no particular order. Calls `fcntl(F_GETLK)` at most twice for each,
    /// and once more.
    ///
    /// # Errors
    /// The errors of `fcntl`.
    pub fn others(&self) -> io::Result<Vec<Pid>> {
        let mut others = Vec::new();
        let mut ranges = vec![(0, libc::off_t::from(i32::MAX))];
        while let Some((from, to)) = ranges.pop() {
            let mut found = raw::flock(raw::WRITE_LOCK, from, to);
            fcntl(&self.0, FcntlArg::F_GETLK(&mut found))?;
            if found.l_type == raw::NO_LOCK {
                continue;
            }
            // A lock covers one byte, whose offset is the pid of its process.
            let byte = found.l_start.clamp(from, to - 1);
            others.extend(i32::try_from(byte).ok().and_then(Pid::new_or_init));
            ranges.extend([(from, byte), (byte + 1, to)].into_iter().filter(|(from, to)| from < to));
        }
        Ok(others)
    }
}

/// Wraps an inherited file, whose type has been checked.
impl From<OwnedFd> for Draining {
    fn from(fd: OwnedFd) -> Draining {
        Draining(fd)
    }
}

impl AsFd for Draining {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
