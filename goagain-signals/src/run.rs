//! The loop: what has come in, told to the machine; what the machine answers, done.

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

/// The loop. It owns the signals, the channels, the peers and the deadlines of this process; it has no thread, and does
/// something only in its methods.
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
    /// An attempt whose image is being written at this moment (ETXTBSY), how often it was tried, and when next.
    busy: Option<(u64, u32, Instant)>,
    /// The file that the last attempt was started from.
    attempted: Option<(u64, ImageFile)>,
    /// When each attempt was asked for.
    since: HashMap<u64, Instant>,
    started: Instant,
    generation: u64,
    /// What the predecessor allows this image until READY.
    ready_timeout: Duration,
    /// What it allows itself until RELEASED.
    release_timeout: Option<Duration>,
    /// Who drains; `None` where there cannot be such a file.
    draining: Option<Draining>,
    /// It stands for the whole process, and not for a test in it.
    is_of_the_process: bool,
    /// It has accepted, so that whatever it does afterwards is a drain.
    has_accepted: bool,
    aborted_because: Option<String>,
    warnings: Vec<String>,
    /// The attempt whose image has told of its descriptors.
    told_by: Option<u64>,
    legacy: state::Legacy,
    /// The parcels of an attempt whose image is busy.
    packed: Option<(u64, Vec<StateItem>)>,
}

impl Loop {
    /// The number of this image in the life of the service, from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What the application has to do.
    pub fn turn(&self) -> Turn {
        self.machine.turn()
    }

    /// Whether this image has a predecessor that could still take the service back, or has not committed it yet.
    pub fn has_fallback(&self) -> bool {
        self.machine.has_fallback()
    }

    /// Why the predecessor aborted this image, if it did.
    pub fn aborted_because(&self) -> Option<&str> {
        self.aborted_because.as_deref()
    }

    /// The stop that this process was given, if it was.
    pub fn stopped_by(&self) -> Option<Stop> {
        self.machine.stopped_by()
    }

    /// Whether nothing is in flight any longer, or the drain's deadline has passed.
    pub fn is_drained(&self) -> bool {
        self.machine.is_drained()
    }

    /// What this image has, or had, until READY and until the answer to it.
    pub fn ready_timeout(&self) -> Duration {
        self.ready_timeout
    }

    /// The number of the last attempt begun.
    pub fn attempt(&self) -> u64 {
        self.machine.attempt()
    }

    /// A handle for other threads.
    pub fn handle(&self) -> Handle {
        self.requests.handle()
    }

    /// From here on signals are read by the loop; before, a stop has its default action at once.
    pub fn read_signals(&mut self) {
        self.handlers.queue();
    }

    /// Tells the machine one thing, and does what it answers.
    pub fn tell(&mut self, event: Input, server: &mut dyn Server) {
        self.feed(event, server);
        self.watch(server);
    }

    /// Does all that can be done without blocking.
    pub fn step(&mut self, server: &mut dyn Server) -> Turn {
        self.report_warnings(server);
        for request in self.requests.take() {
            let event = match request {
                Request::Restart => self.restart(),
                Request::Abort(reason) => Input::Abort(reason),
                Request::Stop(stop) => Input::Stop(stop),
                Request::Dismiss => Input::Dismiss,
            };
            self.feed(event, server);
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
    /// Those of `epoll_wait` or `poll`.
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
        if let Some(event) = sender.and_then(|pid| self.signal_of_a_peer(signal, pid)) {
            return self.feed(event, server);
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

    /// What a restart is that is asked for now: of the image that the attempt under way runs, or of one deployed since.
    fn restart(&self) -> Input {
        let under_way = self.machine.successor().filter(|_| self.machine.phase() == Phase::Starting);
        match &self.attempted {
            Some((attempt, file)) if under_way == Some(*attempt) && file.is_replaced() => Input::RestartAnew,
            _ => Input::Restart,
        }
    }

    fn callback(&mut self, (callback, result): (&'static str, Result<(), String>), server: &mut dyn Server) {
        if let Err(error) = result {
            self.report(self.machine.attempt(), EventKind::CallbackFailed { callback, error }, server);
        }
    }

    /// A seed's process has no channel: QUIT and USR2 are its words. From anyone else they are an operator's.
    fn signal_of_a_peer(&self, signal: Signal, pid: i32) -> Option<Input> {
        let peer = self.peers.iter().find(|peer| peer.has_pid(pid))?;
        let attempt = peer.attempt;
        match signal {
            Signal::Quit | Signal::Usr2 if self.machine.successor() == Some(attempt) => {
                Some(Input::GoReady(attempt))
            }
            Signal::Quit if self.machine.predecessor() == Some((attempt, true)) => {
                Some(Input::GoReady(attempt))
            }
            // The seed that started this image has exec'd itself in place, and owns again.
            Signal::Quit if peer.channel.is_none() && self.machine.predecessor().is_none() => {
                Some(Input::Stop(Stop::HandedOver))
            }
            _ => None,
        }
    }

    /// Tells everything that the peers said.
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
            let event = match channel.receive() {
                Ok(Received::Nothing) => return,
                Ok(Received::Message(message @ (Message::Added { .. } | Message::Dropped(_)))) => {
                    let descriptor = channel.take_descriptor();
                    match self.hear_of_sockets(attempt, message, descriptor, server) {
                        Some(event) => event,
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
            let (silenced, dead) = (peer.silenced, peer.channel.is_none() && peer.dies_with_its_channel());
            if !silenced {
                let released = matches!(event, Input::Message(_, Message::Released { exec: true, .. }));
                let serving = matches!(event, Input::Message(_, Message::Serving));
                self.feed(event, server);
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
                    self.aborted_because = Some("it was told to stop".into());
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

    /// Tells of the dead, each after its last words.
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

    /// Tells of what is due. The channels are read first: what they say may end the wait.
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

/// What the process does from here on, such as a runtime that waits for its last tasks, it does as one that drains.
impl Drop for Loop {
    fn drop(&mut self) {
        if let Some(draining) = self.draining.take_if(|_| self.is_of_the_process && self.has_accepted) {
            // It may be the owner still. That this fails has nobody to be told to.
            let _ = draining.begin();
            draining.keep();
        }
    }
}

/// Readable whenever [`Loop::step`] has something to do (epoll(7)).
#[cfg(all(target_os = "linux", not(goagain_portable)))]
impl AsFd for Loop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}
