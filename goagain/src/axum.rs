//! Servers with axum, drained in two phases.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use goagain::Single;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), goagain::Error> {
//!     let app = Router::new().route("/", get(|| async { "hello\n" }));
//!     goagain::axum::run(Single, "127.0.0.1:3000", app).await
//! }
//! ```
//!
//! Connections are served and drained as the module [`hyper`] says. The extractor `ConnectInfo<SocketAddr>` is there.
//!
//! # With axum's own serve
//! `axum::serve` takes the listener of [`Listener::to_axum`](crate::Listener::to_axum). That listener stops accepting by itself, and its
//! connections are counted. Three things have to be added: the middleware [`drain`] makes the responses of a drain close their
//! connections, [`Connection`] lets the middleware know them, and `with_graceful_shutdown` with [`closing`] ends idle connections in the
//! second phase.
//!
//! ```no_run
//! # use axum::{Router, middleware::from_fn_with_state};
//! # async fn doc(http: goagain::Listener, app: Router, again: goagain::tokio::Goagain) -> std::io::Result<()> {
//! let connections = again.connections();
//! let app = app.layer(from_fn_with_state(connections.clone(), goagain::axum::drain));
//! let app = app.into_make_service_with_connect_info::<goagain::axum::Connection>();
//! let closing = goagain::axum::closing(connections);
//! axum::serve(http.to_axum()?, app).with_graceful_shutdown(closing).await
//! # }
//! ```
//!
//! Put it into [`goagain::tokio::serve_fn`](crate::tokio::serve_fn). By hand, spawn it beside [`wait`](crate::tokio::Goagain::wait) and
//! [`finish`](crate::tokio::Goagain::finish), and abort it after them: where all connections have closed by themselves, the second
//! phase does not come, and `axum::serve` does not end.
//!
//! # WebSockets
//! The drain waits for an upgraded connection until its timeout. Its handler has to end it: it awaits
//! [`Connections::shutdown_signal`](crate::Connections::shutdown_signal) with `DrainPhase::ClosingLongLived`, or with an earlier phase. A
//! [`Connections`] can be put into the router's state. A stream within HTTP, such as a long answer or server-sent events, is a
//! request: end it at `DrainPhase::ClosingIdle`.

pub use crate::http::Tracked;

use crate::drain::{Connections, DrainPhase};
use crate::error::BoxError;
use crate::http::{Activity, RequestGuard};
use crate::hyper;
use crate::socket::Listener;
use crate::tokio::{Acceptor, Serve, Stream};
use ::axum::Router;
use ::axum::body::Body;
use ::axum::extract::connect_info::Connected;
use ::axum::extract::{ConnectInfo, Request, State};
use ::axum::http::header::{CONNECTION, HeaderValue};
use ::axum::http::{Method, StatusCode, Version};
use ::axum::middleware::Next;
use ::axum::response::Response;
use ::axum::serve::IncomingStream;
use ::hyper::body::Incoming;
use ::hyper::service::{Service, service_fn};
use goagain_env::Address;
use hyper_util::service::TowerToHyperService;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
#[cfg(all(target_os = "linux", not(goagain_portable)))]
use {crate::life::Builder, crate::tokio::run::run_one, std::fmt::Display};

/// Runs a router at one address, from start to exit: [`goagain::tokio::run`](crate::tokio::run) with a [`server`].
///
/// `address` is anything that displays as `127.0.0.1:3000`, `[::1]:3000`, `unix:/run/http.sock` or `unix:@name`; a
/// `SocketAddr` does. The listener has the name `main`. If the address is another one than before the restart, the new process
/// binds it and the old one is closed.
///
/// # Errors
/// [`Error`](crate::Error)
#[cfg(all(target_os = "linux", not(goagain_portable)))]
pub async fn run(
    builder: impl Into<Builder>,
    address: impl Display,
    app: Router,
) -> Result<(), crate::Error> {
    run_one(builder, address, |listener| server(listener, app)).await
}

/// Returns a server of this router on `listener`, for [`goagain::tokio::run`](crate::tokio::run).
pub fn server(listener: Listener, app: Router) -> Server {
    Server { listener, app }
}

/// A server of a router, made by [`server`].
#[derive(Clone, Debug)]
pub struct Server {
    listener: Listener,
    app: Router,
}

impl Serve for Server {
    async fn serve(&self) -> Result<(), BoxError> {
        Ok(serve(self.listener.to_tokio()?, self.app.clone()).await?)
    }
}

