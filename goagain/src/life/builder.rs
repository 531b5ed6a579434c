//! The settings of a server, and its start.

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

/// The settings of a server. Returned by [`Goagain::builder`], or made from a strategy with `into`.
///
/// Pass it to [`run`](crate::run), or call [`start`](Builder::start). Times of more than 100 years count as 100 years.
///
/// # Callbacks
/// The callbacks run in the signal loop. This is the code that handles signals, messages and deadlines. It runs in the thread
/// or the task that called [`run`](crate::run), or that calls [`wait`](Goagain::wait) and [`finish`](Goagain::finish). While a
/// callback runs, nothing else is handled, so a callback should not block.
///
/// If a callback returns an error or panics, the event [`EventKind::CallbackFailed`](crate::EventKind::CallbackFailed) reports
/// it, and the process continues.
#[derive(Debug)]
#[must_use = "nothing happens before `start`"]
pub struct Builder {
    strategy: Box<dyn Strategy>,
    image: Option<PathBuf>,
    args: Option<Vec<OsString>>,
    directory: Option<PathBuf>,
    callbacks: Callbacks,
    saved_state: SavedState,
    migrations: bool,
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

/// Converts a strategy into a builder with the default settings, so that `run(Single, ...)` works.
impl<S: Strategy + 'static> From<S> for Builder {
    fn from(strategy: S) -> Builder {
        Builder::new(Box::new(strategy))
    }
}

impl Builder {
    pub(crate) fn new(strategy: Box<dyn Strategy>) -> Builder {
        let (callbacks, saved_state) = (Callbacks::default(), SavedState::default());
        Builder {
            strategy,
            image: None,
            args: None,
            directory: None,
            callbacks,
            saved_state,
            migrations: false,
            adjust: Adjust::default(),
        }
    }

    /// Sets how long a new process may take from its start until it is ready. Defaults to 60 seconds.
    ///
    /// A process is ready when it sends [READY](crate::guide::restart#words): when `prepare` has returned, or by
    /// [`Goagain::ready`]. A new process that takes longer is aborted, and the old process keeps serving. The setting of the
    /// old process applies.
    pub fn ready_timeout(mut self, time: Duration) -> Builder {
        self.adjust.ready_timeout = Some(time);
        self
    }

    /// Sets how long draining may take. Connections that are still open after that are handled as
    /// [`unfinished`](Builder::unfinished) says. Defaults to 30 seconds.
    ///
    /// The time begins when this process stops accepting. [`guide::drain`](crate::guide::drain) describes a drain.
    pub fn drain_timeout(mut self, time: Duration) -> Builder {
        self.adjust.drain_timeout = Some(time);
        self
    }

    /// Sets how long the first phase of a drain lasts. In this phase idle connections are still served; after it, they are
    /// asked to close. Defaults to 5 seconds.
    ///
    /// A client that waits longer than this between two requests may find its connection closed. The keep-alive timeout of any
    /// server has the same effect.
    pub fn idle_grace(mut self, time: Duration) -> Builder {
        self.adjust.idle_grace = Some(time);
        self
    }

    /// Sets how long [long-lived](crate::Guard::long_lived) connections may take to close after they were asked to. Defaults to
    /// half of [`drain_timeout`](Builder::drain_timeout), which also limits it.
    ///
    /// They are asked when [`idle_grace`](Builder::idle_grace) is over and only long-lived connections are left. At the latest,
    /// they are asked this long before the drain times out.
    pub fn long_lived_timeout(mut self, time: Duration) -> Builder {
        self.adjust.long_lived_timeout = Some(time);
        self
    }

    /// Sets a window of time over which the requests to close are spread evenly. Defaults to zero: all connections of a phase
    /// are asked at the same moment.
    ///
    /// A window keeps the clients of many connections from reconnecting all at once. Idle connections are asked within the
    /// window after the second phase of the drain has begun, and long-lived ones within the window after the third has begun.
    /// Each of the two phases may take longer by up to this time, within [`drain_timeout`](Builder::drain_timeout). A
    /// long-lived connection has [`long_lived_timeout`](Builder::long_lived_timeout) from the end of the window, as far as
    /// `drain_timeout` allows.
    pub fn drain_jitter(mut self, window: Duration) -> Builder {
        self.adjust.drain_jitter = Some(window);
        self
    }

