//! Pid 1 of a container: its end is everybody's end.

use std::fs;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;

use super::{Context, Drill, nothing_lost};
use crate::client;
use crate::config::{ServerConfig, StrategyKind, VARIABLE};
use crate::events::Event;
use crate::image::{Folder, Image, no_writers, spawn};
use crate::inbox::Inbox;
use crate::load::{Load, LoadOptions};
use crate::process::Process;
use crate::service::DEADLINE;

pub(super) fn all() -> Vec<Drill> {
    vec![Drill::both(
        "pid_1",
        "the first process of a pid namespace: Single refuses the restart and serves on, Double restarts, nothing lost",
        pid_1,
    )]
}

/// Makes a namespace in which the next program is pid 1.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// A server in a namespace of its own, killed with it on drop.
struct Contained {
    outer: Child,
    init: Process,
    inbox: Inbox,
    _folder: Folder,
}

impl Contained {
    fn start(context: &Context) -> anyhow::Result<Self> {
        let mut folder = Folder::new()?;
        let inbox = Inbox::new(&folder.path().join("events"))?;
        folder.deploy(&Image::of(&context.binaries.server))?;
        let config = ServerConfig {
            strategy: context.strategy,
            events: inbox.path().to_owned(),
            ..ServerConfig::default()
        };
        let outer = spawn(unshare().arg(folder.image()).env(VARIABLE, config.to_json()))?;
        let owner = |all: &[Event]| all.iter().any(|event| event.name == "owner").then_some(());
        inbox.wait(0, DEADLINE, owner).context("start: expected an owner")?;
        // Its only child, by the number that it has out here.
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", outer.id()))?;
        let init =
            Process::open(children.trim().parse().context("the child of unshare")?)?.context("pid 1")?;
        Ok(Self { outer, init, inbox, _folder: folder })
    }

    fn await_event(&self, from: usize, wanted: impl Fn(&Event) -> bool) -> anyhow::Result<Event> {
        let found = self.inbox.wait(from, DEADLINE, |all| all.iter().find(|event| wanted(event)).cloned());
        found.with_context(|| format!("expected an event, found {:#?}", self.inbox.events(0)))
    }

    /// What the server says of itself.
    fn get(&self) -> anyhow::Result<(i32, u64)> {
        let answer = client::get(&self.address()?.parse()?, "/")?;
        let identity = answer.identity().context("an answer of a drill server")?;
        Ok((identity.pid, identity.generation))
    }

    fn address(&self) -> anyhow::Result<String> {
        let events = self.inbox.events(0);
        let address = events.iter().rev().find_map(|event| event.detail["addresses"]["http"].as_str());
        Ok(address.context("the address of `http`")?.to_owned())
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        let _ = self.init.signal(Signal::SIGKILL);
        let _ = self.outer.wait();
    }
}

fn pid_1(context: &Context) -> anyhow::Result<()> {
    let possible = {
        let _quiet = no_writers();
        unshare().arg("true").stderr(Stdio::null()).status()
    };
    if !possible.is_ok_and(|status| status.success()) {
        context.note("not drilled: this user may make no namespace of pids");
        return Ok(());
    }
    let mut contained = Contained::start(context)?;
    let load = Load::start(&context.binaries.load, &contained.address()?, &LoadOptions::default())?;
    for _ in 0..2 {
        let (from, (_, before)) = (contained.inbox.len(), contained.get()?);
        ensure!(contained.init.signal(Signal::SIGUSR2)?, "pid 1: expected it to live");
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
                "owner: expected pid 1 anew, found pid {pid}, generation {after}"
            );
        }
    }
    let warned = contained
        .inbox
        .events(0)
        .iter()
        .any(|event| event.name == "warning" && event.reason().contains("it is pid 1"));
    ensure!(warned == (context.strategy == StrategyKind::Single), "a warning at the start: found {warned}");
    let records = nothing_lost(load)?;
    context.note(format!("{} requests, none lost", records.len()));
    contained.init.signal(Signal::SIGQUIT)?;
    let status = contained.outer.wait()?;
    ensure!(status.success(), "the end: expected success, found {status}");
    Ok(())
}
