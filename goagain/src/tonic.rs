//! Servers with tonic, drained in two phases.
//!
//! ```no_run
//! use goagain::Single;
//! use tonic::service::Routes;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), goagain::Error> {
//!     let (_health, service) = tonic_health::server::health_reporter();
//!     goagain::tonic::run(Single, "127.0.0.1:3000", Routes::new(service)).await
//! }
//! ```
//!
//! tonic's services are an axum router, and are served as [`goagain::axum`](crate::axum) serves one. In a drain, a client gets
//! GOAWAY with its next response, or when idle connections are asked to close. It sends its next request on another connection.
//! Requests in progress get their response.
//!
//! GOAWAY does not end an open stream. End it at [`DrainPhase::Draining`](crate::drain::DrainPhase::Draining), with a last
//! message if your protocol has one. Otherwise the drain waits for it until the drain times out.
//!
//! `tonic::transport::Server` is not used. Settings such as timeouts and interceptors are layers of the router
//! ([`Routes::into_axum_router`], then [`goagain::axum::server`](crate::axum::server)) or of a service.

use crate::axum::{self, Server};
use crate::socket::Listener;
use ::tonic::service::Routes;
#[cfg(all(target_os = "linux", not(goagain_portable)))]
use {crate::life::Builder, std::fmt::Display};

/// Runs gRPC services at one address, from the start of the process to its exit: [`goagain::tokio::run`](crate::tokio::run)
/// with a [`server`].
///
/// `address` is anything that displays as `127.0.0.1:3000`, `[::1]:3000`, `unix:/run/grpc.sock` or `unix:@name`, such as a
/// `SocketAddr`. The listener has the name `main`. If the address has changed since the predecessor was started, the new
/// process binds the new address, and the old socket is closed.
///
/// # Errors
/// [`Error`](crate::Error): pass it to [`exit`](crate::exit), or return it from `main`.
#[cfg(all(target_os = "linux", not(goagain_portable)))]
pub async fn run(
    builder: impl Into<Builder>,
    address: impl Display,
    routes: Routes,
) -> Result<(), crate::Error> {
    axum::run(builder, address, routes.into_axum_router()).await
}

/// Returns a server of these services on `listener`, for [`goagain::tokio::run`](crate::tokio::run).
pub fn server(listener: Listener, routes: Routes) -> Server {
    axum::server(listener, routes.into_axum_router())
}
