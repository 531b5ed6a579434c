//! What an acceptor yields.

use crate::drain::guard::until;
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

/// An accepted connection, blocking.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
    /// Over a Unix socket of packets (SOCK_SEQPACKET), in std's type, since its calls are the same: a write is one packet,
    /// and a read is one packet, cut to the buffer's length.
    UnixSeqpacket(UnixStream),
    /// Migrated here by the predecessor, with bytes that it had read and not served.
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
    /// A connection that came from another process, and what it carries: as if it was just accepted, so with no options of that
    /// process.
    pub(crate) fn adopt(arrived: IncomingConnection) -> io::Result<(Stream, Vec<u8>)> {
        let attached = arrived.attached().to_vec();
        let (fd, unread) = arrived.into_parts();
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

    /// Whether bytes are to be read that no `poll` of the descriptor tells of.
    pub(crate) fn has_unread(&self) -> bool {
        matches!(self, Stream::Migrated(_))
    }

    /// A second handle to the connection (`dup`).
    ///
    /// # Errors
    /// Those of `fcntl(F_DUPFD_CLOEXEC)`.
    pub fn try_clone(&self) -> io::Result<Stream> {
        Ok(match self {
            Stream::Tcp(stream) => Stream::Tcp(stream.try_clone()?),
            Stream::Unix(stream) => Stream::Unix(stream.try_clone()?),
            Stream::UnixSeqpacket(stream) => Stream::UnixSeqpacket(stream.try_clone()?),
            Stream::Migrated(moved) => Stream::Migrated(moved.try_clone()?),
        })
    }

    /// Whether reads and writes give [`io::ErrorKind::WouldBlock`] in place of waiting (O_NONBLOCK): for loops that poll.
    ///
    /// # Errors
    /// Those of `ioctl(FIONBIO)`.
    pub fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        either!(self, stream => stream.set_nonblocking(on))
    }

    /// Bounds each read (`SO_RCVTIMEO`); `None` waits for ever.
    ///
    /// # Errors
    /// Those of `setsockopt`, and a duration of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        either!(self, stream => stream.set_read_timeout(timeout))
    }

    /// Bounds each write (`SO_SNDTIMEO`); `None` waits for ever.
    ///
    /// # Errors
    /// Those of `setsockopt`, and a duration of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        either!(self, stream => stream.set_write_timeout(timeout))
    }

    /// Closes this connection, and waits until its client has the last answer: shuts down the writing side, reads and drops what
    /// comes, and returns when the client has closed, or 2 seconds after its last sign of life. See [`Linger`].
    ///
    /// The drain waits for it: the guard is dropped at the end. Closing a connection without this can lose the end of what was
    /// written, where the client sends more at that moment.
    pub fn close(self, guard: Guard) {
        let mut linger = Linger::begin(&self);
        while let Some(moment) = linger.step(&self) {
            let mut fds = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, until(moment)) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(_) => break,
            }
        }
        // In this order, as the process may leave after the last guard.
        drop(self);
        drop(guard);
    }

    /// Shuts down this connection, never the listener (`shutdown`).
    ///
    /// # Errors
    /// Those of `shutdown`.
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

/// Of a [moved](Stream::Migrated) one the bytes that were read before are lost: take them first, by [`Migrated::into_parts`].
impl From<Stream> for OwnedFd {
    fn from(stream: Stream) -> OwnedFd {
        either!(stream, stream => stream.into())
    }
}
