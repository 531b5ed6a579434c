//! The world: processes, channels, and what may still fail.

use super::channel::Channel;
use super::process::Process;
use goagain_signals::{Decisions, Input, Machine, Phase};

/// How many times each thing may happen to the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Restarts that are requested.
    pub restarts: u8,
    /// Stops that are requested.
    pub stops: u8,
    /// Attempts that are aborted, and restarts that abort the current attempt.
    pub aborts: u8,
    /// Times that the fallback is dismissed.
    pub dismissals: u8,
    /// Processes that crash at any moment.
    pub crashes: u8,
    /// Processes that hang from any moment on.
    pub hangs: u8,
    /// Images that cannot serve, and spawns and execs that fail.
    pub failures: u8,
}

/// What was found that must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// Two processes accept.
    TwoOwners,
    /// A process accepts although the service was not handed to it and neither its predecessor nor its successor is dead.
    NotEntitled,
    /// A process was aborted that accepts, or that is the fallback of the owner.
    OwnerAborted,
    /// A process has two successors that are not committed.
    TwoSuccessors,
    /// Nobody accepts in the end, and no failure excuses that.
    NoOwner,
    /// The service was stopped, and a process still runs.
    NotStopped,
    /// A requested restart was neither done nor refused.
    Forgotten,
    /// A restart waits for a drain, although the predecessor's strategy releases before its end.
    Delayed,
    /// The owner cannot restart again.
    NoRetry,
    /// A child was not reaped.
    Zombie,
    /// A process that was aborted still exists.
    Lingers,
    /// An image execs with requests in flight, or while a child that it aborted is alive.
    ExecEarly,
}

/// A state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// Every process that ever existed. Its index identifies it.
    pub processes: Vec<Process>,
    /// Every channel.
    pub channels: Vec<Channel>,
    /// What may still happen.
    pub left: Bounds,
    /// A stop was requested that applies to the service.
    pub stopped: bool,
    /// Every process that could have continued was removed by a failure.
    pub excused: bool,
    /// What was found to be broken.
    pub broken: Option<Broken>,
}

impl World {
    /// Creates a world with one process, which is the owner.
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

    /// Records the first thing that is broken.
    pub fn note(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }

    /// Process `gone` was removed by a failure that no other process could prevent. If it was the last one that could continue,
    /// the service may end.
    pub fn removed(&mut self, gone: usize) {
        let mut others = self.processes.iter().enumerate().filter(|&(index, _)| index != gone);
        if !others.any(|(_, process)| process.can_serve()) {
            self.excused = true;
        }
    }

    /// Returns whether a process that hangs from here on will be noticed. An owner that has sent SERVING will not.
    pub fn is_watched(&self, index: usize) -> bool {
        let process = &self.processes[index];
        !process.accepts || !process.waits
    }

    /// Returns whether a stop of this process applies to the service: it is the owner, or its pid is the service's.
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
