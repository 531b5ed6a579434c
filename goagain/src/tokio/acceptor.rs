//! Accepting, for as long as this process is the owner.

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

/// Yields connections until the term of this process ends, and what is queued then if the successor has not asked for the
/// listener: [`crate::Acceptor`] as futures, with what the predecessor moved here. Made by
/// [`Listener::to_tokio`](crate::Listener::to_tokio).
#[derive(Debug)]
pub struct Acceptor {
    /// `None` once it has ended, so that the listener is not held.
    listener: Option<Open>,
    ended: ShutdownSignal,
    /// Takes what has been moved here, and what is queued at the end, where the successor has not asked for the listener.
    rest: Option<crate::socket::Acceptor>,
    /// Tells when something has been moved here.
    incoming: Option<Watched>,
    migrator: Option<Migrator>,
    connections: Connections,
}

/// The listener, and perhaps a guard that is dropped after it.
#[derive(Debug)]
struct Open(Listening, #[allow(dead_code, reason = "what matters is when it is dropped")] Option<Guard>);

/// A listener as tokio knows it.
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

    /// What moves its connections to the successor: [`Listener::migrator`](crate::Listener::migrator), where
    /// [`Builder::migrate_connections`](crate::Builder::migrate_connections) was called.
    pub fn migrator(&self) -> Option<Migrator> {
        self.migrator.clone()
    }

    /// Lets a drain wait until the listener is closed here, where nothing else tells when that is: the last to have a Unix
    /// socket removes its path, and this could be taken for another.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn counted(mut self) -> Acceptor {
        if let Some(Open(_, guard)) = &mut self.listener {
            guard.insert(self.connections.begin()).busy();
        }
        self
    }

    /// The next connection (`accept4`); `None` from the end of the term on. It can be dropped at any time, and no
    /// connection is lost.
    ///
    /// What goes wrong with one connection is passed over, and when descriptors or memory are short it is tried again, as
    /// [`crate::Acceptor`] does. `Some(Err)` is what accepting again would not mend; the acceptor has ended then.
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
                        // Short of descriptors, it is served all the same, and is not cut.
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

    /// What is still queued after the end.
    fn rest(&mut self) -> Option<io::Result<(Stream, Guard)>> {
        Some(of_std(self.rest.as_mut()?.try_accept().ok()??))
    }

    /// Waits for the end of the term, or for a time.
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
