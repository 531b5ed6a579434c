//! HTTP/1.1 and HTTP/2 by hyper, drained in two phases.
//!
//! A server that is told to go in one step loses what its clients send in that moment. Here:
//!
//! | [phase](crate::drain::DrainPhase) | HTTP/1.1 | HTTP/2 | upgraded |
//! |---|---|---|---|
//! | `Draining` | the last answer says `Connection: close`: the one behind which nothing more has come; who waits for a request is still served | with the next answer GOAWAY, as RFC 9113 has it for a server that goes: what was sent by then is answered | |
//! | `Closing` | the idle are closed; every answer closes | GOAWAY; who has sent nothing yet is closed | |
//! | `Parting` | | | the word for its handler, by [`Connections::reached`](crate::Connections::reached) |
//!
//! A connection that is closed here [lingers](crate::drain::Linger), so that its last answer arrives. One that is told to go, and is silent for another
//! [`idle_grace`](crate::Builder::idle_grace) with no request under way, is dropped. A client that shuts down its writing side after its
//! request gets its answer. [`guide::drain`](crate::guide::drain) has the details.
//!
//! A connection counts until its last byte: the drain waits for it, under its deadline, also when it was upgraded. Then it
//! is [long-lived](crate::drain::ConnectionKind::LongLived), and so is a connection of HTTP/2 one of whose streams is a tunnel (CONNECT, RFC 8441).
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
//! Where [connections move](crate::Builder::migrate_connections), those of HTTP/1.1 do, by [`serve`] and [`serve_or_migrate`]: an
//! answer keeps its connection then, and who waits for a request goes to the successor. Not HTTP/2, and not a connection
//! that was upgraded or is anything but a socket.
//!
//! For TLS, or whatever else stands between the socket and HTTP, accept on your own and hand each connection to
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
/// wants it. The tasks live on; [`finish`](crate::tokio::Goagain::finish) waits for them.
///
/// # Errors
/// What accepting again would not mend.
pub async fn serve<S: HttpService>(mut acceptor: Acceptor, service: S) -> io::Result<()> {
    let migrator = acceptor.migrator();
    while let Some(accepted) = acceptor.accept().await {
        let (stream, guard) = accepted?;
        // What goes wrong with one connection is its client's affair.
        ::tokio::spawn(serve_accepted(stream, guard, migrator.clone(), service.clone()));
    }
    Ok(())
}
