//! The one listener of the Go package, TCP or Unix: inherited by number, or bound.
//!
//! The only unsafe code takes ownership of the descriptor whose number the predecessor wrote into GOAGAIN_FD.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;

use anyhow::Context as _;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};

use crate::protocol::Environment;

#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// `Listener`: the descriptor that GOAGAIN_FD names. It is duplicated close-on-exec and then closed, as Go does it.
    ///
    /// Must be called before this process opens anything.
    pub(crate) fn inherited(environment: &Environment) -> anyhow::Result<Listener> {
        let number: RawFd =
            environment.number("GOAGAIN_FD").context("GOAGAIN_FD: expected a descriptor number")?;
        let given = take(number).with_context(|| format!("GOAGAIN_FD: expected a socket, found {number}"))?;
        let family = getsockname::<SockaddrStorage>(given.as_raw_fd())?.family();
        let ours = given.try_clone()?;
        let listener = match family {
            Some(AddressFamily::Inet | AddressFamily::Inet6) => Listener::Tcp(ours.into()),
            Some(AddressFamily::Unix) => Listener::Unix(ours.into()),
            other => anyhow::bail!("GOAGAIN_FD: expected a TCP or Unix socket, found {other:?}"),
        };
        listener.without_blocking()
    }

    /// Listens on `127.0.0.1:0`, `[::1]:0` or `unix:/path`.
    pub(crate) fn bind(address: &str) -> anyhow::Result<Listener> {
        let bound = match address.strip_prefix("unix:") {
            Some(path) => UnixListener::bind(path).map(Listener::Unix),
            None => TcpListener::bind(address).map(Listener::Tcp),
        };
        bound.with_context(|| format!("{address}: cannot listen"))?.without_blocking()
    }

    fn without_blocking(self) -> anyhow::Result<Listener> {
        match &self {
            Listener::Tcp(listener) => listener.set_nonblocking(true)?,
            Listener::Unix(listener) => listener.set_nonblocking(true)?,
        }
        Ok(self)
    }

    pub(crate) fn try_clone(&self) -> io::Result<Listener> {
        match self {
            Listener::Tcp(listener) => listener.try_clone().map(Listener::Tcp),
            Listener::Unix(listener) => listener.try_clone().map(Listener::Unix),
        }
    }

    /// Accepts a connection, close-on-exec and blocking; a `File` reads and writes a socket of any family.
    pub(crate) fn accept(&self) -> io::Result<File> {
        let stream: OwnedFd = match self {
            Listener::Tcp(listener) => listener.accept()?.0.into(),
            Listener::Unix(listener) => listener.accept()?.0.into(),
        };
        Ok(stream.into())
    }

    /// Returns network and address as Go prints them, by `getsockname(2)`: `tcp:127.0.0.1:48879`.
    pub(crate) fn label(&self) -> io::Result<String> {
        match self {
            Listener::Tcp(listener) => Ok(format!("tcp:{}", listener.local_addr()?)),
            Listener::Unix(listener) => {
                let address = listener.local_addr()?;
                Ok(format!("unix:{}", address.as_pathname().unwrap_or("@".as_ref()).display()))
            }
        }
    }

    /// Lets every program that this process executes from now on inherit the listener, as the Go package did.
    pub(crate) fn clear_close_on_exec(&self) -> nix::Result<()> {
        fcntl(self, FcntlArg::F_SETFD(FdFlag::empty())).map(drop)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener) => listener.as_fd(),
        }
    }
}

/// Takes ownership of descriptor `number`, if it is an open socket and not standard input, output or error.
fn take(number: RawFd) -> Option<OwnedFd> {
    let is_socket =
        fs::metadata(format!("/proc/self/fd/{number}")).is_ok_and(|file| file.file_type().is_socket());
    if number < 3 || !is_socket {
        return None;
    }
    // SAFETY: the descriptor is open, and nobody else in this process owns it: called first in `main`, once, it can
    // only be one that came across exec, and the runtime owns none of those but the standard three.
    #[allow(unsafe_code, reason = "there is no other way from a number to a descriptor")]
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}
