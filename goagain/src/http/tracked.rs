//! A connection whose activity is tracked.

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

/// How many reads one turn makes of bytes that are only discarded.
const MAX_READS: usize = 64;

/// A connection with its [`Guard`](crate::Guard): a drain waits for it until it is dropped. An upgrade takes the guard along.
///
/// When the HTTP library shuts it down, it lingers, as [`Linger`](crate::drain::Linger) describes, so that the last response arrives.
/// An upgraded connection does not linger: its shutdown ends one direction only, and the other belongs to the application.
#[derive(Debug)]
pub struct Tracked<I> {
    io: I,
    activity: Activity,
    /// Returns the underlying socket, if it is known.
    socket: for<'a> fn(&'a I) -> Option<BorrowedFd<'a>>,
    unsent_before: usize,
    lingering: Lingering,
    /// Exists if the HTTP library cannot be asked to close an idle connection. Then the library reads an end, as if the client had
    /// closed the connection.
    ending: Option<Ending>,
}

/// How a connection is ended when it is asked to close.
#[derive(Default)]
struct Ending {
    shutdown: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    is_requested: bool,
    /// A timer for the silence of the client, once the shutdown is requested.
    silence: Option<Pin<Box<Sleep>>>,
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ending").field("is_requested", &self.is_requested).finish_non_exhaustive()
    }
}

impl Tracked<Stream> {
    pub(crate) fn of_stream(stream: Stream, activity: Activity) -> Tracked<Stream> {
        Tracked { socket: |stream| Some(stream.as_fd()), ..Tracked::new(stream, activity) }
    }

    /// Returns a connection for an HTTP library that cannot be asked to close an idle connection: when this one is asked to close, the
    /// library reads an end.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn that_ends(stream: Stream, activity: Activity) -> Tracked<Stream> {
        Tracked { ending: Some(Ending::default()), ..Tracked::of_stream(stream, activity) }
    }
}

impl<I> Tracked<I> {
    pub(crate) fn new(io: I, activity: Activity) -> Tracked<I> {
        Tracked {
            io,
            activity,
            socket: |_| None,
            unsent_before: 0,
            lingering: Lingering::default(),
            ending: None,
        }
    }

    #[cfg(feature = "hyper")]
    pub(crate) fn into_inner(self) -> I {
        self.io
    }

    /// Returns the connection itself.
    pub fn get_ref(&self) -> &I {
        &self.io
    }

    pub(crate) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Asks the kernel during a drain, when the runtime has nothing to read: the kernel may have. A client that takes what was written
    /// is alive. A connection that is asked to close gets a name in the list, so that the operator sees those that stay.
    fn look(&mut self) {
        let socket = (self.socket)(&self.io);
        self.activity.0.is_socket_empty.store(!socket.is_some_and(has_more), Ordering::Relaxed);
        let unsent = self.activity.bytes_unsent(socket);
        if let Some(socket) = socket.filter(|_| self.activity.0.connections.is_closing_idle()) {
            self.activity.lock().guard.name_by_client(socket);
        }
        if unsent < self.unsent_before {
            self.set_active();
        }
        self.unsent_before = unsent;
    }

    /// Whether the connection should be ended: it is asked to close, has nothing to read, and is idle or has been silent for too long.
    fn poll_is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(Ending { shutdown, is_requested, silence }) = &mut self.ending else { return false };
        let activity = &self.activity;
        if !*is_requested {
            let shutdown = shutdown.get_or_insert_with(|| Box::pin(activity.clone().shutdown_requested()));
            *is_requested = shutdown.as_mut().poll(cx).is_ready();
        }
        if !*is_requested || !activity.0.is_socket_empty.load(Ordering::Relaxed) {
            return false;
        }
        if activity.is_idle() {
            return true;
        }
        loop {
            let timer = silence.get_or_insert_with(|| {
                activity.is_silent();
                Box::pin(sleep(activity.silence_limit()))
            });
            if timer.as_mut().poll(cx).is_pending() {
                return false;
            }
            *silence = None;
            if activity.is_silent() {
                return true;
            }
        }
    }

    fn set_active(&self) {
        self.activity.0.is_active.store(true, Ordering::Relaxed);
    }

    fn is_upgraded(&self) -> bool {
        self.activity.0.is_upgraded.load(Ordering::Relaxed)
    }

    fn set_blocked(&self, is_blocked: bool) {
        let was_blocked = self.activity.0.is_blocked.swap(is_blocked, Ordering::Relaxed);
        if was_blocked && !is_blocked {
            let end_waker = self.activity.lock().end_waker.take();
            end_waker.into_iter().for_each(Waker::wake);
        }
    }

    /// Notes whether something was written, or the client does not take it.
    fn written<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.set_blocked(written.is_pending());
        if written.is_ready() {
            self.set_active();
        }
        written
    }
}

impl<I: AsyncRead + Unpin> Tracked<I> {
    /// Discards what comes after the last request, and passes on only the end. A library that read a further request would answer it
    /// after its last response.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut dropped = [0; 4096];
        for _ in 0..MAX_READS {
            let mut dropped = ReadBuf::new(&mut dropped);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut dropped))?;
            if dropped.filled().is_empty() {
                return if self.activity.holds_back_end(cx) { Poll::Pending } else { Poll::Ready(Ok(())) };
            }
            self.set_active();
        }
        // Other tasks of this thread get their turn.
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
        if this.activity.reads_no_more() {
            return this.poll_end(cx);
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buffer);
        if this.is_upgraded() {
            return read;
        }
        let Poll::Ready(read) = read else {
            this.activity.read(b"");
            if !this.activity.is_draining() {
                this.activity.0.is_socket_empty.store(false, Ordering::Relaxed);
                // So that the task is woken when the connection is asked to close.
                this.poll_is_over(cx);
                return Poll::Pending;
            }
            this.look();
            return if this.poll_is_over(cx) { Poll::Ready(Ok(())) } else { Poll::Pending };
        };
        read?;
        let bytes = &buffer.filled()[before..];
        if bytes.is_empty() && buffer.remaining() > 0 {
            return if this.activity.holds_back_end(cx) { Poll::Pending } else { Poll::Ready(Ok(())) };
        }
        this.set_active();
        this.activity.0.is_socket_empty.store(false, Ordering::Relaxed);
        this.activity.read(bytes);
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
        let (activity, socket) = (&this.activity, this.socket);
        let closed = this.lingering.poll(cx, &mut this.io, |io| activity.bytes_unsent(socket(io)));
        if closed.is_pending() {
            // Lingering has a deadline of its own.
            this.set_active();
        }
        closed
    }
}
