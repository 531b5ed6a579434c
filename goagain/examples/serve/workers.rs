//! Workers with actix-web: each has a thread, with its own runtime and app.

use crate::serve::http::{self, COUNT_LIMIT, MISSING, SIZED_LIMIT, SLOW_LIMIT};
use actix_web::body::SizedStream;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::rt::System;
use actix_web::rt::time::sleep;
use actix_web::web::{self, Data, Query};
use actix_web::{App, HttpResponse, guard};
use futures_util::{StreamExt, stream};
use goagain::Listener;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The number of workers.
pub(crate) const WORKERS: usize = 2;

/// Starts the workers for one term.
#[allow(dead_code, reason = "the example has `goagain::actix::server` for it")]
pub(crate) fn start(http: &Listener, identity: &str) -> Vec<JoinHandle<io::Result<()>>> {
    let worker = |_| {
        let (http, identity) = (http.clone(), identity.into());
        let work = async move || goagain::actix::serve(http.to_tokio()?, app(identity)).await;
        thread::spawn(move || System::new().block_on(work()))
    };
    (0..WORKERS).map(worker).collect()
}

/// Makes the application of one worker.
pub(crate) fn app(
    identity: Arc<str>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let get = || web::route().guard(guard::Any(guard::Get()).or(guard::Head()));
    let missing = || async { HttpResponse::NotFound().body(MISSING) };
    App::new()
        .app_data(Data::new(identity))
        .route("/", get().to(|identity: Data<Arc<str>>| async move { identity.to_string() }))
        .route("/slow", get().to(slow))
        .route("/sized", get().to(sized))
        .route("/count", web::post().to(count))
        .default_service(web::to(missing))
}

async fn slow(identity: Data<Arc<str>>, query: Query<HashMap<String, String>>) -> HttpResponse {
    match query.get("ms").and_then(|ms| ms.parse().ok()) {
        Some(ms) if ms <= SLOW_LIMIT => {
            sleep(Duration::from_millis(ms)).await;
            HttpResponse::Ok().body(identity.to_string())
        }
        _ => HttpResponse::BadRequest().body("ms: expected a number from 0 to 60000\n"),
    }
}

async fn sized(query: Query<HashMap<String, String>>) -> HttpResponse {
    match query.get("kib").and_then(|kib| kib.parse().ok()) {
        Some(kib) if kib <= SIZED_LIMIT => {
            let pieces = stream::iter(http::sized(kib).map(|piece| Ok::<_, Infallible>(piece.into())));
            HttpResponse::Ok().body(SizedStream::new(kib * 1024, pieces))
        }
        _ => HttpResponse::BadRequest().body("kib: expected a number from 0 to 65536\n"),
    }
}

async fn count(mut body: web::Payload) -> HttpResponse {
    let mut length = 0;
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => length += piece.len() as u64,
            Err(error) => return HttpResponse::BadRequest().body(format!("{error}\n")),
        }
        if length > COUNT_LIMIT {
            return HttpResponse::PayloadTooLarge().body("the body is too long\n");
        }
    }
    HttpResponse::Ok().body(format!("{length}\n"))
}
