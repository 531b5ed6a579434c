//! The results of `inherit`: an inheritance, variables for another process, or an invalid handoff.

use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::time::Duration;

use super::Inherited;
use crate::sys::raw::NotInherited;
use crate::{Channel, Draining, GoSignal, Process, Relation};

/// The result of [`inherit`](crate::inherit).
// Exhaustive: there is no third result.
#[derive(Debug)]
pub enum Inherit {
    /// The handoff is for another process. Variables leak to helpers, for example. Start as without a handoff, and
    /// report this reason.
    NotOurs(NotOurs),
    /// The handoff is for this process, which is a successor.
    Ours(Inheritance),
}

/// What a successor gets from its predecessor.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inheritance {
    /// The listening sockets and other descriptors, by name.
    pub descriptors: Inherited,
    /// The process that handed over.
    pub predecessor: Predecessor,
    /// The generation of this process; 2 after a Go process.
    pub generation: u64,
    /// The number of the attempt; 0 after a Go process, which does not count attempts.
    pub attempt: u64,
    /// How long this process may take to become ready, if the predecessor said so.
    pub ready_timeout: Option<Duration>,
    /// The time after which the predecessor must have released this process, if it has such a limit.
    pub release_timeout: Option<Duration>,
    /// The predecessor sends its saved state over the channel. This process has to wait for it before it is ready.
    pub state: bool,
    /// After an exec in place: a pipe with the signals that came before it and are not handled yet.
    pub signals: Option<OwnedFd>,
    /// After an exec in place: children that are about to exit and must be reaped. Processes that are no longer
    /// children are left out.
    pub leaving: Vec<Process>,
    /// The locks of the processes that drain, if the predecessor had them.
    pub draining: Option<Draining>,
    /// Problems that do no harm.
    pub warnings: Vec<NotOurs>,
}

/// The process that handed over.
// Exhaustive: a loop must handle each.
#[derive(Debug)]
pub enum Predecessor {
    /// A process that runs this library.
    Peer {
        /// The channel to it.
        channel: Channel,
        /// The verified process. `None`: it is no longer the parent or the child of this process, so it is never
        /// signaled.
        process: Option<Process>,
        /// `Parent`: it spawned this process. `Child`: this process was exec'd in place, and the child has been serving
        /// since.
        relation: Relation,
    },
    /// A process that runs the Go package goagain. It has no channel and uses only signals. If it has already ended
    /// (possible only after an exec in place), it is reported as a `Peer` without a process, whose channel has ended.
    Go {
        /// The parent, if this process was spawned; the child, if this process was exec'd in place.
        process: Process,
        /// The signal to send to it when this process serves.
        signal: GoSignal,
    },
}

/// Why a handoff is not meant for this process: a variable, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotOurs {
    variable: &'static str,
    reason: String,
}

impl NotOurs {
    pub(super) fn new(variable: &'static str, reason: impl Into<String>) -> NotOurs {
        NotOurs { variable, reason: reason.into() }
    }

    pub(super) fn descriptor(variable: &'static str, fd: RawFd, why: &NotInherited) -> NotOurs {
        NotOurs::new(variable, format!("descriptor {fd} {why}, so the handoff is not for this process"))
    }

    /// Returns the variable that does not match.
    pub fn variable(&self) -> &'static str {
        self.variable
    }

    /// Returns why it does not match.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for NotOurs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.reason)
    }
}

/// Why a handoff that is meant for this process cannot be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InheritError {
    variable: &'static str,
    reason: String,
}

impl InheritError {
    pub(super) fn new(variable: &'static str, reason: impl Into<String>) -> InheritError {
        InheritError { variable, reason: reason.into() }
    }

    pub(super) fn system(variable: &'static str, what: &str, error: &io::Error) -> InheritError {
        InheritError::new(variable, format!("cannot open or read {what}: {error}"))
    }

    /// Returns the variable that names the problem.
    pub fn variable(&self) -> &'static str {
        self.variable
    }

    /// Returns what was expected and what was found.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for InheritError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.reason)
    }
}

impl std::error::Error for InheritError {}

/// Why [`adopt`](crate::adopt) cannot take ownership of a descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdoptError<E> {
    /// The descriptor is not open, or already belongs to this process. The text says which.
    NotInherited(String),
    /// The check refused it with this error.
    Refused(E),
}

impl<E: fmt::Display> fmt::Display for AdoptError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdoptError::NotInherited(why) => write!(f, "the descriptor {why}"),
            AdoptError::Refused(why) => why.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for AdoptError<E> {}
