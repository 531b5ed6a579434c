//! A connection with its guard.

use crate::tokio::guard::told_to_go;
use crate::{Guard, Kind};
use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// What a connection does, told to its guard by whoever serves it.
#[derive(Clone, Debug)]
pub(crate) struct Work(Arc<Mutex<Doing>>);

#[derive(Debug)]
struct Doing {
    guard: Guard,
    /// HTTP/2 has several at a time.
    requests: usize,
    /// An answer has ended while this process drains, and who wants to know.
    answered: bool,
    waker: Option<Waker>,
}

impl Work {
    pub(crate) fn new(guard: Guard) -> Work {
        Work(Arc::new(Mutex::new(Doing { guard, requests: 0, answered: false, waker: None })))
    }

    /// One more request.
    pub(crate) fn begin(&self) -> InRequest {
        let mut doing = self.lock();
        doing.requests += 1;
        if doing.guard.kind() == Kind::Idle {
            doing.guard.busy();
        }
        drop(doing);
        InRequest(self.clone())
    }

    /// From now on it speaks another protocol.
    pub(crate) fn upgrade(&self) {
        self.lock().guard.long_lived();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.lock().guard.is_draining()
    }

    /// Whether an answer has ended while this process drains; if not, the task of `cx` is woken when one has.
    #[cfg(feature = "hyper")]
    pub(crate) fn has_answered(&self, cx: &Context<'_>) -> bool {
        let mut doing = self.lock();
        doing.waker = Some(cx.waker().clone());
        doing.answered
    }

    /// Whether no request is under way, and none was upgraded.
    #[cfg(any(feature = "actix", feature = "hyper"))]
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().guard.kind() == Kind::Idle
    }

    /// As [`Guard::give_up_connection`].
    #[cfg(feature = "hyper")]
    pub(crate) fn give_up_connection(&self) {
        self.lock().guard.give_up_connection();
    }

    pub(crate) async fn told_to_go(self) {
        told_to_go(|| {
            let guard = &self.lock().guard;
            (guard.told(), guard.told_at())
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, Doing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is under way, until its answer's last byte.
#[derive(Debug)]
pub(crate) struct InRequest(Work);

impl Drop for InRequest {
    fn drop(&mut self) {
        let mut doing = self.0.lock();
        doing.requests -= 1;
        if doing.requests == 0 && doing.guard.kind() == Kind::InRequest {
            doing.guard.idle();
        }
        if doing.guard.is_draining() {
            doing.answered = true;
            let waker = doing.waker.take();
            // Whatever a waker does, it does without our lock.
            drop(doing);
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

/// A connection that counts for as long as anything holds it: an upgrade takes it along.
#[derive(Debug)]
pub struct Counted<I> {
    io: I,
    _work: Work,
}

impl<I> Counted<I> {
    pub(crate) fn new(io: I, work: Work) -> Counted<I> {
        Counted { io, _work: work }
    }

    #[cfg(feature = "hyper")]
    pub(crate) fn into_inner(self) -> I {
        self.io
    }

    /// The connection itself.
    pub fn get_ref(&self) -> &I {
        &self.io
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Counted<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Counted<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
