//! A connection that migrates to the successor when it waits for a request.

use super::connection::{both_versions, finish, serve_tracked};
use super::departing::Departing;
use super::http_service::HttpService;
use super::service::Drained;
use crate::drain::{Guard, ShutdownSignal};
use crate::error::BoxError;
use crate::http::{Activity, Tracked};
use crate::migrate::{MigrateError, Migrator, WaitOutcome};
use crate::tokio::Stream;
use ::hyper::server::conn::http1;
use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use hyper_util::rt::TokioIo;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

/// The beginning of every HTTP/2 connection (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves one connection like [`serve_connection`](super::serve_connection), and migrates it instead of closing it.
///
/// The connection is a socket that the listener of `migrator` has accepted. Over HTTP/1.1 it migrates to the successor as soon as it
/// waits for a request and the successor takes it. An HTTP/2 connection, and one that was upgraded, does not migrate.
///
/// # Errors
/// The errors of [`serve_connection`](super::serve_connection).
pub async fn serve_or_migrate<S: HttpService>(
    stream: Stream,
    guard: Guard,
    migrator: Migrator,
    service: S,
) -> Result<(), BoxError> {
    let (activity, migrator) = (Activity::new(guard), Arc::new(migrator));
    let (mut stream, mut unread) = into_parts(stream);
    // The bytes that came with it may be all that its client sends.
    let mut has_request = !may_be_preface(&unread);
    loop {
        if !has_request {
            match wait(&migrator, &activity, &stream, &unread).await? {
                WaitOutcome::Readable => {}
                WaitOutcome::Migrated => return Ok(()),
                WaitOutcome::Close => return Ok(close(Tracked::of_stream(stream, activity)).await?),
            }
            let is_at_end = read_some(&mut stream, &mut unread).await? == 0;
            if !is_at_end && may_be_preface(&unread) {
                continue;
            }
        }
        has_request = false;
        if unread.starts_with(PREFACE) {
            let stream = Tracked::of_stream(stream.with_unread(unread), activity);
            return serve_tracked(&both_versions(), stream, service).await;
        }
        let service = Drained::new(service.clone(), activity.clone(), Some(Arc::clone(&migrator)));
        match serve_until_idle(stream.with_unread(unread), &activity, &migrator, service).await? {
            Some(returned) => (stream, unread) = returned,
            None => return Ok(()),
        }
    }
}

/// Serves an accepted connection, which migrates if there is a migrator.
pub(crate) async fn serve_accepted<S: HttpService>(
    stream: Stream,
    guard: Guard,
    migrator: Option<Migrator>,
    service: S,
) -> Result<(), BoxError> {
    match migrator {
        Some(migrator) => serve_or_migrate(stream, guard, migrator, service).await,
        None => {
            let stream = Tracked::of_stream(stream, Activity::new(guard));
            serve_tracked(&both_versions(), stream, service).await
        }
    }
}

/// Waits like [`Migrator::wait`], as a future.
async fn wait(
    migrator: &Migrator,
    activity: &Activity,
    stream: &Stream,
    unread: &[u8],
) -> io::Result<WaitOutcome> {
    let mut shutdown = pin!(activity.clone().shutdown_requested());
    // Taken before the connection is sent, so that a route that opens after that is not missed.
    let mut opening = migrator.opening();
    loop {
        let mut room = None;
        if opening.as_ref().is_some_and(ShutdownSignal::is_requested) {
            match migrator.send_with(stream, unread, &activity.attached()) {
                Ok(()) => {
                    activity.forget_connection();
                    return Ok(WaitOutcome::Migrated);
                }
                Err(MigrateError::Full) => room = migrator.room(),
                Err(_) => {}
            }
            // Without room to wait for, it was refused, and would be refused again.
            if room.is_none() {
                opening = None;
            }
        }
        let mut can_migrate = pin!(async {
            match (&room, &mut opening) {
                (Some(room), _) => room.writable().await?,
                (None, Some(opening)) => opening.await,
                (None, None) => pending().await,
            }
            io::Result::Ok(())
        });
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(arrived) = stream.poll_arrived(cx) {
                return Poll::Ready(arrived.map(|()| Some(WaitOutcome::Readable)));
            }
            if shutdown.as_mut().poll(cx).is_ready() {
                // A request that has arrived is served, even if the connection is asked to close.
                let outcome = if stream.has_arrived() { WaitOutcome::Readable } else { WaitOutcome::Close };
                return Poll::Ready(Ok(Some(outcome)));
            }
            can_migrate.as_mut().poll(cx).map_ok(|()| None)
        });
        if let Some(outcome) = outcome.await? {
            return Ok(outcome);
        }
    }
}

