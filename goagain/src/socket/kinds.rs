//! Sockets in the types of the standard library: listeners and datagram sockets.

use crate::socket::Stream;
use goagain_env::Address;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};

/// A listener. It is always non-blocking, since all processes that hold it share O_NONBLOCK.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
    /// The standard library has no type of its own for it. `accept` is the same.
    UnixSeqpacket(UnixListener),
}

impl Socket {
    /// Makes it of the kind that `address` has.
    pub(crate) fn new(address: &Address, fd: OwnedFd) -> io::Result<Socket> {
        Ok(match address {
            Address::Unix(_) => Socket::Unix(unix(fd)?),
            Address::UnixSeqpacket(_) => Socket::UnixSeqpacket(unix(fd)?),
            _ => {
                let listener = TcpListener::from(fd);
                listener.set_nonblocking(true)?;
                Socket::Tcp(listener)
            }
        })
    }

    pub(crate) fn accept(&self) -> io::Result<Stream> {
        let stream = match self {
            Socket::Tcp(listener) => Stream::Tcp(listener.accept()?.0),
            Socket::Unix(listener) => Stream::Unix(listener.accept()?.0),
            Socket::UnixSeqpacket(listener) => Stream::UnixSeqpacket(listener.accept()?.0),
        };
        // On other systems an accepted socket inherits O_NONBLOCK from the listener.
        #[cfg(not(target_os = "linux"))]
        match &stream {
            Stream::Tcp(stream) => stream.set_nonblocking(false)?,
            Stream::Unix(stream) | Stream::UnixSeqpacket(stream) => stream.set_nonblocking(false)?,
            Stream::Migrated(_) => {}
        }
        Ok(stream)
    }

    pub(crate) fn try_clone_to_owned(&self) -> io::Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }
}

fn unix(fd: OwnedFd) -> io::Result<UnixListener> {
    let listener = UnixListener::from(fd);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener) | Socket::UnixSeqpacket(listener) => listener.as_fd(),
        }
    }
}

/// A datagram socket, non-blocking for the same reason.
#[derive(Debug)]
pub(crate) enum DatagramSocket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl DatagramSocket {
    /// Makes it of the kind that `address` has.
    pub(crate) fn new(address: &Address, fd: OwnedFd) -> io::Result<DatagramSocket> {
        if let Address::UnixDatagram(_) = address {
            let socket = UnixDatagram::from(fd);
            socket.set_nonblocking(true)?;
            return Ok(DatagramSocket::Unix(socket));
        }
        let socket = UdpSocket::from(fd);
        socket.set_nonblocking(true)?;
        Ok(DatagramSocket::Udp(socket))
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            DatagramSocket::Udp(socket) => socket.as_fd(),
            DatagramSocket::Unix(socket) => socket.as_fd(),
        }
    }
}
