//! Which processes of a service still drain.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, fcntl};

use crate::Pid;
use crate::sys::{self, raw};

/// A file without a name that every image of a service inherits, and a record lock in it for each process that drains.
///
/// The lock is on the byte of the process's number. The kernel lets it go when the process dies, however it does, so that
/// what is counted is never more than there is. Nothing is written to the file.
///
/// Such locks are a process's, not a descriptor's, and closing any descriptor of the file ends them: so there is one
/// descriptor a process, and this type has no `try_clone`.
#[derive(Debug)]
pub struct Draining(OwnedFd);

impl Draining {
    /// A new file (on Linux `memfd_create(2)`, elsewhere `mkstemp(3)` and `unlink(2)`), for the first image of a service.
    ///
    /// # Errors
    /// Those of these calls.
    pub fn new() -> io::Result<Draining> {
        sys::nameless_file().map(Draining)
    }

    /// This process drains from here on (`fcntl(F_SETLK)`).
    ///
    /// # Errors
    /// Those of `fcntl`: most likely ENOLCK.
    pub fn begin(&self) -> io::Result<()> {
        self.lock(raw::WRITE_LOCK)
    }

    /// It does no longer.
    ///
    /// # Errors
    /// Those of `fcntl`.
    pub fn end(&self) -> io::Result<()> {
        self.lock(raw::NO_LOCK)
    }

    /// Keeps what was begun until the process dies: the descriptor stays open for good.
    pub fn keep(self) {
        // Not an owner any longer, so nobody closes it.
        let _ = self.0.into_raw_fd();
    }

    fn lock(&self, kind: libc::c_short) -> io::Result<()> {
        let own = libc::off_t::from(Pid::current().as_raw());
        fcntl(&self.0, FcntlArg::F_SETLK(&raw::flock(kind, own, own + 1)))?;
        Ok(())
    }

    /// The other processes that drain, in no order (`fcntl(F_GETLK)`, at most twice for each and once more).
    ///
    /// # Errors
    /// Those of `fcntl`.
    pub fn others(&self) -> io::Result<Vec<Pid>> {
        let mut others = Vec::new();
        let mut ranges = vec![(0, libc::off_t::from(i32::MAX))];
        while let Some((from, to)) = ranges.pop() {
            let mut found = raw::flock(raw::WRITE_LOCK, from, to);
            fcntl(&self.0, FcntlArg::F_GETLK(&mut found))?;
            if found.l_type == raw::NO_LOCK {
                continue;
            }
            // A lock is one byte, and the byte says whose it is.
            let byte = found.l_start.clamp(from, to - 1);
            others.extend(i32::try_from(byte).ok().and_then(Pid::new_or_init));
            ranges.extend([(from, byte), (byte + 1, to)].into_iter().filter(|(from, to)| from < to));
        }
        Ok(others)
    }
}

/// An inherited one. The type of the descriptor has been checked.
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
