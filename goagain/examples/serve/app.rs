//! The routes of the examples.

use crate::serve::http::{self, COUNT_LIMIT, MISSING, SIZED_LIMIT, SLOW_LIMIT};
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use futures_util::{StreamExt, stream};
use goagain::Connections;
use goagain::drain::DrainPhase;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// `/`, `/slow?ms=N`, `/sized?kib=N`, POST of `/count`, and a WebSocket at `/echo`.
pub(crate) fn app(identity: String, connections: Connections) -> Router {
    Router::new()
        .route("/", get(|State(identity): State<Arc<str>>| async move { identity.to_string() }))
        .route("/slow", get(slow))
        .route("/sized", get(sized))
        .route("/count", post(count))
        .route("/echo", any(|upgrade| echo(upgrade, connections)))
        .fallback(|| async { (StatusCode::NOT_FOUND, MISSING) })
        .method_not_allowed_fallback(|| async {
            (StatusCode::METHOD_NOT_ALLOWED, "expected another method\n")
        })
        .with_state(identity.into())
}

async fn slow(
    State(identity): State<Arc<str>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<String, (StatusCode, &'static str)> {
    match query.get("ms").and_then(|ms| ms.parse().ok()) {
        Some(ms) if ms <= SLOW_LIMIT => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok(identity.to_string())
        }
        _ => Err((StatusCode::BAD_REQUEST, "ms: expected a number from 0 to 60000\n")),
    }
}

async fn sized(Query(query): Query<HashMap<String, String>>) -> Response {
    match query.get("kib").and_then(|kib| kib.parse().ok()) {
        Some(kib) if kib <= SIZED_LIMIT => {
            let pieces = stream::iter(http::sized(kib).map(Ok::<_, Infallible>));
            ([(CONTENT_LENGTH, kib * 1024)], Body::from_stream(pieces)).into_response()
        }
        _ => (StatusCode::BAD_REQUEST, "kib: expected a number from 0 to 65536\n").into_response(),
    }
}

async fn count(body: Body) -> Result<String, (StatusCode, String)> {
    let too_long = || (StatusCode::PAYLOAD_TOO_LARGE, "the body is too long\n".to_owned());
    // The announced length need not arrive.
    if body.size_hint().lower() > COUNT_LIMIT {
        return Err(too_long());
    }
    let (mut pieces, mut length) = (body.into_data_stream(), 0);
    while let Some(piece) = pieces.next().await {
        length += piece.map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))?.len() as u64;
        if length > COUNT_LIMIT {
            return Err(too_long());
        }
    }
    Ok(format!("{length}\n"))
}

async fn echo(upgrade: WebSocketUpgrade, connections: Connections) -> Response {
    upgrade.on_upgrade(move |socket| answer_until_closed(socket, connections))
}

/// Echoes every word, and sends `restart` when it is asked to close. Then the client closes: a server that closes itself would
/// leave a word that is in flight without its answer. A drain waits for the client, until its deadline.
async fn answer_until_closed(mut socket: WebSocket, connections: Connections) {
    let mut shutdown = connections.shutdown_signal(DrainPhase::ClosingLongLived);
    let mut announced = false;
    loop {
        let answer = tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(word @ (Message::Text(_) | Message::Binary(_)))) => word,
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return,
            },
            () = &mut shutdown, if !announced => {
                announced = true;
                Message::text("restart")
            }
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}
