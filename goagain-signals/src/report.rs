//! Everything that happens, for the observer.

use crate::{Held, InFlight, Signal, Stop, held};
use goagain_env::{OfferError, Pid};
use std::{fmt, time::Duration};

/// Something that happened, of which attempt, and how long after that attempt was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observed {
    /// The attempt to restart that this belongs to; 0 before the first.
    pub attempt: u64,
    /// The time since this process asked for the attempt or, in a successor, since it started.
    pub after: Duration,
    /// What happened.
    pub report: Report,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Report {
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
        held: Vec<Held>,
    },
    /// The drain is over, or there is none, and this is in flight still: it is cut off.
    CutOff {
        /// How many, by kind.
        in_flight: InFlight,
        /// Those of them that have a name, the oldest first.
        held: Vec<Held>,
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
    NotOffered {
        /// Its name.
        name: String,
        /// Why.
        error: OfferError,
    },
    /// Something odd that was survived: a variable that leaked, a message that was not expected.
    Warning {
        /// What.
        text: String,
    },
    /// A signal that has a callback was read, and the callback was run. What other signals do is reported as such.
    Signalled {
        /// Which.
        signal: Signal,
    },
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Requested => f.write_str("restart requested"),
            Report::Refused { reason } => write!(f, "restart refused: {reason}"),
            Report::NotAborted { reason } => write!(f, "nothing aborted: {reason}"),
            Report::Spawned { pid } => write!(f, "spawned process {pid}"),
            Report::Ready => f.write_str("the successor is ready"),
            Report::Committed => f.write_str("committed"),
            Report::Serving => f.write_str("the successor serves"),
            Report::Failed { reason } => write!(f, "restart failed: {reason}"),
            Report::RolledBack { reason } => write!(f, "rolled back: {reason}"),
            Report::TookOver { reason } => write!(f, "took over: {reason}"),
            Report::Draining { stop } => write!(f, "draining: {stop}"),
            Report::StillDraining { in_flight, held } => {
                f.write_str("still draining: ")?;
                held::write(f, in_flight, held)
            }
            Report::CutOff { in_flight, held } => {
                f.write_str("cut off: ")?;
                held::write(f, in_flight, held)
            }
            Report::Released => f.write_str("released"),
            Report::Settled => f.write_str("settled"),
            Report::Callback { callback, error } => write!(f, "callback {callback}: {error}"),
            Report::Dropped { name } => {
                write!(f, "closed the inherited descriptor `{name}`: nothing claimed it")
            }
            Report::Added { name } => write!(f, "added `{name}`: the predecessor had none"),
            Report::NotOffered { name, error } => write!(f, "the parcel `{name}` could not be made: {error}"),
            Report::Warning { text } => f.write_str(text),
            Report::Signalled { signal } => write!(f, "received {signal}"),
        }
    }
}

impl Observed {
    /// For observers to be tested with.
    pub fn new(attempt: u64, after: Duration, report: Report) -> Observed {
        Observed { attempt, after, report }
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attempt {}, after {:.1} ms: {}", self.attempt, self.after.as_secs_f64() * 1e3, self.report)
    }
}
