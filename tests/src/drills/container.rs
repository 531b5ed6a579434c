//! Pid 1 of a container: when it ends, all processes end.

use std::process::{Command, Stdio};

use anyhow::ensure;
use nix::sys::signal::Signal;

use super::wrapped::Wrapped;
use super::{Context, Drill, nothing_lost};
use crate::config::StrategyKind;
use crate::image::no_writers;
use crate::load::{Load, LoadOptions};

pub(super) fn all() -> Vec<Drill> {
    vec![Drill::both(
        "pid_1",
        "the first process of a pid namespace: Single refuses the restart and keeps serving, Double restarts, no request is lost",
        pid_1,
    )]
}

/// Creates a namespace in which the next program is pid 1.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn pid_1(context: &Context) -> anyhow::Result<()> {
    let possible = {
        let _quiet = no_writers();
        unshare().arg("true").stderr(Stdio::null()).status()
    };
    if !possible.is_ok_and(|status| status.success()) {
        context.note("not drilled: this user may not create a pid namespace");
        return Ok(());
    }
    let mut contained = Wrapped::start(context, |image| {
        let mut command = unshare();
        command.arg(image);
        command
    })?;
    contained.await_event(0, |event| event.name == "owner")?;
    let init = contained.only_process()?;
    let load = Load::start(&context.binaries.load, &contained.address()?, &LoadOptions::default())?;
    for _ in 0..2 {
        let (from, (_, before)) = (contained.inbox.len(), contained.get()?);
        ensure!(init.signal(Signal::SIGUSR2)?, "pid 1: expected it to be alive");
        if context.strategy == StrategyKind::Single {
            let refused = contained.await_event(from, |event| event.name == "refused")?;
            ensure!(refused.reason().contains("it is pid 1"), "reason: found `{}`", refused.reason());
            ensure!(contained.get()? == (1, before), "owner: found {:?}", contained.get()?);
        } else {
            contained.await_event(from, |event| {
                event.name == "settled" && event.pid == 1 && event.generation > before
            })?;
            let (pid, after) = contained.get()?;
            ensure!(
                pid == 1 && after > before,
                "owner: expected a new image in pid 1, found {pid}, generation {after}"
            );
        }
    }
    let events = contained.inbox.events(0);
    let warned = events.iter().any(|event| event.name == "warning" && event.reason().contains("it is pid 1"));
    ensure!(warned == (context.strategy == StrategyKind::Single), "a warning at the start: found {warned}");
    let records = nothing_lost(load)?;
    context.note(format!("{} requests, none lost", records.len()));
    init.signal(Signal::SIGQUIT)?;
    let status = contained.outer.wait()?;
    ensure!(status.success(), "the end: expected success, found {status}");
    Ok(())
}
