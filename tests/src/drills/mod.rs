//! The drills: each is written once, against real processes, and runs for each strategy that it applies to.
//!
//! To add one, write a function in the file of its group and a line in that file's `all`.

mod bad_image;
mod callbacks;
mod changes;
mod connections;
mod container;
mod custom;
mod deploy;
mod draining;
mod forged;
mod go;
mod inheritance;
mod many;
pub mod memory;
pub(crate) mod migration;
mod requests;
mod restart;
mod shell;
mod signals;
mod sockets;
mod standby;
mod state;
mod stop;
mod wrapped;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::config::{ServerConfig, StrategyKind};
use crate::image::Image;
use crate::load::{Load, LoadOptions, losses};
use crate::records::Record;
use crate::service::{Binaries, Service, ServiceOptions};

/// The strategies that nearly every drill runs for.
pub const BOTH: &[StrategyKind] = &[StrategyKind::Single, StrategyKind::Double];

/// A deadline that has to pass, in milliseconds: longer than any step of a healthy image takes on a busy machine.
pub const SHORT: u64 = 3_000;

/// A drill.
#[derive(Clone, Copy, Debug)]
pub struct Drill {
    /// Its name, for `--drill` and in test output.
    pub name: &'static str,
    /// What it shows, in one sentence.
    pub about: &'static str,
    /// The strategies that it runs for.
    pub strategies: &'static [StrategyKind],
    /// Runs it; an error is a failure.
    pub run: fn(&Context) -> anyhow::Result<()>,
}

impl Drill {
    /// Creates a drill for both strategies.
    pub const fn both(
        name: &'static str,
        about: &'static str,
        run: fn(&Context) -> anyhow::Result<()>,
    ) -> Self {
        Self { name, about, strategies: BOTH, run }
    }
}

/// Returns all drills, by group.
pub fn all() -> Vec<Drill> {
    let groups = [
        restart::all(),
        deploy::all(),
        container::all(),
        shell::all(),
        bad_image::all(),
        requests::all(),
        stop::all(),
        signals::all(),
        connections::all(),
        draining::all(),
        sockets::all(),
        changes::all(),
        many::all(),
        inheritance::all(),
        forged::all(),
        callbacks::all(),
        state::all(),
        migration::all(),
        custom::all(),
        standby::all(),
        memory::all(),
        go::all(),
    ];
    groups.concat()
}

/// What a drill gets.
#[derive(Debug)]
pub struct Context {
    /// The programs of this package.
    pub binaries: Binaries,
    /// The strategy to drill.
    pub strategy: StrategyKind,
    notes: Mutex<Vec<String>>,
}

impl Context {
    /// Creates a context for one run of one drill.
    pub fn new(binaries: Binaries, strategy: StrategyKind) -> Self {
        Self { binaries, strategy, notes: Mutex::new(Vec::new()) }
    }

    /// Starts a drill server with this strategy and an otherwise default configuration.
    ///
    /// # Errors
    /// - it is not the owner within the deadline.
    pub fn start(&self) -> anyhow::Result<Service> {
        self.start_with(|_| {})
    }

    /// Starts a drill server with this strategy and a changed configuration.
    ///
    /// # Errors
    /// - it is not the owner within the deadline.
    pub fn start_with(&self, change: impl FnOnce(&mut ServerConfig)) -> anyhow::Result<Service> {
        self.start_options(self.options().config(change))
    }

    /// Starts a drill server.
    ///
    /// # Errors
    /// - it is not the owner within the deadline.
    pub fn start_options(&self, options: ServiceOptions) -> anyhow::Result<Service> {
        Service::start(&self.binaries, options)
    }

    /// Starts a drill server whose first image, like every other until a deployment, hangs before it is ready. Does not wait
    /// for anything.
    ///
    /// # Errors
    /// - it cannot be started.
    pub fn spawn_hanging(&self) -> anyhow::Result<Service> {
        let image = Image::of(&self.binaries.server).behaviour("hang");
        Service::spawn(&self.binaries, self.options().image(image))
    }

    /// Returns the default options for this strategy.
    pub fn options(&self) -> ServiceOptions {
        ServiceOptions::new(self.strategy)
    }

    /// Starts a light load against the listener `http`.
    ///
    /// # Errors
    /// - the load cannot be started.
    pub fn load(&self, service: &Service) -> anyhow::Result<Load> {
        Load::start(&self.binaries.load, &service.address("http")?, &LoadOptions::default())
    }

    /// Adds a figure that is shown but not checked.
    pub fn note(&self, text: impl Into<String>) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(text.into());
    }

    /// Returns what was added.
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Ends a load and fails if it has lost a request.
///
/// # Errors
/// - a request was lost, or none was answered at all.
pub fn nothing_lost(load: Load) -> anyhow::Result<Vec<Record>> {
    let records = load.finish()?;
    let lost = losses(&records);
    ensure!(lost.is_empty(), "requests lost: expected none of {}, found {lost:#?}", records.len());
    ensure!(!records.is_empty(), "requests: expected some, found none");
    Ok(records)
}

/// Checks that the service is as it was before an attempt that failed: the same owner serves, no child is left.
fn serves_as_before(service: &Service, owner: i32) -> anyhow::Result<()> {
    service.quiesce()?;
    let zombies = service.zombies()?;
    ensure!(zombies.is_empty(), "zombies: expected none, found {zombies:?}");
    let living = service.living();
    ensure!(living == [owner], "processes: expected only {owner}, found {living:?}");
    let answered = service.get("/").context("after a failed restart")?;
    ensure!(answered.pid == owner, "owner: expected {owner}, found {}", answered.pid);
    Ok(())
}

/// Checks that a complete restart works now.
fn restarts_well(service: &mut Service) -> anyhow::Result<()> {
    let before = service.get("/")?;
    service.restart_and_settle()?;
    let after = service.get("/")?;
    ensure!(
        after.generation > before.generation,
        "generation: expected more than {}, found {}",
        before.generation,
        after.generation
    );
    ensure!(after.boot != before.boot, "boot: expected a new token, found `{}`", after.boot);
    Ok(())
}

/// Waits for the death of the successor that was started since the last mark.
fn successor_is_gone(service: &Service, owner: i32) -> anyhow::Result<i32> {
    let started = service
        .await_event(|event| event.name == "started" && event.pid != owner, Duration::from_secs(20))?;
    service.await_gone(started.pid)?;
    Ok(started.pid)
}
