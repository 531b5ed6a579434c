//! The loop: it passes what has happened to the state machine, and does what the machine answers.

mod act;
mod report;
mod sockets;
mod start;
mod state;

use crate::handle::{Request, Requests};
use crate::handlers::{Arrived, Handlers};
use crate::peer::Peer;
use crate::poller::Poller;
use crate::{
    Deadline, EventKind, Handle, Input, Machine, Phase, Server, Settings, Signal, SignalAction, Stop, Turn,
};
use goagain_env::{Draining, Exit, ImageFile, Message, Received, StateItem, Strategy};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Runs the protocol for one process. It owns the signals, channels, peers and deadlines of the process. It has no thread:
/// everything happens in its methods.
#[derive(Debug)]
pub struct Loop {
    machine: Machine,
    settings: Settings,
    strategy: Box<dyn Strategy>,
    handlers: Handlers,
    requests: Requests,
    poller: Poller,
    peers: Vec<Peer>,
    deadlines: BTreeMap<Deadline, Instant>,
    /// An attempt whose image file is being written (ETXTBSY), how often its start was tried, and when to try next.
    busy: Option<(u64, u32, Instant)>,
    /// The last attempt, and the file that it was started from.
    started_from: Option<(u64, ImageFile)>,
    /// When each attempt was requested, or began.
    since: HashMap<u64, Instant>,
    started: Instant,
    generation: u64,
    /// How long the predecessor waits for READY of this process.
    ready_timeout: Duration,
    /// Within what time the predecessor releases.
    release_timeout: Option<Duration>,
    /// The file in which each process shows that it drains; `None` if it could not be created.
    draining: Option<Draining>,
    /// Whether this is the loop of the process, and not one of a test.
    is_of_the_process: bool,
    /// Whether this process has accepted connections: everything after its last term is a drain.
    has_accepted: bool,
    aborted_because: Option<String>,
    warnings: Vec<String>,
    /// The attempt whose process has sent its changes of the descriptors.
    sockets_from: Option<u64>,
    inherited_state: state::InheritedState,
    /// The state for an attempt whose image file is being written.
    saved_state: Option<(u64, Vec<StateItem>)>,
}

impl Loop {
    /// Returns the generation of this process: 1 for the first process of a service, one more for each new process or exec.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns what the application has to do.
    pub fn turn(&self) -> Turn {
        self.machine.turn()
    }

    /// Returns whether this process has a predecessor that serves, or that could take the service back.
    pub fn has_fallback(&self) -> bool {
        self.machine.has_fallback()
    }

    /// Returns why the predecessor aborted this process, if it did.
    pub fn aborted_because(&self) -> Option<&str> {
        self.aborted_because.as_deref()
    }

    /// Returns why this process has stopped accepting, if it has.
    pub fn stopped_by(&self) -> Option<Stop> {
        self.machine.stopped_by()
    }

    /// Returns whether nothing is in flight, or the drain's deadline has passed.
    pub fn is_drained(&self) -> bool {
        self.machine.is_drained()
    }

    /// Returns how long this process has until READY, and then until the answer to it.
    pub fn ready_timeout(&self) -> Duration {
        self.ready_timeout
    }

    /// Returns the number of the last attempt that has begun.
    pub fn attempt(&self) -> u64 {
        self.machine.attempt()
    }

    /// Returns a handle for other threads.
    pub fn handle(&self) -> Handle {
        self.requests.handle()
    }

    /// Starts to read signals. Before this, a stop has its default action at once.
    pub fn read_signals(&mut self) {
        self.handlers.queue();
    }

    /// Passes one input to the machine, and does what it answers.
    pub fn tell(&mut self, input: Input, server: &mut dyn Server) {
        self.feed(input, server);
        self.watch(server);
    }

    /// Does everything that can be done without blocking.
    pub fn step(&mut self, server: &mut dyn Server) -> Turn {
        self.report_warnings(server);
        for request in self.requests.take() {
            let input = match request {
                Request::Restart => self.restart(),
                Request::Abort(reason) => Input::Abort(reason),
                Request::Stop(stop) => Input::Stop(stop),
                Request::Dismiss => Input::Dismiss,
            };
            self.feed(input, server);
        }
        for arrived in self.handlers.read() {
            self.signal(arrived, server);
        }
        server.take_arrivals();
        self.read_channels(server);
        self.reap(server);
        self.pass_deadlines(server);
        if server.only_long_lived() {
            self.feed(Input::OnlyLongLived, server);
        }
        if server.is_drained() {
            self.feed(Input::Drained, server);
        }
        self.watch(server);
        self.turn()
    }