/// Accepts until the term ends, and serves each connection in a task of its own: [`hyper::serve`] for a router.
///
/// # Errors
/// An error of `accept` that another call would return again.
pub async fn serve(mut acceptor: Acceptor, app: Router) -> io::Result<()> {
    let app = TowerToHyperService::new(app);
    let migrator = acceptor.migrator();
    while let Some(accepted) = acceptor.accept().await {
        let (stream, guard) = accepted?;
        let peer = stream.peer().map(ConnectInfo);
        let app = app.clone();
        let service = service_fn(move |mut request: ::hyper::Request<Incoming>| {
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            app.call(request)
        });
        // An error of one connection concerns nobody but its client.
        ::tokio::spawn(hyper::serve_accepted(stream, guard, migrator.clone(), service));
    }
    Ok(())
}

/// A middleware for axum's own serve. While this process drains, each response over HTTP/1.1 closes its connection, unless its client has
/// sent another request. To see that, it has to know the [`Connection`]; without it, every response closes.
///
/// Add it as the last layer, over all routes and the fallback: a request that the middleware does not see counts as in progress until
/// the next one that it does see.
pub async fn drain(State(connections): State<Connections>, request: Request, next: Next) -> Response {
    let http2 = request.version() >= Version::HTTP_2;
    let connects = request.method() == Method::CONNECT;
    let work = request.extensions().get().map(|ConnectInfo(Connection { work, .. })| work.clone());
    let under_way = work.map(|work| work.begin(hyper::length_of(&request)));
    let mut response = next.run(request).await;
    let upgrades =
        response.status() == StatusCode::SWITCHING_PROTOCOLS || connects && response.status().is_success();
    let work = under_way.as_ref().map(RequestGuard::activity);
    match work {
        Some(work) if upgrades && http2 => work.give_a_stream(),
        Some(work) if upgrades => work.upgrade(),
        _ if upgrades || http2 => {}
        _ if work.map_or_else(|| connections.is_draining(), Activity::should_close) => {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    match under_way {
        Some(under_way) => response.map(|body| Body::new(hyper::UnwrappedBody::new(body, under_way))),
        None => response,
    }
}

/// Waits until `axum::serve` should close its idle connections: [`DrainPhase::ClosingIdle`], or
/// [`idle_grace`](crate::Builder::idle_grace) later if a request is in progress then, because that may be one whose head has
/// arrived only in part.
///
/// # Panics
/// If the runtime was built without `enable_time`.
pub async fn closing(connections: Connections) {
    connections.shutdown_signal(DrainPhase::ClosingIdle).await;
    if connections.in_flight().in_request > 0 {
        ::tokio::time::sleep(connections.idle_grace()).await;
    }
}

/// A connection of [`Accepting`], by which [`drain`] knows it: `app.into_make_service_with_connect_info::<Connection>()`.
#[derive(Clone, Debug)]
pub struct Connection {
    work: Activity,
    peer: Address,
}

impl Connection {
    /// Returns the address of the client, if the connection is over TCP.
    pub fn peer(&self) -> Option<SocketAddr> {
        match self.peer {
            Address::Tcp(peer) => Some(peer),
            _ => None,
        }
    }
}

impl Connected<IncomingStream<'_, Accepting>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Accepting>) -> Connection {
        let work = stream.io().activity().clone();
        work.follow();
        Connection { work, peer: stream.remote_addr().clone() }
    }
}

/// A listener for `axum::serve`, made by [`Listener::to_axum`](crate::Listener::to_axum). After the end of the term its `accept` is pending
/// forever, because a listener of axum cannot say that it has ended.
#[derive(Debug)]
pub struct Accepting {
    acceptor: Acceptor,
    address: Address,
}

impl Listener {
    /// Returns a listener for `axum::serve`, for this term. Each connection counts for as long as axum has it, and so does the listener
    /// until it has ended.
    ///
    /// # Errors
    /// Those of [`Listener::to_tokio`].
    pub fn to_axum(&self) -> io::Result<Accepting> {
        Ok(Accepting { acceptor: self.to_tokio()?.counted(), address: self.local_addr().clone() })
    }
}

impl ::axum::serve::Listener for Accepting {
    type Io = Tracked<Stream>;
    type Addr = Address;

    async fn accept(&mut self) -> (Tracked<Stream>, Address) {
        loop {
            match self.acceptor.accept().await {
                Some(Ok((stream, guard))) => {
                    let peer = stream.peer().map_or(Address::Other, Address::Tcp);
                    return (Tracked::that_ends(stream, Activity::unfollowed(guard)), peer);
                }
                // The listener has failed, and the trait has no way to say so.
                Some(Err(_)) => {}
                None => pending().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Address> {
        Ok(self.address.clone())
    }
}
