//! What is served, as futures.

use super::Stream;
use crate::drain::Guard;
use crate::error::BoxError;
use crate::socket::Listener;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What [`run`](super::run) serves: a [`server`] of this module or of another one, a [`serve_fn`], or a tuple or `Vec` of these
/// for several listeners.
pub trait Serve {
    /// Serves for one [term](crate::guide::restart#words). [`run`](super::run) calls it once for each term: when this process
    /// has become the owner, and again if its successor fails and this process takes over again.
    ///
    /// It should accept until the term ends, and then return. An [`Acceptor`](super::Acceptor) ends with the term. It need not
    /// wait for the connections, because a drain waits for their guards. If it spawns tasks that accept, it may return at once.
    ///
    /// The task that awaits [`run`](super::run) polls this future, beside the signal loop, until the future is done or this
    /// process exits or execs.
    ///
    /// # Errors
    /// An error before the end of the term ends this process as if it had crashed: see [`goagain::run`](crate::run). A later
    /// error is ignored.
    fn serve(&self) -> impl Future<Output = Result<(), BoxError>>;
}

/// Returns a server that calls an async closure once for each term. It is for everything that the other servers do not do.
///
/// ```no_run
/// # async fn doc() -> Result<(), goagain::Error> {
/// goagain::tokio::run(goagain::Single, async |again| {
///     let echo = again.listen("echo", "127.0.0.1:3000")?;
///     Ok(goagain::tokio::serve_fn(async move || {
///         let mut acceptor = echo.to_tokio()?;
///         while let Some(accepted) = acceptor.accept().await {
///             let (stream, guard) = accepted?;
///             tokio::spawn(stream.close(guard));
///         }
///         Ok(())
///     }))
/// })
/// .await
/// # }
/// ```
pub fn serve_fn<F>(serve: F) -> ServeFn<F>
where
    F: AsyncFn() -> Result<(), BoxError>,
{
    ServeFn(serve)
}

/// A server that is an async closure, made by [`serve_fn`].
pub struct ServeFn<F>(F);

impl<F> fmt::Debug for ServeFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeFn").finish_non_exhaustive()
    }
}

impl<F> Serve for ServeFn<F>
where
    F: AsyncFn() -> Result<(), BoxError>,
{
    async fn serve(&self) -> Result<(), BoxError> {
        (self.0)().await
    }
}

impl<S: Serve> Serve for Vec<S> {
    async fn serve(&self) -> Result<(), BoxError> {
        All(self.iter().map(|each| Box::pin(each.serve()) as Serving<'_>).collect()).await
    }
}

macro_rules! serve_each {
    ($($server:ident $index:tt),+) => {
        impl<$($server: Serve),+> Serve for ($($server,)+) {
            async fn serve(&self) -> Result<(), BoxError> {
                All(vec![$(Box::pin(self.$index.serve()) as Serving<'_>),+]).await
            }
        }
    };
}

serve_each!(A 0, B 1);
serve_each!(A 0, B 1, C 2);
serve_each!(A 0, B 1, C 2, D 3);

pub(crate) type Serving<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + 'a>>;

/// Serves all of them; the first error ends it.
pub(crate) struct All<'a>(pub(crate) Vec<Serving<'a>>);

impl Future for All<'_> {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut failed = None;
        self.0.retain_mut(|serving| match serving.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(served) => {
                failed = failed.take().or(served.err());
                false
            }
        });
        match failed {
            Some(error) => Poll::Ready(Err(error)),
            None if self.0.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }
}

/// Polls `first` and then `all`, so that a server that is never idle does not keep the signal loop from its turn. Returns what `first`
/// returns, or the first error of `all` if errors count.
pub(crate) async fn beside<T>(
    first: impl Future<Output = T>,
    all: &mut All<'_>,
    errors_count: bool,
) -> Result<T, BoxError> {
    let mut first = std::pin::pin!(first);
    poll_fn(|cx| {
        if let Poll::Ready(done) = first.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        match Pin::new(&mut *all).poll(cx) {
            Poll::Ready(Err(error)) if errors_count => Poll::Ready(Err(error)),
            _ => Poll::Pending,
        }
    })
    .await
}

/// Returns a server that accepts on `listener` and calls `handler` for each connection. It spawns the future that `handler`
/// returns as a task.
pub fn server<H, F>(listener: Listener, handler: H) -> Server<H>
where
    H: Fn(Stream, Guard) -> F,
    F: Future + Send + 'static,
    F::Output: Send,
{
    Server { listener, handler }
}

/// A server with a task for each connection, made by [`server`].
pub struct Server<H> {
    listener: Listener,
    handler: H,
}

impl<H> fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl<H, F> Serve for Server<H>
where
    H: Fn(Stream, Guard) -> F,
    F: Future + Send + 'static,
    F::Output: Send,
{
    async fn serve(&self) -> Result<(), BoxError> {
        let mut acceptor = self.listener.to_tokio()?;
        while let Some(accepted) = acceptor.accept().await {
            let (stream, guard) = accepted?;
            ::tokio::spawn((self.handler)(stream, guard));
        }
        Ok(())
    }
}
