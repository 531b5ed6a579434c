//! A connection that hyper may be asked to return.

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// A connection that knows whether everything was sent, and is not shut down while it departs: a shutdown would end it for the
/// successor too.
#[derive(Debug)]
pub(super) struct Departing<I> {
    io: I,
    state: State,
}

/// What the server knows of the connection while hyper has it.
#[derive(Clone, Debug, Default)]
pub(super) struct State(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    is_sending: AtomicBool,
    is_departing: AtomicBool,
}

impl State {
    /// Whether something that was written is not sent yet.
    pub(super) fn is_sending(&self) -> bool {
        self.0.is_sending.load(Ordering::Relaxed)
    }

    pub(super) fn set_departing(&self, is_departing: bool) {
        self.0.is_departing.store(is_departing, Ordering::Relaxed);
    }
}

impl<I> Departing<I> {
    pub(super) fn new(io: I) -> Departing<I> {
        Departing { io, state: State::default() }
    }

    pub(super) fn state(&self) -> State {
        self.state.clone()
    }

    pub(super) fn into_inner(self) -> I {
        self.io
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Departing<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Departing<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.state.0.is_sending.store(true, Ordering::Relaxed);
        Pin::new(&mut self.get_mut().io).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.state.0.is_sending.store(true, Ordering::Relaxed);
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper flushes when it has written everything.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        this.state.0.is_sending.store(flushed.is_pending(), Ordering::Relaxed);
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.state.0.is_departing.load(Ordering::Relaxed) {
            true => Poll::Ready(Ok(())),
            false => Pin::new(&mut self.get_mut().io).poll_shutdown(cx),
        }
    }
}
