//! Everything that can be chosen, and the start.

use crate::drain::{Connections, Unfinished};
use crate::life::Goagain;
use crate::life::callbacks::CallbackResult;
use crate::life::callbacks::{Callbacks, boxed};
use crate::migrate::Migrations;
use crate::server::isolated::Isolated;
use crate::server::serving::Serving;
use crate::state::SavedState;
use goagain_env::Strategy;
use goagain_env::{Image, WorkingDirectory};
use goagain_signals::{ConnectionInfo, Event, Signals, StartError};
use goagain_signals::{Loop, Settings};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of a server. Made by [`Goagain::builder`], or from a strategy by `into`.
#[derive(Debug)]
#[must_use = "nothing happens before `start`"]
pub struct Builder {
    strategy: Box<dyn Strategy>,
    image: Option<PathBuf>,
    args: Option<Vec<OsString>>,
    directory: Option<PathBuf>,
    callbacks: Callbacks,
    offers: SavedState,
    moves: bool,
    adjust: Adjust,
}

#[derive(Debug, Default)]
struct Adjust {
    signals: Option<Signals>,
    ready_timeout: Option<Duration>,
    drain_timeout: Option<Duration>,
    idle_grace: Option<Duration>,
    long_lived_timeout: Option<Duration>,
    drain_jitter: Option<Duration>,
    unfinished: Unfinished,
    max_draining: Option<usize>,
    probation: Option<Duration>,
    serving_timeout: Option<Duration>,
    abort_timeout: Option<Duration>,
    reexec_timeout: Option<Duration>,
}

/// A century is as good as forever. Times are added to each other and to the clock, which overflows.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Adjust {
    fn bound(&mut self) {
        let Adjust { ready_timeout, drain_timeout, idle_grace, long_lived_timeout, drain_jitter, .. } = self;
        let Adjust { probation, serving_timeout, abort_timeout, reexec_timeout, .. } = self;
        let times = [ready_timeout, drain_timeout, idle_grace, long_lived_timeout, drain_jitter];
        for time in times.into_iter().chain([probation, serving_timeout, abort_timeout, reexec_timeout]) {
            *time = time.map(|time| time.min(FOREVER));
        }
    }
}

/// So that a strategy alone is enough where nothing else is to be chosen.
impl<S: Strategy + 'static> From<S> for Builder {
    fn from(strategy: S) -> Builder {
        Builder::new(Box::new(strategy))
    }
}

impl Builder {
    pub(crate) fn new(strategy: Box<dyn Strategy>) -> Builder {
        let (callbacks, offers) = (Callbacks::default(), SavedState::default());
        Builder {
            strategy,
            image: None,
            args: None,
            directory: None,
            callbacks,
            offers,
            moves: false,
            adjust: Adjust::default(),
        }
    }

    /// Sets how long a new process may take from its start to READY. After that it is aborted, and the old process keeps serving.
    /// Defaults to 60 seconds.
    pub fn ready_timeout(mut self, time: Duration) -> Builder {
        self.adjust.ready_timeout = Some(time);
        self
    }

    /// Sets how long draining may take. Connections that are still open after that are handled as
    /// [`unfinished`](Builder::unfinished) says. Defaults to 30 seconds.
    pub fn drain_timeout(mut self, time: Duration) -> Builder {
        self.adjust.drain_timeout = Some(time);
        self
    }

    /// Sets how long the first phase of a drain lasts, in which idle connections are still served. After that they are asked to close. Defaults to 5
    /// seconds.
    ///
    /// A client that sends its requests further apart than this may find its connection closed, as it may with the keep-alive timeout of
    /// any server.
    pub fn idle_grace(mut self, time: Duration) -> Builder {
        self.adjust.idle_grace = Some(time);
        self
    }

    /// Sets how long [long-lived](crate::Guard::long_lived) connections may take to close, once they are asked to. Defaults to half of
    /// [`drain_timeout`](Builder::drain_timeout), which bounds it.
    ///
    /// They are asked when `idle_grace` is over and nothing else is in flight, or, at the latest, this long before the drain times out.
    pub fn long_lived_timeout(mut self, time: Duration) -> Builder {
        self.adjust.long_lived_timeout = Some(time);
        self
    }

