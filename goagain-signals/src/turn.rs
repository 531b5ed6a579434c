//! What the application has to do, and why it has to stop.

use crate::Signal;
use std::fmt;

/// Why a process stops accepting. Returned by `goagain::Goagain::stopping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stop {
    /// Stop at once, without a drain. Contains the signal that requested it, or `None` if a call did.
    Now(Option<Signal>),
    /// Stop gracefully: drain, then exit.
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

/// What the application has to do. Returned by `goagain::Goagain::step`.
// Exhaustive: an application with a loop of its own has to do something for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Turn {
    /// Prepare to serve: this process is not the owner. It is not ready yet, or its predecessor has not committed yet.
    Prepare,
    /// Accept and serve.
    Serve,
    /// Stop accepting, and finish what is in flight.
    Drain(Stop),
    /// Exit: this process has nothing more to do.
    Exit,
}