/// Whether the version of HTTP is not known yet.
fn may_be_preface(unread: &[u8]) -> bool {
    unread.len() < PREFACE.len() && PREFACE.starts_with(unread)
}

/// Reads no more than is needed to know the version of HTTP. Returns how many bytes came.
async fn read_some(stream: &mut Stream, unread: &mut Vec<u8>) -> io::Result<usize> {
    let mut bytes = [0; PREFACE.len()];
    let mut buffer = ReadBuf::new(&mut bytes);
    poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer)).await?;
    unread.extend_from_slice(buffer.filled());
    Ok(buffer.filled().len())
}

/// Serves over HTTP/1.1. Returns the connection, with the bytes that were read and not served, when it waits for a request and can
/// migrate. Returns `None` when it has ended.
async fn serve_until_idle<S: HttpService>(
    stream: Stream,
    activity: &Activity,
    migrator: &Migrator,
    service: Drained<S>,
) -> Result<Option<(Stream, Vec<u8>)>, BoxError> {
    let has_begun = service.has_begun();
    activity.read_anew();
    let io = Departing::new(Tracked::of_stream(stream, activity.clone()));
    let state = io.state();
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(io), service).with_upgrades();
    let mut shutdown = pin!(activity.clone().shutdown_requested());
    let (mut opening, mut should_end) = (migrator.opening(), false);
    let migrates = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(Err(ended));
        }
        // So that a response that ends in another task wakes this one.
        let can_migrate = opening.as_mut().is_some_and(|opening| Pin::new(opening).poll(cx).is_ready());
        if can_migrate {
            activity.has_answered(cx);
        }
        if can_migrate && has_begun() && activity.is_between_requests() && !state.is_sending() {
            return Poll::Ready(Ok(true));
        }
        // A connection in a request can still migrate after the response.
        should_end = should_end || shutdown.as_mut().poll(cx).is_ready();
        if should_end && (activity.is_between_requests() || !migrator.can_migrate()) {
            Poll::Ready(Ok(false))
        } else {
            Poll::Pending
        }
    });
    match migrates.await {
        Err(ended) => return Ok(ended.map(|()| None)?),
        Ok(true) => {
            // If hyper takes the connection for idle too, it returns it at once: the last byte that it has read was the end of the last
            // request.
            state.set_departing(true);
            Pin::new(&mut connection).graceful_shutdown();
            match poll_fn(|cx| Poll::Ready(Pin::new(&mut connection).poll(cx))).await {
                Poll::Ready(Ok(())) => {
                    return Ok(connection.into_parts().map(|parts| {
                        let mut unread = parts.read_buf.to_vec();
                        let (stream, rest) = into_parts(parts.io.into_inner().into_inner().into_inner());
                        unread.extend(rest);
                        (stream, unread)
                    }));
                }
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Pending => state.set_departing(false),
            }
        }
        Ok(false) => {}
    }
    finish(pin!(connection), |connection| connection.graceful_shutdown(), activity).await?;
    Ok(None)
}

/// Closes a connection that waits for a request, so that its last response arrives.
async fn close(mut connection: Tracked<Stream>) -> io::Result<()> {
    poll_fn(|cx| Pin::new(&mut connection).poll_shutdown(cx)).await
}

/// Returns the connection, and the bytes that come before those of its descriptor.
fn into_parts(stream: Stream) -> (Stream, Vec<u8>) {
    match stream {
        Stream::Migrated(migrated) => migrated.into_parts(),
        stream => (stream, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_unknown_until_the_beginning_differs() {
        for unread in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            assert!(may_be_preface(unread), "{unread:?}");
        }
        for unread in [&b"PO"[..], b"GET", PREFACE] {
            assert!(!may_be_preface(unread), "{unread:?}");
        }
    }
}
