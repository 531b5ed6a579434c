//! The servers on a runtime, and the one on threads. Each is restarted while fifty clients of a common client library keep their
//! connections: no request fails, and none is sent twice.

mod clients;
mod edges;
mod grpc;
mod http2;
mod migration;
mod one_call;
mod tls;
mod web;
mod websocket;

use anyhow::{Context as _, ensure};

use self::clients::{Clients, NUMBER, Tally};
use crate::drills::{Context, Drill, nothing_lost};
use crate::service::Service;

/// How many times each server is restarted.
const RESTARTS: usize = 20;

/// Returns all drills of servers on a runtime.
pub fn all() -> Vec<Drill> {
    let mut all = vec![
        Drill::both("threads", "the example `single`, with reqwest", |context| {
            drill(context, "threads", web::clients)
        }),
        Drill::both("pool", "the example `pool`, with reqwest", |context| {
            drill(context, "pool", web::clients)
        }),
        Drill::both("mio", "the example `mio`, with reqwest", |context| drill(context, "mio", web::clients)),
        Drill::both("tokio", "the example `tokio`, with reqwest and an open load", tokio),
        Drill::both("axum", "the example `axum`, with reqwest", |context| {
            drill(context, "axum", web::clients)
        }),
        Drill::both("axum_serve", "axum's own serve, with reqwest", |context| {
            drill(context, "axum_serve", web::clients)
        }),
        Drill::both("axum_http2", "the example `axum`, with h2", |context| {
            drill(context, "axum", http2::clients)
        }),
        Drill::both("axum_websocket", "the example `axum`, with tungstenite", websocket),
        Drill::both("axum_tls", "the example `axum_tls`, with reqwest", |context| {
            drill(context, "axum_tls", web::tls_clients)
        }),
        Drill::both("axum_tls_http2", "the example `axum_tls` by HTTP/2, with h2", |context| {
            drill(context, "axum_tls", http2::tls_clients)
        }),
        Drill::both("tonic", "the example `tonic`, with tonic: requests and streams", |context| {
            drill(context, "tonic", grpc::clients)
        }),
        Drill::both("actix", "the example `actix`, with reqwest", |context| {
            drill(context, "actix", web::clients)
        }),
    ];
    all.extend(migration::all());
    all.extend(one_call::all());
    all.extend(edges::all());
    all
}

fn tokio(context: &Context) -> anyhow::Result<()> {
    let mut service = start(context, "tokio")?;
    let load = context.load(&service)?;
    restarts(context, &mut service, web::clients)?;
    nothing_lost(load)?;
    service.end()
}

/// Long-lived connections are asked to close after idle ones.
fn websocket(context: &Context) -> anyhow::Result<()> {
    let mut service = start_with(context, "axum", 500)?;
    restarts(context, &mut service, websocket::clients)?;
    service.end()
}

fn drill(
    context: &Context,
    behaviour: &str,
    clients: fn(&str) -> anyhow::Result<Clients>,
) -> anyhow::Result<()> {
    let mut service = start(context, behaviour)?;
    restarts(context, &mut service, clients)?;
    service.end()
}

/// Starts the server that `behaviour` names, with a grace period longer than any client is idle.
fn start(context: &Context, behaviour: &str) -> anyhow::Result<Service> {
    start_with(context, behaviour, 10_000)
}

fn start_with(context: &Context, behaviour: &str, idle_ms: u64) -> anyhow::Result<Service> {
    context.start_with(|config| {
        config.behaviour = behaviour.to_owned();
        config.idle_ms = idle_ms;
    })
}

/// Restarts the service while its clients send requests.
fn restarts(
    context: &Context,
    service: &mut Service,
    clients: fn(&str) -> anyhow::Result<Clients>,
) -> anyhow::Result<()> {
    let address = service.address("http")?;
    let clients = clients(address.strip_prefix("tcp:").context("expected a TCP address")?)?;
    for number in 1..=RESTARTS {
        service.restart_and_settle().with_context(|| format!("restart {number}"))?;
        // Each has lost its connection, and has opened another. Its first answer may be the old image's last one,
        // read late: so wait twice.
        for _ in 0..2 {
            clients.await_answers(clients.answered())?;
        }
    }
    let Tally { requests, connections } = clients.finish()?;
    let fewest = NUMBER * (RESTARTS + 1);
    ensure!(connections >= fewest, "connections: expected {fewest} or more, found {connections}");
    context.note(format!("{requests} requests on {connections} connections, none lost, none sent twice"));
    Ok(())
}
