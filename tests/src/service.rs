//! A service under test: a drill server in a temporary folder, all its generations, and everything they say.

mod ending;

use std::cell::Cell;
use std::env;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::client::{self, Target};
use crate::config::{ServerConfig, StrategyKind, VARIABLE};
use crate::events::{Event, now};
use crate::floor;
use crate::http::Identity;
use crate::image::{Folder, Image, no_writers};
use crate::inbox::Inbox;
use crate::process::Process;
use crate::procfs::{self, Descriptor};

/// How long anything that must happen may take; generous, since a machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The programs of this package.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The drill server, which uses the library.
    pub server: PathBuf,
    /// The server that follows the seed to the letter.
    pub seed: PathBuf,
    /// The load.
    pub load: PathBuf,
}

impl Binaries {
    /// The programs in `folder`, where cargo put them.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            server: folder.join("drill-server"),
            seed: folder.join("drill-seed"),
            load: folder.join("drill-load"),
        }
    }
}

/// How a service is started.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// What the server is told; its `events` are filled in.
    pub config: ServerConfig,
    /// The first image; without one, the drill server.
    pub image: Option<Image>,
    /// Deploys by pointing a symbolic link to the new image.
    pub by_link: bool,
    /// Starts the server as the leader of a process group of its own.
    pub own_group: bool,
    /// Starts the server with descriptor 0 closed.
    pub without_stdin: bool,
    /// Variables to start the server with, beside the harness's own.
    pub variables: Vec<(String, String)>,
}

impl ServiceOptions {
    /// A server with `strategy`, on one listener `http` at a free port of 127.0.0.1.
    pub fn new(strategy: StrategyKind) -> Self {
        Self {
            config: ServerConfig { strategy, ..ServerConfig::default() },
            image: None,
            by_link: false,
            own_group: false,
            without_stdin: false,
            variables: Vec::new(),
        }
    }

    /// The same with another configuration.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut ServerConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// The same with another first image.
    #[must_use]
    pub fn image(self, image: Image) -> Self {
        Self { image: Some(image), ..self }
    }
}

