//! The world: processes, channels, and what may still go wrong.

use super::channel::Channel;
use super::process::Process;
use goagain_signals::{Decisions, Input, Machine, Phase};

/// How often each thing may be done to the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Restarts that are asked for.
    pub restarts: u8,
    /// Stops that are given.
    pub stops: u8,
    /// Attempts that are aborted, and restarts that abort the attempt under way.
    pub aborts: u8,
    /// Times that the net is said to be needed no longer.
    pub dismissals: u8,
    /// Processes that end at any moment.
    pub crashes: u8,
    /// Processes that do nothing any longer, from any moment.
    pub hangs: u8,
    /// Images that cannot serve, and starts and execs that fail.
    pub failures: u8,
}

/// What has been seen that must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// Two processes accept.
    TwoOwners,
    /// A process accepts, and neither was it given the service nor is its predecessor or successor dead.
    NotGiven,
    /// A process that accepts was told to leave, or is the net of one.
    OwnerAborted,
    /// A process has two successors that it has not given the service to.
    TwoSuccessors,
    /// Nobody accepts in the end, and no failure excuses that.
    NoOwner,
    /// The service was stopped, and somebody goes on.
    NotStopped,
    /// A restart that was asked for was neither done nor refused.
    Forgotten,
    /// A restart waits for a drain, though the predecessor's strategy lets go before.
    HeldUp,
    /// The owner cannot restart again.
    NoRetry,
    /// A child was not reaped.
    Zombie,
    /// A process that was told to leave is still there.
    Lingers,
    /// An image execs with requests in flight, or beside a child that it told to leave.
    ExecEarly,
}

/// A state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// Every process that ever was: what names one is its place.
    pub processes: Vec<Process>,
    /// Every channel.
    pub channels: Vec<Channel>,
    /// What may still be done.
    pub left: Bounds,
    /// A stop was given that is meant for the service.
    pub stopped: bool,
    /// Everyone who could have gone on was taken away.
    pub excused: bool,
    /// What was seen.
    pub broken: Option<Broken>,
}

impl World {
    /// One process, which owns.
    pub fn new(strategy: Decisions, left: Bounds) -> World {
        let mut machine = Machine::new(strategy, None, &[]);
        machine.handle(Input::Ready, &mut Vec::new());
        let owner = Process {
            accepts: true,
            in_flight: true,
            waits: true,
            committed: true,
            ..Process::new(machine, None, Vec::new())
        };
        World {
            processes: vec![owner],
            channels: Vec::new(),
            left,
            stopped: false,
            excused: false,
            broken: None,
        }
    }

    /// Notes the first thing that is broken.
    pub fn note(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }

    /// `gone` was taken away by something that nobody here could help. If that was the last that could go on, the service
    /// may end.
    pub fn taken_away(&mut self, gone: usize) {
        let mut others = self.processes.iter().enumerate().filter(|&(index, _)| index != gone);
        if !others.any(|(_, process)| process.can_serve()) {
            self.excused = true;
        }
    }

    /// Whether a process that hangs from here on will be noticed: it is the owner and has not said that it serves.
    pub fn is_watched(&self, index: usize) -> bool {
        let process = &self.processes[index];
        !process.accepts || !process.waits
    }

    /// Whether a stop given to this process is meant for the service: to its owner, or to the pid that keeps it.
    pub fn is_the_service(&self, index: usize) -> bool {
        let process = &self.processes[index];
        let machine = &process.machine;
        let is_child = |attempt| {
            process.process_of(attempt).is_some_and(|peer| self.processes[peer].parent == Some(index))
        };
        match machine.phase() {
            Phase::Owner | Phase::Starting | Phase::Killing => true,
            Phase::Draining => machine.successor().is_some_and(|attempt| {
                let relation = if is_child(attempt) {
                    goagain_env::Relation::Child
                } else {
                    goagain_env::Relation::Parent
                };
                machine.decisions().may_exec(relation)
            }),
            Phase::Init | Phase::Wait => machine.predecessor().is_some_and(|(attempt, _)| is_child(attempt)),
            _ => false,
        }
    }
}