    /// Sets a window over which the requests to close are spread evenly: first those to idle connections, later those to long-lived ones. Defaults
    /// to zero.
    ///
    /// It keeps the clients of many long connections from coming back all at once. Each drain takes longer by up to this time. A long-lived
    /// connection has [`long_lived_timeout`](Builder::long_lived_timeout) from the end of the window, as far as `drain_timeout` allows.
    pub fn drain_jitter(mut self, window: Duration) -> Builder {
        self.adjust.drain_jitter = Some(window);
        self
    }

    /// Sets what happens to connections that are still open when a drain ends, because it timed out or because of a stop. Defaults to
    /// [`Unfinished::Leave`].
    ///
    /// For the other choices an acceptor keeps a duplicate of the descriptor of each connection: count two for each in RLIMIT_NOFILE.
    pub fn unfinished(mut self, unfinished: Unfinished) -> Builder {
        self.adjust.unfinished = unfinished;
        self
    }

    /// Sets a callback for a drain that ends while connections are still open. It runs before these are handled as
    /// [`unfinished`](Builder::unfinished) says.
    ///
    /// It gets the connections that have a name: see [`Connections::list`](crate::Connections::list). The event
    /// [`EventKind::Unfinished`](crate::EventKind::Unfinished) has the number of all. The callback runs in the signal loop, so it should not
    /// block. An error or a panic is reported, and the process continues.
    pub fn on_unfinished<R: CallbackResult>(
        mut self,
        mut callback: impl FnMut(&[ConnectionInfo]) -> R + Send + 'static,
    ) -> Builder {
        self.callbacks.on_unfinished = Some(Box::new(move |held| callback(held).into_result()));
        self
    }

    /// Sets how many processes of this service may drain at the same time, of whatever generation. Defaults to no limit; at least 1.
    ///
    /// A restart that would exceed it is refused with a reason that has their pids. Ask again when one of them has exited. Processes
    /// of the Go package goagain are not counted.
    pub fn max_draining(mut self, processes: usize) -> Builder {
        self.adjust.max_draining = Some(processes);
        self
    }

    /// Sets the probation period: how long the old process stays the fallback, at the least, after the new process took over. Defaults to 1 second.
    ///
    /// If the new process dies in this time, the old one takes over again. The next restart can begin when it is over.
    pub fn probation(mut self, time: Duration) -> Builder {
        self.adjust.probation = Some(time);
        self
    }

    /// Sets how long a new process may take from the commit until it accepts. After that it is killed, and the old process takes over again.
    /// Defaults to 5 seconds. Nobody accepts in this time; connections wait in the kernel's queue.
    pub fn serving_timeout(mut self, time: Duration) -> Builder {
        self.adjust.serving_timeout = Some(time);
        self
    }

    /// Sets how long an aborted process may take to exit. After that it is killed (SIGKILL). Defaults to 5 seconds.
    pub fn abort_timeout(mut self, time: Duration) -> Builder {
        self.adjust.abort_timeout = Some(time);
        self
    }

    /// Sets how long the process may take from its `execve` to READY, under a strategy that execs. After that its child, which serves meanwhile,
    /// gives it up. Defaults to [`ready_timeout`](Builder::ready_timeout).
    pub fn reexec_timeout(mut self, time: Duration) -> Builder {
        self.adjust.reexec_timeout = Some(time);
        self
    }

    /// Sets how many bytes one item of [state](Goagain::save_state) may have. Defaults to 1 GiB.
    pub fn state_limit(mut self, bytes: u64) -> Builder {
        self.offers.limit = bytes;
        self
    }

    /// Sets how long saving the [state](Goagain::save_state) for one restart may take, all items together. Defaults to 10 seconds.
    ///
    /// The time is checked when a function writes and when it returns: one that takes longer fails the restart then. Under a strategy that
    /// execs, saving counts into [`reexec_timeout`](Builder::reexec_timeout).
    pub fn state_timeout(mut self, time: Duration) -> Builder {
        self.offers.within = time.min(FOREVER);
        self
    }

    /// Lets idle connections move to the new process instead of being closed, and accepts those of the old one. Both processes have to call this.
    /// Off by default.
    ///
    /// The servers for hyper and axum send their connections by themselves. Other servers send them by
    /// [`Migrator::wait`](crate::migrate::Migrator::wait) or [`Migrator::send`](crate::migrate::Migrator::send). A migrated connection comes
    /// out of the acceptor of the listener of the same name, as if just accepted. What the old process had read of it and not served comes
    /// first from its [`Stream`](crate::Stream). Only what the socket itself holds can move: no TLS session, and no state of HTTP/2.
    pub fn migrate_connections(mut self) -> Builder {
        self.moves = true;
        self
    }

