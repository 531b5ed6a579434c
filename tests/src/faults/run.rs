//! Runs a cell: a restart under load, the fault, its expected outcome, and a successful restart.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::json;

use super::cell::Cell;
use super::ends::{Image, Owner};
use super::kind::Kind;
use super::losses::Strike;
use super::point::Scene;
use super::rest::{self, When};
use crate::client::{self, Target};
use crate::config::StrategyKind;
use crate::events::{Event, now};
use crate::load::{Load, LoadOptions};
use crate::open_request::OpenRequest;
use crate::procfs;
use crate::service::{Binaries, DEADLINE, Service};

/// How long it may take until an image serves again, from the fault or from the end of a hang: much longer than the one deadline
/// that ends a cell.
const WITHIN: Duration = DEADLINE;

/// The load of a cell: 200 requests a second, and some slow requests.
const LOAD: LoadOptions = LoadOptions {
    rate: 195,
    keepalive: 0,
    keepalive_interval_ms: 1_000,
    slow: 5,
    slow_ms: 100,
    max_seconds: 120,
};

/// How long the service does nothing when only a supervisor can help.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs `cell` and returns the owner that is left, if there has to be one.
pub(super) fn run(cell: &Cell, service: &mut Service, binaries: &Binaries) -> anyhow::Result<Option<i32>> {
    let target: Target = service.address("http")?.parse()?;
    rest::descriptors(service, When::Struck(Image::Old))?;
    let load = Load::start(&binaries.load, &target.to_string(), &LOAD)?;
    let struck = strike(cell, service)?;
    let ends = cell.ends();
    let mut strike = Strike { from: struck.t, serves: cell.point.serves, ..Strike::default() };
    if cell.dies() {
        service.await_gone(struck.pid).context("the image that was hit")?;
        strike.ended = Some(now());
    } else if cell.kind == Kind::Stop {
        procfs::await_stopped(struck.pid, DEADLINE)?;
        strike.ended = Some(now());
    }
    if ends.woken {
        wake(cell, service, &load, struck.pid)?;
    }
    let since = now();
    let Owner::One(image) = ends.owner else {
        nobody_is_left(service, &target)?;
        strike.judge(cell, &load.finish()?)?;
        return Ok(None);
    };
    let owner = serves(cell, service, &struck, image)?;
    strike.killed = Some(now());
    let took = Duration::from_nanos(now() - since);
    ensure!(took < WITHIN, "owner: expected one within {WITHIN:?}, found it after {took:?}");
    rest::one_owner(service, owner, image.generation())?;
    strike.judge(cell, &load.finish()?)?;
    rest::descriptors(service, When::Struck(image))?;
    next_restart(cell, service, owner).context("the next restart")?;
    rest::descriptors(service, When::Restarted)?;
    Ok(Some(owner))
}

/// Restarts, and returns the event of the fault.
fn strike(cell: &Cell, service: &mut Service) -> anyhow::Result<Event> {
    let first = service.main_pid();
    let is_open = cell.point.scene == Scene::OpenRequest;
    // Under Double the request keeps the predecessor from exec until the successor has a request, too.
    let mut request = is_open.then(|| OpenRequest::by(service, first)).transpose()?;
    service.restart()?;
    if is_open && cell.point.side == Image::New {
        let owns = |event: &Event| event.name == "owner" && event.pid != first;
        let successor = service.await_event(owns, DEADLINE)?.pid;
        request = Some(OpenRequest::by(service, successor)?);
    }
    let struck = await_strike(service, cell.point.name)?;
    drop(request);
    if cell.point.scene == Scene::Late {
        let late = await_strike(service, "register")?.pid;
        procfs::await_stopped(late, DEADLINE)?;
        // This has no effect on a process that was killed meanwhile.
        let _ = service.signal(late, Signal::SIGCONT);
    }
    Ok(struck)
}

fn await_strike(service: &Service, point: &str) -> anyhow::Result<Event> {
    service
        .await_event(|event| event.name == "strike" && event.detail["point"] == point, DEADLINE)
        .with_context(|| format!("waiting for the fault at {point}"))
}

