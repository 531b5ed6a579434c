//! Servers with hyper 1: HTTP/1.1 and HTTP/2, drained in two phases.
//!
//! A server that closes its idle connections in one step loses the requests that arrive in that moment. This one closes them in two:
//!
//! | [phase](crate::drain::DrainPhase) | HTTP/1.1 | HTTP/2 | upgraded |
//! |---|---|---|---|
//! | `Draining` | A response says `Connection: close` if the client has not sent another request. An idle connection is still served | GOAWAY goes with the next response (RFC 9113, section 6.8). What was sent before it is answered | |
//! | `ClosingIdle` | Idle connections are closed. Every response closes its connection | GOAWAY. A connection without a request yet is closed | |
//! | `ClosingLongLived` | | | The handler is asked to end, by [`Connections::shutdown_signal`](crate::Connections::shutdown_signal) |
//!
//! A connection that is closed here [lingers](crate::drain::Linger), so that its last response arrives. One that was asked to close, has no
//! request in progress, and is silent for another [`idle_grace`](crate::Builder::idle_grace), is dropped. A client that shuts down its
//! writing side after its request gets its response. [`guide::drain`](crate::guide::drain) has the details.
//!
//! The drain waits for each connection until its last byte, or until the drain times out; for an upgraded one too. That one counts as
//! [long-lived](crate::drain::ConnectionKind::LongLived), and so does a connection of HTTP/2 with a stream that is a tunnel (CONNECT, RFC
//! 8441).
//!
//! ```no_run
//! use goagain::Single;
//! use hyper::{Request, Response, body::Incoming, service::service_fn};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), goagain::Error> {
//!     goagain::hyper::run(Single, "127.0.0.1:3000", service_fn(hello)).await
//! }
//!
//! async fn hello(_: Request<Incoming>) -> Result<Response<String>, std::convert::Infallible> {
//!     Ok(Response::new("hello\n".into()))
//! }
//! ```
//!
//! With [`Builder::migrate_connections`](crate::Builder::migrate_connections) connections of HTTP/1.1 move to the new process, by [`serve`]
//! and [`serve_or_migrate`]. A response keeps its connection open then, and an idle connection goes to the successor. Not
//! migrated are connections of HTTP/2, upgraded ones, and anything but a socket.
//!
//! With TLS, or something else between the socket and HTTP, accept connections yourself and pass each to [`serve_connection`].

mod body;
mod connection;
mod departing;
mod http_service;
mod migrating;
mod service;

use body::Body;
#[cfg(feature = "axum")]
pub(crate) use body::UnwrappedBody;
pub use connection::{serve_connection, serve_connection_with};
pub use http_service::HttpService;
pub(crate) use migrating::serve_accepted;
pub use migrating::serve_or_migrate;
#[cfg(feature = "axum")]
pub(crate) use service::length_of;

use crate::error::BoxError;
use crate::socket::Listener;
use crate::tokio::{Acceptor, Serve};
use std::{fmt, io};
#[cfg(all(target_os = "linux", not(goagain_portable)))]
use {crate::life::Builder, crate::tokio::run::run_one, std::fmt::Display};

/// Runs a service at one address, from start to exit: [`goagain::tokio::run`](crate::tokio::run) with a [`server`].
///
/// `address` is anything that displays as `127.0.0.1:3000`, `[::1]:3000`, `unix:/run/http.sock` or `unix:@name`; a
/// `SocketAddr` does. The listener has the name `main`. If the address is another one than before the restart, the new process
/// binds it and the old one is closed.
///
/// # Errors
/// [`Error`](crate::Error)
#[cfg(all(target_os = "linux", not(goagain_portable)))]
pub async fn run<S: HttpService>(
    builder: impl Into<Builder>,
    address: impl Display,
    service: S,
) -> Result<(), crate::Error> {
    run_one(builder, address, |listener| server(listener, service)).await
}

/// Returns a server of this service on `listener`, for [`goagain::tokio::run`](crate::tokio::run).
pub fn server<S>(listener: Listener, service: S) -> Server<S> {
    Server { listener, service }
}

/// A server of a service, made by [`server`].
#[derive(Clone)]
pub struct Server<S> {
    listener: Listener,
    service: S,
}

impl<S> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl<S: HttpService> Serve for Server<S> {
    async fn serve(&self) -> Result<(), BoxError> {
        Ok(serve(self.listener.to_tokio()?, self.service.clone()).await?)
    }
}

/// Accepts until the term ends, and serves each connection in a task of its own, by HTTP/1.1 or HTTP/2 as the client
/// chooses. The tasks continue after this returns. The drain waits for them.
///
/// # Errors
/// An error of `accept` that another call would return again.
pub async fn serve<S: HttpService>(mut acceptor: Acceptor, service: S) -> io::Result<()> {
    let migrator = acceptor.migrator();
    while let Some(accepted) = acceptor.accept().await {
        let (stream, guard) = accepted?;
        // An error of one connection concerns nobody but its client.
        ::tokio::spawn(serve_accepted(stream, guard, migrator.clone(), service.clone()));
    }
    Ok(())
}
