//! A server that another program starts: a shell, or the init of a container.

use std::path::Path;
use std::process::{Child, Command};

use anyhow::Context as _;
use nix::sys::signal::Signal;

use super::Context;
use crate::client;
use crate::config::{ServerConfig, VARIABLE};
use crate::events::Event;
use crate::image::{Folder, Image, spawn};
use crate::inbox::Inbox;
use crate::process::Process;
use crate::procfs;
use crate::service::DEADLINE;

/// The program, and the events of the servers that it started. All processes are killed on drop.
pub(super) struct Wrapped {
    pub(super) outer: Child,
    pub(super) inbox: Inbox,
    folder: Folder,
}

impl Wrapped {
    /// Starts the program that `command` creates for a deployed image, with the configuration of a drill server.
    pub(super) fn start(context: &Context, command: impl FnOnce(&Path) -> Command) -> anyhow::Result<Self> {
        let mut folder = Folder::new()?;
        let inbox = Inbox::new(&folder.path().join("events"))?;
        folder.deploy(&Image::of(&context.binaries.server))?;
        let config = ServerConfig {
            strategy: context.strategy,
            events: inbox.path().to_owned(),
            ..ServerConfig::default()
        };
        let outer = spawn(command(&folder.image()).env(VARIABLE, config.to_json()))?;
        Ok(Self { outer, inbox, folder })
    }

    /// Returns the path of the image.
    pub(super) fn image(&self) -> std::path::PathBuf {
        self.folder.image()
    }

    /// Waits for an event from number `from` on.
    pub(super) fn await_event(&self, from: usize, wanted: impl Fn(&Event) -> bool) -> anyhow::Result<Event> {
        let found = self.inbox.wait(from, DEADLINE, |all| all.iter().find(|event| wanted(event)).cloned());
        found.with_context(|| format!("expected an event, found {:#?}", self.inbox.events(0)))
    }

    /// Returns the one process that executes the image now, by the pid that it has in the outer pid namespace.
    pub(super) fn only_process(&self) -> anyhow::Result<Process> {
        let running = procfs::running_in(self.folder.path());
        let [pid] = running[..] else { anyhow::bail!("processes: expected one, found {running:?}") };
        Process::open(pid)?.with_context(|| format!("{pid}: expected it to be alive"))
    }

    /// Returns the server's address, as last reported.
    pub(super) fn address(&self) -> anyhow::Result<String> {
        let events = self.inbox.events(0);
        let address = events.iter().rev().find_map(|event| event.detail["addresses"]["http"].as_str());
        Ok(address.context("the address of `http`")?.to_owned())
    }

    /// Returns what the server says about itself: pid and generation.
    pub(super) fn get(&self) -> anyhow::Result<(i32, u64)> {
        let answer = client::get(&self.address()?.parse()?, "/")?;
        let identity = answer.identity().context("an answer of a drill server")?;
        Ok((identity.pid, identity.generation))
    }
}

impl Drop for Wrapped {
    fn drop(&mut self) {
        // Opened first, then checked once more: another process may have got the pid.
        for pid in procfs::running_in(self.folder.path()) {
            let Ok(Some(process)) = Process::open(pid) else { continue };
            if procfs::running_in(self.folder.path()).contains(&pid) {
                let _ = process.signal(Signal::SIGKILL);
                let _ = process.await_death(DEADLINE);
                let _ = process.reap();
            }
        }
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}