    /// Blocks until there may be something to do.
    ///
    /// # Errors
    /// The errors of `epoll_wait` or `poll`.
    pub fn wait(&self, server: &dyn Server) -> io::Result<()> {
        self.poller.wait(&self.fds(server))
    }

    fn fds<'a>(&'a self, server: &'a dyn Server) -> Vec<BorrowedFd<'a>> {
        let own = [self.handlers.as_fd(), self.requests.as_fd()];
        own.into_iter()
            .chain(server.wake())
            .chain(server.incoming())
            .chain(self.peers.iter().flat_map(Peer::fds))
            .collect()
    }

    fn watch(&mut self, server: &dyn Server) {
        let next = self.deadlines.values().copied().chain(self.busy.map(|(_, _, at)| at)).min();
        let own = [self.handlers.as_fd(), self.requests.as_fd()];
        let fds: Vec<_> = own
            .into_iter()
            .chain(server.wake())
            .chain(server.incoming())
            .chain(self.peers.iter().flat_map(Peer::fds))
            .collect();
        if let Err(error) = self.poller.watch(&fds, next) {
            self.warnings.push(format!("cannot watch a descriptor: {error}"));
        }
    }

    fn signal(&mut self, Arrived { signal, sender }: Arrived, server: &mut dyn Server) {
        if let Some(input) = sender.and_then(|pid| self.peer_signal(signal, pid)) {
            return self.feed(input, server);
        }
        let called = match self.settings.signals.meaning(signal) {
            Some(SignalAction::Restart) => return self.feed(self.restart(), server),
            Some(SignalAction::StopNow) => return self.feed(Input::Stop(Stop::Now(Some(signal))), server),
            Some(SignalAction::StopGracefully) => return self.feed(Input::Stop(Stop::Gracefully), server),
            Some(SignalAction::Reload) => ("on_hup", server.reload()),
            Some(SignalAction::Reopen) => ("on_usr1", server.reopen()),
            None => return,
        };
        self.report(self.machine.attempt(), EventKind::SignalReceived { signal }, server);
        self.callback(called, server);
    }

    /// Returns the input for a requested restart: it depends on whether the running attempt was started from the file that is
    /// deployed now.
    fn restart(&self) -> Input {
        let running = self.machine.successor().filter(|_| self.machine.phase() == Phase::Starting);
        match &self.started_from {
            Some((attempt, file)) if running == Some(*attempt) && file.is_replaced() => Input::RestartAnew,
            _ => Input::Restart,
        }
    }

