//! Servers with actix-web, drained in two phases.
//!
//! ```no_run
//! use actix_web::{App, web};
//! use goagain::Single;
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), goagain::Error> {
//!     let app = || App::new().route("/", web::get().to(|| async { "hello\n" }));
//!     goagain::actix::run(Single, "127.0.0.1:3000", app).await
//! }
//! ```
//!
//! Several worker threads accept from the same listener. Each has a `System` and an `App` of its own. Their number defaults to
//! the number of processors. [`Server::workers`] sets another number.
//!
//! actix-web's own `HttpServer` does not fit, for two reasons. Its thread continues to accept for a while after the term has
//! ended. Its graceful stop closes idle connections at a moment at which their clients may send a request.

mod body;
mod server;

use self::body::Body;
#[cfg(all(target_os = "linux", not(goagain_portable)))]
pub use self::server::run;
pub use self::server::{Server, server};
use crate::http::follower::Length;
use crate::http::{Activity, Tracked};
use crate::tokio::{Acceptor, Stream};
use ::tokio::task::{JoinSet, yield_now};
use actix_http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use actix_http::{ConnectionType, HttpService, Method, Protocol, Request, Response, StatusCode};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, apply_fn_factory, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::AppConfig;
use std::fmt::Debug;
use std::io;
use std::rc::Rc;

/// Accepts until the term ends, and serves each connection over HTTP/1.1 in a task of this thread. Returns when the last
/// connection has closed.
///
/// While this process drains, a response says `Connection: close`, unless the client has sent another request. Idle connections
/// are still served, and are closed in the second phase of the drain. An upgraded connection is
/// [long-lived](crate::drain::ConnectionKind::LongLived). The acceptor counts as one of the [`Connections`](crate::Connections)
/// until it has ended.
///
/// # Errors
/// - The application cannot be created. actix-web logs why.
/// - An error of `accept` after which accepting again would not help.
///
/// # Panics
/// If it is called outside of a `System` or a `LocalSet`.
pub async fn serve<I, S, B>(acceptor: Acceptor, app: I) -> io::Result<()>
where
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Response<actix_web::body::BoxBody>> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let mut acceptor = acceptor.counted();
    let app = map_config(app, |()| AppConfig::default());
    let drained = apply_fn_factory(app, |request: Request, app: &S::Service| {
        let work = request.conn_data::<Activity>().cloned();
        let under_way = work.as_ref().map(|work| work.begin(Some(length_of(&request))));
        let connects = request.method() == Method::CONNECT;
        let answer = app.call(request);
        async move {
            let mut response: Response<B> = answer.await?.into();
            if let Some(work) = work.as_ref().filter(|work| work.is_draining()) {
                // actix-http reads again before it looks at the response, and so shows whether the client has sent more.
                work.look_again();
                yield_now().await;
            }
            if response.status() == StatusCode::SWITCHING_PROTOCOLS
                || connects && response.status().is_success()
            {
                work.as_ref().inspect(|work| work.upgrade());
            } else if work.is_some_and(|work| work.should_close()) {
                response.head_mut().set_connection_type(ConnectionType::Close);
            }
            Ok::<_, S::Error>(response.map_body(|_, body| Body::new(body, under_way)))
        }
    });
    let service = HttpService::build()
        .on_connect_ext(|connection: &Tracked<Stream>, data| {
            data.insert(connection.activity().clone());
        })
        .finish(drained);
    let cannot = |()| io::Error::other("the application cannot be made: actix-web logs why");
    let service = Rc::new(service.new_service(()).await.map_err(cannot)?);
    let mut connections = JoinSet::new();
    while let Some(accepted) = acceptor.accept().await {
        let (stream, guard) = accepted?;
        let peer = stream.peer();
        let connection = Tracked::that_ends(stream, Activity::new(guard));
        let service = Rc::clone(&service);
        // An error of one connection concerns nobody but its client.
        connections.spawn_local(async move { service.call((connection, Protocol::Http1, peer)).await.ok() });
        while connections.try_join_next().is_some() {}
    }
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Returns the length of the body of a request. actix-http has refused an invalid one.
fn length_of(request: &Request) -> Length {
    let headers = &request.head().headers;
    if headers.contains_key(TRANSFER_ENCODING) {
        return Length::Chunks;
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.trim().parse().ok());
    Length::Known(length.unwrap_or(0))
}