/// Does what a supervisor can do about an image that hangs and that no process may kill: resumes it, once the other processes
/// have reacted to it.
fn wake(cell: &Cell, service: &Service, load: &Load, struck: i32) -> anyhow::Result<()> {
    let first = service.main_pid();
    if cell.point.side == Image::Old && cell.ends().owner == Owner::One(Image::Old) {
        // The successor may not have sent an event yet, and has to exit.
        service.await_event(|event| event.name == "started" && event.pid != first, DEADLINE)?;
    }
    let owner = match cell.ends().owner {
        Owner::One(image) => pid_of(service, image),
        _ => Some(struck),
    };
    if owner == Some(struck) || owner.is_none() {
        for pid in service.pids().into_iter().filter(|pid| *pid != struck) {
            service.await_gone(pid).context("while an image hangs")?;
        }
    } else if let Some(owner) = owner {
        service.await_event(|event| event.name == "owner" && event.pid == owner, DEADLINE)?;
        for pid in service.pids().into_iter().filter(|pid| ![struck, owner].contains(pid)) {
            service.await_gone(pid).context("while an image hangs")?;
        }
    }
    load.run_for(PAUSE)?;
    service.signal(struck, Signal::SIGCONT)
}

/// Returns the process of an image, as far as it is known.
fn pid_of(service: &Service, image: Image) -> Option<i32> {
    let first = service.main_pid();
    match image {
        Image::Old | Image::Reexec => Some(first),
        Image::New => service.pids().into_iter().find(|pid| *pid != first),
    }
}

/// Waits until `image` serves, has reported what it has to report, and is the only process.
fn serves(cell: &Cell, service: &Service, struck: &Event, image: Image) -> anyhow::Result<i32> {
    let generation = image.generation();
    let mut from = 0;
    if let Some((name, by)) = cell.ends().report {
        let said =
            service.await_event(|event| event.name == name && event.generation == by.generation(), DEADLINE);
        let said = said.with_context(|| format!("waiting for `{name}` of the {}", by.who()))?;
        ensure!(
            name == "settled" || !said.reason().is_empty(),
            "reason: expected one, found none in `{name}`"
        );
        if name == "rolled_back" {
            from = struck.t;
        }
    }
    if image != Image::Old || from > 0 {
        service
            .await_event(
                |event| event.name == "owner" && event.generation == generation && event.t >= from,
                DEADLINE,
            )
            .with_context(|| format!("waiting for the {} to serve", image.who()))?;
    }
    let owner = pid_of(service, image).context("the owner's process")?;
    for pid in service.pids().into_iter().filter(|pid| *pid != owner) {
        service.await_gone(pid).context("a process other than the owner")?;
    }
    Ok(owner)
}

/// Checks that nobody is left: no process can keep a listener open, and the supervisor may start the service again.
fn nobody_is_left(service: &Service, target: &Target) -> anyhow::Result<()> {
    for pid in service.pids() {
        service.await_gone(pid).context("after the last fallback")?;
    }
    let left = service.living();
    ensure!(left.is_empty(), "processes: expected none, found {left:?}");
    ensure!(client::get(target, "/").is_err(), "{target}: expected to be refused, found an answer");
    Ok(())
}

/// Restarts into an image without a fault, under the same strategy.
fn next_restart(cell: &Cell, service: &mut Service, owner: i32) -> anyhow::Result<()> {
    let before = service.get("/")?;
    service.deploy(&service.image().with("generations", json!({})))?;
    service.mark();
    service.signal(owner, Signal::SIGUSR2)?;
    let settled = |event: &Event| event.name == "settled" && event.generation > before.generation;
    let settled = service.await_event(settled, DEADLINE)?;
    let after = service.get("/")?;
    ensure!(after.boot != before.boot, "boot: expected a new token, found `{}`", after.boot);
    ensure!(after.pid == settled.pid, "owner: expected {}, found {}", settled.pid, after.pid);
    let stays = cell.strategy == StrategyKind::Double;
    ensure!(
        (after.pid == owner) == stays,
        "pid: expected the same: {stays}, found {} after {owner}",
        after.pid
    );
    for pid in service.pids().into_iter().filter(|pid| *pid != after.pid) {
        service.await_gone(pid)?;
    }
    rest::no_stray(service, after.pid)
}
