//! A connection of which another process has read some bytes.

use super::Stream;
use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A connection with bytes that come before what is read from its descriptor: [`crate::migrate::Migrated`], for tokio.
#[derive(Debug)]
pub struct Migrated {
    unread: VecDeque<u8>,
    stream: Box<Stream>,
}

impl Migrated {
    pub(super) fn new(stream: Stream, unread: Vec<u8>) -> Migrated {
        Migrated { unread: unread.into(), stream: Box::new(stream) }
    }

    /// Returns the connection itself, to look at its addresses and to set its options.
    pub fn get_ref(&self) -> &Stream {
        &self.stream
    }

    /// Returns the connection, and the bytes that were not read yet.
    pub fn into_parts(self) -> (Stream, Vec<u8>) {
        (*self.stream, self.unread.into())
    }

    pub(super) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.unread.read(buffer)? {
            0 => self.stream.try_read(buffer),
            read => Ok(read),
        }
    }

    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }
}

impl AsyncRead for Migrated {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread.is_empty() {
            return Pin::new(&mut *this.stream).poll_read(cx, buffer);
        }
        let read = this.unread.read(buffer.initialize_unfilled())?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Migrated {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().stream).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_shutdown(cx)
    }
}

impl AsFd for Migrated {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
    use ::tokio::net::UnixStream;

    #[::tokio::test]
    async fn what_was_read_before_comes_first_and_once() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let mut moved = Stream::Unix(server).with_unread(b"GET /".to_vec());
        assert!(moved.has_arrived());
        let mut read = [0; 3];
        moved.read_exact(&mut read).await.unwrap();
        client.write_all(b" HTTP").await.unwrap();
        let mut rest = [0; 7];
        moved.read_exact(&mut rest).await.unwrap();
        assert_eq!((&read, &rest), (b"GET", b" / HTTP"));
        assert!(!moved.has_arrived());
    }
}
