//! axum, drained in two phases.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use goagain::{Finish, Goagain};
//! # async fn doc(again: Goagain) -> Result<(), Box<dyn std::error::Error>> {
//!
//! let mut again = again.into_tokio()?;
//! let http = again.listen("http", "127.0.0.1:48879")?;
//! let app = Router::new().route("/", get(|| async { "hello\n" }));
//! again.ready().await?;
//! loop {
//!     let serving = tokio::spawn(goagain::axum::serve(http.to_tokio()?, app.clone()));
//!     again.wait().await?;
//!     serving.await??;
//!     match again.finish().await? {
//!         Finish::Exit => return Ok(()),
//!         Finish::Resume => continue,
//!     }
//! }
//! # }
//! ```
//!
//! [`serve`] does what the module [`hyper`] says. A tonic server is an axum router too:
//! `tonic::service::Routes::into_axum_router`.
//!
//! # With axum's own serve
//! `axum::serve` takes the listener of [`Listener::to_axum`](crate::Listener::to_axum), which stops accepting by itself and
//! counts its connections. What `axum::serve` does not do, its users add: [`drain`] makes the answers of a drain close
//! their connections, and `with_graceful_shutdown` ends the idle ones, at the second phase and not before.
//!
//! ```no_run
//! # use axum::{Router, middleware::from_fn_with_state};
//! # async fn doc(http: goagain::Listener, app: Router, again: goagain::tokio::Goagain) -> std::io::Result<()> {
//! let connections = again.connections();
//! let app = app.layer(from_fn_with_state(connections.clone(), goagain::axum::drain));
//! let closing = connections.reached(goagain::DrainPhase::Closing);
//! axum::serve(http.to_axum()?, app).with_graceful_shutdown(closing).await
//! # }
//! ```
//!
//! Spawn it beside [`wait`](crate::tokio::Goagain::wait) and [`finish`](crate::tokio::Goagain::finish), and abort it after
//! them: where all connections have gone by themselves, there is no second phase to end it.
//!
//! # WebSockets
//! An upgraded connection is waited for, under the deadline of the drain. Its handler is told by
//! [`Connections::reached`](crate::Connections::reached), with `DrainPhase::Parting` or one that comes sooner: a
//! `Connections` is a handle for the router's state. A stream within HTTP, a long answer, is a request: tell its handler by
//! `DrainPhase::Closing`.

pub use crate::counted::Counted;

use crate::counted::Work;
use crate::hyper;
use crate::tokio::{Acceptor, Stream};
use crate::{Address, Connections, Listener};
use ::axum::Router;
use ::axum::extract::{ConnectInfo, Request, State};
use ::axum::http::header::{CONNECTION, HeaderValue};
use ::axum::http::{StatusCode, Version};
use ::axum::middleware::Next;
use ::axum::response::Response;
use ::hyper::body::Incoming;
use ::hyper::service::{Service, service_fn};
use hyper_util::service::TowerToHyperService;
use std::future::pending;
use std::io;

/// Accepts until the term ends, and serves each connection in a task of its own: [`hyper::serve`] for a router. Over TCP
/// the extractor `ConnectInfo<SocketAddr>` is there.
///
/// # Errors
/// What accepting again would not mend.
pub async fn serve(mut acceptor: Acceptor, app: Router) -> io::Result<()> {
    let app = TowerToHyperService::new(app);
    let mover = acceptor.mover();
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
        ::tokio::spawn(hyper::serve_accepted(stream, guard, mover.clone(), service));
    }
    Ok(())
}

/// A middleware for axum's own serve: while this process drains, each answer over HTTP/1.1 closes its connection.
pub async fn drain(State(connections): State<Connections>, request: Request, next: Next) -> Response {
    let http2 = request.version() >= Version::HTTP_2;
    let mut response = next.run(request).await;
    if !http2 && response.status() != StatusCode::SWITCHING_PROTOCOLS && connections.is_draining() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
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
    type Io = Counted<Stream>;
    type Addr = Address;

    async fn accept(&mut self) -> (Counted<Stream>, Address) {
        loop {
            match self.acceptor.accept().await {
                Some(Ok((stream, guard))) => {
                    let peer = stream.peer().map_or(Address::Other, Address::Tcp);
                    return (Counted::new(stream, Work::new(guard)), peer);
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
