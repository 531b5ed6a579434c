//! One connection, from its first request to its last.

use super::service::Drained;
use crate::drain::{DrainPhase, Guard, ShutdownSignal};
use crate::error::BoxError;
use crate::http::{Activity, Tracked};
use ::hyper::body::{Body as HttpBody, Incoming};
use ::hyper::service::Service;
use ::hyper::{Request, Response};
use ::tokio::io::{AsyncRead, AsyncWrite};
use ::tokio::task::yield_now;
use ::tokio::time::{Instant, sleep};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

/// Serves one connection, by HTTP/1.1 or HTTP/2 as the client wants it, and drains it in two phases. An upgrade takes
/// `guard` along.
///
/// # Errors
/// What the connection ended with: a client that went away, or did not speak HTTP.
pub async fn serve_connection<I, S, B>(io: I, guard: Guard, service: S) -> Result<(), BoxError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    serve_connection_with(&both_versions(), io, guard, service).await
}

pub(super) fn both_versions() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // For WebSockets over HTTP/2 (RFC 8441), as axum does.
    builder.http2().enable_connect_protocol();
    builder
}

/// [`serve_connection`] with settings of yours: timeouts, sizes, one version of HTTP alone.
///
/// # Errors
/// As [`serve_connection`].
pub async fn serve_connection_with<I, S, B>(
    builder: &Builder<TokioExecutor>,
    io: I,
    guard: Guard,
    service: S,
) -> Result<(), BoxError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let draining = guard.connections().shutdown_signal(DrainPhase::Draining);
    let work = Activity::new(guard);
    serve_work(builder, Tracked::new(io, work.clone()), work, draining, service).await
}

/// The same for a connection that has been looked at before.
pub(super) async fn serve_work<I, S, B>(
    builder: &Builder<TokioExecutor>,
    io: Tracked<I>,
    work: Activity,
    mut draining: ShutdownSignal,
    service: S,
) -> Result<(), BoxError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let mut told = pin!(work.clone().shutdown_requested());
    let service = Drained::new(service, work.clone(), None);
    let speaks_http2 = service.speaks_http2();
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(Some(ended));
        }
        let drains = Pin::new(&mut draining).poll(cx).is_ready();
        // GOAWAY goes with an answer, as `Connection: close` does: at any other moment it may cross with a request that the
        // client's library has taken and not yet written, which that gives up then.
        let is_told =
            drains && (speaks_http2() && work.has_answered(cx) || told.as_mut().poll(cx).is_ready());
        if is_told { Poll::Ready(None) } else { Poll::Pending }
    });
    if let Some(ended) = ended.await {
        return ended;
    }
    end(connection, |connection| connection.graceful_shutdown(), &work).await
}

/// Serves what there is to serve of a connection that is told to go, and lets go of it when it is silent for too long.
pub(super) async fn end<C, E>(
    mut connection: Pin<&mut C>,
    shut_down: impl Fn(Pin<&mut C>),
    work: &Activity,
) -> Result<(), E>
where
    C: Future<Output = Result<(), E>>,
{
    // A request that is there is served, whatever else is said: the runtime asks the kernel once more, and hyper looks.
    yield_now().await;
    let mut told = pin!(work.clone().shutdown_requested());
    let patience = work.patience();
    let (mut silence, mut is_shut_down) = (None, false);
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            // hyper would close what has read a part of a request, and take it for idle. Its answer will close it.
            if !is_shut_down && !work.has_part() {
                shut_down(connection.as_mut());
                is_shut_down = true;
                continue;
            }
            let Some(silence) = &mut silence else {
                ready!(told.as_mut().poll(cx));
                work.is_silent();
                silence = Some(Box::pin(sleep(patience)));
                continue;
            };
            ready!(silence.as_mut().poll(cx));
            // It has just been polled, so that what has come is known.
            if work.is_silent() {
                return Poll::Ready(Ok(()));
            }
            silence.as_mut().reset(Instant::now() + patience);
        }
    })
    .await
}
