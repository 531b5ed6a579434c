//! Stops, in every state: INT and TERM end the service at once, QUIT gracefully, a second QUIT while draining at once.

use anyhow::ensure;
use nix::sys::signal::Signal;

use super::{Context, Drill, serves_as_before, successor_is_gone};
use crate::client::Connection;
use crate::config::StrategyKind;
use crate::open_request::OpenRequest;
use crate::service::{DEADLINE, Service};

/// A request that takes longer than any deadline here.
const FOR_EVER: &str = "/slow?ms=60000";

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "term_and_int_stop",
            "TERM, and INT, to the owner: it ends, whatever is in flight",
            owner,
        ),
        Drill::both(
            "stop_while_starting",
            "a stop of the owner ends it and the successor that starts (Go defect 10)",
            starting,
        ),
        Drill::both(
            "term_to_the_successor",
            "TERM to a successor that starts: the old process keeps serving",
            successor,
        ),
        Drill::both(
            "term_while_draining",
            "TERM to a predecessor that drains ends it at once (Go defect 10)",
            draining,
        ),
        Drill::both(
            "quit_finishes_slow_request",
            "QUIT: requests in flight are answered first (Go defect 17)",
            gracefully,
        ),
        Drill::both(
            "second_quit_ends_at_once",
            "a second QUIT while draining ends the service at once",
            second_quit,
        ),
        Drill::both(
            "drain_has_a_deadline",
            "QUIT: a request past drain_timeout does not delay the end",
            deadline,
        ),
    ]
}

/// Returns a connection that the server has accepted, with a request in flight.
fn in_flight(service: &Service, path: &str) -> anyhow::Result<Connection> {
    let mut connection = Connection::open(&service.address("http")?.parse()?)?;
    connection.send("/", false)?;
    connection.answer()?;
    connection.send(path, false)?;
    Ok(connection)
}

fn owner(context: &Context) -> anyhow::Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let service = context.start()?;
        let _connection = in_flight(&service, FOR_EVER)?;
        service.end_by(signal)?;
    }
    Ok(())
}

fn starting(context: &Context) -> anyhow::Result<()> {
    for signal in [Signal::SIGTERM, Signal::SIGQUIT] {
        let mut service = context.start()?;
        let owner = service.owner()?;
        service.deploy(&service.image().behaviour("hang"))?;
        service.restart()?;
        service.await_event(|event| event.name == "started" && event.pid != owner, DEADLINE)?;
        service.end_by(signal)?;
    }
    Ok(())
}

fn successor(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start()?;
    let owner = service.owner()?;
    service.deploy(&service.image().behaviour("hang"))?;
    service.restart()?;
    let successor = service.await_event(|event| event.name == "started" && event.pid != owner, DEADLINE)?;
    service.signal(successor.pid, Signal::SIGTERM)?;
    service.await_name("failed")?;
    successor_is_gone(&service, owner)?;
    serves_as_before(&service, owner)?;
    service.end()
}

fn draining(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| config.probation_ms = 10_000)?;
    let old = service.owner()?;
    let _connection = in_flight(&service, FOR_EVER)?;
    service.restart()?;
    service.await_event(|event| event.name == "serving" && event.pid == old, DEADLINE)?;
    let new = service.owner()?;
    ensure!(new != old, "owner: expected another than {old}");
    service.signal(old, Signal::SIGTERM)?;
    service.await_gone(old)?;
    if context.strategy == StrategyKind::Double {
        // The pid that a supervisor watches was stopped: the child stops, too.
        return service.ended();
    }
    let answered = service.get("/")?;
    ensure!(answered.pid == new, "owner: expected {new}, found {}", answered.pid);
    service.end()
}

fn gracefully(context: &Context) -> anyhow::Result<()> {
    let service = context.start()?;
    let owner = service.owner()?;
    let request = OpenRequest::by(&service, owner)?;
    service.signal(owner, Signal::SIGQUIT)?;
    service.await_name("draining")?;
    let (answer, _connection) = request.finish()?;
    ensure!(answer.close, "connection: expected `close` while draining");
    service.ended()
}

fn second_quit(context: &Context) -> anyhow::Result<()> {
    let service = context.start()?;
    let owner = service.owner()?;
    let _connection = in_flight(&service, FOR_EVER)?;
    service.signal(owner, Signal::SIGQUIT)?;
    service.await_name("draining")?;
    service.signal(owner, Signal::SIGQUIT)?;
    service.ended()
}

fn deadline(context: &Context) -> anyhow::Result<()> {
    let service = context.start_with(|config| config.drain_ms = 300)?;
    let _connection = in_flight(&service, FOR_EVER)?;
    service.end()
}
