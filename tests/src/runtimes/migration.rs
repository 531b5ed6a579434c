//! Connections of hyper that are migrated to the new image instead of being closed.

use anyhow::{Context as _, ensure};

use super::clients::{NUMBER, Tally};
use super::{RESTARTS, http2, restarts, web, websocket};
use crate::drills::{Context, Drill, migration, nothing_lost};
use crate::service::Service;

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "axum_migration",
            "50 clients with reqwest keep their connections through 20 restarts",
            reqwest,
        ),
        Drill::both("axum_migration_of_idle", "so do clients that hardly ever ask, under load", |context| {
            migration::twenty(context, "axum")
        }),
        Drill::both(
            "axum_migration_with_unread_bytes",
            "the half of a request that hyper has read is migrated with its connection",
            |context| migration::unread(context, "axum"),
        ),
        Drill::both(
            "axum_migration_after_the_answer",
            "a connection with a request in flight at commit is migrated after the answer",
            |context| migration::after_an_answer(context, "axum"),
        ),
        Drill::both(
            "axum_migration_not_accepted",
            "nothing is migrated to an image that accepts no connections: they are closed as usual",
            |context| migration::not_taken(context, "axum"),
        ),
        Drill::both(
            "axum_migration_not_of_http2",
            "HTTP/2 is drained as usual while other connections are migrated, with h2",
            |context| {
                let mut service = start(context, 10_000)?;
                restarts(context, &mut service, http2::clients)?;
                service.end()
            },
        ),
        Drill::both(
            "axum_migration_not_of_websocket",
            "and so are upgraded connections, with tungstenite",
            |context| {
                let mut service = start(context, 500)?;
                restarts(context, &mut service, websocket::clients)?;
                service.end()
            },
        ),
    ]
}

fn start(context: &Context, idle_ms: u64) -> anyhow::Result<Service> {
    context.start_with(|config| {
        config.migrate = true;
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
