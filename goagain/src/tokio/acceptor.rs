//! An acceptor, as futures.

use super::Stream;
use crate::drain::{Connections, Guard, ShutdownSignal};
use crate::migrate::Migrator;
use crate::socket::accept_error::{Backoff, is_connection_error, is_shortage};
use ::tokio::net::{TcpListener, UnixListener};
use goagain_env::Watched;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// Yields connections until the [term](crate::guide::restart#words) of this process ends: [`crate::Acceptor`] for tokio.
/// Returned by [`Listener::to_tokio`](crate::Listener::to_tokio).
///
/// Connections that the predecessor [migrated](crate::migrate) to this process are yielded too. If the successor has dropped
/// this listener, the acceptor yields the connections that are in the queue at the end of the term, and ends after them.
#[derive(Debug)]
pub struct Acceptor {
    /// `None` once it has ended, so that the listener is not held.
    listener: Option<Open>,
    ended: ShutdownSignal,
    /// Takes migrated connections, and at the end what is in the queue of a listener that the successor does not use.
    rest: Option<crate::socket::Acceptor>,
    /// Readable when a connection was migrated to this process.
    incoming: Option<Watched>,
    migrator: Option<Migrator>,
    connections: Connections,
}

/// The listener, and perhaps a guard, which is dropped after it.
#[derive(Debug)]
struct Open(Listening, #[allow(dead_code, reason = "what matters is when it is dropped")] Option<Guard>);

/// A listener of tokio.
#[derive(Debug)]
pub(crate) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        match self {
            Listening::Tcp(listener) => listener.poll_accept(cx).map_ok(|(stream, _)| Stream::Tcp(stream)),
            Listening::Unix(listener) => listener.poll_accept(cx).map_ok(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

impl Acceptor {
    pub(crate) fn new(
        listener: Option<Listening>,
        ended: ShutdownSignal,
        rest: crate::socket::Acceptor,
        incoming: Option<Watched>,
        migrator: Option<Migrator>,
        connections: Connections,
    ) -> Acceptor {
        Acceptor {
            listener: listener.map(|listener| Open(listener, None)),
            ended,
            rest: Some(rest),
            incoming,
            migrator,
            connections,
        }
    }

    /// Returns the [`Migrator`], which sends connections of this listener to the successor, or `None` if
    /// [`Builder::migrate_connections`](crate::Builder::migrate_connections) was not called. See
    /// [`Listener::migrator`](crate::Listener::migrator).
    pub fn migrator(&self) -> Option<Migrator> {
        self.migrator.clone()
    }

    /// Makes the drain wait until this acceptor has closed its listener, where nothing else says when that is. The last process that has
    /// a Unix socket removes its path, and would take an open listener for that of another server.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn counted(mut self) -> Acceptor {
        if let Some(Open(_, guard)) = &mut self.listener {
            guard.insert(self.connections.begin()).busy();
        }
        self
    }

    /// Returns the next connection (`accept4`). Returns `None` when the term has ended. The future can be dropped at any time,
    /// and no connection is lost.
    ///
    /// An error of one connection is skipped. If descriptors or memory are short, the acceptor waits and tries again, as
    /// [`crate::Acceptor`] does. Any other error is returned as `Some(Err)`. Accepting again would not help, so the acceptor
    /// has ended after it.
    ///
    /// # Panics
    /// If descriptors are short and the runtime was built without `enable_time`.
    pub async fn accept(&mut self) -> Option<io::Result<(Stream, Guard)>> {
        let mut backoff = Backoff::default();
        loop {
            let Some(Open(listener, _)) = &self.listener else { return self.rest() };
            if let (Some(_), Some(rest)) = (&self.incoming, &self.rest) {
                if let Some(arrived) = rest.take_migrated() {
                    return Some(of_std(arrived));
                }
            }
            let (ended, incoming) = (&mut self.ended, &self.incoming);
            let accepted = {
                let mut arriving = pin!(async {
                    match incoming {
                        Some(incoming) => incoming.readable().await,
                        None => pending().await,
                    }
                });
                poll_fn(|cx| match Pin::new(&mut *ended).poll(cx) {
                    Poll::Ready(()) => Poll::Ready(None),
                    Poll::Pending => match arriving.as_mut().poll(cx) {
                        Poll::Ready(arrived) => Poll::Ready(Some(arrived.map(|()| None))),
                        Poll::Pending => listener.poll_accept(cx).map_ok(Some).map(Some),
                    },
                })
                .await
            };
            match accepted {
                Some(Ok(None)) => {}
                Some(Ok(Some(stream))) => {
                    let mut guard = self.connections.begin();
                    if self.connections.closes_unfinished() {
                        // Where descriptors are short, the connection is served all the same, and stays open when a drain times out.
                        let _ = guard.set_socket(&stream);
                    }
                    return Some(Ok((stream, guard)));
                }
                Some(Err(error)) if is_shortage(&error) => self.wait(&mut backoff).await,
                Some(Err(error)) if is_connection_error(&error) => {}
                Some(Err(error)) => {
                    (self.listener, self.rest) = (None, None);
                    return Some(Err(error));
                }
                None => self.listener = None,
            }
        }
    }

    /// Returns what is still in the queue after the end.
    fn rest(&mut self) -> Option<io::Result<(Stream, Guard)>> {
        Some(of_std(self.rest.as_mut()?.try_accept().ok()??))
    }

    /// Waits for the end of the term, but no longer than this time.
    async fn wait(&mut self, backoff: &mut Backoff) {
        let mut time = Box::pin(::tokio::time::sleep(backoff.next()));
        let ended = &mut self.ended;
        let is_over = poll_fn(|cx| match Pin::new(&mut *ended).poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending => time.as_mut().poll(cx).map(|()| false),
        });
        if is_over.await {
            self.listener = None;
        }
    }
}

fn of_std((stream, guard): (crate::socket::Stream, Guard)) -> io::Result<(Stream, Guard)> {
    Stream::from_std(stream).map(|stream| (stream, guard))
}
