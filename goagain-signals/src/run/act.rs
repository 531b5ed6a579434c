//! Doing what the state machine answers.

use super::Loop;
use super::state::{self, InheritedState};
use crate::peer::Peer;
use crate::{Action, Deadline, EventKind, Input, Server};
use goagain_env::{
    Channel, GoSignal, Handoff, Launch, LaunchError, Launched, Link, Message, NamedDescriptor, Pid, Process,
    Relation, State, StateItem,
};
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A deployment that writes the image file closes it soon. The waits double from 10 ms, to 2.5 s in all.
const MAX_BUSY_TRIES: u32 = 8;

impl Loop {
    pub(super) fn feed(&mut self, input: Input, server: &mut dyn Server) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            #[cfg(goagain_faults)]
            let _ = goagain_env::fault::hit(&format!("input {}", step(&input)));
            let mut actions = Vec::new();
            self.machine.handle(input, &mut actions);
            for action in actions {
                #[cfg(goagain_faults)]
                let step = step(&action);
                #[cfg(goagain_faults)]
                let _ = goagain_env::fault::hit(&format!("before {step}"));
                inputs.extend(self.act(action, server));
                #[cfg(goagain_faults)]
                let _ = goagain_env::fault::hit(&format!("after {step}"));
            }
        }
        self.forget_sockets(server);
        self.report_warnings(server);
    }

    /// Does one action. The answer to it, if it has one, is the next input.
    fn act(&mut self, action: Action, server: &mut dyn Server) -> Option<Input> {
        match action {
            Action::Spawn(attempt) => self.spawn_answer(attempt, 0, server),
            Action::CancelSpawn(attempt) => {
                self.busy.take_if(|busy| busy.0 == attempt);
                None
            }
            Action::Send(attempt, message) => {
                // Whatever keeps a message from being sent ends the channel, and the loop reads that end.
                let sent = self.send(attempt, &message);
                if sent.is_ok() && matches!(message, Message::Commit { .. }) {
                    server.committed();
                }
                None
            }
            Action::Release { attempt, exec, again } => {
                Some(match self.send(attempt, &Message::Released { exec, again }) {
                    Ok(()) => Input::ReleaseSent(attempt),
                    Err(_) => Input::ReleaseFailed(attempt),
                })
            }
            Action::SignalGo(attempt) => {
                if let Some(peer) = self.peers.iter().find(|peer| peer.attempt == attempt) {
                    // The process may have died just now: its death is handled by itself.
                    let _ = peer.process.as_ref().map(|process| process.signal(peer.signal.number()));
                }
                None
            }
            Action::Kill(attempt) => {
                let process = self.peer(attempt).and_then(|peer| peer.process.as_ref());
                let _ = process.map(Process::kill);
                None
            }
            Action::Close(attempt) => {
                if let Some(peer) = self.peer(attempt) {
                    peer.close();
                }
                None
            }
            Action::Arm(deadline) => {
                self.deadlines.insert(deadline, Instant::now() + self.length(deadline));
                None
            }
            Action::Disarm(deadline) => {
                self.deadlines.remove(&deadline);
                None
            }
            Action::Accept => {
                self.has_accepted = true;
                self.publish_draining(false);
                server.accept();
                let addresses = server.addresses();
                if !addresses.is_empty() {
                    self.report(self.machine.attempt(), EventKind::Accepting { addresses }, server);
                }
                None
            }
            Action::StopAccepting => {
                // The state that was not restored by now is out of date.
                self.inherited_state = InheritedState::Received(Vec::new());
                server.stop_accepting();
                self.publish_draining(true);
                None
            }
            Action::CloseIdle => {
                server.close_idle();
                None
            }
            Action::CloseLongLived => {
                server.close_long_lived();
                let (in_flight, connections) = server.waits_for();
                if in_flight.total() > 0 {
                    self.report(
                        self.machine.attempt(),
                        EventKind::StillDraining { in_flight, connections },
                        server,
                    );
                }
                None
            }
            Action::CloseUnfinished => {
                let (in_flight, connections) = server.waits_for();
                let called = server.close_unfinished(&connections);
                self.callback(("on_unfinished", called), server);
                if in_flight.total() > 0 {
                    self.report(
                        self.machine.attempt(),
                        EventKind::Unfinished { in_flight, connections },
                        server,
                    );
                }
                None
            }
            Action::CloseListeners { unlink } => {
                server.close_listeners(unlink);
                None
            }
            Action::Exec => {
                let reason = self.exec(server);
                // The owner sends its state to the process that asks for the service back.
                if !self.machine.successor_is_go() {
                    self.inherited_state = InheritedState::Awaited(State::default());
                }
                Some(Input::ExecFailed(reason))
            }
            Action::Report(attempt, report) => {
                self.report_of_machine(attempt, report, server);
                None
            }
        }
    }

    /// Shows all generations whether this process drains.
    fn publish_draining(&mut self, drains: bool) {
        let said = match &self.draining {
            None => Ok(()),
            Some(draining) if drains => draining.begin(),
            Some(draining) => draining.end(),
        };
        if let Err(error) = said {
            self.warnings.push(format!("cannot show other generations whether this one drains: {error}"));
        }
    }

    /// Returns why a restart would make too many processes drain, if it would.
    fn too_many_draining(&mut self) -> Option<String> {
        let (most, draining) = (self.settings.max_draining?, self.draining.as_ref()?);
        let others = match draining.others() {
            Ok(others) => others,
            Err(error) => {
                self.warnings.push(format!("cannot count the processes that drain: {error}"));
                return None;
            }
        };
        let count = others.len() + 1;
        let pids: Vec<_> = others.iter().map(ToString::to_string).collect();
        (count > most).then(|| {
            format!(
                "at most {most} processes may drain, and with this one there would be {count}: \
                 try again when {} has exited",
                pids.join(" or ")
            )
        })
    }

    /// Returns why a restart would end the service, if it would: this process would exit, and it is the init process.
    pub(super) fn ends_with_init(&self) -> Option<String> {
        let ends = Pid::current().is_init() && self.machine.decisions().may_exit(Relation::Child);
        ends.then(|| {
            format!(
                "with the strategy `{}` this process would exit, and it is pid 1: the kernel would kill the new process too, \
                 and the container would end: use a strategy that keeps the pid (`Double`), or start the server with an \
                 init (`tini`, `docker run --init`)",
                self.strategy.name()
            )
        })
    }

    pub(super) fn length(&self, deadline: Deadline) -> Duration {
        let settings = &self.settings;
        match deadline {
            // The predecessor has died: this process has the time that it would have had from it.
            Deadline::Ready if self.machine.successor().is_none() => self.ready_timeout,
            Deadline::Ready => settings.ready_timeout,
            Deadline::Answer => self.ready_timeout,
            Deadline::Probation => settings.probation,
            Deadline::Serving => settings.serving_timeout,
            Deadline::Drain => settings.drain_timeout,
            Deadline::IdleGrace => settings.idle_grace.min(settings.drain_timeout),
            // Not before idle connections are asked to close.
            Deadline::LongLived => {
                (settings.drain_timeout - settings.closing_long_lived()).max(self.length(Deadline::IdleGrace))
            }
            Deadline::ClosingLongLived => settings.closing_long_lived(),
            Deadline::Abort => settings.abort_timeout,
            Deadline::Reexec => settings.reexec_timeout,
            Deadline::Release => {
                self.release_timeout.unwrap_or(settings.drain_timeout + settings.abort_timeout)
            }
            Deadline::Exit(_) => settings.drain_timeout + settings.abort_timeout,
        }
    }

    fn send(&self, attempt: u64, message: &Message) -> std::io::Result<()> {
        match self.peers.iter().find(|peer| peer.attempt == attempt).and_then(|peer| peer.channel.as_ref()) {
            Some(channel) => channel.send(message),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Tries again to start an image whose file was being written.
    pub(super) fn spawn(&mut self, attempt: u64, tries: u32, server: &mut dyn Server) {
        if let Some(input) = self.spawn_answer(attempt, tries, server) {
            self.feed(input, server);
        }
    }

    fn spawn_answer(&mut self, attempt: u64, tries: u32, server: &mut dyn Server) -> Option<Input> {
        self.requests.set_attempt(attempt);
        // A restart that was passed on by another process was not requested in this one.
        self.since.entry(attempt).or_insert_with(Instant::now);
        if let Some(reason) =
            self.ends_with_init().or_else(|| self.too_many_draining()).filter(|_| tries == 0)
        {
            return Some(Input::SpawnRefused(attempt, reason));
        }
        match self.launch(attempt, server) {
            Ok((process, channel)) => {
                let pid = process.pid();
                self.peers.push(Peer::new(attempt, Some(process), Some(channel)));
                let generation = self.generation + 1;
                self.report(attempt, EventKind::Spawned { pid, generation }, server);
                Some(Input::Spawned(attempt))
            }
            Err(error) if error.is_busy() && tries < MAX_BUSY_TRIES => {
                self.busy = Some((attempt, tries + 1, Instant::now() + Duration::from_millis(10 << tries)));
                None
            }
            Err(error) => Some(Input::SpawnFailed(attempt, error.to_string())),
        }
    }

    fn launch(&mut self, attempt: u64, server: &mut dyn Server) -> Result<(Process, Channel), LaunchError> {
        let items = self.state_items(attempt, server)?;
        let launched = self.launch_with(&items, attempt, server);
        if launched.as_ref().is_err_and(LaunchError::is_busy) {
            self.saved_state = Some((attempt, items));
        }
        launched
    }

    fn launch_with(
        &mut self,
        items: &[StateItem],
        attempt: u64,
        server: &dyn Server,
    ) -> Result<(Process, Channel), LaunchError> {
        let (ours, theirs) = Channel::pair()
            .map_err(|error| LaunchError::refused(format!("cannot make a channel: {error}")))?;
        if !items.is_empty() {
            state::send(&ours, items).map_err(LaunchError::refused)?;
        }
        let directory = self.directory();
        let link = Link { state: !items.is_empty(), ..self.link(&theirs, attempt, 1) };
        let beside = [Some(theirs.as_fd()), self.draining.as_ref().map(AsFd::as_fd)];
        let launch = self.handoff(None, link, directory.as_deref(), beside.into_iter().flatten(), server);
        let strategy = &mut self.strategy;
        let launched = catch_unwind(AssertUnwindSafe(|| strategy.launch(launch)))
            .unwrap_or_else(|_| Err(LaunchError::refused("the strategy's launch panicked")));
        launched.map(|launched: Launched| {
            self.started_from = launched.image_file().cloned().map(|file| (attempt, file));
            (launched.into_process(), ours)
        })
    }

    /// Returns the directory that the new process starts in. `None`: the one of this process, even if it was deleted.
    fn directory(&mut self) -> Option<PathBuf> {
        let directory = &self.settings.working_directory;
        match directory.available() {
            Ok(path) => Some(path.to_owned()),
            // If the new process cannot start there, the launch fails.
            Err(_) if directory.is_chosen() => directory.path().map(Path::to_owned),
            Err(error) => {
                let path =
                    directory.path().map_or("of this process".into(), |path| path.display().to_string());
                self.warnings.push(format!(
                    "the working directory {path} cannot be entered: {error}: the new process starts in the directory of \
                     this one, which may be deleted; set one by `working_directory`"
                ));
                None
            }
        }
    }

    /// Returns what the handoff says of the predecessor. `after` is 1 for a child of this process, whose predecessor is this
    /// process; and 2 for the image that this process execs, whose predecessor is the child.
    fn link(&self, channel: &Channel, attempt: u64, after: u64) -> Link {
        let relation = if after == 1 { Relation::Child } else { Relation::Parent };
        Link {
            fd: channel.as_fd().as_raw_fd(),
            signals: None,
            attempt,
            generation: self.generation + after,
            ready_timeout: self.settings.ready_timeout,
            release_timeout: self.settings.release_timeout(self.machine.decisions(), relation),
            go: false,
            state: false,
            leaving: Vec::new(),
            draining: self.draining.as_ref().map(|draining| draining.as_fd().as_raw_fd()),
            list: None,
        }
    }

    fn handoff<'fd>(
        &self,
        successor: Option<Pid>,
        link: Link,
        directory: Option<&Path>,
        beside: impl Iterator<Item = BorrowedFd<'fd>>,
        server: &'fd dyn Server,
    ) -> Launch<'fd> {
        let (mut fds, descriptors): (Vec<BorrowedFd<'fd>>, Vec<NamedDescriptor>) =
            server.descriptors().into_iter().unzip();
        fds.extend(beside);
        let handoff = Handoff {
            descriptors,
            successor,
            predecessor: Pid::current(),
            signal: GoSignal::Quit,
            channel: Some(link),
            go_listener: None,
        };
        let mut launch = Launch::new(&self.settings.image, self.settings.args.clone(), handoff, fds);
        match directory {
            Some(path) => launch.set_working_directory(path),
            None => launch.env_remove("PWD"),
        };
        launch
    }

    /// Replaces this image. Returns only if that fails, with the reason.
    fn exec(&mut self, server: &mut dyn Server) -> String {
        let called = server.before_exit();
        self.callback(("before_exit", called), server);
        match self.try_exec(server) {
            Ok(error) => error.to_string(),
            Err(error) => format!("cannot make a channel: {error}"),
        }
    }

    fn try_exec(&mut self, server: &dyn Server) -> std::io::Result<LaunchError> {
        let Some(index) = self.peers.iter().position(|peer| self.machine.successor() == Some(peer.attempt))
        else {
            return Err(std::io::ErrorKind::NotFound.into());
        };
        let directory = self.directory();
        let attempt = self.peers[index].attempt;
        let pid = self.peers[index].process.as_ref().map(Process::pid);
        let go = self.machine.successor_is_go();
        // A process of the Go package has no channel. The one that is made here shows the new image that it is the same process.
        let made = if go { Some(Channel::pair()?.0) } else { None };
        let Some(channel) = made.as_ref().or(self.peers[index].channel.as_ref()) else {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        };
        let exiting: Vec<u64> = self.machine.exiting_children().collect();
        let link = Link {
            signals: Some(self.handlers.as_fd().as_raw_fd()),
            go,
            state: !go,
            leaving: self
                .peers
                .iter()
                .filter(|peer| exiting.contains(&peer.attempt))
                .filter_map(|peer| peer.process.as_ref().map(Process::pid))
                .collect(),
            ..self.link(channel, attempt, 2)
        };
        let draining = self.draining.as_ref().map(AsFd::as_fd);
        let beside = [Some(channel.as_fd()), Some(self.handlers.as_fd()), draining];
        let launch = self.handoff(pid, link, directory.as_deref(), beside.into_iter().flatten(), server);
        let strategy = &mut self.strategy;
        Ok(catch_unwind(AssertUnwindSafe(|| strategy.exec(launch)))
            .unwrap_or_else(|_| LaunchError::refused("the strategy's exec panicked")))
    }
}

/// Returns the name of a step, for faults: "Send Commit", "Deadline Probation".
#[cfg(goagain_faults)]
fn step(of: &impl std::fmt::Debug) -> String {
    let text = format!("{of:?}");
    let words = text.split(|each: char| !each.is_ascii_alphabetic());
    let names: Vec<_> =
        words.filter(|word| word.starts_with(|first: char| first.is_ascii_uppercase())).take(2).collect();
    names.join(" ")
}
