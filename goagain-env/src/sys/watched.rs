//! A descriptor that a tokio runtime watches: an owned duplicate, which nobody can reach, exchange or close before the runtime has
//! let it go.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

/// A duplicate of a descriptor, of which a tokio runtime tells when it is readable (`epoll_ctl`).
#[derive(Debug)]
pub struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Duplicates `fd` (`fcntl(F_DUPFD_CLOEXEC)`) and registers the duplicate with the runtime of the caller.
    ///
    /// # Errors
    /// - there is no tokio runtime here;
    /// - what `fcntl` and `epoll_ctl` return: EPERM for a descriptor that cannot be polled, a file's.
    ///
    /// # Panics
    /// If the runtime was built without `enable_io`.
    pub fn new(fd: impl AsFd) -> io::Result<Watched> {
        Watched::of(fd, Interest::READABLE)
    }

    /// The same, to wait until it is [writable](Watched::writable).
    ///
    /// # Errors
    /// As [`Watched::new`].
    ///
    /// # Panics
    /// As [`Watched::new`].
    pub fn for_room(fd: impl AsFd) -> io::Result<Watched> {
        Watched::of(fd, Interest::WRITABLE)
    }

    fn of(fd: impl AsFd, interest: Interest) -> io::Result<Watched> {
        Handle::try_current().map_err(io::Error::other)?;
        let duplicate = fd.as_fd().try_clone_to_owned()?;
        // tokio 1.54 has an unsafe call in its place, since another type could exchange its descriptor. An `OwnedFd` is open and
        // keeps its number as long as it lives, and this one lives in the `AsyncFd`.
        #[allow(deprecated, reason = "older versions have no other")]
        let registered = AsyncFd::with_interest(duplicate, interest);
        Ok(Watched(registered?))
    }

    /// Waits until it may be readable, and forgets that it was told so: look at the descriptor until there is nothing to
    /// be had before waiting again. Cancelled, it has forgotten nothing.
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.0.readable().await?.clear_ready();
        Ok(())
    }

    /// As [`Watched::readable`], for one made by [`Watched::for_room`].
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub async fn writable(&self) -> io::Result<()> {
        self.0.writable().await?.clear_ready();
        Ok(())
    }
}
