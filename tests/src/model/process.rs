//! A process of the model: a machine, an application around it, and what the kernel knows of it.

use goagain_env::Next;
use goagain_signals::{Deadline, Decisions, Machine, Phase, Turn};
use std::collections::BTreeSet;

/// Whether it does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// It does.
    Running,
    /// It exists, and does nothing.
    Hung,
    /// It does nothing any longer. The kernel closes its descriptors and makes it a zombie, in either order.
    Ending {
        /// Its descriptors are open still.
        open: bool,
        /// Its death shows not yet.
        alive: bool,
    },
}

/// The process on the other side of an attempt, as a loop knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The number by which the machine knows it.
    pub attempt: u64,
    /// Until its death was told.
    pub process: Option<usize>,
    /// Which channel and which side of it, until it ended or was closed.
    pub channel: Option<(usize, usize)>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// What is explored.
    pub machine: Machine,
    /// Whether it does anything.
    pub life: Life,
    /// Whom its loop watches.
    pub peers: Vec<Peer>,
    /// The deadlines that run.
    pub armed: BTreeSet<Deadline>,
    /// A start that has not been answered.
    pub spawning: Option<u64>,
    /// It has read everything, and acts next upon a deadline or the end of its drain.
    pub looked: bool,
    /// It is in `execve`.
    pub in_exec: bool,
    /// The application accepts.
    pub accepts: bool,
    /// Some of what it accepted is in flight.
    pub in_flight: bool,
    /// It has the listeners.
    pub listens: bool,
    /// The application waits for the end of its term.
    pub waits: bool,
    /// A restart was asked of it, and neither begun, passed on nor refused.
    pub asked: bool,
    /// A restart was asked of it, and passed on with COMMIT.
    pub passed: bool,
    /// It was given the service, whether or not it knows.
    pub committed: bool,
    /// Who told it to leave.
    pub aborted_by: Option<usize>,
    /// Who has to reap it.
    pub parent: Option<usize>,
    /// It ended by itself.
    pub left: bool,
}

impl Process {
    /// At its start: not ready, with the listeners that it inherited or will bind.
    pub fn new(machine: Machine, parent: Option<usize>, peers: Vec<Peer>) -> Process {
        Process {
            machine,
            life: Life::Running,
            peers,
            armed: BTreeSet::new(),
            spawning: None,
            looked: false,
            in_exec: false,
            accepts: false,
            in_flight: false,
            listens: true,
            waits: false,
            asked: false,
            passed: false,
            committed: false,
            aborted_by: None,
            parent,
            left: false,
        }
    }

    /// Whether it does anything.
    pub fn runs(&self) -> bool {
        self.life == Life::Running
    }

    /// Whether it is there, though it may hang.
    pub fn is_alive(&self) -> bool {
        !matches!(self.life, Life::Ending { .. })
    }

    /// Whether there is nothing of it left but an entry in the table of processes.
    pub fn is_dead(&self) -> bool {
        matches!(self.life, Life::Ending { alive: false, .. })
    }

    /// Whether it could own the service without anybody's doing: it has it, is its net, or is to have it.
    pub fn can_serve(&self) -> bool {
        self.runs()
            && self.listens
            && self.aborted_by.is_none()
            && !matches!(self.machine.phase(), Phase::Dead | Phase::Released | Phase::Stopping)
    }

    /// Whether the application drains.
    pub fn drains(&self) -> bool {
        matches!(self.machine.turn(), Turn::Drain(_))
    }

    /// It does nothing from here on. What it knew is forgotten, so that ends that differ in nothing else are one state.
    pub fn end(&mut self, by_itself: bool) {
        let nobody = Machine::new(Decisions::from_table([Next::Stay; 16]), None, &[]);
        let peers = self.peers.iter().filter(|peer| peer.channel.is_some());
        let peers = peers.map(|peer| Peer { attempt: 0, process: None, channel: peer.channel }).collect();
        *self = Process {
            life: Life::Ending { open: true, alive: true },
            aborted_by: self.aborted_by,
            committed: self.committed,
            left: by_itself,
            listens: false,
            ..Process::new(nobody, self.parent, peers)
        };
    }

    /// What its loop knows of this attempt.
    pub fn peer(&mut self, attempt: u64) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|peer| peer.attempt == attempt)
    }

    /// The process of this attempt.
    pub fn process_of(&self, attempt: u64) -> Option<usize> {
        self.peers.iter().find(|peer| peer.attempt == attempt)?.process
    }

    /// The channel of this attempt, and this process's side of it.
    pub fn channel_of(&self, attempt: u64) -> Option<(usize, usize)> {
        self.peers.iter().find(|peer| peer.attempt == attempt)?.channel
    }
}