    fn callback(&mut self, (callback, result): (&'static str, Result<(), String>), server: &mut dyn Server) {
        if let Err(error) = result {
            self.report(self.machine.attempt(), EventKind::CallbackFailed { callback, error }, server);
        }
    }

    /// A process of the Go package has no channel: it sends SIGQUIT or SIGUSR2. Sent by any other process, these are requests of
    /// an operator.
    fn peer_signal(&self, signal: Signal, pid: i32) -> Option<Input> {
        let peer = self.peers.iter().find(|peer| peer.has_pid(pid))?;
        let attempt = peer.attempt;
        match signal {
            Signal::Quit | Signal::Usr2 if self.machine.successor() == Some(attempt) => {
                Some(Input::GoReady(attempt))
            }
            Signal::Quit if self.machine.predecessor() == Some((attempt, true)) => {
                Some(Input::GoReady(attempt))
            }
            // The process of the Go package that started this one has exec'd in place, and serves again.
            Signal::Quit if peer.channel.is_none() && self.machine.predecessor().is_none() => {
                Some(Input::Stop(Stop::HandedOver))
            }
            _ => None,
        }
    }

    /// Handles every message of the peers.
    fn read_channels(&mut self, server: &mut dyn Server) {
        for attempt in self.attempts() {
            self.read_channel(attempt, server);
        }
    }

    fn attempts(&self) -> Vec<u64> {
        self.peers.iter().map(|peer| peer.attempt).collect()
    }

    fn peer(&mut self, attempt: u64) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|peer| peer.attempt == attempt)
    }

    fn read_channel(&mut self, attempt: u64, server: &mut dyn Server) {
        while let Some(channel) = self.peer(attempt).and_then(|peer| peer.channel.as_mut()) {
            let input = match channel.receive() {
                Ok(Received::Nothing) => return,
                Ok(Received::Message(message @ (Message::Added { .. } | Message::Dropped(_)))) => {
                    let descriptor = channel.take_descriptor();
                    match self.receive_sockets(attempt, message, descriptor, server) {
                        Some(input) => input,
                        None => continue,
                    }
                }
                Ok(Received::Message(message)) if self.take_state(attempt, &message) => continue,
                Ok(Received::Message(message)) => {
                    self.note_abort(attempt, &message);
                    Input::Message(attempt, message)
                }
                Ok(Received::Unknown(error)) => Input::Unknown(attempt, error.to_string()),
                Ok(Received::End) => self.channel_ended(attempt),
                Err(error) => {
                    self.warnings.push(format!("the channel of attempt {attempt} cannot be read: {error}"));
                    self.channel_ended(attempt)
                }
            };
            let Some(peer) = self.peer(attempt) else { return };
            let (ignored, dead) = (peer.ignored, peer.channel.is_none() && peer.dies_with_its_channel());
            if !ignored {
                let released = matches!(input, Input::Message(_, Message::Released { exec: true, .. }));
                let serving = matches!(input, Input::Message(_, Message::Serving));
                self.feed(input, server);
                if serving && self.machine.successor() == Some(attempt) && self.turn() != Turn::Serve {
                    server.successor_serves();
                }
                if released && self.machine.predecessor() == Some((attempt, true)) {
                    self.hand_back_state(attempt, server);
                }
            }
            if dead {
                self.dead(attempt, Exit::unknown(), server);
            }
        }
    }

    fn note_abort(&mut self, attempt: u64, message: &Message) {
        if self.machine.predecessor().is_some_and(|(predecessor, _)| predecessor == attempt) {
            match message {
                Message::Abort(reason) => self.aborted_because = Some(reason.clone()),
                Message::Leaving if !matches!(self.turn(), Turn::Serve) => {
                    self.aborted_because = Some("the predecessor was asked to stop".into());
                }
                _ => {}
            }
        }
    }

    fn channel_ended(&mut self, attempt: u64) -> Input {
        if let Some(peer) = self.peer(attempt) {
            peer.channel = None;
        }
        Input::End(attempt)
    }

    /// Handles the deaths of peers, each after the last messages of the peer.
    fn reap(&mut self, server: &mut dyn Server) {
        for attempt in self.attempts() {
            let Some(process) = self.peer(attempt).and_then(|peer| peer.process.as_mut()) else { continue };
            match process.try_wait() {
                Ok(None) => continue,
                Ok(Some(exit)) => {
                    self.read_channel(attempt, server);
                    self.dead(attempt, exit, server);
                }
                Err(error) => self.warnings.push(format!("cannot wait for attempt {attempt}: {error}")),
            }
        }
        self.peers.retain(|peer| !peer.is_over());
    }

    fn dead(&mut self, attempt: u64, exit: Exit, server: &mut dyn Server) {
        if let Some(peer) = self.peer(attempt) {
            (peer.process, peer.channel) = (None, None);
        }
        self.feed(Input::Dead(attempt, exit.to_string()), server);
    }

    /// Handles the deadlines that have passed. The channels are read first, as a message may disarm a deadline.
    fn pass_deadlines(&mut self, server: &mut dyn Server) {
        let now = Instant::now();
        while let Some((&deadline, _)) = self.deadlines.iter().find(|&(_, &at)| at <= now) {
            self.read_channels(server);
            if self.deadlines.get(&deadline).is_some_and(|&at| at <= now) {
                self.deadlines.remove(&deadline);
                self.feed(Input::Deadline(deadline), server);
            }
        }
        if let Some((attempt, tries, _)) = self.busy.take_if(|&mut (_, _, at)| at <= now) {
            self.spawn(attempt, tries, server);
        }
    }
}

/// From here on the process counts as draining, whatever it does: a runtime may still wait for its last tasks.
impl Drop for Loop {
    fn drop(&mut self) {
        if let Some(draining) = self.draining.take_if(|_| self.is_of_the_process && self.has_accepted) {
            // The process may be the owner still. A failure cannot be reported any longer.
            let _ = draining.begin();
            draining.keep();
        }
    }
}

/// Readable when [`Loop::step`] has something to do (epoll(7)).
#[cfg(all(target_os = "linux", not(goagain_portable)))]
impl AsFd for Loop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}
