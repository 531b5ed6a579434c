//! What the application is told: serve, drain, leave.

use crate::Signal;
use std::fmt;

/// Why a process stops accepting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stop {
    /// A signal (`None`: a call) said: now, without a drain.
    Now(Option<Signal>),
    /// Stop gracefully: drain, then leave.
    Gracefully,
    /// The successor is the owner now.
    HandedOver,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Now(Some(signal)) => write!(f, "stopped by {signal}"),
            Stop::Now(None) => f.write_str("stopped by a call"),
            Stop::Gracefully => f.write_str("stopping gracefully"),
            Stop::HandedOver => f.write_str("handed over"),
        }
    }
}

/// What the application has to do. It is told these three things only.
// Exhaustive: an application with a loop of its own has to do something for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Turn {
    /// Not the owner yet: the successor has still to say that it is ready, or to be answered.
    Prepare,
    /// Accept and serve.
    Serve,
    /// Accept nothing, finish what is in flight.
    Drain(Stop),
    /// Go: nothing more is asked of this process.
    Exit,
}