/// A restart that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// When the signal was sent, in nanoseconds of CLOCK_MONOTONIC.
    pub signal_ns: u64,
    /// The process that it was sent to.
    pub pid: i32,
    /// The owner's generation before.
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
    /// Makes a temporary folder, deploys the first image, starts it and waits until it is the owner.
    ///
    /// The harness becomes a child subreaper (`prctl(2)`), so that the later generations of Single, whose parents are
    /// gone, become its children and are reaped by it.
    ///
    /// # Errors
    /// - the image cannot be started, or is not the owner within the deadline.
    pub fn start(binaries: &Binaries, options: ServiceOptions) -> anyhow::Result<Self> {
        nix::sys::prctl::set_child_subreaper(true).context("PR_SET_CHILD_SUBREAPER")?;
        let mut folder = Folder::new()?;
        let inbox = Inbox::new(&folder.path().join("events"))?;
        let image = options.image.clone().unwrap_or_else(|| Image::of(&binaries.server));
        deploy(&mut folder, &image, options.by_link)?;
        let first = spawn(&folder, &inbox, &options)?;
        let service = Self {
            folder,
            inbox,
            options,
            first,
            server: binaries.server.clone(),
            restarts: Vec::new(),
            mark: Cell::new(0),
            ended: false,
        };
        service.await_name("owner").context("start")?;
        Ok(service)
    }

    /// Deploys an image; it is used from the next restart on.
    ///
    /// # Errors
    /// - a file cannot be written.
    pub fn deploy(&mut self, image: &Image) -> anyhow::Result<()> {
        deploy(&mut self.folder, image, self.options.by_link)
    }

    /// The drill server as an image, to deploy with a behaviour or other fields changed.
    pub fn image(&self) -> Image {
        Image::of(&self.server)
    }

    /// The folder that the service runs in.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The strategy.
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

    /// Sends a signal to the whole process group; only with `own_group`.
    ///
    /// # Errors
    /// - the service has no group of its own, or nobody is left in it.
    pub fn signal_group(&self, signal: Signal) -> anyhow::Result<()> {
        ensure!(self.options.own_group, "own_group: expected true");
        killpg(Pid::from_raw(self.main_pid()), signal).context("killpg")
    }

    /// Sends USR2 to the process that an operator would send it to: the current owner, or under Double the first one,
    /// whose pid never changes. Events are looked for from here on.
    ///
    /// # Errors
    /// - that process is dead.
    pub fn restart(&mut self) -> anyhow::Result<Restart> {
        let pid = match self.strategy() {
            StrategyKind::Double => self.main_pid(),
            StrategyKind::Single | StrategyKind::Standby => self.owner()?,
        };
        self.mark();
        let restart = Restart { signal_ns: now(), pid, generation: self.generation()? };
        self.signal(pid, Signal::SIGUSR2)?;
        self.restarts.push(restart);
        Ok(restart)
    }

    /// [`restart`](Self::restart), and waits until it is settled.
    ///
    /// # Errors
    /// - it is not settled within the deadline.
    pub fn restart_and_settle(&mut self) -> anyhow::Result<Restart> {
        let restart = self.restart()?;
        self.await_settled(restart.generation)?;
        Ok(restart)
    }

    /// Every restart that was asked for.
    pub fn restarts(&self) -> &[Restart] {
        &self.restarts
    }

    /// Lets events that came before this call be overlooked by those that wait.
    pub fn mark(&self) {
        self.mark.set(self.inbox.len());
    }

    /// Waits for an event since the last [`mark`](Self::mark); one that has come already counts, and none is used up.
    ///
    /// # Errors
    /// - there is none within `deadline`.
    pub fn await_event(&self, wanted: impl Fn(&Event) -> bool, deadline: Duration) -> anyhow::Result<Event> {
        self.await_times(1, wanted, deadline)
    }

    /// Waits for the event of number `times` that is wanted, counted from 1, since the last [`mark`](Self::mark).
    ///
    /// # Errors
    /// - there are fewer within `deadline`.
    pub fn await_times(
        &self,
        times: usize,
        wanted: impl Fn(&Event) -> bool,
        deadline: Duration,
    ) -> anyhow::Result<Event> {
        let nth = |all: &[Event]| all.iter().filter(|event| wanted(event)).nth(times - 1).cloned();
        self.inbox.wait(self.mark.get(), deadline, nth).with_context(|| {
            format!("expected an event within {deadline:?}, found {}", self.story(self.mark.get()))
        })
    }

    /// Waits for an event by name since the last [`mark`](Self::mark).
    ///
    /// # Errors
    /// - there is none within the deadline.
    pub fn await_name(&self, name: &str) -> anyhow::Result<Event> {
        self.await_event(|event| event.name == name, DEADLINE)
            .with_context(|| format!("waiting for `{name}`"))
    }

    /// Waits until one generation later than `generation` is left: under Double, in the first pid again.
    ///
    /// # Errors
    /// - that is not so within the deadline.
    pub fn await_settled(&self, generation: u64) -> anyhow::Result<Event> {
        let double = self.strategy() == StrategyKind::Double;
        let settled = |event: &Event| {
            event.name == "settled"
                && event.generation > generation
                && (!double || event.pid == self.main_pid())
        };
        self.await_event(settled, DEADLINE).context("waiting for `settled`")
    }

    /// Waits until the owner's loop has dealt with all that reached it before this call: it is sent HUP, which runs a
    /// callback, twice, since the loop may take a signal before what became ready together with it.
    ///
    /// # Errors
    /// - the callback is not reported within the deadline.
    pub fn quiesce(&self) -> anyhow::Result<()> {
        let owner = self.owner()?;
        for _ in 0..2 {
            let from = self.inbox.len();
            self.signal(owner, Signal::SIGHUP)?;
            let ran = |all: &[Event]| {
                all.iter().any(|event| event.name == "callback" && event.pid == owner).then_some(())
            };
            let story = || format!("expected a callback, found {}", self.story(from));
            self.inbox.wait(from, DEADLINE, ran).with_context(story)?;
        }
        Ok(())
    }

    /// Waits until no restart is under way any more: the last thing that any generation said about one is its end.
    ///
    /// # Errors
    /// - that is not so within the deadline.
    pub fn await_rest(&self) -> anyhow::Result<()> {
        let begun = |event: &Event| ["requested", "spawned", "started"].contains(&event.name.as_str());
        let over = |event: &Event| ["settled", "failed", "rolled_back"].contains(&event.name.as_str());
        let at_rest = |all: &[Event]| {
            let last_begun = all.iter().rposition(begun);
            let last_over = all.iter().rposition(over);
            (last_begun < last_over).then_some(all.len())
        };
        loop {
            let story = || format!("expected rest, found {}", self.story(self.mark.get()));
            self.inbox.wait(self.mark.get(), DEADLINE, at_rest).with_context(story)?;
            // A restart that was noted may be started only now.
            self.quiesce()?;
            if at_rest(&self.marked()).is_some() {
                return Ok(());
            }
        }
    }

    /// Waits until a process is dead, and reaps it if it is ours.
    ///
    /// # Errors
    /// - it still lives after the deadline.
    pub fn await_gone(&self, pid: i32) -> anyhow::Result<()> {
        let followed = self.inbox.processes().into_iter().find(|process| process.pid() == pid);
        let Some(process) = followed else {
            // It has said something and was dead and reaped when that was read.
            ensure!(
                self.events().iter().any(|event| event.pid == pid),
                "{pid}: expected a pid of the service"
            );
            return Ok(());
        };
        ensure!(process.await_death(DEADLINE)?, "{pid}: expected it to end within {DEADLINE:?}");
        process.reap()?;
        Ok(())
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        self.inbox.events(0)
    }

    /// The events since the last [`mark`](Self::mark).
    pub fn marked(&self) -> Vec<Event> {
        self.inbox.events(self.mark.get())
    }

    /// The pid that accepts now, as far as the servers have said.
    ///
    /// # Errors
    /// - nobody has said so.
    pub fn owner(&self) -> anyhow::Result<i32> {
        self.last("owner").map(|event| event.pid)
    }

    /// The generation of the owner.
    ///
    /// # Errors
    /// - there is no owner.
    pub fn generation(&self) -> anyhow::Result<u64> {
        self.last("owner").map(|event| event.generation)
    }

    fn last(&self, name: &str) -> anyhow::Result<Event> {
        let found = self.events().into_iter().rev().find(|event| event.name == name);
        found.with_context(|| format!("expected an event `{name}`, found none"))
    }

    /// The pid that the service was started with.
    pub fn main_pid(&self) -> i32 {
        self.first.pid()
    }

    /// Every pid that was seen.
    pub fn pids(&self) -> Vec<i32> {
        self.inbox.processes().iter().map(|process| process.pid()).collect()
    }

    /// The pids that are not dead.
    pub fn living(&self) -> Vec<i32> {
        let mut pids = procfs::running_in(self.folder.path());
        pids.retain(|pid| procfs::stat(*pid).is_some_and(|stat| stat.state != 'Z'));
        pids
    }

    /// The dead children of the owner that it has not reaped. (Those of a process that is about to die itself are
    /// handed to the harness, which reaps them.)
    ///
    /// # Errors
    /// - there is no owner.
    pub fn zombies(&self) -> anyhow::Result<Vec<i32>> {
        let owner = self.owner()?;
        let left = procfs::all().into_iter().filter(|stat| stat.state == 'Z' && stat.parent == owner);
        Ok(left.map(|stat| stat.pid).collect())
    }

    /// Where a listener is, as the servers last reported it: `tcp:ADDR` or `unix:PATH`.
    ///
    /// # Errors
    /// - nobody has reported it.
    pub fn address(&self, name: &str) -> anyhow::Result<String> {
        let events = self.events();
        let addresses = events.iter().rev().filter_map(|event| event.detail["addresses"][name].as_str());
        addresses
            .map(str::to_owned)
            .next()
            .with_context(|| format!("{name}: expected its address, found none"))
    }

    /// One blocking request to the listener `http`: who answered it.
    ///
    /// # Errors
    /// - it is refused, or not answered with status 200 by a drill server.
    pub fn get(&self, path: &str) -> anyhow::Result<Identity> {
        self.get_from("http", path)
    }

    /// One blocking request to a listener.
    ///
    /// # Errors
    /// - it is refused, or not answered with status 200 by a drill server.
    pub fn get_from(&self, name: &str, path: &str) -> anyhow::Result<Identity> {
        let target: Target = self.address(name)?.parse()?;
        let answer = client::get(&target, path)?;
        ensure!(answer.status == 200, "GET {path}: expected status 200, found {}", answer.status);
        let body = || format!("GET {path}: expected an identity, found `{}`", answer.body);
        answer.identity().with_context(body)
    }

    /// A process's open descriptors: number and kind, sorted.
    ///
    /// # Errors
    /// - the process is gone.
    pub fn descriptors(&self, pid: i32) -> anyhow::Result<Vec<Descriptor>> {
        procfs::descriptors(pid).with_context(|| format!("{pid}: descriptors"))
    }

    fn process(&self, pid: i32) -> anyhow::Result<Arc<Process>> {
        let found = self.inbox.processes().into_iter().find(|process| process.pid() == pid);
        found.with_context(|| format!("{pid}: expected a pid of the service, found a stranger"))
    }
}