    /// Sets a callback for HUP. By custom it reloads the configuration.
    ///
    /// It runs in the signal loop, so it should not block. An error or a panic is reported, and the server continues.
    pub fn on_hup<R: CallbackResult>(mut self, callback: impl FnMut() -> R + Send + 'static) -> Builder {
        self.callbacks.on_hup = Some(boxed(callback));
        self
    }

    /// Sets a callback for USR1. By custom it reopens the logs. See [`on_hup`](Builder::on_hup) for where it runs.
    pub fn on_usr1<R: CallbackResult>(mut self, callback: impl FnMut() -> R + Send + 'static) -> Builder {
        self.callbacks.on_usr1 = Some(boxed(callback));
        self
    }

    /// Sets a callback for the last work of a process that has served: to flush a log, or to deregister from a registry.
    ///
    /// It runs once, when nothing is in flight any longer or the drain has timed out: before this process exits, or, under a strategy
    /// that execs, before `execve(2)`, which runs no destructors. If that exec fails, the process goes on after it. It runs in the
    /// signal loop, so the process leaves when it returns. An error or a panic is reported, and the process leaves anyway.
    pub fn before_exit<R: CallbackResult>(mut self, callback: impl FnMut() -> R + Send + 'static) -> Builder {
        self.callbacks.before_exit = Some(boxed(callback));
        self
    }

    /// Adds a callback that gets every [`Event`]. It may be called more than once.
    ///
    /// It runs in the signal loop, so it should not block. See [`log_to_stderr`](Builder::log_to_stderr) for the common case.
    pub fn on_event(mut self, observer: impl FnMut(&Event) + Send + 'static) -> Builder {
        self.callbacks.on_event.push(Box::new(observer));
        self
    }

    /// Writes each event as one line to standard error, by one `write(2)`, so that the lines of the two processes of a restart
    /// do not mix: a pipe takes up to `PIPE_BUF` bytes at once (4096 on Linux, see pipe(7)). If the write fails, the line is lost
    /// and the server goes on; if nobody reads a full pipe, the write blocks.
    ///
    /// ```text
    /// goagain[4720] generation 2: serving; previous process 4711 is the fallback for now
    /// goagain[4711] generation 1: this process stops accepting and finishes 3 connections
    /// goagain[4711] generation 1: restart 2 (process 4720) failed after 5.6 ms: no database; this process keeps serving
    /// ```
    ///
    /// A line has no timestamp: journald, syslog and container runtimes add their own. Where nothing does, write the line with
    /// a timestamp in [`on_event`](Builder::on_event), or use the feature `tracing`.
    pub fn log_to_stderr(self) -> Builder {
        self.on_event(crate::life::log::to_stderr)
    }

    /// Sets which signal does what. Defaults to [`Signals::default`].
    pub fn signals(mut self, signals: Signals) -> Builder {
        self.adjust.signals = Some(signals);
        self
    }

    /// Sets the program that a restart starts. Defaults to the program that runs: `argv[0]`, through PATH and the working directory of the
    /// start.
    ///
    /// The path is looked up anew at each restart, so a replaced file or a changed link is followed.
    pub fn image(mut self, path: impl Into<PathBuf>) -> Builder {
        self.image = Some(path.into());
        self
    }

    /// Sets the arguments of the new process, without the name of the program. Defaults to the arguments of this process.
    pub fn args<I>(mut self, args: I) -> Builder
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        self.args = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the working directory of the new process. The path is followed anew at each restart, so that a link which a deployment changes to the
    /// next release, such as `/srv/app/current`, leads there. If this process is in that directory, a relative `argv[0]` is looked up there too.
    ///
    /// Defaults to the working directory of this process at [`start`](Builder::start): the path in the variable `PWD`, as a shell sets it, if
    /// that is absolute and names this directory, and otherwise the one of `getcwd(3)`. If that default cannot be entered at a restart, the
    /// new process starts where this process is, and a [`Warning`](crate::EventKind::Warning) says so. If the directory that you set cannot be
    /// entered, the restart fails.
    pub fn working_directory(mut self, path: impl Into<PathBuf>) -> Builder {
        self.directory = Some(path.into());
        self
    }

