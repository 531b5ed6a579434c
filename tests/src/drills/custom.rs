//! A custom strategy: the old process stays as a warm standby until it is dismissed.

use std::time::Duration;

use anyhow::ensure;
use nix::sys::signal::Signal;

use super::{Context, Drill, nothing_lost};
use crate::config::StrategyKind;
use crate::service::{DEADLINE, Service};

pub(super) fn all() -> Vec<Drill> {
    let standby = |name, about, run| Drill { name, about, strategies: &[StrategyKind::Standby], run };
    vec![
        standby("standby_takes_over", "the owner is killed: the standby serves", takes_over),
        standby(
            "standby_is_dismissed",
            "the standby exits when it is dismissed, and nothing else changes",
            is_dismissed,
        ),
        standby(
            "standby_is_dismissed_by_a_restart",
            "a restart of the owner dismisses the standby first, and succeeds: there is never more than one standby",
            gives_way,
        ),
    ]
}

/// Restarts. Returns the standby's pid and the owner's, once the owner serves.
fn stand_by(service: &mut Service) -> anyhow::Result<(i32, i32)> {
    let standby = service.owner()?;
    service.restart()?;
    let owner = service.await_event(|event| event.name == "owner" && event.pid != standby, DEADLINE)?.pid;
    service.await_event(|event| event.name == "serving" && event.pid == standby, DEADLINE)?;
    let living = service.living();
    ensure!(living.len() == 2, "processes: expected {standby} and {owner}, found {living:?}");
    ensure!(service.get("/")?.pid == owner, "owner: expected {owner}");
    Ok((standby, owner))
}

fn takes_over(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| config.probation_ms = 50)?;
    let (standby, owner) = stand_by(&mut service)?;
    // Any other fallback would be gone after this.
    let load = context.load(&service)?;
    load.run_for(Duration::from_secs(1))?;
    nothing_lost(load)?;
    service.signal(owner, Signal::SIGKILL)?;
    service.await_event(|event| event.name == "rolled_back" && event.pid == standby, DEADLINE)?;
    service.await_event(|event| event.name == "owner" && event.pid == standby, DEADLINE)?;
    ensure!(service.get("/")?.pid == standby, "owner: expected {standby}");
    service.end()
}

fn is_dismissed(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start()?;
    let (standby, owner) = stand_by(&mut service)?;
    let load = context.load(&service)?;
    service.signal(owner, Signal::SIGUSR1)?;
    service.await_gone(standby)?;
    service.await_name("settled")?;
    nothing_lost(load)?;
    ensure!(service.get("/")?.pid == owner, "owner: expected {owner}");
    service.end()
}

fn gives_way(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start()?;
    let (standby, owner) = stand_by(&mut service)?;
    let load = context.load(&service)?;
    service.signal(owner, Signal::SIGUSR2)?;
    service.await_gone(standby)?;
    let third = service
        .await_event(|event| event.name == "owner" && ![standby, owner].contains(&event.pid), DEADLINE)?
        .pid;
    nothing_lost(load)?;
    let mut living = service.living();
    living.sort_unstable();
    let mut expected = [owner, third];
    expected.sort_unstable();
    ensure!(living == expected, "processes: expected {expected:?}, found {living:?}");
    service.end()
}