fn deploy(folder: &mut Folder, image: &Image, by_link: bool) -> anyhow::Result<()> {
    if by_link { folder.deploy_by_link(image) } else { folder.deploy(image) }
}

/// Starts the deployed image, with its standard error in a file.
fn spawn(folder: &Folder, inbox: &Inbox, options: &ServiceOptions) -> anyhow::Result<Arc<Process>> {
    let image = folder.image();
    let config = ServerConfig { events: inbox.path().to_owned(), ..options.config.clone() };
    let mut command = if options.without_stdin {
        // The shell is replaced by the server, so the pid is the same.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", r#"exec "$0" <&-"#]).arg(&image);
        shell
    } else {
        Command::new(&image)
    };
    for (name, _) in env::vars_os() {
        // A harness that is itself run by a goagain, or asked for the floor, must not pass that on.
        if name.to_string_lossy().starts_with("GOAGAIN_") || name == floor::VARIABLE {
            command.env_remove(name);
        }
    }
    command.env(VARIABLE, config.to_json()).envs(options.variables.clone()).current_dir(folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(File::create(folder.path().join(ending::STDERR)).context("a file for standard error")?);
    if options.own_group {
        command.process_group(0);
    }
    let child = {
        let _quiet = no_writers();
        command.spawn().with_context(|| format!("{}: cannot be started", image.display()))?
    };
    let pid = child.id() as i32;
    // It is our child and not reaped, so it is there even if it has died already.
    let Some(process) = Process::open(pid)? else { bail!("{pid}: expected our child, found no process") };
    inbox.follow(process);
    let found = inbox.processes().into_iter().find(|process| process.pid() == pid);
    found.context("the first process")
}
