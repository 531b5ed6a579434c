//! A connection with its guard.

use super::activity::Activity;
use crate::drain::linger::Lingering;
use crate::drain::peek::has_more;
use crate::tokio::Stream;
use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ::tokio::time::{Sleep, sleep};
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker, ready};

/// How many reads are made in one turn of what is only dropped.
const MOST_READS: usize = 64;

/// A connection that counts for as long as anything holds it: an upgrade takes it along.
///
/// When its library shuts it down it lingers, as [`Linger`](crate::drain::Linger) says, so that the last answer arrives. What has been
/// upgraded does not: there a shutdown ends one direction, and the other is the application's.
#[derive(Debug)]
pub struct Tracked<I> {
    io: I,
    work: Activity,
    /// The socket below, where it is known.
    socket: for<'a> fn(&'a I) -> Option<BorrowedFd<'a>>,
    was_unsent: usize,
    lingering: Lingering,
    /// Of a connection whose library has no word for it: it looks as if its client had closed it.
    ending: Option<Ending>,
}

/// How a connection comes to its end when it is told to go.
#[derive(Default)]
struct Ending {
    told: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    is_told: bool,
    /// From then on, whether its client is silent.
    silence: Option<Pin<Box<Sleep>>>,
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ending").field("is_told", &self.is_told).finish_non_exhaustive()
    }
}

impl Tracked<Stream> {
    pub(crate) fn of_stream(stream: Stream, work: Activity) -> Tracked<Stream> {
        Tracked { socket: |stream| Some(stream.as_fd()), ..Tracked::new(stream, work) }
    }

    /// The same for a library that closes no idle connection by itself: when this is told to go, its library reads an end.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn that_ends(stream: Stream, work: Activity) -> Tracked<Stream> {
        Tracked { ending: Some(Ending::default()), ..Tracked::of_stream(stream, work) }
    }
}

impl<I> Tracked<I> {
    pub(crate) fn new(io: I, work: Activity) -> Tracked<I> {
        Tracked { io, work, socket: |_| None, was_unsent: 0, lingering: Lingering::default(), ending: None }
    }

    #[cfg(feature = "hyper")]
    pub(crate) fn into_inner(self) -> I {
        self.io
    }

    /// Returns the connection itself.
    pub fn get_ref(&self) -> &I {
        &self.io
    }

    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn work(&self) -> &Activity {
        &self.work
    }

    /// In a drain, when the runtime has nothing to read: the kernel may have. A client that takes what was written is alive. Who
    /// is told to go and does not can be seen by the operator.
    fn look(&mut self) {
        let socket = (self.socket)(&self.io);
        self.work.0.has_nothing.store(!socket.is_some_and(has_more), Ordering::Relaxed);
        let unsent = self.work.bytes_unsent(socket);
        if let Some(socket) = socket.filter(|_| self.work.0.connections.is_closing_idle()) {
            self.work.lock().guard.name_by_client(socket);
        }
        if unsent < self.was_unsent {
            self.is_active();
        }
        self.was_unsent = unsent;
    }

    /// Whether it is to come to its end, having nothing to read: it is idle, or its client is silent for too long.
    fn poll_is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(Ending { told, is_told, silence }) = &mut self.ending else { return false };
        let work = &self.work;
        if !*is_told {
            let told = told.get_or_insert_with(|| Box::pin(work.clone().shutdown_requested()));
            *is_told = told.as_mut().poll(cx).is_ready();
        }
        if !*is_told || !work.0.has_nothing.load(Ordering::Relaxed) {
            return false;
        }
        if work.is_idle() {
            return true;
        }
        loop {
            let timer = silence.get_or_insert_with(|| {
                work.is_silent();
                Box::pin(sleep(work.patience()))
            });
            if timer.as_mut().poll(cx).is_pending() {
                return false;
            }
            *silence = None;
            if work.is_silent() {
                return true;
            }
        }
    }

    fn is_active(&self) {
        self.work.0.is_active.store(true, Ordering::Relaxed);
    }

    fn is_upgraded(&self) -> bool {
        self.work.0.is_upgraded.load(Ordering::Relaxed)
    }

    fn set_blocked(&self, is_blocked: bool) {
        let was_blocked = self.work.0.is_blocked.swap(is_blocked, Ordering::Relaxed);
        if was_blocked && !is_blocked {
            let end = self.work.lock().end.take();
            end.into_iter().for_each(Waker::wake);
        }
    }

    /// What was written, or could not be.
    fn written<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.set_blocked(written.is_pending());
        if written.is_ready() {
            self.is_active();
        }
        written
    }
}

impl<I: AsyncRead + Unpin> Tracked<I> {
    /// Drops what comes behind the last request, since a library that answered it would answer behind its last answer, and tells
    /// the client's end alone.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut dropped = [0; 4096];
        for _ in 0..MOST_READS {
            let mut dropped = ReadBuf::new(&mut dropped);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut dropped))?;
            if dropped.filled().is_empty() {
                return if self.work.keeps_the_end(cx) { Poll::Pending } else { Poll::Ready(Ok(())) };
            }
            self.is_active();
        }
        // The others of this thread have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Tracked<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.work.reads_no_more() {
            return this.poll_end(cx);
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buffer);
        if this.is_upgraded() {
            return read;
        }
        let Poll::Ready(read) = read else {
            this.work.read(b"");
            if !this.work.is_draining() {
                this.work.0.has_nothing.store(false, Ordering::Relaxed);
                // To be woken when the drain tells it to go.
                this.poll_is_over(cx);
                return Poll::Pending;
            }
            this.look();
            return if this.poll_is_over(cx) { Poll::Ready(Ok(())) } else { Poll::Pending };
        };
        read?;
        let bytes = &buffer.filled()[before..];
        if bytes.is_empty() && buffer.remaining() > 0 {
            return if this.work.keeps_the_end(cx) { Poll::Pending } else { Poll::Ready(Ok(())) };
        }
        this.is_active();
        this.work.0.has_nothing.store(false, Ordering::Relaxed);
        this.work.read(bytes);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tracked<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, buffer);
        this.written(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, buffers);
        this.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        this.set_blocked(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_upgraded() {
            return Pin::new(&mut this.io).poll_shutdown(cx);
        }
        let (work, socket) = (&this.work, this.socket);
        let closed = this.lingering.poll(cx, &mut this.io, |io| work.bytes_unsent(socket(io)));
        if closed.is_pending() {
            // It has an end of its own.
            this.is_active();
        }
        closed
    }
}
