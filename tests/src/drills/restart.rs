//! Restarts that succeed.

use anyhow::{Context as _, ensure};

use super::{Context, Drill, nothing_lost, restarts_well};
use crate::config::StrategyKind;
use crate::procfs::Descriptor;

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "restart_once",
            "one restart: a new image answers, no other process is left",
            restart_once,
        ),
        Drill::both(
            "restart_twenty",
            "20 restarts under a light load: no request lost, no more descriptors than after the first, no zombies (Go defects 1, 14)",
            restart_twenty,
        ),
        Drill::both(
            "restart_without_stdin",
            "a server started with descriptor 0 closed restarts (Go defect 7)",
            without_stdin,
        ),
    ]
}

fn restart_once(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start()?;
    let before = service.get("/")?;
    ensure!(before.generation == 1, "generation: expected 1, found {}", before.generation);
    service.restart_and_settle()?;
    let after = service.get("/")?;
    ensure!(after.boot != before.boot, "boot: expected a new token");
    match context.strategy {
        StrategyKind::Double => {
            ensure!(after.pid == before.pid, "pid: expected {}, found {}", before.pid, after.pid);
            ensure!(after.generation == 3, "generation: expected 3, found {}", after.generation);
        }
        StrategyKind::Single | StrategyKind::Standby => {
            ensure!(after.pid != before.pid, "pid: expected another than {}", before.pid);
            ensure!(after.generation == 2, "generation: expected 2, found {}", after.generation);
            service.await_gone(before.pid)?;
        }
    }
    ensure!(service.owner()? == after.pid, "owner: expected {}, found {}", after.pid, service.owner()?);
    service.end()
}

fn restart_twenty(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start()?;
    restarts_well(&mut service)?;
    let first = service.descriptors_at_rest()?;

    let load = context.load(&service)?;
    for number in 2..20 {
        service.restart_and_settle().with_context(|| format!("restart {number}"))?;
        let zombies = service.zombies()?;
        ensure!(zombies.is_empty(), "zombies after restart {number}: expected none, found {zombies:?}");
    }
    nothing_lost(load)?;

    // The last one is without load, so that no connection is among its descriptors.
    restarts_well(&mut service)?;
    let last = service.descriptors_at_rest()?;
    ensure!(kinds(&first) == kinds(&last), "descriptors: expected {first:?}, found {last:?}");
    service.end()
}

/// Returns the kinds of the descriptors. Their numbers may differ.
fn kinds(descriptors: &[Descriptor]) -> Vec<&str> {
    let mut kinds: Vec<&str> = descriptors.iter().map(|(_, kind)| kind.as_str()).collect();
    kinds.sort_unstable();
    kinds
}

fn without_stdin(context: &Context) -> anyhow::Result<()> {
    let mut options = context.options();
    options.without_stdin = true;
    let mut service = context.start_options(options)?;
    restarts_well(&mut service)?;
    restarts_well(&mut service)?;
    service.end()
}
