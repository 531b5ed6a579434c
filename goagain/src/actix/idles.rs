//! A connection that comes to its end when it is idle and told to go.

use crate::Guard;
use crate::counted::{Counted, Work};
use crate::tokio::Stream;
use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::time::{Sleep, sleep};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

/// actix-http has no word for it, so the connection looks as if its client had closed it.
pub(crate) struct Idles {
    stream: Counted<Stream>,
    work: Work,
    /// `None` once it is so.
    told: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// From then on, whether the client does something about the request that it has begun.
    silence: Option<Pin<Box<Sleep>>>,
}

impl Idles {
    pub(crate) fn new(stream: Stream, guard: Guard) -> Idles {
        let work = Work::new(guard);
        let told = Some(Box::pin(work.clone().told_to_go()) as Pin<Box<dyn Future<Output = ()> + Send>>);
        Idles { stream: Counted::of_stream(stream, work.clone()), work, told, silence: None }
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

    /// Whether it is to come to its end, having nothing to read: it is idle, or has begun a request and is silent for too long.
    fn poll_is_over(&mut self, cx: &mut Context<'_>) -> bool {
        // A request that is there is served, whatever else is said: the runtime may not know of it yet.
        if !self.poll_told(cx) || self.stream.get_ref().has_arrived() {
            return false;
        }
        if self.work.is_idle() {
            return true;
        }
        let patience = self.work.patience();
        let work = &self.work;
        let silence = self.silence.get_or_insert_with(|| {
            work.is_silent();
            Box::pin(sleep(patience))
        });
        if silence.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.silence = None;
        let is_silent = work.is_silent();
        if !is_silent {
            cx.waker().wake_by_ref();
        }
        is_silent
    }
}

impl AsyncRead for Idles {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_pending() && self.poll_is_over(cx) {
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