    /// Sets what happens to connections that are still open when a drain ends. A drain ends with open connections when it times
    /// out or when a stop ends it. Defaults to [`Unfinished::Leave`].
    ///
    /// With the other values, each accepted connection takes two descriptors, because the acceptor keeps a duplicate. Both
    /// count in RLIMIT_NOFILE.
    pub fn unfinished(mut self, unfinished: Unfinished) -> Builder {
        self.adjust.unfinished = unfinished;
        self
    }

    /// Sets a callback that is called when a drain ends while connections are still open. It is called before these connections
    /// are handled as [`unfinished`](Builder::unfinished) says. See [Callbacks](Builder#callbacks).
    ///
    /// The callback gets the connections that have a name: see [`Connections::list`](crate::Connections::list). The event
    /// [`EventKind::Unfinished`](crate::EventKind::Unfinished) has the number of all open connections.
    pub fn on_unfinished<R: CallbackResult>(
        mut self,
        mut callback: impl FnMut(&[ConnectionInfo]) -> R + Send + 'static,
    ) -> Builder {
        self.callbacks.on_unfinished = Some(Box::new(move |held| callback(held).into_result()));
        self
    }

    /// Sets how many processes of this service may drain at the same time, whatever their generation. Defaults to no limit. The
    /// value 0 counts as 1.
    ///
    /// A restart that would exceed the limit is refused ([`EventKind::Refused`](crate::EventKind::Refused)). The reason
    /// contains the pids of the processes that drain. Request the restart again when one of them has exited. Processes of the
    /// Go package goagain are not counted.
    pub fn max_draining(mut self, processes: usize) -> Builder {
        self.adjust.max_draining = Some(processes);
        self
    }

    /// Sets the [probation period](crate::guide::restart#words): how long the old process stays the fallback, at the least,
    /// after the new process took over. Defaults to 1 second.
    ///
    /// If the new process dies in this time, the old process takes over again. The next restart cannot begin before this time
    /// is over.
    pub fn probation(mut self, time: Duration) -> Builder {
        self.adjust.probation = Some(time);
        self
    }

    /// Sets how long a new process may take from the [commit](crate::guide::restart#words), which makes it the owner, until it
    /// accepts connections. Defaults to 5 seconds.
    ///
    /// If it takes longer, the old process kills it (SIGKILL) and takes over again. In this time no process accepts, and
    /// connections wait in the kernel's queue.
    pub fn serving_timeout(mut self, time: Duration) -> Builder {
        self.adjust.serving_timeout = Some(time);
        self
    }

    /// Sets how long a new process may take to exit after it was [aborted](crate::guide::restart#words). After that it is
    /// killed (SIGKILL). Defaults to 5 seconds.
    pub fn abort_timeout(mut self, time: Duration) -> Builder {
        self.adjust.abort_timeout = Some(time);
        self
    }

    /// Sets how long an exec in place may take, under a strategy that execs, such as `Double`: from RELEASED, which the old
    /// process sends just before its `execve(2)`, until its new image is ready. Defaults to
    /// [`ready_timeout`](Builder::ready_timeout).
    ///
    /// If it takes longer, the child, which serves meanwhile, aborts that process and keeps serving. Then the service has
    /// another pid.
    pub fn reexec_timeout(mut self, time: Duration) -> Builder {
        self.adjust.reexec_timeout = Some(time);
        self
    }

    /// Sets how many bytes one item of [state](Goagain::save_state) may have. Defaults to 1 GiB.
    pub fn state_limit(mut self, bytes: u64) -> Builder {
        self.saved_state.limit = bytes;
        self
    }

