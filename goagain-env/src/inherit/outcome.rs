//! What `inherit` finds: an inheritance, somebody else's variables, or a broken handoff.

use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::time::Duration;

use super::Inherited;
use crate::sys::raw::NotInherited;
use crate::{Channel, Draining, GoSignal, Process, Relation};

/// What became of a handoff.
// Exhaustive: there is no third way.
#[derive(Debug)]
pub enum Inherit {
    /// It was not meant for this process, as variables leak to helpers: start as if there were none, and report it.
    NotOurs(NotOurs),
    /// This process is a successor.
    Ours(Inheritance),
}

/// What a successor has from its predecessor.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inheritance {
    /// The descriptors.
    pub descriptors: Inherited,
    /// Who handed over.
    pub predecessor: Predecessor,
    /// Which generation this image is; after a seed, 2.
    pub generation: u64,
    /// The number of the attempt; a seed's have none, and this is 0.
    pub attempt: u64,
    /// How long this image may take to be ready, if the predecessor said.
    pub ready_timeout: Option<Duration>,
    /// After how long the predecessor is sure to have released, if it is bound to.
    pub release_timeout: Option<Duration>,
    /// The predecessor has sent its state over the channel, or will, for this image to await before it is ready.
    pub state: bool,
    /// After an own exec: signals that came before it and are not served yet.
    pub signals: Option<OwnedFd>,
    /// After an own exec: children that are on their way out, to be reaped. Those that are no longer ours are left out.
    pub leaving: Vec<Process>,
    /// The locks of those that drain, if the predecessor had them.
    pub draining: Option<Draining>,
    /// What was not as it should be, but does no harm.
    pub warnings: Vec<NotOurs>,
}

/// Who handed over.
// Exhaustive: a loop must deal with each.
#[derive(Debug)]
pub enum Predecessor {
    /// A process that runs this library.
    Peer {
        /// The channel to it.
        channel: Channel,
        /// The process, verified. `None`: it is not our parent, or not our child, any longer, so it is never signalled.
        process: Option<Process>,
        /// `Parent`: it spawned us. `Child`: we were exec'd in place, and it serves since.
        relation: Relation,
    },
    /// A seed: there is no channel, and signals say it all. One that is gone already (possible after an own exec only) is a
    /// `Peer` without a process, whose channel has ended.
    Seed {
        /// Our parent, if we were spawned; our child, if we were exec'd in place.
        process: Process,
        /// What it is sent when we serve.
        signal: GoSignal,
    },
}

/// Why a handoff is not meant for this process: a variable, and what it does not agree with.
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
        NotOurs::new(variable, format!("descriptor {fd} {why}, so it is not ours"))
    }

    /// The variable.
    pub fn variable(&self) -> &'static str {
        self.variable
    }

    /// What it does not agree with.
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
        InheritError::new(variable, format!("the system does not give {what}: {error}"))
    }

    /// The variable that names what is wrong.
    pub fn variable(&self) -> &'static str {
        self.variable
    }

    /// What was expected, and what was found.
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

/// Why a descriptor that this process was started with cannot be owned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdoptError<E> {
    /// It is not open, or belongs to this process already: which of them.
    NotInherited(String),
    /// The check refused it.
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
