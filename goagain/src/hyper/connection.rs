//! One connection, from its first request to its last.

use super::http_service::HttpService;
use super::service::Drained;
use crate::drain::Guard;
use crate::error::BoxError;
use crate::http::{Activity, Tracked};
use ::tokio::io::{AsyncRead, AsyncWrite};
use ::tokio::task::yield_now;
use ::tokio::time::{Instant, sleep};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

/// Serves one connection over HTTP/1.1 or HTTP/2, whichever the client speaks, and drains it in two phases. An upgrade takes `guard`
/// along.
///
/// # Errors
/// The error with which the connection ended: the client went away, or did not speak HTTP.
pub async fn serve_connection<I, S>(io: I, guard: Guard, service: S) -> Result<(), BoxError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: HttpService,
{
    serve_connection_with(&both_versions(), io, guard, service).await
}

pub(super) fn both_versions() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // For WebSockets over HTTP/2 (RFC 8441), as in axum.
    builder.http2().enable_connect_protocol();
    builder
}

/// Serves one connection like [`serve_connection`], with settings of your own: timeouts, sizes, only one version of HTTP.
///
/// # Errors
/// The errors of [`serve_connection`].
pub async fn serve_connection_with<I, S>(
    builder: &Builder<TokioExecutor>,
    io: I,
    guard: Guard,
    service: S,
) -> Result<(), BoxError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: HttpService,
{
    serve_tracked(builder, Tracked::new(io, Activity::new(guard)), service).await
}

/// Serves a connection that is tracked already.
pub(super) async fn serve_tracked<I, S>(
    builder: &Builder<TokioExecutor>,
    io: Tracked<I>,
    service: S,
) -> Result<(), BoxError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: HttpService,
{
    let activity = io.activity().clone();
    let mut draining = activity.draining();
    let mut shutdown = pin!(activity.clone().shutdown_requested());
    let service = Drained::new(service, activity.clone(), None);
    let speaks_http2 = service.speaks_http2();
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(Some(ended));
        }
        let drains = Pin::new(&mut draining).poll(cx).is_ready();
        // GOAWAY is sent with a response, as `Connection: close` is. At any other moment it could cross with a request that the
        // client's library has accepted and not yet written, and some libraries drop such a request.
        let should_end =
            drains && (speaks_http2() && activity.has_answered(cx) || shutdown.as_mut().poll(cx).is_ready());
        if should_end { Poll::Ready(None) } else { Poll::Pending }
    });
    if let Some(ended) = ended.await {
        return ended;
    }
    finish(connection, |connection| connection.graceful_shutdown(), &activity).await
}

/// Serves the remaining requests of a connection that is asked to close, and drops the connection when it is silent for too long.
pub(super) async fn finish<C, E>(
    mut connection: Pin<&mut C>,
    shut_down: impl Fn(Pin<&mut C>),
    activity: &Activity,
) -> Result<(), E>
where
    C: Future<Output = Result<(), E>>,
{
    // A request that has arrived is served in any case. So the runtime asks the kernel once more, and hyper reads.
    yield_now().await;
    let mut shutdown = pin!(activity.clone().shutdown_requested());
    let silence_limit = activity.silence_limit();
    let (mut silence, mut is_shut_down) = (None, false);
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            // hyper takes a connection for idle that has read a part of a request, and would close it. The response to that request
            // will close the connection.
            if !is_shut_down && !activity.has_partial_request() {
                shut_down(connection.as_mut());
                is_shut_down = true;
                continue;
            }
            let Some(silence) = &mut silence else {
                ready!(shutdown.as_mut().poll(cx));
                activity.is_silent();
                silence = Some(Box::pin(sleep(silence_limit)));
                continue;
            };
            ready!(silence.as_mut().poll(cx));
            // The connection has just been polled, so whatever has come is known.
            if activity.is_silent() {
                return Poll::Ready(Ok(()));
            }
            silence.as_mut().reset(Instant::now() + silence_limit);
        }
    })
    .await
}
