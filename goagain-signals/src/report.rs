//! What the state machine says of itself.

use crate::Stop;

/// Something that happened in the protocol, as the machine knows it: without pids and times, which the loop adds in the
/// [`EventKind`](crate::EventKind) of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A restart was requested.
    Requested,
    /// A restart was requested, and will not be done.
    Refused {
        /// Why not.
        reason: String,
    },
    /// There is no restart that could be aborted.
    NotAborted {
        /// Why not.
        reason: String,
    },
    /// The restart failed, and the owner keeps serving.
    Failed {
        /// Why.
        reason: String,
    },
    /// The successor said READY.
    SuccessorReady,
    /// In the predecessor: COMMIT was sent.
    HandedOver,
    /// The successor said SERVING.
    SuccessorServing,
    /// The successor died, and this process is the owner again.
    RolledBack {
        /// How the successor ended.
        reason: String,
    },
    /// In the predecessor: RELEASED was sent.
    Released {
        /// Whether an exec follows.
        exec: bool,
    },
    /// Exec returned.
    ExecFailed {
        /// Why.
        reason: String,
    },
    /// In the successor: COMMIT was received.
    Serving,
    /// In the successor: RELEASED was received.
    PredecessorReleased {
        /// Whether an exec follows.
        exec: bool,
    },
    /// The predecessor released in order to exec, and did not come back.
    ReexecFailed {
        /// Why.
        reason: String,
    },
    /// The predecessor ended before it had released.
    PredecessorDied {
        /// How it ended.
        reason: String,
        /// Whether it was the owner, so that this process takes the service over.
        was_serving: bool,
    },
    /// All predecessors have exited.
    PredecessorExited,
    /// This process has stopped accepting.
    Draining {
        /// Why.
        stop: Stop,
    },
    /// Something unexpected that changes nothing.
    Warning {
        /// What.
        text: String,
    },
}
