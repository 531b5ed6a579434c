//! The course of a cell: a restart under load, the fault, what has to come of it, and a restart that goes well.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;

use super::cell::Cell;
use super::ends::{Image, Owner};
use super::losses::Strike;
use super::point::Scene;
use super::rest::{self, When};
use crate::client::{self, Target};
use crate::config::StrategyKind;
use crate::events::{Event, now};
use crate::load::{Load, LoadOptions};
use crate::service::{Binaries, DEADLINE, Service};

/// By when somebody serves again, counted from the fault or from the end of a hang: all deadlines of a cell together, and
/// what a busy machine takes.
const WITHIN: Duration = Duration::from_secs(10);

/// The load of a cell: 200 requests a second, and some that take long.
const LOAD: LoadOptions = LoadOptions {
    rate: 195,
    keepalive: 0,
    keepalive_interval_ms: 1_000,
    slow: 5,
    slow_ms: 100,
    max_seconds: 60,
};

/// How long the service stands still where only a supervisor helps.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs `cell` and gives the owner that is left, if there has to be one.
pub(super) fn run(cell: &Cell, service: &mut Service, binaries: &Binaries) -> anyhow::Result<Option<i32>> {
    let target: Target = service.address("http")?.parse()?;
    rest::descriptors(service, When::Struck(Image::Old))?;
    let load = Load::start(&binaries.load, &target.to_string(), &LOAD)?;
    let struck = strike(cell, service, &target)?;
    let ends = cell.ends();
    let mut strike = Strike { from: struck.t, serves: cell.point.serves, ..Strike::default() };
    if cell.dies() {
        service.await_gone(struck.pid).context("the image that is struck")?;
        strike.died = Some(now());
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

/// Restarts, with each image deployed when its turn comes, and gives the event of the fault.
fn strike(cell: &Cell, service: &mut Service, target: &Target) -> anyhow::Result<Event> {
    let first = service.main_pid();
    // The predecessor's fault is in the variable, which its successors inherit.
    let healthy = service.image().with("fault", "");
    let faulty = service.image().with("fault", cell.fault());
    let successor = match (cell.point.side, cell.point.scene) {
        (Image::New, Scene::Fails) => faulty.clone().behaviour("fail"),
        (Image::New, _) => faulty.clone(),
        (_, Scene::Fails) => healthy.clone().behaviour("fail"),
        (_, Scene::Late) => healthy.clone().with("fault", "register: slow=1200"),
        (_, Scene::Dies) => healthy.clone().behaviour("die_after_ready"),
        (_, Scene::Plain | Scene::Held) => healthy.clone(),
    };
    service.deploy(&successor)?;
    let held = cell.point.scene == Scene::Held;
    let mut connection = (held && cell.point.side == Image::Old).then(|| hold(target)).transpose()?;
    service.restart()?;
    if cell.point.side != Image::Old || !matches!(cell.point.scene, Scene::Plain | Scene::Held) {
        service.await_event(|event| event.name == "started" && event.pid != first, DEADLINE)?;
        service.deploy(if cell.point.side == Image::Back { &faulty } else { &healthy })?;
    }
    if held && cell.point.side == Image::New {
        service.await_event(|event| event.name == "owner" && event.pid != first, DEADLINE)?;
        connection = Some(hold(target)?);
    }
    let struck = service
        .await_event(|event| event.name == "strike" && event.detail["point"] == cell.point.name, DEADLINE)
        .context("waiting for the fault to strike")?;
    if cell.point.side == Image::Back {
        service.deploy(&healthy)?;
    }
    drop(connection);
    Ok(struck)
}

/// A connection with half a request on it.
fn hold(target: &Target) -> anyhow::Result<Box<dyn Write>> {
    let mut stream: Box<dyn Write> = match target {
        Target::Tcp(address) => Box::new(TcpStream::connect(address)?),
        Target::Unix(path) => Box::new(UnixStream::connect(path)?),
    };
    stream.write_all(b"GET / HTTP/1.1\r\n")?;
    Ok(stream)
}

/// What a supervisor can do about an image that hangs and that nobody may kill: here it lets it go on, once the others have
/// done what they do about it.
fn wake(cell: &Cell, service: &Service, load: &Load, struck: i32) -> anyhow::Result<()> {
    let first = service.main_pid();
    if cell.point.side == Image::Old && cell.ends().owner == Owner::One(Image::Old) {
        // The successor may not have said anything yet, and has to leave.
        service.await_event(|event| event.name == "started" && event.pid != first, DEADLINE)?;
    }
    let owner = match cell.ends().owner {
        Owner::One(image) => pid_of(service, image),
        _ => Some(struck),
    };
    if owner == Some(struck) || owner.is_none() {
        for pid in service.pids().into_iter().filter(|pid| *pid != struck) {
            service.await_gone(pid).context("beside an image that hangs")?;
        }
    } else if let Some(owner) = owner {
        service.await_event(|event| event.name == "owner" && event.pid == owner, DEADLINE)?;
        for pid in service.pids().into_iter().filter(|pid| ![struck, owner].contains(pid)) {
            service.await_gone(pid).context("beside an image that hangs")?;
        }
    }
    load.run_for(PAUSE)?;
    service.signal(struck, Signal::SIGCONT)
}

/// The process of an image, as far as it is known.
fn pid_of(service: &Service, image: Image) -> Option<i32> {
    let first = service.main_pid();
    match image {
        Image::Old | Image::Back => Some(first),
        Image::New => service.pids().into_iter().find(|pid| *pid != first),
    }
}

/// Waits until `image` serves, has said what it has to say, and is the only process.
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
        service.await_gone(pid).context("beside the owner")?;
    }
    Ok(owner)
}

/// The last net is gone: nothing is left that could hold a listener, and whoever supervises may start anew.
fn nobody_is_left(service: &Service, target: &Target) -> anyhow::Result<()> {
    for pid in service.pids() {
        service.await_gone(pid).context("after the last net")?;
    }
    let left = service.living();
    ensure!(left.is_empty(), "processes: expected none, found {left:?}");
    ensure!(client::get(target, "/").is_err(), "{target}: expected to be refused, found an answer");
    Ok(())
}

/// An image without fault, under the same strategy.
fn next_restart(cell: &Cell, service: &mut Service, owner: i32) -> anyhow::Result<()> {
    let before = service.get("/")?;
    service.deploy(&service.image().with("fault", ""))?;
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
