//! An accepted connection.

use super::Migrated;
use crate::drain::Guard;
use crate::drain::linger::{Lingering, bytes_unsent};
use ::tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use ::tokio::net::{TcpStream, UnixStream};
use nix::sys::socket::{MsgFlags, recv};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// An accepted connection, for tokio.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
    /// Migrated here by the predecessor, with bytes that it had read and not served.
    Migrated(Migrated),
}

macro_rules! either {
    ($stream:expr, $inner:ident => $result:expr) => {
        match $stream {
            Stream::Tcp($inner) => $result,
            Stream::Unix($inner) => $result,
            Stream::Migrated($inner) => $result,
        }
    };
}

impl Stream {
    pub(crate) fn from_std(stream: crate::socket::Stream) -> io::Result<Stream> {
        match stream {
            crate::socket::Stream::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream).map(Stream::Tcp)
            }
            crate::socket::Stream::Unix(stream) | crate::socket::Stream::UnixSeqpacket(stream) => {
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream).map(Stream::Unix)
            }
            crate::socket::Stream::Migrated(moved) => {
                let (stream, unread) = moved.into_parts();
                Ok(Stream::from_std(stream)?.with_unread(unread))
            }
        }
    }

    /// Waits until there is something to read. The end of the stream and an error count as something to read.
    ///
    /// # Errors
    /// An error if the runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_arrived(cx)).await
    }

    /// Closes this connection and waits until its client has received the last response.
    ///
    /// It shuts down the writing side, reads and discards what the client still sends, and returns when the client has closed
    /// its side, or 2 seconds after the last sign of life from the client. See [`Linger`](crate::drain::Linger).
    ///
    /// A drain waits for this call, because the guard is dropped at its end. Without this call, the end of the last response
    /// can be lost if the client sends more at that moment. Errors are ignored, because the connection ends anyway.
    ///
    /// # Panics
    /// If the runtime was built without `enable_time`.
    pub async fn close(mut self, guard: Guard) {
        let mut lingering = Lingering::default();
        let unsent = |stream: &Stream| bytes_unsent(stream.as_fd());
        let _ = poll_fn(|cx| lingering.poll(cx, &mut self, unsent)).await;
        // In this order, because the process may exit after the last guard.
        drop(self);
        drop(guard);
    }

    /// Reads what has arrived (`recv`), and never waits.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing has arrived, and the errors of `recv`.
    pub fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.try_read(buffer),
            Stream::Unix(stream) => stream.try_read(buffer),
            Stream::Migrated(moved) => moved.try_read(buffer),
        }
    }

    /// Returns this connection with bytes that come before what is read from its descriptor.
    pub(crate) fn with_unread(self, unread: Vec<u8>) -> Stream {
        if unread.is_empty() { self } else { Stream::Migrated(Migrated::new(self, unread)) }
    }

    /// Returns the address of the client, if the connection is over TCP.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn peer(&self) -> Option<std::net::SocketAddr> {
        match self {
            Stream::Tcp(stream) => stream.peer_addr().ok(),
            Stream::Unix(_) => None,
            Stream::Migrated(moved) => moved.get_ref().peer(),
        }
    }

    /// Returns whether there is something to read, and asks the kernel for it (`recv` with MSG_PEEK). The end and an error count too.
    pub(crate) fn has_arrived(&self) -> bool {
        matches!(self, Stream::Migrated(moved) if moved.has_unread())
            || self.peek().map_or_else(|error| error.kind() != io::ErrorKind::WouldBlock, |()| true)
    }

    /// Waits until there is. The readiness that the runtime remembers may be out of date, and is corrected then.
    pub(crate) fn poll_arrived(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let looked = match self {
                Stream::Tcp(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_io(Interest::READABLE, || self.peek())
                }
                Stream::Unix(stream) => {
                    ready!(stream.poll_read_ready(cx))?;
                    stream.try_io(Interest::READABLE, || self.peek())
                }
                Stream::Migrated(moved) if moved.has_unread() => return Poll::Ready(Ok(())),
                Stream::Migrated(moved) => return moved.get_ref().poll_arrived(cx),
            };
            match looked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The next read returns the error.
                _ => return Poll::Ready(Ok(())),
            }
        }
    }

    fn peek(&self) -> io::Result<()> {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        Ok(recv(self.as_fd().as_raw_fd(), &mut [0], flags).map(drop)?)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buffer))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, buffers))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        either!(self, stream => stream.as_fd())
    }
}
