//! Everything that can be chosen, and the start.

use crate::drain::{Connections, Unfinished};
use crate::life::callbacks::{Callbacks, boxed};
use crate::life::{CallbackResult, Goagain};
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

/// Everything that can be chosen. Made by [`Goagain::builder`].
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

/// A century stands for ever: times are added to each other and to the clock, which has an end.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Adjust {
    fn bound(&mut self) {
        let Adjust { ready_timeout, drain_timeout, idle_grace, long_lived_timeout, drain_jitter, .. } = self;
        let Adjust { probation, serving_timeout, abort_timeout, reexec_timeout, .. } = self;
        let times = [ready_timeout, drain_timeout, idle_grace, long_lived_timeout, drain_jitter];
        for time in times.into_iter().chain([probation, serving_timeout, abort_timeout, reexec_timeout]) {
            *time = time.map(|time| time.min(FOR_EVER));
        }
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

    /// How long a new image may take from spawn to READY; then it is aborted. 60 s if not said.
    pub fn ready_timeout(mut self, time: Duration) -> Builder {
        self.adjust.ready_timeout = Some(time);
        self
    }

    /// How long a drain may take; what is in flight then is [cut off](Builder::cut). 30 s if not said.
    pub fn drain_timeout(mut self, time: Duration) -> Builder {
        self.adjust.drain_timeout = Some(time);
        self
    }

    /// How long the first phase of a drain may take, in which connections that wait for a request are still served; then
    /// they are told to go. 5 s if not said. A client that sends its requests further apart than this may find its
    /// connection closed, as it may with any server's keep-alive timeout.
    pub fn idle_grace(mut self, time: Duration) -> Builder {
        self.adjust.idle_grace = Some(time);
        self
    }

    /// How long [long-lived](crate::Guard::long_lived) connections have, within the drain, from being told to go. They are told
    /// when `idle_grace` is over and nothing else is in flight any longer, or, `idle_grace` being over, this long before the
    /// drain's deadline. Half of `drain_timeout` if not said.
    pub fn long_lived_timeout(mut self, time: Duration) -> Builder {
        self.adjust.long_lived_timeout = Some(time);
        self
    }

    /// Over how long a time connections are told to go, the idle and later the long-lived, each at its own moment, evenly
    /// spread: so that the clients of long connections do not all come back at once. None if not said: it makes each drain
    /// longer by as much, and how many clients are too many at once is known to the service alone. The long-lived have
    /// `long_lived_timeout` after the last is told, as far as `drain_timeout` goes.
    pub fn drain_jitter(mut self, window: Duration) -> Builder {
        self.adjust.drain_jitter = Some(window);
        self
    }

    /// What becomes of connections that are in flight when a drain ends, by its deadline or by a stop; [`Unfinished::Leave`] if not
    /// said. For anything else an acceptor keeps a duplicate of each connection's descriptor: count two for each in
    /// RLIMIT_NOFILE.
    pub fn unfinished(mut self, unfinished: Unfinished) -> Builder {
        self.adjust.unfinished = unfinished;
        self
    }

    /// Called when a drain ends, by its deadline or by a stop, and something is in flight still, before it is
    /// [cut](Builder::cut): with what is [held](crate::Connections::held) by guards that have a name. How many there are in
    /// all is reported. It runs in the loop, so it should not block; its error or panic is reported, and the process goes
    /// its way.
    pub fn on_unfinished<R: CallbackResult>(
        mut self,
        mut callback: impl FnMut(&[ConnectionInfo]) -> R + Send + 'static,
    ) -> Builder {
        self.callbacks.on_unfinished = Some(Box::new(move |held| callback(held).into_result()));
        self
    }

    /// How many processes may drain at the same time, whatever generation they are of; as many as there are if not said. A
    /// restart that would make them more, with this one, is refused with the reason, which names them; ask again when one
    /// of them has left. At least 1. Processes of the Go package are not counted.
    pub fn max_draining(mut self, processes: usize) -> Builder {
        self.adjust.max_draining = Some(processes);
        self
    }

    /// The least time for which this process, as a predecessor, would roll back. 1 s if not said. A restart can follow on
    /// another no sooner.
    pub fn probation(mut self, time: Duration) -> Builder {
        self.adjust.probation = Some(time);
        self
    }

    /// How long a committed successor may take until it waits for its turn to end, and so accepts; then it hangs, is
    /// killed, and rolled back. 5 s if not said. Nobody accepts meanwhile: connections queue in the kernel.
    pub fn serving_timeout(mut self, time: Duration) -> Builder {
        self.adjust.serving_timeout = Some(time);
        self
    }

    /// How long an aborted image may take to leave; then it is killed. 5 s if not said.
    pub fn abort_timeout(mut self, time: Duration) -> Builder {
        self.adjust.abort_timeout = Some(time);
        self
    }

    /// Under a strategy that execs: how long the process may take from its exec to READY; then its child, which owns
    /// meanwhile, gives it up. As `ready_timeout` if not said.
    pub fn reexec_timeout(mut self, time: Duration) -> Builder {
        self.adjust.reexec_timeout = Some(time);
        self
    }

    /// How many bytes one parcel of [state](Goagain::offer) may have: 1 GiB if not said.
    pub fn state_limit(mut self, bytes: u64) -> Builder {
        self.offers.limit = bytes;
        self
    }

    /// How long making the [state](Goagain::offer) of one restart may take, all parcels together: 10 s if not said. A function
    /// that takes longer fails the restart when it writes next, or is done. Under a strategy that execs it counts into the
    /// time that the process has to be back.
    pub fn state_timeout(mut self, time: Duration) -> Builder {
        self.offers.within = time.min(FOR_EVER);
        self
    }

    /// Lets idle connections move to the successor in place of being closed, and takes those of the predecessor. Both images must
    /// have called it.
    ///
    /// To send them is the server's part: by [`Migrator::wait`](crate::migrate::Migrator::wait), or [`Migrator::offer`](crate::migrate::Migrator::offer); the
    /// servers for hyper and axum do it by themselves. A moved connection comes out of the acceptor of the listener of the same
    /// name as if just accepted; what was read of it and not served comes first from its [`Stream`](crate::Stream). Only what
    /// the socket itself holds moves: no TLS session, no HTTP/2 state.
    pub fn migrate_connections(mut self) -> Builder {
        self.moves = true;
        self
    }

    /// What HUP does: reload the configuration, by custom. It runs in `wait`, `ready` and `finish`; its error or panic is
    /// reported, and the server goes on.
    pub fn on_hup<R: CallbackResult>(mut self, callback: impl FnMut() -> R + Send + 'static) -> Builder {
        self.callbacks.on_hup = Some(boxed(callback));
        self
    }

    /// What USR1 does: reopen the logs, by custom. As [`Builder::on_hup`].
    pub fn on_usr1<R: CallbackResult>(mut self, callback: impl FnMut() -> R + Send + 'static) -> Builder {
        self.callbacks.on_usr1 = Some(boxed(callback));
        self
    }

    /// The last work of an image under a strategy that execs: `execve` runs no destructors. If the exec fails, the
    /// process goes on after it.
    pub fn before_exit<R: CallbackResult>(mut self, callback: impl FnMut() -> R + Send + 'static) -> Builder {
        self.callbacks.before_exit = Some(boxed(callback));
        self
    }

    /// Who is told of everything that happens; may be called more than once. It runs in the loop, so it should not block.
    pub fn on_event(mut self, observer: impl FnMut(&Event) + Send + 'static) -> Builder {
        self.callbacks.on_event.push(Box::new(observer));
        self
    }

    /// Writes each event as one line to standard error, by one `write(2)`, so that the lines of the two processes of a restart
    /// do not mix: a pipe takes up to `PIPE_BUF` bytes at once (4096 on Linux, see pipe(7)). If the write fails, the line is lost
    /// and the server goes on; if nobody reads a full pipe, the write blocks.
    ///
    /// ```text
    /// goagain[4720] generation 2: serving; previous process 4711 stays as the fallback for up to 10 s
    /// goagain[4711] generation 1: this process stops accepting and finishes 3 connections
    /// goagain[4711] generation 1: restart 2 (process 4720) failed after 5.6 ms: no database; this process keeps serving
    /// ```
    ///
    /// A line has no timestamp: journald, syslog and container runtimes add their own. Where nothing does, write the line with
    /// a timestamp in [`on_event`](Builder::on_event), or use the feature `tracing`.
    pub fn log_to_stderr(self) -> Builder {
        self.on_event(crate::life::log::to_stderr)
    }

    /// Which signal means what; [`Signals::default`] if not said.
    pub fn signals(mut self, signals: Signals) -> Builder {
        self.adjust.signals = Some(signals);
        self
    }

    /// The program that a restart starts, in place of the one that runs (argv\[0\], through PATH and the working
    /// directory of the start). It is looked up anew at each restart, so a symlink or a replaced file is followed.
    pub fn image(mut self, path: impl Into<PathBuf>) -> Builder {
        self.image = Some(path.into());
        self
    }

    /// The arguments of a new image, without its name; those of this process if not said.
    pub fn args<I>(mut self, args: I) -> Builder
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        self.args = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// The directory that a new image starts in. Its path is followed anew at each restart, so that a link which a deploy
    /// turns to the next release, such as `/srv/app/current`, leads there. If this process is in it, a relative `argv[0]` is
    /// looked for there too.
    ///
    /// Defaults to the directory that this process is in at [`start`](Builder::start): by its name in the variable `PWD`, as a
    /// shell sets it, if that is absolute and names this directory, and by `getcwd(3)` otherwise. If that one cannot be entered
    /// at a restart, the new image starts where this process is, and a [`Warning`](crate::EventKind::Warning) says so. If a chosen
    /// one cannot be, the restart fails.
    pub fn working_directory(mut self, path: impl Into<PathBuf>) -> Builder {
        self.directory = Some(path.into());
        self
    }

    /// Reads the handoff, installs the signal handlers (`sigaction`) and unblocks their signals (`pthread_sigmask`).
    ///
    /// Call it early in `main`, before there are other threads: a thread that is older keeps HUP, USR1 and USR2 blocked, as
    /// the predecessor passed them on, and so do the programs that it starts.
    ///
    /// # Errors
    /// [`StartError`]: this process has started before, a variable or a descriptor of the handoff is broken, or a system
    /// call failed. The predecessor, if there is one, serves on.
    pub fn start(self) -> Result<Goagain, StartError> {
        let Chosen { settings, strategy, mut serving } = self.chosen()?;
        let (inner, inherited) = Loop::start(settings, strategy)?;
        serving.inherit(inherited);
        Ok(Goagain::from_parts(inner, serving))
    }

    /// A server without an environment and without handlers: for unit tests, any number in a process. Nothing is
    /// inherited, signals do what they did before, and requests come by [`Handle`](crate::Handle) alone. A restart starts
    /// the [image](Builder::image) that was chosen and fails if none was: the program that runs is the test.
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
