//! A descriptor that a tokio runtime watches: an owned duplicate, which no other code can exchange or close while the
//! runtime uses it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

/// A duplicate of a descriptor, for which a tokio runtime waits until it is ready (`epoll_ctl`).
#[derive(Debug)]
pub struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Duplicates `fd` (`fcntl(F_DUPFD_CLOEXEC)`), and registers the duplicate with the caller's runtime, to wait until
    /// it is [readable](Watched::readable).
    ///
    /// # Errors
    /// - There is no tokio runtime here.
    /// - The errors of `fcntl` and `epoll_ctl`: EPERM for a descriptor that cannot be polled, such as a file.
    ///
    /// # Panics
    /// If the runtime was built without `enable_io`.
    pub fn new(fd: impl AsFd) -> io::Result<Watched> {
        Watched::register(fd, Interest::READABLE)
    }

    /// As [`Watched::new`], to wait until it is [writable](Watched::writable).
    ///
    /// # Errors
    /// As [`Watched::new`].
    ///
    /// # Panics
    /// As [`Watched::new`].
    pub fn new_writable(fd: impl AsFd) -> io::Result<Watched> {
        Watched::register(fd, Interest::WRITABLE)
    }

    fn register(fd: impl AsFd, interest: Interest) -> io::Result<Watched> {
        Handle::try_current().map_err(io::Error::other)?;
        let duplicate = fd.as_fd().try_clone_to_owned()?;
        // tokio 1.54 has an unsafe function instead, because other types could exchange their descriptor. An `OwnedFd`
        // is open and keeps its number as long as it lives, and this one lives in the `AsyncFd`.
        #[allow(deprecated, reason = "older versions have no other")]
        let registered = AsyncFd::with_interest(duplicate, interest);
        Ok(Watched(registered?))
    }

    /// Waits until the descriptor may be readable, and clears that state. Read until nothing is left before waiting
    /// again. A cancelled call has cleared nothing.
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.0.readable().await?.clear_ready();
        Ok(())
    }

    /// As [`Watched::readable`], for a value made by [`Watched::new_writable`].
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub async fn writable(&self) -> io::Result<()> {
        self.0.writable().await?.clear_ready();
        Ok(())
    }
}
