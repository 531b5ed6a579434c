//! HUP and USR1 run callbacks and change nothing else.

use anyhow::ensure;
use nix::sys::signal::Signal;

use super::{Context, Drill, restarts_well};
use crate::service::DEADLINE;

pub(super) fn all() -> Vec<Drill> {
    vec![Drill::both(
        "hup_and_usr1_call_back",
        "HUP and USR1 run their callbacks, before and after a restart",
        callbacks,
    )]
}

fn callbacks(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start()?;
    for _ in 0..2 {
        let owner = service.owner()?;
        for signal in [Signal::SIGHUP, Signal::SIGUSR1] {
            service.mark();
            service.signal(owner, signal)?;
            service.await_event(|event| event.name == "callback" && event.pid == owner, DEADLINE)?;
        }
        ensure!(service.get("/")?.pid == owner, "owner: expected {owner}");
        restarts_well(&mut service)?;
    }
    service.end()
}