    /// Sets how long saving the [state](Goagain::save_state) for one restart may take, for all items together. Defaults to 10
    /// seconds.
    ///
    /// The time is checked at each write of a function, and when the function returns. A function is not interrupted. If it
    /// takes longer, the restart fails when it writes or returns. Under a strategy that execs, the time for saving also counts
    /// into [`reexec_timeout`](Builder::reexec_timeout).
    pub fn state_timeout(mut self, time: Duration) -> Builder {
        self.saved_state.within = time.min(FOREVER);
        self
    }

    /// Lets idle connections [migrate](crate::migrate) to the new process instead of being closed, and accepts the connections
    /// that the old process sends. Defaults to off. Both processes have to call this.
    ///
    /// The servers for hyper and axum send their HTTP/1.1 connections by themselves. Other servers send them by
    /// [`Migrator::wait`](crate::migrate::Migrator::wait) or [`Migrator::send`](crate::migrate::Migrator::send).
    ///
    /// In the new process, the acceptor of the listener with the same name yields a migrated connection like a new one. Its
    /// [`Stream`](crate::Stream) first yields the bytes that the old process has read and not served. Only what the socket
    /// itself holds can migrate: a TLS session and the state of HTTP/2 cannot.
    pub fn migrate_connections(mut self) -> Builder {
        self.migrations = true;
        self
    }

    /// Sets the callback for SIGHUP, which usually reloads the configuration. See [Callbacks](Builder#callbacks).
    ///
    /// [`signals`](Builder::signals) can give this action ([`SignalAction::Reload`](crate::signal::SignalAction::Reload)) to
    /// another signal.
    pub fn on_hup<R: CallbackResult>(mut self, callback: impl FnMut() -> R + Send + 'static) -> Builder {
        self.callbacks.on_hup = Some(boxed(callback));
        self
    }

    /// Sets the callback for SIGUSR1, which usually reopens the logs. See [Callbacks](Builder#callbacks).
    ///
    /// [`signals`](Builder::signals) can give this action ([`SignalAction::Reopen`](crate::signal::SignalAction::Reopen)) to
    /// another signal.
    pub fn on_usr1<R: CallbackResult>(mut self, callback: impl FnMut() -> R + Send + 'static) -> Builder {
        self.callbacks.on_usr1 = Some(boxed(callback));
        self
    }

    /// Sets a callback for the last work of a process that has served, such as flushing a log or deregistering from a registry.
    ///
    /// It runs once, when nothing is in flight any longer or the drain has timed out. It runs before this process exits or,
    /// under a strategy that execs, before `execve(2)`, which runs no destructors. If that exec fails, the process continues
    /// after the callback has run.
    ///
    /// The callback runs in the [signal loop](Builder#callbacks). The process exits or execs when the callback returns. It does
    /// so even if the callback fails or panics.
    pub fn before_exit<R: CallbackResult>(mut self, callback: impl FnMut() -> R + Send + 'static) -> Builder {
        self.callbacks.before_exit = Some(boxed(callback));
        self
    }

    /// Adds a callback that gets every [`Event`]. Each call adds one more. See [Callbacks](Builder#callbacks).
    ///
    /// For lines on standard error, see [`log_to_stderr`](Builder::log_to_stderr). A panic in this callback is not reported as
    /// an event.
    pub fn on_event(mut self, observer: impl FnMut(&Event) + Send + 'static) -> Builder {
        self.callbacks.on_event.push(Box::new(observer));
        self
    }

    /// Writes each event as one line to standard error, by one `write(2)`, so that the lines of the two processes of a restart
    /// do not mix. A pipe takes up to `PIPE_BUF` bytes at once (4,096 on Linux, see pipe(7)).
    ///
    /// If the write fails, the line is lost and the server continues. If standard error is a full pipe that nobody reads, the
    /// write blocks.
    ///
    /// ```text
    /// goagain[4720] generation 2: serving; previous process 4711 is the fallback for now
    /// goagain[4711] generation 1: this process stops accepting and finishes 3 connections
    /// goagain[4711] generation 1: restart 2 (process 4720) failed after 5.6 ms: no database; this process keeps serving
    /// ```
    ///
    /// A line has no timestamp, because journald, syslog and container runtimes add their own. If yours does not, write the
    /// line with a timestamp in [`on_event`](Builder::on_event), or use the feature `tracing`.
    pub fn log_to_stderr(self) -> Builder {
        self.on_event(crate::life::log::to_stderr)
    }

