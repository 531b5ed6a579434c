//! Everything that happens, for the observer.

use crate::{ConnectionInfo, InFlight, Signal, Stop, connection_info};
use goagain_env::{Pid, SaveError};
use std::{fmt, time::Duration};

/// Something that happened, of which attempt, and how long after that attempt was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The attempt to restart that this belongs to; 0 before the first.
    pub attempt: u64,
    /// The time since this process asked for the attempt or, in a successor, since it started.
    pub after: Duration,
    /// What happened.
    pub report: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A restart was asked for, by a signal or a call. It is done now, or noted while another runs.
    Requested,
    /// A restart was asked of a process that cannot do it.
    Refused {
        /// Why.
        reason: String,
    },
    /// The end of an attempt was asked for, and there is none that can still be ended.
    NotAborted {
        /// Why.
        reason: String,
    },
    /// The new image runs.
    Spawned {
        /// Its process.
        pid: Pid,
    },
    /// The successor said that it can serve.
    Ready,
    /// The owner gave the service to the successor (in the predecessor), or was given it (in the successor).
    Committed,
    /// The successor accepts.
    Serving,
    /// The attempt failed; the owner goes on.
    Failed {
        /// Why.
        reason: String,
    },
    /// The successor died in probation: this process is the owner again.
    RolledBack {
        /// How the successor ended.
        reason: String,
    },
    /// The predecessor ended without having let go: it is no net any longer, and an image that it had not committed yet
    /// takes the service over, once it is ready.
    TookOver {
        /// How the predecessor ended.
        reason: String,
    },
    /// This process accepts nothing any longer.
    Draining {
        /// Why.
        stop: Stop,
    },
    /// The drain has come to its third phase, and this is in flight still. Reported once a drain.
    StillDraining {
        /// How many, by kind.
        in_flight: InFlight,
        /// Those of them that have a name, the oldest first.
        connections: Vec<ConnectionInfo>,
    },
    /// The drain is over, or there is none, and this is in flight still: it is cut off.
    Unfinished {
        /// How many, by kind.
        in_flight: InFlight,
        /// Those of them that have a name, the oldest first.
        connections: Vec<ConnectionInfo>,
    },
    /// The net is gone: in the predecessor, it let go; in the owner, it was let go.
    Released,
    /// The predecessors have left: one generation is left.
    Settled,
    /// A callback failed or panicked. The server goes on.
    Callback {
        /// The signal, or the step, that the callback belongs to.
        callback: &'static str,
        /// What it said.
        error: String,
    },
    /// An inherited descriptor that nothing claimed was closed at ready.
    Dropped {
        /// Its name.
        name: String,
    },
    /// This image has one at ready that its predecessor did not hand over.
    Added {
        /// Its name.
        name: String,
    },
    /// A parcel of the state could not be made, so the restart fails. This process goes on.
    StateNotSaved {
        /// Its name.
        name: String,
        /// Why.
        error: SaveError,
    },
    /// Something odd that was survived: a variable that leaked, a message that was not expected.
    Warning {
        /// What.
        text: String,
    },
    /// A signal that has a callback was read, and the callback was run. What other signals do is reported as such.
    SignalReceived {
        /// Which.
        signal: Signal,
    },
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::Requested => f.write_str("restart requested"),
            EventKind::Refused { reason } => write!(f, "restart refused: {reason}"),
            EventKind::NotAborted { reason } => write!(f, "nothing aborted: {reason}"),
            EventKind::Spawned { pid } => write!(f, "spawned process {pid}"),
            EventKind::Ready => f.write_str("the successor is ready"),
            EventKind::Committed => f.write_str("committed"),
            EventKind::Serving => f.write_str("the successor serves"),
            EventKind::Failed { reason } => write!(f, "restart failed: {reason}"),
            EventKind::RolledBack { reason } => write!(f, "rolled back: {reason}"),
            EventKind::TookOver { reason } => write!(f, "took over: {reason}"),
            EventKind::Draining { stop } => write!(f, "draining: {stop}"),
            EventKind::StillDraining { in_flight, connections } => {
                f.write_str("still draining: ")?;
                connection_info::write(f, in_flight, connections)
            }
            EventKind::Unfinished { in_flight, connections } => {
                f.write_str("cut off: ")?;
                connection_info::write(f, in_flight, connections)
            }
            EventKind::Released => f.write_str("released"),
            EventKind::Settled => f.write_str("settled"),
            EventKind::Callback { callback, error } => write!(f, "callback {callback}: {error}"),
            EventKind::Dropped { name } => {
                write!(f, "closed the inherited descriptor `{name}`: nothing claimed it")
            }
            EventKind::Added { name } => write!(f, "added `{name}`: the predecessor had none"),
            EventKind::StateNotSaved { name, error } => {
                write!(f, "the parcel `{name}` could not be made: {error}")
            }
            EventKind::Warning { text } => f.write_str(text),
            EventKind::SignalReceived { signal } => write!(f, "received {signal}"),
        }
    }
}

impl Event {
    /// For observers to be tested with.
    pub fn new(attempt: u64, after: Duration, report: EventKind) -> Event {
        Event { attempt, after, report }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {}, after {:.1} ms: {}", self.attempt, self.after.as_secs_f64() * 1e3, self.report)
    }
}
