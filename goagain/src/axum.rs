//! axum, drained in two phases.
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
//! [`serve`] does what the module [`hyper`] says. A tonic server is an axum router too:
//! `tonic::service::Routes::into_axum_router`.
//!
//! # With axum's own serve
//! `axum::serve` takes the listener of [`Listener::to_axum`](crate::Listener::to_axum), which stops accepting by itself and
//! counts its connections. What `axum::serve` does not do, its users add: [`drain`] makes the answers of a drain close
//! their connections, [`Connection`] lets it know them, and `with_graceful_shutdown` ends the idle ones when [`closing`] says so.
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
//! Spawn it beside [`wait`](crate::tokio::Goagain::wait) and [`finish`](crate::tokio::Goagain::finish), and abort it after
//! them: where all connections have gone by themselves, there is no second phase to end it.
//!
//! # WebSockets
//! An upgraded connection is waited for, under the deadline of the drain. Its handler is told by
//! [`Connections::reached`](crate::Connections::reached), with `DrainPhase::ClosingLongLived` or one that comes sooner: a
//! `Connections` is a handle for the router's state. A stream within HTTP, a long answer, is a request: tell its handler by
//! `DrainPhase::ClosingIdle`.

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

/// Accepts until the term ends, and serves each connection in a task of its own: [`hyper::serve`] for a router. Over TCP
/// the extractor `ConnectInfo<SocketAddr>` is there.
///
/// # Errors
/// What accepting again would not mend.
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
        // What goes wrong with one connection is its client's affair.
        ::tokio::spawn(hyper::serve_accepted(stream, guard, migrator.clone(), service));
    }
    Ok(())
}

/// A middleware for axum's own serve: while this process drains, each answer over HTTP/1.1 closes its connection, unless its
/// client has sent more. For that it has to know the [`Connection`]; where it does not, every answer closes.
///
/// Layer it last, over all routes and the fallback: a connection counts as in a request for as long as it does not see one that
/// has come.
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

/// Is done when `axum::serve` should end what is idle: at [`DrainPhase::ClosingIdle`], and later by
/// [`idle_grace`](crate::Builder::idle_grace) if something is in a request then, since that may be one of which only a part has
/// come.
///
/// # Panics
/// If the runtime was built without `enable_time`.
pub async fn closing(connections: Connections) {
    connections.shutdown_signal(DrainPhase::ClosingIdle).await;
    if connections.in_flight().in_request > 0 {
        ::tokio::time::sleep(connections.idle_grace()).await;
    }
}

/// A connection of [`Accepting`], for [`drain`] to know it by: `app.into_make_service_with_connect_info::<Connection>()`.
#[derive(Clone, Debug)]
pub struct Connection {
    work: Activity,
    peer: Address,
}

impl Connection {
    /// Returns the address of its client, over TCP.
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

/// A listener for `axum::serve`, made by [`Listener::to_axum`](crate::Listener::to_axum). At the end of the term it goes
/// quiet: axum's listeners have no end.
#[derive(Debug)]
pub struct Accepting {
    acceptor: Acceptor,
    address: Address,
}

impl Listener {
    /// A listener for `axum::serve`, for the present term; each connection counts for as long as axum has it, and so does the
    /// listener until it has ended.
    ///
    /// # Errors
    /// As [`Listener::to_tokio`].
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
                // It has ended: there is no other way to say so.
                Some(Err(_)) => {}
                None => pending().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Address> {
        Ok(self.address.clone())
    }
}
