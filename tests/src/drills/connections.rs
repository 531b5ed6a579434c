//! Connections that span a restart, and the sockets that they come in by.

use std::path::Path;

use anyhow::{Context as _, ensure};

use super::{Context, Drill, nothing_lost, restarts_well};
use crate::client::Connection;
use crate::service::{DEADLINE, Service};

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "slow_request_spans_restart",
            "a request in flight at commit is answered by the old image (Go defect 17)",
            slow,
        ),
        Drill::both(
            "keepalive_spans_restart",
            "a kept connection is served while draining, and its answer says `Connection: close`",
            kept,
        ),
        Drill::both(
            "unused_connection_spans_restart",
            "a connection that has sent nothing yet is served",
            unused,
        ),
        Drill::both("idle_connection_is_closed", "an idle connection is closed after its grace period", idle),
        Drill::both(
            "unix_path_survives",
            "a Unix path exists after 3 restarts, and is gone after the stop (Go defect 6)",
            unix,
        ),
        Drill::both(
            "several_listeners",
            "TCP, TCP and Unix are all inherited by name (Go defect 15)",
            several,
        ),
    ]
}

fn open(service: &Service) -> anyhow::Result<Connection> {
    Connection::open(&service.address("http")?.parse()?)
}

fn slow(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start()?;
    let old = service.generation()?;
    let mut connection = open(&service)?;
    connection.send("/", false)?;
    connection.answer()?;
    connection.send("/slow?ms=5000", false)?;
    service.restart()?;
    service.await_event(|event| event.name == "owner" && event.generation > old, DEADLINE)?;
    answered_by(&mut connection, old)?;
    service.await_settled(old)?;
    service.end()
}

fn kept(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| config.idle_ms = 10_000)?;
    let old = service.generation()?;
    let mut connection = open(&service)?;
    for _ in 0..2 {
        connection.send("/", false)?;
        ensure!(!connection.answer()?.close, "connection: expected it to be kept");
    }
    service.restart()?;
    is_draining(&service, old)?;
    connection.send("/", false)?;
    answered_by(&mut connection, old)?;
    service.await_settled(old)?;
    service.end()
}

fn unused(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| config.idle_ms = 10_000)?;
    let old = service.generation()?;
    // The connection after it is answered, so this one was accepted before.
    let mut connection = open(&service)?;
    service.get("/")?;
    service.restart()?;
    is_draining(&service, old)?;
    connection.send("/", false)?;
    answered_by(&mut connection, old)?;
    service.await_settled(old)?;
    service.end()
}

/// Waits until the old image reports that it drains. The new one may report the commit before that.
fn is_draining(service: &Service, old: u64) -> anyhow::Result<()> {
    service.await_event(|event| event.name == "draining" && event.generation == old, DEADLINE).map(drop)
}

/// Reads an answer of generation `old` that closes the connection.
fn answered_by(connection: &mut Connection, old: u64) -> anyhow::Result<()> {
    let answer = connection.answer()?;
    let generation =
        answer.identity().with_context(|| format!("identity: found `{}`", answer.body))?.generation;
    ensure!(generation == old, "generation: expected {old}, found {generation}");
    ensure!(answer.close, "connection: expected `close` while draining");
    connection.closed()
}

fn idle(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| config.idle_ms = 200)?;
    let mut connection = open(&service)?;
    connection.send("/", false)?;
    connection.answer()?;
    service.restart_and_settle()?;
    connection.closed()?;
    service.end()
}

fn unix(context: &Context) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("http.sock");
    let mut service = context.start_with(|config| config.listen = vec![("http".into(), address(&path))])?;
    let shown = service.address("http")?;
    ensure!(shown == address(&path), "address: expected {}, found {shown}", address(&path));
    let load = context.load(&service)?;
    for number in 1..=3 {
        restarts_well(&mut service).with_context(|| format!("restart {number}"))?;
        ensure!(path.exists(), "{}: expected the path after restart {number}", path.display());
    }
    nothing_lost(load)?;
    service.end()?;
    ensure!(!path.exists(), "{}: expected it to be unlinked by the last owner", path.display());
    Ok(())
}

fn several(context: &Context) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let names = ["http", "admin", "local"];
    let mut service = context.start_with(|config| {
        let addresses = ["127.0.0.1:0".to_owned(), "127.0.0.1:0".into(), address(&folder.path().join("s"))];
        config.listen = names.into_iter().map(str::to_owned).zip(addresses).collect();
    })?;
    let before = names.map(|name| service.address(name).unwrap_or_default());
    for _ in 0..2 {
        restarts_well(&mut service)?;
        for name in names {
            let answered = service.get_from(name, "/").context(name)?;
            ensure!(answered.pid == service.owner()?, "{name}: expected the owner, found {}", answered.pid);
        }
    }
    let after = names.map(|name| service.address(name).unwrap_or_default());
    ensure!(before == after, "addresses: expected {before:?}, found {after:?}");
    service.end()
}

fn address(path: &Path) -> String {
    format!("unix:{}", path.display())
}
