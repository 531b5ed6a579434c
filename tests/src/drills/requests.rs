//! Restarts that are requested again and again, or at the wrong moment.

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;

use super::{Context, Drill, nothing_lost, restarts_well, serves_as_before};
use crate::events::Event;
use crate::open_request::OpenRequest;
use crate::service::DEADLINE;

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "usr2_storm",
            "50 USR2 under load: never two attempts at once, at least one after the last signal, no request is lost (Go defect 10)",
            storm,
        ),
        Drill::both(
            "usr2_while_starting",
            "several USR2 while a successor starts: noted, and exactly one further restart (Go defect 4)",
            while_starting,
        ),
        Drill::both(
            "usr2_after_failed",
            "USR2 after a failed restart tries again (Go defect 3)",
            after_failed,
        ),
        Drill::both(
            "usr2_to_group",
            "USR2 to the whole process group: one owner in the end (Go defect 10)",
            to_group,
        ),
    ]
}

fn storm(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start()?;
    let load = context.load(&service)?;
    let pid = service.owner()?;
    // Under Single the process would exit in the middle of the storm, if that takes long, and lose the signals
    // that it has not read.
    let request = OpenRequest::by(&service, pid)?;
    service.restart()?;
    for _ in 2..50 {
        service.signal(pid, Signal::SIGUSR2)?;
    }
    let last = crate::events::now();
    service.signal(pid, Signal::SIGUSR2)?;
    request.finish()?;
    // Once it has released, it reports that the owner has to be signalled.
    let answers = |event: &Event| match event.name.as_str() {
        "spawned" => event.t > last,
        "refused" => event.t > last && event.pid == pid,
        _ => false,
    };
    service.await_event(answers, DEADLINE).context("one after the last")?;
    service.await_rest()?;
    never_two_at_once(&service.marked())?;
    nothing_lost(load)?;
    restarts_well(&mut service)?;
    service.end()
}

/// Checks that the previous attempt is committed or has failed before an attempt spawns.
fn never_two_at_once(events: &[Event]) -> anyhow::Result<()> {
    let mut open = None;
    for event in events {
        match event.name.as_str() {
            "spawned" => {
                ensure!(open.is_none(), "attempts: expected one at a time, found {open:?} and {event:?}");
                open = Some(event.clone());
            }
            "committed" | "failed" => open = None,
            _ => {}
        }
    }
    Ok(())
}

fn while_starting(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| config.ready_ms = 60_000)?;
    let owner = service.owner()?;
    service.deploy(&service.image().behaviour("hang"))?;
    service.restart()?;
    let hangs = service.await_event(|event| event.name == "started" && event.pid != owner, DEADLINE)?.pid;
    for _ in 0..3 {
        service.signal(owner, Signal::SIGUSR2)?;
    }
    service.quiesce()?;
    service.deploy(&service.image())?;
    service.signal(hangs, Signal::SIGTERM)?;
    service.await_name("failed")?;
    service.await_name("settled")?;
    service.await_rest()?;
    let spawned =
        service.marked().iter().filter(|event| event.name == "spawned" && event.pid == owner).count();
    ensure!(spawned == 2, "attempts: expected 2, found {spawned}: {}", service.story(0));
    service.end()
}

fn after_failed(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start()?;
    let owner = service.owner()?;
    service.deploy(&service.image().behaviour("exit3"))?;
    for _ in 0..3 {
        service.restart()?;
        service.await_name("failed")?;
        super::successor_is_gone(&service, owner)?;
        serves_as_before(&service, owner)?;
    }
    service.deploy(&service.image())?;
    restarts_well(&mut service)?;
    service.end()
}

fn to_group(context: &Context) -> anyhow::Result<()> {
    let mut options = context.options();
    options.own_group = true;
    let mut service = context.start_options(options)?;
    let load = context.load(&service)?;
    let owner = service.owner()?;
    service.mark();
    service.signal_group(Signal::SIGUSR2)?;
    // The successor gets the signal before it has installed its handlers.
    service.await_event(|event| event.name == "spawned" && event.pid == owner, DEADLINE)?;
    service.signal_group(Signal::SIGUSR2)?;
    // And once more when both processes serve.
    service.await_name("committed")?;
    service.signal_group(Signal::SIGUSR2)?;
    service.await_rest()?;
    never_two_at_once(&service.marked())?;
    nothing_lost(load)?;
    restarts_well(&mut service)?;
    service.end()
}
