//! A service under test: a drill server in a temporary folder, all its generations, and all their events.

mod ending;
mod looking;
mod starting;
mod waiting;

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::config::{ServerConfig, StrategyKind};
use crate::events::{Event, now};
use crate::image::{Folder, Image};
use crate::inbox::Inbox;
use crate::process::Process;

/// How long anything that must happen may take. It is generous, since a machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The programs of this package.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The drill server, which uses the library.
    pub server: PathBuf,
    /// The server that imitates the Go package exactly.
    pub go: PathBuf,
    /// The load.
    pub load: PathBuf,
}

impl Binaries {
    /// Returns the programs in `folder`, where cargo put them.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            server: folder.join("drill-server"),
            go: folder.join("drill-go"),
            load: folder.join("drill-load"),
        }
    }
}

/// How a service is started.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// The server's configuration. Its `events` are filled in.
    pub config: ServerConfig,
    /// The first image. Defaults to the drill server.
    pub image: Option<Image>,
    /// Deploys by pointing a symbolic link at the new image.
    pub by_link: bool,
    /// Starts the server as the leader of its own process group.
    pub own_group: bool,
    /// Starts the server with descriptor 0 closed.
    pub without_stdin: bool,
    /// A shell script that replaces itself with the image, which is `$0`.
    pub script: Option<&'static str>,
    /// The first process's descriptor 0.
    pub stdin: Option<Arc<OwnedFd>>,
    /// Variables to start the server with, in addition to the harness's own.
    pub variables: Vec<(String, String)>,
}

impl ServiceOptions {
    /// Creates the options for a server with `strategy`, with one listener `http` on a free port of 127.0.0.1.
    pub fn new(strategy: StrategyKind) -> Self {
        Self {
            config: ServerConfig { strategy, ..ServerConfig::default() },
            image: None,
            by_link: false,
            own_group: false,
            without_stdin: false,
            script: None,
            stdin: None,
            variables: Vec::new(),
        }
    }

    /// Changes the configuration.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut ServerConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Sets another first image.
    #[must_use]
    pub fn image(self, image: Image) -> Self {
        Self { image: Some(image), ..self }
    }
}

/// A restart that was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// When the signal was sent, in nanoseconds of CLOCK_MONOTONIC.
    pub signal_ns: u64,
    /// The process that it was sent to.
    pub pid: i32,
    /// The owner's generation before the restart.
    pub generation: u64,
}

/// A running service. Everything that it started is killed and reaped on drop.
#[derive(Debug)]
pub struct Service {
    folder: Folder,
    inbox: Inbox,
    options: ServiceOptions,
    first: Arc<Process>,
    server: PathBuf,
    restarts: Vec<Restart>,
    mark: Cell<usize>,
    ended: bool,
}

impl Service {
    /// Creates a temporary folder, deploys the first image, starts it and waits until it is the owner.
    ///
    /// The harness becomes a child subreaper (`prctl(2)`). The later generations of Single, whose parents are
    /// gone, then become its children, and it reaps them.
    ///
    /// # Errors
    /// - the image cannot be started, or is not the owner within the deadline.
    pub fn start(binaries: &Binaries, options: ServiceOptions) -> anyhow::Result<Self> {
        let service = Self::spawn(binaries, options)?;
        service.await_name("owner").context("start")?;
        Ok(service)
    }

    /// Does the same without waiting for anything.
    ///
    /// # Errors
    /// - the image cannot be started.
    pub fn spawn(binaries: &Binaries, mut options: ServiceOptions) -> anyhow::Result<Self> {
        nix::sys::prctl::set_child_subreaper(true).context("PR_SET_CHILD_SUBREAPER")?;
        let mut folder = Folder::new()?;
        let inbox = Inbox::new(&folder.path().join("events"))?;
        let image = options.image.clone().unwrap_or_else(|| Image::of(&binaries.server));
        deploy(&mut folder, &image, options.by_link)?;
        let first = starting::spawn(&folder, &inbox, &options)?;
        // From here on only the service has it.
        options.stdin = None;
        Ok(Self {
            folder,
            inbox,
            options,
            first,
            server: binaries.server.clone(),
            restarts: Vec::new(),
            mark: Cell::new(0),
            ended: false,
        })
    }

