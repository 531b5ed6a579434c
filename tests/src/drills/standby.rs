//! The warm standby at the worst moment: its owner is killed again and again, signals go to the wrong process of the two.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;

use super::{Context, Drill, serves_as_before};
use crate::config::StrategyKind;
use crate::service::{DEADLINE, Service};

/// Many times the probation period: everything that ends with probation has ended.
const LONG_AFTER: Duration = Duration::from_millis(1_000);

pub(super) fn all() -> Vec<Drill> {
    let standby = |name, about, run| Drill { name, about, strategies: &[StrategyKind::Standby], run };
    vec![
        standby(
            "standby_takes_over_again",
            "long after probation the standby accepts nothing, takes over from a killed owner, and works as before",
            stays,
        ),
        standby(
            "restart_requested_of_the_standby",
            "USR2 to the standby: it exits first, then the owner restarts",
            restarted,
        ),
        standby(
            "standby_and_stops",
            "TERM to the old process ends only that process; TERM, INT and QUIT to the owner end both",
            stopped,
        ),
    ]
}

/// Starts a service with an owner and a standby, long after probation. Returns the standby's pid.
fn standing(context: &Context) -> anyhow::Result<(Service, i32)> {
    let mut service = context.start()?;
    let old = service.owner()?;
    restart_beside(&mut service, old)?;
    Ok((service, old))
}

/// Restarts. Afterwards `old` must be the standby, even when every deadline has passed.
fn restart_beside(service: &mut Service, old: i32) -> anyhow::Result<()> {
    service.restart()?;
    service.await_event(|event| event.name == "serving" && event.pid == old, DEADLINE)?;
    let new = service.owner()?;
    ensure!(new != old, "owner: expected another than {old}");
    service.mark();
    stands_by(service, old, new)
}

fn stands_by(service: &Service, old: i32, new: i32) -> anyhow::Result<()> {
    let ended = service.await_event(
        |event| event.pid == old && ["released", "leaving", "rolled_back"].contains(&event.name.as_str()),
        LONG_AFTER,
    );
    ensure!(ended.is_err(), "{old}: expected it to be the standby, found {:?}", ended.ok());
    let mut living = service.living();
    living.sort_unstable();
    let mut both = [old, new];
    both.sort_unstable();
    ensure!(living == both, "processes: expected {both:?}, found {living:?}");
    for _ in 0..20 {
        let answered = service.get("/")?.pid;
        ensure!(answered == new, "owner: expected only {new} to answer, found {answered}");
    }
    Ok(())
}

fn stays(context: &Context) -> anyhow::Result<()> {
    let (mut service, old) = standing(context)?;
    for _ in 0..2 {
        let owner = service.owner()?;
        service.mark();
        service.signal(owner, Signal::SIGKILL)?;
        service.await_event(|event| event.name == "rolled_back" && event.pid == old, DEADLINE)?;
        service.await_event(|event| event.name == "owner" && event.pid == old, DEADLINE)?;
        service.await_gone(owner)?;
        serves_as_before(&service, old)?;
        // And it is as good a predecessor as before.
        restart_beside(&mut service, old)?;
    }
    service.end()
}

fn restarted(context: &Context) -> anyhow::Result<()> {
    let (service, old) = standing(context)?;
    let owner = service.owner()?;
    service.mark();
    service.signal(old, Signal::SIGUSR2)?;
    service.await_event(|event| event.name == "serving" && event.pid == owner, DEADLINE)?;
    let events = service.marked();
    let place = |name: &str, pid: i32| {
        let found = events.iter().position(|event| event.name == name && event.pid == pid);
        found.with_context(|| format!("{pid}: expected `{name}`, found none"))
    };
    // The owner reports when it has read RELEASED. The order in which the events of two processes arrive is not certain.
    let (released, spawned) = (place("released", owner)?, place("spawned", owner)?);
    ensure!(released < spawned, "restart: expected it after RELEASED, found {}", service.story(0));
    let spawns = events.iter().filter(|event| event.name == "spawned").count();
    ensure!(spawns == 1, "restarts: expected 1, found {spawns}");
    service.await_gone(old)?;
    // The previous owner is the standby now.
    service.mark();
    stands_by(&service, owner, service.owner()?)?;
    service.end()
}

fn stopped(context: &Context) -> anyhow::Result<()> {
    let (service, old) = standing(context)?;
    let owner = service.owner()?;
    service.signal(old, Signal::SIGTERM)?;
    service.await_gone(old)?;
    serves_as_before(&service, owner)?;
    service.end()?;
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let (service, _) = standing(context)?;
        service.mark();
        service.signal(service.owner()?, signal)?;
        let rolled = |event: &crate::events::Event| event.name == "rolled_back";
        for pid in service.pids() {
            service.await_gone(pid).with_context(|| format!("{signal} to the owner"))?;
        }
        ensure!(
            !service.marked().iter().any(rolled),
            "{signal}: expected no roll back, {}",
            service.story(0)
        );
        service.ended()?;
    }
    Ok(())
}
