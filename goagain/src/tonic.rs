//! tonic, drained in two phases.
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
//! tonic's services are an axum router, and are served as [`goagain::axum`](crate::axum) serves one. A client reads GOAWAY with the next
//! answer, or when idle connections are asked to close, and sends its next request on another connection. Requests under way are
//! answered. An open stream does not end by GOAWAY: end it at [`DrainPhase::Draining`](crate::drain::DrainPhase::Draining), with a last
//! message if your protocol has one, or the drain waits for it until its timeout.
//!
//! `tonic::transport::Server` is not used: settings such as timeouts and interceptors are layers of the router
//! ([`Routes::into_axum_router`], then [`goagain::axum::server`](crate::axum::server)) or of a service.

use crate::axum::{self, Server};
use crate::socket::Listener;
use ::tonic::service::Routes;
#[cfg(all(target_os = "linux", not(goagain_portable)))]
use {crate::life::Builder, std::fmt::Display};

/// Runs gRPC services at one address, from start to exit: [`goagain::tokio::run`](crate::tokio::run) with a [`server`].
///
/// `address` is anything that displays as `127.0.0.1:3000`, `[::1]:3000`, `unix:/run/grpc.sock` or `unix:@name`; a
/// `SocketAddr` does. The listener has the name `main`. If the address is another one than before the restart, the new process
/// binds it and the old one is closed.
///
/// # Errors
/// [`Error`](crate::Error)
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