    /// Deploys an image. It is used from the next restart on.
    ///
    /// # Errors
    /// - a file cannot be written.
    pub fn deploy(&mut self, image: &Image) -> anyhow::Result<()> {
        deploy(&mut self.folder, image, self.options.by_link)
    }

    /// Returns the drill server as an image, to deploy with a behavior or other fields changed.
    pub fn image(&self) -> Image {
        Image::of(&self.server)
    }

    /// Returns the folder that the service runs in.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Returns the strategy.
    pub fn strategy(&self) -> StrategyKind {
        self.options.config.strategy
    }

    /// Sends a signal to one process of the service.
    ///
    /// # Errors
    /// - no process of the service has this pid, or it is dead.
    pub fn signal(&self, pid: i32, signal: Signal) -> anyhow::Result<()> {
        let process = self.process(pid)?;
        ensure!(process.signal(signal)?, "{pid}: expected a living process to send {signal} to");
        Ok(())
    }

    /// Sends a signal to the whole process group. Needs `own_group`.
    ///
    /// # Errors
    /// - the service has no process group of its own, or nobody is left in it.
    pub fn signal_group(&self, signal: Signal) -> anyhow::Result<()> {
        ensure!(self.options.own_group, "own_group: expected true");
        killpg(Pid::from_raw(self.main_pid()), signal).context("killpg")
    }

    /// Sends USR2 to the process that an operator would send it to: the current owner, or under Double the first process,
    /// whose pid stays the same. Later waits look at the events from here on.
    ///
    /// # Errors
    /// - that process is dead.
    pub fn restart(&mut self) -> anyhow::Result<Restart> {
        let pid = match self.strategy() {
            StrategyKind::Double => self.main_pid(),
            StrategyKind::Single | StrategyKind::Standby => self.owner()?,
        };
        self.mark();
        let generation = self.generation()?;
        let process = self.process(pid)?;
        // The last moment before the signal, since the lookup takes longer the more has happened.
        let restart = Restart { signal_ns: now(), pid, generation };
        ensure!(process.signal(Signal::SIGUSR2)?, "{pid}: expected a living process to restart");
        self.restarts.push(restart);
        Ok(restart)
    }

    /// Calls [`restart`](Self::restart), and waits until the restart is settled.
    ///
    /// # Errors
    /// - it is not settled within the deadline.
    pub fn restart_and_settle(&mut self) -> anyhow::Result<Restart> {
        let restart = self.restart()?;
        self.await_settled(restart.generation)?;
        Ok(restart)
    }

    /// Returns every restart that was requested.
    pub fn restarts(&self) -> &[Restart] {
        &self.restarts
    }

    /// Returns all events so far.
    pub fn events(&self) -> Vec<Event> {
        self.inbox.events(0)
    }

    /// Returns the events since the last [`mark`](Self::mark).
    pub fn marked(&self) -> Vec<Event> {
        self.inbox.events(self.mark.get())
    }

    /// Returns the pid that accepts now, as far as the servers have reported.
    ///
    /// # Errors
    /// - nobody has reported it.
    pub fn owner(&self) -> anyhow::Result<i32> {
        self.last("owner").map(|event| event.pid)
    }

    /// Returns the generation of the owner.
    ///
    /// # Errors
    /// - there is no owner.
    pub fn generation(&self) -> anyhow::Result<u64> {
        self.last("owner").map(|event| event.generation)
    }

    fn last(&self, name: &str) -> anyhow::Result<Event> {
        let latest = |all: &[Event]| all.iter().rev().find(|event| event.name == name).cloned();
        let found = self.inbox.wait(0, Duration::ZERO, latest);
        found.with_context(|| format!("expected an event `{name}`, found none"))
    }

    /// Returns the pid that the service was started with.
    pub fn main_pid(&self) -> i32 {
        self.first.pid()
    }

    fn process(&self, pid: i32) -> anyhow::Result<Arc<Process>> {
        let found = self.inbox.processes().into_iter().find(|process| process.pid() == pid);
        found.with_context(|| format!("{pid}: expected a pid of the service, found a stranger"))
    }
}

fn deploy(folder: &mut Folder, image: &Image, by_link: bool) -> anyhow::Result<()> {
    if by_link { folder.deploy_by_link(image) } else { folder.deploy(image) }
}
