//! A connection that moves to the successor when it waits for a request.

use super::connection::{both_versions, end, serve_work};
use super::departing::Departing;
use super::service::Drained;
use crate::drain::{DrainPhase, Guard};
use crate::error::BoxError;
use crate::http::{Activity, Tracked};
use crate::migrate::{MigrateError, Migrator, WaitOutcome};
use crate::tokio::Stream;
use ::hyper::body::{Body as HttpBody, Incoming};
use ::hyper::server::conn::http1;
use ::hyper::service::Service;
use ::hyper::{Request, Response};
use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use hyper_util::rt::TokioIo;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

/// What a connection of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// [`serve_connection`](super::serve_connection) for a socket that the listener of `migrator` accepted: over HTTP/1.1 it moves to the
/// successor in place of being closed, as soon as it waits for a request and the successor takes it. One of HTTP/2, or that was upgraded, is served as
/// ever.
///
/// # Errors
/// As [`serve_connection`](super::serve_connection).
pub async fn serve_or_migrate<S, B>(
    stream: Stream,
    guard: Guard,
    migrator: Migrator,
    service: S,
) -> Result<(), BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let draining = guard.connections().shutdown_signal(DrainPhase::Draining);
    let (work, migrator) = (Activity::new(guard), Arc::new(migrator));
    let (mut stream, mut unread) = bare(stream);
    // What came with it may be all that its client sends.
    let mut has_come = !may_be_preface(&unread);
    loop {
        if !has_come {
            match wait(&migrator, &work, &stream, &unread).await? {
                WaitOutcome::Readable => {}
                WaitOutcome::Migrated => return Ok(()),
                WaitOutcome::Close => return Ok(close(Tracked::of_stream(stream, work)).await?),
            }
            let is_at_end = read_some(&mut stream, &mut unread).await? == 0;
            if !is_at_end && may_be_preface(&unread) {
                continue;
            }
        }
        has_come = false;
        if unread.starts_with(PREFACE) {
            let stream = Tracked::of_stream(stream.with_unread(unread), work.clone());
            return serve_work(&both_versions(), stream, work, draining, service).await;
        }
        let service = Drained::new(service.clone(), work.clone(), Some(Arc::clone(&migrator)));
        match serve_until_idle(stream.with_unread(unread), &work, &migrator, service).await? {
            Some(given_back) => (stream, unread) = given_back,
            None => return Ok(()),
        }
    }
}

/// Serves what was accepted, with a migrator where connections move.
pub(crate) async fn serve_accepted<S, B>(
    stream: Stream,
    guard: Guard,
    migrator: Option<Migrator>,
    service: S,
) -> Result<(), BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    match migrator {
        Some(migrator) => serve_or_migrate(stream, guard, migrator, service).await,
        None => {
            let draining = guard.connections().shutdown_signal(DrainPhase::Draining);
            let work = Activity::new(guard);
            let stream = Tracked::of_stream(stream, work.clone());
            serve_work(&both_versions(), stream, work, draining, service).await
        }
    }
}

/// [`Migrator::wait`] as a future.
async fn wait(
    migrator: &Migrator,
    work: &Activity,
    stream: &Stream,
    unread: &[u8],
) -> io::Result<WaitOutcome> {
    let mut told = pin!(work.clone().shutdown_requested());
    // Looked at before the offer, so that nothing that opens after it is missed.
    let mut opened = migrator.opened();
    loop {
        let mut room = None;
        if opened.as_ref().is_some_and(crate::drain::ShutdownSignal::is_requested) {
            match migrator.send_with(stream, unread, &work.attached()) {
                Ok(()) => {
                    work.give_up_connection();
                    return Ok(WaitOutcome::Migrated);
                }
                Err(MigrateError::Full) => room = migrator.room(),
                Err(_) => {}
            }
            // It was refused, and would be again; or there may be room.
            if room.is_none() {
                opened = None;
            }
        }
        let mut can_migrate = pin!(async {
            match (&room, &mut opened) {
                (Some(room), _) => room.writable().await?,
                (None, Some(opened)) => opened.await,
                (None, None) => pending().await,
            }
            io::Result::Ok(())
        });
        let come_to = poll_fn(|cx| {
            if let Poll::Ready(arrived) = stream.poll_arrived(cx) {
                return Poll::Ready(arrived.map(|()| Some(WaitOutcome::Readable)));
            }
            if told.as_mut().poll(cx).is_ready() {
                // A request that is there is served, whatever else is said.
                let idle = if stream.has_arrived() { WaitOutcome::Readable } else { WaitOutcome::Close };
                return Poll::Ready(Ok(Some(idle)));
            }
            can_migrate.as_mut().poll(cx).map_ok(|()| None)
        });
        if let Some(idle) = come_to.await? {
            return Ok(idle);
        }
    }
}