    /// Reads what the predecessor handed over, installs the signal handlers (`sigaction`), and unblocks their signals in this thread
    /// (`pthread_sigmask`). [`run`](crate::run) calls it.
    ///
    /// Other threads may be running. A new process starts with HUP, USR1 and USR2 blocked, and with INT, QUIT and TERM too if it was exec'd
    /// in place. A thread that is older than this call keeps them blocked. No signal is lost by that. But a program that such a thread
    /// starts inherits its mask, unless [`unblock_signals`](crate::signal::unblock_signals) was called in that thread before.
    /// `goagain::tokio::run` calls it in the worker threads of the runtime, so `#[tokio::main]` needs nothing more.
    ///
    /// # Errors
    /// [`StartError`]: this process has called it before, a variable or a descriptor of the handoff is broken, or a system call
    /// failed. The predecessor, if there is one, keeps serving.
    pub fn start(self) -> Result<Goagain, StartError> {
        let Chosen { settings, strategy, mut serving } = self.chosen()?;
        let (inner, inherited) = Loop::start(settings, strategy)?;
        serving.inherit(inherited);
        Ok(Goagain::from_parts(inner, serving))
    }

    /// Makes a server without an environment and without signal handlers, for unit tests. A process may have any number of them.
    ///
    /// Nothing is inherited, and signals do what they did before. Requests come by a [`Handle`](crate::Handle) alone. A restart starts the
    /// [image](Builder::image) that was set, and fails if none was: the program that runs is the test.
    ///
    /// # Errors
    /// [`StartError`]: a system call failed.
    pub fn isolated(self) -> Result<Goagain, StartError> {
        let may_start = self.image.is_some();
        let Chosen { settings, strategy, serving } = self.chosen()?;
        let strategy = if may_start { strategy } else { Box::new(Isolated(strategy)) };
        let inner = Loop::isolated(settings, strategy)?;
        Ok(Goagain::from_parts(inner, serving))
    }

    fn chosen(mut self) -> Result<Chosen, StartError> {
        let directory = self.directory.map_or_else(|| Ok(WorkingDirectory::current()), WorkingDirectory::at);
        let directory = directory.map_err(system("find the working directory"))?;
        let image = match self.image {
            Some(path) => Image::at(path),
            None => Image::current_in(&directory),
        };
        let image = image.map_err(system("find the image of this process"))?;
        let args = self.args.unwrap_or_else(|| std::env::args_os().skip(1).collect());
        let mut settings = Settings::new(image, args);
        settings.working_directory = directory;
        self.adjust.bound();
        let Adjust { signals, ready_timeout, drain_timeout, idle_grace, long_lived_timeout, .. } =
            self.adjust;
        let Adjust {
            drain_jitter,
            unfinished,
            max_draining,
            probation,
            serving_timeout,
            abort_timeout,
            reexec_timeout,
            ..
        } = self.adjust;
        settings.signals = signals.unwrap_or(settings.signals);
        settings.ready_timeout = ready_timeout.unwrap_or(settings.ready_timeout);
        settings.drain_timeout = drain_timeout.unwrap_or(settings.drain_timeout);
        settings.idle_grace = idle_grace.unwrap_or(settings.idle_grace);
        settings.long_lived_timeout = long_lived_timeout.unwrap_or(settings.drain_timeout / 2);
        settings.drain_jitter = drain_jitter.unwrap_or(settings.drain_jitter);
        settings.max_draining = max_draining.map(|processes| processes.max(1));
        settings.probation = probation.unwrap_or(settings.probation);
        settings.serving_timeout = serving_timeout.unwrap_or(settings.serving_timeout);
        settings.abort_timeout = abort_timeout.unwrap_or(settings.abort_timeout);
        settings.reexec_timeout = reexec_timeout.unwrap_or(settings.ready_timeout);
        let idle_grace = settings.idle_grace.min(settings.drain_timeout);
        let connections = Connections::new(settings.drain_jitter, unfinished, idle_grace)
            .map_err(system("make a socketpair"))?;
        let moves =
            if self.moves { Some(Migrations::new().map_err(system("make a socketpair"))?) } else { None };
        let Builder { strategy, callbacks, offers, .. } = self;
        let mut serving = Serving::new(connections, callbacks);
        (serving.offers, serving.moves) = (offers, moves);
        Ok(Chosen { settings, strategy, serving })
    }
}

struct Chosen {
    settings: Settings,
    strategy: Box<dyn Strategy>,
    serving: Serving,
}

pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}
