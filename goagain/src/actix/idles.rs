//! A connection that comes to its end when it is idle and told to go.

use crate::Guard;
use crate::counted::{Counted, Work};
use crate::tokio::Stream;
use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

/// actix-http has no word for it, so the connection looks as if its client had closed it.
pub(crate) struct Idles {
    stream: Counted<Stream>,
    work: Work,
    /// `None` once it is so.
    told: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Idles {
    pub(crate) fn new(stream: Stream, guard: Guard) -> Idles {
        let work = Work::new(guard);
        let told = Some(Box::pin(work.clone().told_to_go()) as Pin<Box<dyn Future<Output = ()> + Send>>);
        Idles { stream: Counted::new(stream, work.clone()), work, told }
    }

    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    fn poll_told(&mut self, cx: &mut Context<'_>) -> bool {
        if self.told.as_mut().is_some_and(|told| told.as_mut().poll(cx).is_ready()) {
            self.told = None;
        }
        self.told.is_none()
    }
}

impl AsyncRead for Idles {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        // A request that is there is served, whatever else is said: the runtime may not know of it yet.
        if read.is_pending()
            && self.poll_told(cx)
            && self.work.is_idle()
            && !self.stream.get_ref().has_arrived()
        {
            return Poll::Ready(Ok(()));
        }
        read
    }
}

impl AsyncWrite for Idles {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
