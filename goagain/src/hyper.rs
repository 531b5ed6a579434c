//! Servers with hyper 1: HTTP/1.1 and HTTP/2, drained in two phases.
//!
//! A server that closes its idle connections in one step loses the requests that arrive at that moment. This one closes them in
//! two steps. The columns "HTTP/1.1" and "HTTP/2" say what happens in each [phase](crate::drain::DrainPhase) of a drain:
//!
//! | phase | HTTP/1.1 | HTTP/2 | upgraded |
//! |---|---|---|---|
//! | `Draining` | A response says `Connection: close`, unless the client has sent another request. An idle connection is still served | GOAWAY goes with the next response (RFC 9113, section 6.8). Requests that were sent before it get their response | |
//! | `ClosingIdle` | Idle connections are closed. Every response closes its connection | GOAWAY is sent at once. A connection without a request yet is closed | |
//! | `ClosingLongLived` | | | The handler is asked to end, by [`Connections::shutdown_signal`](crate::Connections::shutdown_signal) |
//!
//! A connection that is closed here [lingers](crate::drain::Linger), so that its last response arrives. A client that shuts
//! down its writing side after its request gets its response. A connection that was asked to close is dropped if it has no
//! request in progress and is silent for another [`idle_grace`](crate::Builder::idle_grace).
//! [`guide::drain`](crate::guide::drain) has the details.
//!
//! A drain waits for each connection until its last byte is sent, or until the drain times out. This includes upgraded
//! connections, which count as [long-lived](crate::drain::ConnectionKind::LongLived). An HTTP/2 connection with a stream that
//! is a tunnel (CONNECT, RFC 8441) counts as long-lived too.
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
//! With [`Builder::migrate_connections`](crate::Builder::migrate_connections), [`serve`] and [`serve_or_migrate`] migrate
//! HTTP/1.1 connections to the new process. Then a response keeps its connection open, and an idle connection goes to the
//! successor. HTTP/2 connections, upgraded connections, and anything but a socket do not migrate.
//!
//! With TLS, or another layer between the socket and HTTP, accept connections yourself and pass each of them to
//! [`serve_connection`].

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

/// Runs a service at one address, from the start of the process to its exit: [`goagain::tokio::run`](crate::tokio::run) with a
/// [`server`].
///
/// `address` is anything that displays as `127.0.0.1:3000`, `[::1]:3000`, `unix:/run/http.sock` or `unix:@name`, such as a
/// `SocketAddr`. The listener has the name `main`. If the address has changed since the predecessor was started, the new
/// process binds the new address, and the old socket is closed.
///
/// # Errors
/// [`Error`](crate::Error): pass it to [`exit`](crate::exit), or return it from `main`.
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

/// Accepts until the term ends, and serves each connection in a task of its own, over HTTP/1.1 or HTTP/2, whichever the client
/// speaks. The tasks continue after this returns. A drain waits for them.
///
/// # Errors
/// An error of `accept` after which accepting again would not help.
pub async fn serve<S: HttpService>(mut acceptor: Acceptor, service: S) -> io::Result<()> {
    let migrator = acceptor.migrator();
    while let Some(accepted) = acceptor.accept().await {
        let (stream, guard) = accepted?;
        // An error of one connection concerns nobody but its client.
        ::tokio::spawn(serve_accepted(stream, guard, migrator.clone(), service.clone()));
    }
    Ok(())
}