    /// Sets which signal does what. Defaults to [`Signals::default`]: HUP and USR1 call the callbacks, USR2 restarts, QUIT
    /// stops gracefully, INT and TERM stop now.
    pub fn signals(mut self, signals: Signals) -> Builder {
        self.adjust.signals = Some(signals);
        self
    }

    /// Sets the program that a restart starts. Defaults to the program of this process.
    ///
    /// The default is `argv[0]`, looked up in PATH if it has no slash, and otherwise relative to the working directory at
    /// [`start`](Builder::start). If that is not an executable file, it is the file that the system reports
    /// ([`current_exe`](std::env::current_exe)).
    ///
    /// The path is resolved again at each restart, so a replaced file or a changed symbolic link takes effect.
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

    /// Sets the working directory of the new process. Defaults to the working directory of this process at
    /// [`start`](Builder::start).
    ///
    /// The path is resolved again at each restart. So a symbolic link that a deployment changes to the next release, such as
    /// `/srv/app/current`, leads there. If this process is in that directory, a relative `argv[0]` is looked up there too. If
    /// the directory cannot be entered, the restart fails.
    ///
    /// The default is the path in the variable `PWD`, as a shell sets it, if that is absolute and names this directory.
    /// Otherwise it is the path of `getcwd(3)`. If the default directory cannot be entered at a restart, the new process starts
    /// where this process is, and a [`Warning`](crate::EventKind::Warning) says so.
    pub fn working_directory(mut self, path: impl Into<PathBuf>) -> Builder {
        self.directory = Some(path.into());
        self
    }

    /// Starts this process: reads what the predecessor handed over, installs the signal handlers (`sigaction`), and unblocks
    /// their signals in this thread (`pthread_sigmask`). [`run`](crate::run) calls it.
    ///
    /// Other threads may be running already. A new process starts with HUP, USR1 and USR2 blocked. A process that was exec'd in
    /// place also starts with INT, QUIT and TERM blocked. A thread that was started before this call keeps them blocked. No
    /// signal is lost by that. But a program that such a thread starts inherits its mask, unless the thread has called
    /// [`unblock_signals`](crate::signal::unblock_signals) before. `goagain::tokio::run` calls that function in the worker
    /// threads of the runtime, so `#[tokio::main]` needs nothing more.
    ///
    /// # Errors
    /// [`StartError`]: this process has called `start` before, a variable or a descriptor of the handoff is broken, or a system
    /// call failed. The predecessor, if there is one, keeps serving.
    pub fn start(self) -> Result<Goagain, StartError> {
        let Chosen { settings, strategy, mut serving } = self.chosen()?;
        let (inner, inherited) = Loop::start(settings, strategy)?;
        serving.inherit(inherited);
        Ok(Goagain::from_parts(inner, serving))
    }

    /// Starts a process of a service for unit tests, without a handoff and without signal handlers. A test program may have any
    /// number of them.
    ///
    /// It inherits nothing, and signals do what they did before. Only a [`Handle`](crate::Handle) can request a restart or a
    /// stop. A restart starts the [image](Builder::image) that was set. If none was set, the restart fails, because the program
    /// that runs is the test.
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
        let migrations = if self.migrations {
            Some(Migrations::new().map_err(system("make a socketpair"))?)
        } else {
            None
        };
        let Builder { strategy, callbacks, saved_state, .. } = self;
        let mut serving = Serving::new(connections, callbacks);
        (serving.saved_state, serving.migrations) = (saved_state, migrations);
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
