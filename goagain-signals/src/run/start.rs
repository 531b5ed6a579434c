//! Starting a loop: reading the handoff, and installing the signal handlers.

use super::Loop;
use super::state::InheritedState;
use crate::handle::Requests;
use crate::handlers::Handlers;
use crate::machine::Origin;
use crate::peer::Peer;
use crate::poller::Poller;
use crate::{Decisions, Machine, Settings, StartError};
use goagain_env::{
    Draining, Handoff, Inherit, Inheritance, Inherited, Predecessor, Relation, State, Strategy,
};
use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

static STARTED: AtomicBool = AtomicBool::new(false);

impl Loop {
    /// Reads the handoff from the environment, installs the signal handlers, and unblocks their signals. Call it once in a
    /// process, before it has other threads.
    ///
    /// # Errors
    /// [`StartError`]. The predecessor, if there is one, keeps serving.
    pub fn start(settings: Settings, strategy: Box<dyn Strategy>) -> Result<(Loop, Inherited), StartError> {
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(StartError::AlreadyStarted);
        }
        let mut warnings = Vec::new();
        #[cfg(goagain_faults)]
        goagain_env::fault::hit("decode").map_err(StartError::system("read the handoff"))?;
        let inheritance = match Handoff::decode(|name| std::env::var_os(name))? {
            None => None,
            Some(handoff) => match goagain_env::inherit(handoff)? {
                Inherit::Ours(inheritance) => Some(inheritance),
                Inherit::NotOurs(why) => {
                    warnings.push(why.to_string());
                    None
                }
            },
        };
        let Some(mut inheritance) = inheritance else {
            let handlers = Handlers::install(&settings.signals, None, None)
                .map_err(StartError::system("install the signal handlers"))?;
            let mut started = Loop::new(settings, strategy, handlers)?;
            started.warnings.extend(warnings);
            // The operator should know before the first restart.
            let why = started.ends_with_init().map(|why| format!("a restart will be refused: {why}"));
            started.warnings.extend(why);
            return Ok((started, Inherited::default()));
        };
        #[cfg(goagain_faults)]
        goagain_env::fault::hit("adopt").map_err(StartError::system("adopt the descriptors"))?;
        let leaving = match &inheritance.predecessor {
            Predecessor::Peer { channel, relation: Relation::Child, .. } => Some(channel.as_fd().as_raw_fd()),
            _ => None,
        };
        let handlers = Handlers::install(&settings.signals, inheritance.signals.take(), leaving)
            .map_err(StartError::system("install the signal handlers"))?;
        let mut started = Loop::new(settings, strategy, handlers)?;
        #[cfg(goagain_faults)]
        goagain_env::fault::hit("register").map_err(StartError::system("install the signal handlers"))?;
        let descriptors = std::mem::take(&mut inheritance.descriptors);
        started.adopt(inheritance);
        Ok((started, descriptors))
    }

    /// Makes a loop that reads no environment and installs no handlers: for unit tests of a server, any number in a process.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn isolated(settings: Settings, strategy: Box<dyn Strategy>) -> Result<Loop, StartError> {
        let handlers = Handlers::none().map_err(StartError::system("make a pipe"))?;
        let mut isolated = Loop::new(settings, strategy, handlers)?;
        isolated.is_of_the_process = false;
        Ok(isolated)
    }

    fn new(settings: Settings, strategy: Box<dyn Strategy>, handlers: Handlers) -> Result<Loop, StartError> {
        let (draining, warnings) = match Draining::new() {
            Ok(draining) => (Some(draining), Vec::new()),
            Err(error) => {
                (None, vec![format!("cannot create the file that shows which processes drain: {error}")])
            }
        };
        let decisions = catch_unwind(AssertUnwindSafe(|| Decisions::of(&strategy)))
            .map_err(|_| StartError::Strategy(strategy.name().to_owned()))?;
        Ok(Loop {
            machine: Machine::new(decisions, None, &[]),
            ready_timeout: settings.ready_timeout,
            settings,
            strategy,
            handlers,
            requests: Requests::new().map_err(StartError::system("make a socketpair"))?,
            poller: Poller::new().map_err(StartError::system("make an epoll instance"))?,
            peers: Vec::new(),
            deadlines: BTreeMap::new(),
            busy: None,
            started_from: None,
            since: HashMap::new(),
            started: Instant::now(),
            generation: 1,
            release_timeout: None,
            draining,
            is_of_the_process: true,
            has_accepted: false,
            aborted_because: None,
            warnings,
            sockets_from: None,
            inherited_state: InheritedState::Received(Vec::new()),
            saved_state: None,
        })
    }

    fn adopt(&mut self, inheritance: Inheritance) {
        let Inheritance { predecessor, generation, attempt, release_timeout, leaving, draining, .. } =
            inheritance;
        self.generation = generation;
        self.release_timeout = release_timeout;
        self.ready_timeout = inheritance.ready_timeout.unwrap_or(self.settings.ready_timeout);
        if inheritance.state {
            self.inherited_state = InheritedState::Awaited(State::default());
        }
        self.warnings.extend(inheritance.warnings.iter().map(ToString::to_string));
        // All generations share one file, in which each has its lock.
        self.draining = draining.or(self.draining.take());
        let bounded = release_timeout.is_some();
        let (origin, peer) = match predecessor {
            Predecessor::Peer { channel, process, relation } => {
                (Origin { attempt, relation, go: false, bounded }, Peer::new(attempt, process, Some(channel)))
            }
            Predecessor::Go { process, signal } => (
                Origin { attempt, relation: process.relation(), go: true, bounded },
                Peer { signal, ..Peer::new(attempt, Some(process), None) },
            ),
        };
        self.peers.push(peer);
        // Their attempts are over. Any number works that no attempt will have.
        let numbers: Vec<u64> = (0..leaving.len() as u64).map(|index| u64::MAX - index).collect();
        for (&attempt, process) in numbers.iter().zip(leaving) {
            self.peers.push(Peer::new(attempt, Some(process), None));
        }
        self.machine = Machine::new(*self.machine.decisions(), Some(origin), &numbers);
        self.requests.set_attempt(attempt);
    }
}
