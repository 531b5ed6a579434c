//! An accepted connection.

use crate::drain::wait::timeout_until;
use crate::drain::{Guard, Linger};
use crate::migrate::{IncomingConnection, Migrated};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt,
};
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// An accepted connection. Reads and writes block, unless [`set_nonblocking`](Stream::set_nonblocking) says otherwise. For
/// tokio, see `goagain::tokio::Stream`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection of a Unix socket.
    Unix(UnixStream),
    /// A connection of a SOCK_SEQPACKET Unix socket. The type is that of the standard library, since the calls are the same: each
    /// write sends one packet, and each read receives one packet, truncated to the length of the buffer.
    UnixSeqpacket(UnixStream),
    /// A connection that the predecessor has [migrated](crate::migrate) to this process, with bytes that the predecessor has
    /// read and not served.
    Migrated(Migrated),
}

macro_rules! either {
    ($stream:expr, $inner:ident => $result:expr) => {
        match $stream {
            Stream::Tcp($inner) => $result,
            Stream::Unix($inner) | Stream::UnixSeqpacket($inner) => $result,
            Stream::Migrated($inner) => $result,
        }
    };
}

impl Stream {
    /// Returns a connection that came from the predecessor, and what was attached to it. It is as if just accepted: options that the
    /// predecessor has set are reset.
    pub(crate) fn adopt(incoming: IncomingConnection) -> io::Result<(Stream, Vec<u8>)> {
        let attached = incoming.attached().to_vec();
        let (fd, unread) = incoming.into_parts();
        let local: SockaddrStorage = getsockname(fd.as_raw_fd())?;
        let stream = match (local.family(), getsockopt(&fd, sockopt::SockType)?) {
            (Some(AddressFamily::Unix), SockType::SeqPacket) => Stream::UnixSeqpacket(fd.into()),
            (Some(AddressFamily::Unix), _) => Stream::Unix(fd.into()),
            _ => Stream::Tcp(fd.into()),
        };
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)?;
        let stream = if unread.is_empty() { stream } else { Stream::Migrated(Migrated::new(stream, unread)) };
        Ok((stream, attached))
    }

    /// Whether there are bytes to read that a `poll` of the descriptor does not report.
    pub(crate) fn has_unread(&self) -> bool {
        matches!(self, Stream::Migrated(_))
    }

    /// Returns a second handle to the connection (`fcntl(F_DUPFD_CLOEXEC)`).
    ///
    /// # Errors
    /// The errors of `fcntl`.
    pub fn try_clone(&self) -> io::Result<Stream> {
        Ok(match self {
            Stream::Tcp(stream) => Stream::Tcp(stream.try_clone()?),
            Stream::Unix(stream) => Stream::Unix(stream.try_clone()?),
            Stream::UnixSeqpacket(stream) => Stream::UnixSeqpacket(stream.try_clone()?),
            Stream::Migrated(migrated) => Stream::Migrated(migrated.try_clone()?),
        })
    }

    /// Sets whether reads and writes fail with [`io::ErrorKind::WouldBlock`] instead of waiting (O_NONBLOCK), for event loops.
    /// Defaults to off.
    ///
    /// # Errors
    /// The errors of `ioctl(FIONBIO)`.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        either!(self, stream => stream.set_nonblocking(on))
    }

    /// Sets how long each read may wait (SO_RCVTIMEO). `None`, the default, waits forever.
    ///
    /// # Errors
    /// - [`io::ErrorKind::InvalidInput`] if the duration is zero.
    /// - The errors of `setsockopt`.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        either!(self, stream => stream.set_read_timeout(timeout))
    }

    /// Sets how long each write may wait (SO_SNDTIMEO). `None`, the default, waits forever.
    ///
    /// # Errors
    /// - [`io::ErrorKind::InvalidInput`] if the duration is zero.
    /// - The errors of `setsockopt`.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        either!(self, stream => stream.set_write_timeout(timeout))
    }

    /// Closes this connection and waits until its client has received the last response.
    ///
    /// It shuts down the writing side, reads and discards what the client still sends, and returns when the client has closed its
    /// side, or 2 seconds after the last sign of life from the client. See [`Linger`].
    ///
    /// A drain waits for this call, because the guard is dropped at its end. Without this call, the end of the last response
    /// can be lost if the client sends more at that moment.
    pub fn close(self, guard: Guard) {
        let mut linger = Linger::begin(&self);
        while let Some(moment) = linger.step(&self) {
            let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, timeout_until(moment)) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(_) => break,
            }
        }
        // In this order: when the last guard is dropped, the process may exit.
        drop(self);
        drop(guard);
    }

    /// Shuts down this connection (`shutdown`). The listener is not affected.
    ///
    /// # Errors
    /// The errors of `shutdown`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        either!(self, stream => stream.shutdown(how))
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, stream => { let mut stream = stream; stream.read(buffer) })
    }
}

impl Write for &Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        either!(self, stream => { let mut stream = stream; stream.write(buffer) })
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(self, stream => { let mut stream = stream; stream.write_vectored(buffers) })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&*self).write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        either!(self, stream => stream.as_fd())
    }
}

/// Converts the connection into its descriptor. The bytes that a [migrated](Stream::Migrated) connection comes with are lost.
/// Take them first, with [`Migrated::into_parts`].
impl From<Stream> for OwnedFd {
    fn from(stream: Stream) -> OwnedFd {
        either!(stream, stream => stream.into())
    }
}
