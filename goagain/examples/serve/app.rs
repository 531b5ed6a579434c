//! What the examples answer, as a router.

use crate::serve::http::SLOW_LIMIT;
use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{any, get};
use goagain::{Connections, DrainPhase};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// `/`, `/slow?ms=N`, and a WebSocket at `/echo`.
pub(crate) fn app(identity: String, connections: Connections) -> Router {
    Router::new()
        .route("/", get(|State(identity): State<Arc<str>>| async move { identity.to_string() }))
        .route("/slow", get(slow))
        .route("/echo", any(|upgrade| echo(upgrade, connections)))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there is / and /slow?ms=N\n") })
        .method_not_allowed_fallback(|| async { (StatusCode::METHOD_NOT_ALLOWED, "expected GET or HEAD\n") })
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

async fn echo(upgrade: WebSocketUpgrade, connections: Connections) -> Response {
    upgrade.on_upgrade(move |socket| answer_until_closed(socket, connections))
}

/// Says every word again, and `restart` when it is time to go. Then the client closes: a server that did would leave a word
/// that is under way without its answer. A drain waits for it, under its deadline.
async fn answer_until_closed(mut socket: WebSocket, connections: Connections) {
    let mut parting = connections.reached(DrainPhase::Parting);
    let mut told = false;
    loop {
        let answer = tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(word @ (Message::Text(_) | Message::Binary(_)))) => word,
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return,
            },
            () = &mut parting, if !told => {
                told = true;
                Message::text("restart")
            }
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}
