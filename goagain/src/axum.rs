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
//! Connections are served and drained as the module [`hyper`] describes. Handlers can use the extractor
//! `ConnectInfo<SocketAddr>`, which is present for TCP connections.
//!
//! # With axum's own serve
//! `axum::serve` can be used too, with the listener of [`Listener::to_axum`](crate::Listener::to_axum). This listener stops
//! accepting by itself, and its connections are counted. You have to add three things:
//!
//! - The middleware [`drain`] makes the responses of a drain close their connections.
//! - [`Connection`] lets the middleware know the connection of each request.
//! - [`closing`], passed to `with_graceful_shutdown`, closes idle connections in the second phase of a drain.
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
//! Put this code into a [`goagain::tokio::serve_fn`](crate::tokio::serve_fn). If you make the calls by hand, spawn it as a task
//! beside [`wait`](crate::tokio::Goagain::wait) and [`finish`](crate::tokio::Goagain::finish), and abort the task after them.
//! If all connections close in the first phase, the second phase does not begin, and `axum::serve` does not end.
//!
//! # WebSockets
//! A drain waits for an upgraded connection until the drain times out. So the handler has to end the connection. It awaits
//! [`Connections::shutdown_signal`](crate::Connections::shutdown_signal) with `DrainPhase::ClosingLongLived`, or with an
//! earlier phase. To have the [`Connections`] in the handler, put them into the router's state.
//!
//! A streamed HTTP response, such as server-sent events, is a request in progress. End it at `DrainPhase::ClosingIdle`.

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

/// Runs a router at one address, from the start of the process to its exit: [`goagain::tokio::run`](crate::tokio::run) with a
/// [`server`].
///
/// `address` is anything that displays as `127.0.0.1:3000`, `[::1]:3000`, `unix:/run/http.sock` or `unix:@name`, such as a
/// `SocketAddr`. The listener has the name `main`. If the address has changed since the predecessor was started, the new
/// process binds the new address, and the old socket is closed.
///
/// # Errors
/// [`Error`](crate::Error): pass it to [`exit`](crate::exit), or return it from `main`.
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

/// Accepts until the term ends, and serves each connection in a task of its own: [`hyper::serve`] for a router. The tasks
/// continue after this returns. A drain waits for them.
///
/// # Errors
/// An error of `accept` after which accepting again would not help.
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

/// Makes each HTTP/1.1 response close its connection while this process drains, unless the client has sent another request. A
/// middleware for `axum::serve`.
///
/// To see whether the client has sent more, the middleware needs the [`Connection`] of the request. Without that, every
/// response closes its connection.
///
/// Add it as the last layer, over all routes and the fallback. A request that the middleware does not see counts as in progress
/// until the next request that it sees.
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

/// Waits until `axum::serve` should close its idle connections: until [`DrainPhase::ClosingIdle`]. If a request is in progress
/// then, waits [`idle_grace`](crate::Builder::idle_grace) longer, because only a part of its head may have arrived.
///
/// # Panics
/// If the runtime was built without `enable_time`.
pub async fn closing(connections: Connections) {
    connections.shutdown_signal(DrainPhase::ClosingIdle).await;
    if connections.in_flight().in_request > 0 {
        ::tokio::time::sleep(connections.idle_grace()).await;
    }
}

/// A connection of [`Accepting`]. The middleware [`drain`] finds it in the request, if the router is made into a service by
/// `app.into_make_service_with_connect_info::<Connection>()`.
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

/// A listener for `axum::serve`. Returned by [`Listener::to_axum`](crate::Listener::to_axum). After the end of the term, its
/// `accept` never returns, because a listener of axum cannot say that it has ended.
#[derive(Debug)]
pub struct Accepting {
    acceptor: Acceptor,
    address: Address,
}

impl Listener {
    /// Returns a listener for `axum::serve`, for the current term. A drain waits for each connection until axum has dropped it,
    /// and for the listener until it has ended.
    ///
    /// # Errors
    /// The errors of [`Listener::to_tokio`].
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
