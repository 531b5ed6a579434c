//! Binding new sockets, with the options that were chosen.

use crate::socket::path;
use nix::sys::socket::{
    AddressFamily, Backlog, SetSockOpt, SockFlag, SockType, SockaddrLike, SockaddrStorage, UnixAddr, bind,
    listen, setsockopt, socket, sockopt,
};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net;
use std::path::Path;

/// Longer than that of the standard library, so that there is room during a restart or a burst. The kernel caps it
/// (net.core.somaxconn).
const BACKLOG: i32 = 4096;

/// A function of the application that sets up a new socket.
pub(crate) type Hook<'a> = Box<dyn FnMut(BorrowedFd<'_>) -> io::Result<()> + 'a>;

/// The options of a new socket. An inherited socket keeps those with which it was bound.
pub(crate) struct Options<'a> {
    pub(crate) backlog: i32,
    pub(crate) reuse_address: Option<bool>,
    pub(crate) reuse_port: bool,
    pub(crate) v6only: Option<bool>,
    pub(crate) mode: Option<u32>,
    pub(crate) before_bind: Vec<Hook<'a>>,
    pub(crate) before_listen: Vec<Hook<'a>>,
    /// Whether the socket must not get connections yet.
    pub(crate) listens_later: bool,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            backlog: BACKLOG,
            reuse_address: None,
            reuse_port: false,
            v6only: None,
            mode: None,
            before_bind: Vec::new(),
            before_listen: Vec::new(),
            listens_later: false,
        }
    }
}

impl Options<'_> {
    /// Binds a TCP or UDP socket to the first of `addresses` that can be bound, as the standard library does.
    pub(crate) fn internet(&mut self, kind: SockType, addresses: &[SocketAddr]) -> io::Result<OwnedFd> {
        let mut last = io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses");
        for &address in addresses {
            match self.internet_at(kind, address) {
                Ok(fd) => return Ok(fd),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn internet_at(&mut self, kind: SockType, address: SocketAddr) -> io::Result<OwnedFd> {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let fd = new_socket(family, kind)?;
        // As in the standard library: without it a port stays taken for a minute after its server has gone. For datagrams it would
        // share the port.
        set(&fd, sockopt::ReuseAddr, Some(self.reuse_address.unwrap_or(kind == SockType::Stream)))?;
        set(&fd, sockopt::ReusePort, Some(self.reuse_port).filter(|on| *on))?;
        set(&fd, sockopt::Ipv6V6Only, self.v6only.filter(|_| address.is_ipv6()))?;
        self.bind_and_listen(fd, kind, &SockaddrStorage::from(address))
    }

    /// Binds a Unix socket to `path`, or, if that begins with `@`, to an abstract name.
    pub(crate) fn unix(&mut self, kind: SockType, path: &Path) -> io::Result<OwnedFd> {
        match path.as_os_str().as_bytes() {
            [b'@', name @ ..] => self.unix_at(kind, &abstract_name(name)?),
            _ => {
                let mode = self.mode;
                path::bind(path, mode, |at| {
                    // The error of the standard library says more about a path that is too long.
                    net::SocketAddr::from_pathname(at)?;
                    self.unix_at(kind, &UnixAddr::new(at)?)
                })
            }
        }
    }

    fn unix_at(&mut self, kind: SockType, address: &UnixAddr) -> io::Result<OwnedFd> {
        let fd = new_socket(AddressFamily::Unix, kind)?;
        self.bind_and_listen(fd, kind, address)
    }

    fn bind_and_listen(
        &mut self,
        fd: OwnedFd,
        kind: SockType,
        address: &dyn SockaddrLike,
    ) -> io::Result<OwnedFd> {
        self.before_bind.iter_mut().try_for_each(|hook| hook(fd.as_fd()))?;
        bind(fd.as_raw_fd(), address)?;
        self.before_listen.iter_mut().try_for_each(|hook| hook(fd.as_fd()))?;
        if kind != SockType::Datagram && !self.listens_later {
            begin_listening(&fd, self.backlog)?;
        }
        Ok(fd)
    }
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("backlog", &self.backlog)
            .field("reuse_address", &self.reuse_address)
            .field("reuse_port", &self.reuse_port)
            .field("v6only", &self.v6only)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// Listens (`listen(2)`). The kernel caps the backlog. Listening again changes the backlog.
pub(crate) fn begin_listening(fd: &impl AsFd, backlog: i32) -> io::Result<()> {
    Ok(listen(fd, Backlog::new(backlog).unwrap_or(Backlog::MAXCONN))?)
}

/// Makes a socket that is close-on-exec from the start.
fn new_socket(family: AddressFamily, kind: SockType) -> io::Result<OwnedFd> {
    #[cfg(not(target_vendor = "apple"))]
    return Ok(socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?);
    // Apple's systems can make a duplicate close-on-exec at once, but not a socket.
    #[cfg(target_vendor = "apple")]
    socket(family, kind, SockFlag::empty(), None)?.try_clone()
}

fn set(fd: &OwnedFd, option: impl SetSockOpt<Val = bool>, value: Option<bool>) -> io::Result<()> {
    match value {
        Some(value) => Ok(setsockopt(fd, option, &value)?),
        None => Ok(()),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn abstract_name(name: &[u8]) -> io::Result<UnixAddr> {
    Ok(UnixAddr::new_abstract(name)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_name(_: &[u8]) -> io::Result<UnixAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "abstract names exist on Linux only: use a path"))
}
