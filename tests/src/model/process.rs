//! A process of the model: a machine, an application around it, and what the kernel knows about it.

use goagain_env::Next;
use goagain_signals::{Deadline, Decisions, Machine, Phase, Turn};
use std::collections::BTreeSet;

/// Whether a process does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// It runs.
    Running,
    /// It exists, and does nothing.
    Hung,
    /// It has ended. The kernel closes its descriptors and makes it a zombie, in either order.
    Ending {
        /// Its descriptors are still open.
        open: bool,
        /// Its death is not visible yet.
        alive: bool,
    },
}

/// The process on the other side of an attempt, as a loop knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The machine's number for it.
    pub attempt: u64,
    /// Present until its death was handled.
    pub process: Option<usize>,
    /// The channel and the side of it; present until the channel ended or was closed.
    pub channel: Option<(usize, usize)>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// The machine that is explored.
    pub machine: Machine,
    /// Whether it does anything.
    pub life: Life,
    /// The peers that its loop watches.
    pub peers: Vec<Peer>,
    /// The deadlines that are armed.
    pub armed: BTreeSet<Deadline>,
    /// A start that has no result yet.
    pub spawning: Option<u64>,
    /// It has read everything. Next it handles a deadline or the end of its drain.
    pub looked: bool,
    /// It is in `execve`.
    pub in_exec: bool,
    /// The application accepts.
    pub accepts: bool,
    /// Some of the connections that it accepted are in flight.
    pub in_flight: bool,
    /// It has the listeners.
    pub listens: bool,
    /// The application waits for the end of its term.
    pub waits: bool,
    /// A restart was requested of it, and is neither begun, nor passed on, nor refused.
    pub asked: bool,
    /// A restart was requested of it, and passed on with COMMIT.
    pub passed: bool,
    /// The service was handed to it, whether or not it knows that.
    pub committed: bool,
    /// The process that aborted it.
    pub aborted_by: Option<usize>,
    /// The process that has to reap it.
    pub parent: Option<usize>,
    /// It ended by itself.
    pub left: bool,
}

impl Process {
    /// Creates a process at its start: not ready, with the listeners that it inherited or will bind.
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

    /// Returns whether it runs.
    pub fn runs(&self) -> bool {
        self.life == Life::Running
    }

    /// Returns whether it exists, even if it hangs.
    pub fn is_alive(&self) -> bool {
        !matches!(self.life, Life::Ending { .. })
    }

    /// Returns whether only an entry in the process table is left.
    pub fn is_dead(&self) -> bool {
        matches!(self.life, Life::Ending { alive: false, .. })
    }

    /// Returns whether it could become the owner without help: it is the owner, its fallback, or its successor.
    pub fn can_serve(&self) -> bool {
        self.runs()
            && self.listens
            && self.aborted_by.is_none()
            && !matches!(self.machine.phase(), Phase::Dead | Phase::Released | Phase::Stopping)
    }

    /// Returns whether the application drains.
    pub fn drains(&self) -> bool {
        matches!(self.machine.turn(), Turn::Drain(_))
    }

    /// It does nothing from here on. What it knew is forgotten, so that ends that do not differ otherwise are one state.
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

    /// Returns what its loop knows about this attempt.
    pub fn peer(&mut self, attempt: u64) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|peer| peer.attempt == attempt)
    }

    /// Returns the process of this attempt.
    pub fn process_of(&self, attempt: u64) -> Option<usize> {
        self.peers.iter().find(|peer| peer.attempt == attempt)?.process
    }

    /// Returns the channel of this attempt, and this process's side of it.
    pub fn channel_of(&self, attempt: u64) -> Option<(usize, usize)> {
        self.peers.iter().find(|peer| peer.attempt == attempt)?.channel
    }
}
