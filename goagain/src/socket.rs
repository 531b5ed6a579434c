//! A listening socket as std knows it.

use crate::Stream;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;

/// A listener, always non-blocking: all processes that hold it share O_NONBLOCK.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    pub(crate) fn tcp(listener: TcpListener) -> io::Result<Socket> {
        listener.set_nonblocking(true)?;
        Ok(Socket::Tcp(listener))
    }

    pub(crate) fn unix(listener: UnixListener) -> io::Result<Socket> {
        listener.set_nonblocking(true)?;
        Ok(Socket::Unix(listener))
    }

    pub(crate) fn accept(&self) -> io::Result<Stream> {
        let stream = match self {
            Socket::Tcp(listener) => Stream::Tcp(listener.accept()?.0),
            Socket::Unix(listener) => Stream::Unix(listener.accept()?.0),
        };
        // Elsewhere an accepted socket has the listener's O_NONBLOCK.
        #[cfg(not(target_os = "linux"))]
        match &stream {
            Stream::Tcp(stream) => stream.set_nonblocking(false)?,
            Stream::Unix(stream) => stream.set_nonblocking(false)?,
        }
        Ok(stream)
    }

    pub(crate) fn try_clone_to_owned(&self) -> io::Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener) => listener.as_fd(),
        }
    }
}
