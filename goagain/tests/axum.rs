//! What each phase of a drain does to a connection that axum serves.
#![cfg(all(feature = "axum", target_os = "linux", not(goagain_portable)))]
#![allow(clippy::unwrap_used, reason = "tests, and what they share")]

mod support;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use goagain::drain::DrainPhase;
use goagain::{Finish, Listener};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use support::{SOON, address, builder};
use tokio::runtime::Builder;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

const FOREVER: Duration = Duration::MAX;

fn run(test: impl Future<Output = ()>) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { timeout(SOON, test).await.expect("it does not hang") });
    // Do not wait for what a failed test has left behind.
    runtime.shutdown_background();
}

async fn owner(idle_grace: Duration) -> (goagain::tokio::Goagain, Listener) {
    let builder = builder().idle_grace(idle_grace).drain_timeout(FOREVER).long_lived_timeout(FOREVER);
    let mut again = builder.isolated().unwrap().into_tokio().unwrap();
    let http = again.listen("http", "127.0.0.1:0").unwrap();
    again.ready().await.unwrap();
    (again, http)
}

fn app() -> Router {
    Router::new()
        .route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }))
}

fn connect(http: &Listener) -> TcpStream {
    let client = TcpStream::connect(address(http)).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client
}

/// Sends one request to [`app`] on a connection that stays open. Returns the response in lower case.
async fn asked(client: TcpStream) -> (TcpStream, String) {
    let itself = client.local_addr().unwrap().to_string();
    asked_for(client, itself).await
}

async fn asked_for(mut client: TcpStream, body: String) -> (TcpStream, String) {
    let ask = move || {
        client.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        let mut text = String::new();
        while !text.ends_with(&body) {
            let mut chunk = [0; 1024];
            let read = client.read(&mut chunk).unwrap();
            assert_ne!(read, 0, "{text}");
            text.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
        }
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        (client, text.to_ascii_lowercase())
    };
    spawn_blocking(ask).await.unwrap()
}

async fn ends(mut client: TcpStream) {
    assert_eq!(spawn_blocking(move || client.read(&mut [0])).await.unwrap().unwrap(), 0, "it is closed");
}

#[test]
fn while_draining_only_a_response_closes_a_connection() {
    run(async {
        let (mut again, http) = owner(FOREVER).await;
        let serving = tokio::spawn(goagain::axum::serve(http.to_tokio().unwrap(), app()));
        let (client, head) = asked(connect(&http)).await;
        assert!(!head.contains("connection: close"), "{head}");
        let (unused, _) = asked(connect(&http)).await;
        let silent = connect(&http);
        // A later connection was answered, so this one has been accepted.
        drop(asked(connect(&http)).await);
        again.handle().stop_gracefully();
        again.wait().await.unwrap();
        serving.await.unwrap().unwrap();
        for client in [client, unused, silent] {
            let (client, head) = asked(client).await;
            assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
            ends(client).await;
        }
        assert_eq!(again.finish().await.unwrap(), Finish::Exit);
    });
}

#[test]
fn idle_connections_are_closed_after_the_grace_period() {
    run(async {
        let (mut again, http) = owner(Duration::ZERO).await;
        tokio::spawn(goagain::axum::serve(http.to_tokio().unwrap(), app()));
        let (kept, _) = asked(connect(&http)).await;
        let silent = connect(&http);
        drop(asked(connect(&http)).await);
        again.handle().stop_gracefully();
        again.wait().await.unwrap();
        assert_eq!(again.finish().await.unwrap(), Finish::Exit);
        ends(kept).await;
        ends(silent).await;
    });
}

#[test]
fn axums_own_serve_works_with_the_listener_and_the_middleware() {
    run(async {
        let (mut again, http) = owner(FOREVER).await;
        let connections = again.connections();
        let app = Router::new().route("/", get(|| async { "hello" }));
        let app = app.layer(from_fn_with_state(connections.clone(), goagain::axum::drain));
        let closing = connections.shutdown_signal(DrainPhase::ClosingIdle);
        let serving = axum::serve(http.to_axum().unwrap(), app).with_graceful_shutdown(closing);
        let serving = tokio::spawn(serving.into_future());
        let (client, head) = asked_for(connect(&http), "hello".into()).await;
        assert!(!head.contains("connection: close"), "{head}");
        assert_eq!(connections.len(), 2, "the connection, and the listener");
        again.handle().stop_gracefully();
        again.wait().await.unwrap();
        let (client, head) = asked_for(client, "hello".into()).await;
        assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
        ends(client).await;
        assert_eq!(again.finish().await.unwrap(), Finish::Exit);
        serving.abort();
    });
}