/// Whether nobody can tell yet by which version of HTTP the client speaks.
fn may_be_preface(unread: &[u8]) -> bool {
    unread.len() < PREFACE.len() && PREFACE.starts_with(unread)
}

/// No more than shows by which version of HTTP the client speaks.
async fn read_some(stream: &mut Stream, unread: &mut Vec<u8>) -> io::Result<usize> {
    let mut bytes = [0; PREFACE.len()];
    let mut buffer = ReadBuf::new(&mut bytes);
    poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer)).await?;
    unread.extend_from_slice(buffer.filled());
    Ok(buffer.filled().len())
}

/// Serves by HTTP/1.1, and gives the connection back, with what was read of it and not served, when it can move and waits for a
/// request; `None` when it has ended.
async fn serve_until_idle<S, B>(
    stream: Stream,
    work: &Activity,
    migrator: &Migrator,
    service: Drained<S>,
) -> Result<Option<(Stream, Vec<u8>)>, BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: HttpBody + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let has_begun = service.has_begun();
    work.read_anew();
    let io = Departing::new(Tracked::of_stream(stream, work.clone()));
    let state = io.state();
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(io), service).with_upgrades();
    let mut told = pin!(work.clone().shutdown_requested());
    let (mut opened, mut is_told) = (migrator.opened(), false);
    let moves = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(Err(ended));
        }
        // To be woken by an answer that ends in another task.
        let can_migrate = opened.as_mut().is_some_and(|opened| Pin::new(opened).poll(cx).is_ready());
        if can_migrate {
            work.has_answered(cx);
        }
        if can_migrate && has_begun() && work.is_between() && !state.sends() {
            return Poll::Ready(Ok(true));
        }
        // What is in a request can still move after its answer.
        is_told = is_told || told.as_mut().poll(cx).is_ready();
        if is_told && (work.is_between() || !migrator.can_migrate()) {
            Poll::Ready(Ok(false))
        } else {
            Poll::Pending
        }
    });
    match moves.await {
        Err(ended) => return Ok(ended.map(|()| None)?),
        Ok(true) => {
            // hyper lets go at once what is idle to it too: all that it has read of the last request was its last byte.
            state.set_departs(true);
            Pin::new(&mut connection).graceful_shutdown();
            match poll_fn(|cx| Poll::Ready(Pin::new(&mut connection).poll(cx))).await {
                Poll::Ready(Ok(())) => {
                    return Ok(connection.into_parts().map(|parts| {
                        let mut unread = parts.read_buf.to_vec();
                        let (stream, rest) = bare(parts.io.into_inner().into_inner().into_inner());
                        unread.extend(rest);
                        (stream, unread)
                    }));
                }
                Poll::Ready(Err(error)) => return Err(error.into()),
                Poll::Pending => state.set_departs(false),
            }
        }
        Ok(false) => {}
    }
    end(pin!(connection), |connection| connection.graceful_shutdown(), work).await?;
    Ok(None)
}

/// Closes what waits for a request, so that its last answer arrives.
async fn close(mut connection: Tracked<Stream>) -> io::Result<()> {
    poll_fn(|cx| Pin::new(&mut connection).poll_shutdown(cx)).await
}

/// The connection, and what comes before the bytes of its descriptor.
fn bare(stream: Stream) -> (Stream, Vec<u8>) {
    match stream {
        Stream::Migrated(moved) => moved.into_parts(),
        stream => (stream, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_knows_the_version_before_the_first_word() {
        for unread in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            assert!(may_be_preface(unread), "{unread:?}");
        }
        for unread in [&b"PO"[..], b"GET", PREFACE] {
            assert!(!may_be_preface(unread), "{unread:?}");
        }
    }
}
