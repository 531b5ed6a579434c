//! Connections of hyper that move to the new image in place of being closed.

use anyhow::{Context as _, ensure};

use super::clients::{NUMBER, Tally};
use super::{RESTARTS, http2, restarts, web, websocket};
use crate::drills::{Context, Drill, moves, nothing_lost};
use crate::service::Service;

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "axum_moves",
            "50 clients with reqwest keep their connections through 20 restarts",
            reqwest,
        ),
        Drill::both("axum_moves_the_idle", "so do such as hardly ever ask, under load", |context| {
            moves::twenty(context, "axum")
        }),
        Drill::both(
            "axum_moves_unread_bytes",
            "half of a request that hyper has read goes along",
            |context| moves::unread(context, "axum"),
        ),
        Drill::both(
            "axum_moves_after_the_answer",
            "what was in a request at commit moves after it",
            |context| moves::after_an_answer(context, "axum"),
        ),
        Drill::both(
            "axum_moves_nothing",
            "to an image that takes none: closed the ordinary way",
            |context| moves::not_taken(context, "axum"),
        ),
        Drill::both(
            "axum_moves_no_http2",
            "beside what moves HTTP/2 is drained as ever, with h2",
            |context| {
                let mut service = start(context, 10_000)?;
                restarts(context, &mut service, http2::clients)?;
                service.end()
            },
        ),
        Drill::both("axum_moves_no_websocket", "and so is what was upgraded, with tungstenite", |context| {
            let mut service = start(context, 500)?;
            restarts(context, &mut service, websocket::clients)?;
            service.end()
        }),
    ]
}

fn start(context: &Context, idle_ms: u64) -> anyhow::Result<Service> {
    context.start_with(|config| {
        config.moves = true;
        config.behaviour = "axum".to_owned();
        config.idle_ms = idle_ms;
    })
}

fn reqwest(context: &Context) -> anyhow::Result<()> {
    let mut service = start(context, 10_000)?;
    let load = context.load(&service)?;
    let address = service.address("http")?;
    let clients = web::clients(address.strip_prefix("tcp:").context("expected a TCP address")?)?;
    for number in 1..=RESTARTS {
        service.restart_and_settle().with_context(|| format!("restart {number}"))?;
        clients.await_answers(clients.answered())?;
    }
    let Tally { requests, connections } = clients.finish()?;
    ensure!(connections == NUMBER, "connections: expected {NUMBER}, found {connections}: some were closed");
    context.note(format!("{requests} requests on {connections} connections, 0 closes"));
    nothing_lost(load)?;
    service.end()
}
