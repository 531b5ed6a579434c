//! Everything that can happen.

use crate::{ConnectionInfo, InFlight, Signal, Stop};
use goagain_env::{Address, Pid, SaveError};
use std::time::Duration;

/// What happened. The kind of an [`Event`](crate::Event).
///
/// A pid is `None` if the other process had ended before this one could look it up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// A restart was requested, by a signal or a call.
    Requested {
        /// Whether the restart begins later, because another restart is not over yet, or because this process does not serve
        /// yet.
        waits: bool,
    },
    /// A requested restart will not be done.
    Refused {
        /// Why not.
        reason: String,
    },
    /// An abort was requested, but there is no restart that can still be aborted.
    NotAborted {
        /// Why not.
        reason: String,
    },
    /// This process has started the new one.
    Spawned {
        /// The new process.
        pid: Pid,
        /// The generation of the new process.
        generation: u64,
    },
    /// The restart failed before the new process took over. This process keeps serving.
    Failed {
        /// The new process, if it was started.
        pid: Option<Pid>,
        /// Why.
        reason: String,
    },
    /// The new process is ready.
    SuccessorReady {
        /// The new process.
        pid: Option<Pid>,
    },
    /// This process has handed the service over: from here on the new process accepts.
    HandedOver {
        /// The new process.
        pid: Option<Pid>,
        /// The generation of the new process, if this process started it.
        generation: Option<u64>,
        /// The least time for which this process can take over again: its probation period. `None` if the new process is one of
        /// the Go package goagain, because this process cannot take over again then.
        fallback: Option<Duration>,
    },
    /// A term begins: this process accepts from now on.
    Accepting {
        /// The addresses of its listeners and datagram sockets.
        addresses: Vec<Address>,
    },
    /// The new process accepts connections.
    SuccessorServing {
        /// The new process.
        pid: Option<Pid>,
    },
    /// The new process died while this one was the fallback. This process serves again.
    RolledBack {
        /// The new process.
        pid: Option<Pid>,
        /// How it ended, such as `exited with status 1`.
        reason: String,
    },
    /// This process is no longer the fallback: the new process serves, and the probation period is over.
    Released {
        /// The new process.
        pid: Option<Pid>,
        /// Whether this process now executes the new image in place, and takes the service back afterwards.
        exec: bool,
    },
    /// The `execve` of this process failed. It asks the process that serves to give the service back.
    ExecFailed {
        /// The process that serves.
        pid: Option<Pid>,
        /// Why.
        reason: String,
    },
    /// This process was given the service: it accepts.
    Serving {
        /// The process that served before, and is the fallback now.
        predecessor: Option<Pid>,
        /// The longest time for which it stays the fallback. `None` if it stays until it is dismissed
        /// ([`Handle::dismiss`](crate::Handle::dismiss)).
        fallback: Option<Duration>,
    },
    /// The previous process is no longer the fallback of this one.
    PredecessorReleased {
        /// The previous process.
        pid: Option<Pid>,
        /// Whether it now executes the new image in place, and takes the service back afterwards.
        exec: bool,
    },
    /// The previous process executed the new image in place, and the new image did not become ready. This process keeps
    /// serving.
    ReexecFailed {
        /// The previous process.
        pid: Option<Pid>,
        /// Why.
        reason: String,
    },
    /// The previous process died, or closed its channel, before it had released the service.
    PredecessorDied {
        /// The previous process.
        pid: Option<Pid>,
        /// How it ended, such as `was killed by signal 9 (SIGKILL)`.
        reason: String,
        /// Whether it was still the owner, so that this process takes the service over. If not, it was the fallback.
        was_serving: bool,
    },
    /// The last of the previous processes has exited: the restart is complete.
    PredecessorExited {
        /// The previous process that handed over to this one.
        pid: Option<Pid>,
    },
    /// This process has stopped accepting.
    Draining {
        /// Why.
        stop: Stop,
        /// What is in flight, by kind.
        in_flight: InFlight,
    },
    /// Long-lived connections are asked to close, and these connections are still in flight. Reported once for each drain.
    StillDraining {
        /// The number of connections in flight, by kind.
        in_flight: InFlight,
        /// The connections that have a name, the oldest first.
        connections: Vec<ConnectionInfo>,
    },
    /// The drain has ended or was skipped, and these connections are still in flight. The setting `unfinished` decides what
    /// happens to them.
    Unfinished {
        /// The number of connections in flight, by kind.
        in_flight: InFlight,
        /// The connections that have a name, the oldest first.
        connections: Vec<ConnectionInfo>,
    },
    /// A callback failed or panicked. The process goes on.
    CallbackFailed {
        /// The name of the callback, such as `on_hup`.
        callback: &'static str,
        /// Its error.
        error: String,
    },
    /// Something that the previous process handed over was closed, because this process had not asked for it when it became
    /// ready.
    Unclaimed {
        /// The name of the descriptor or of the state.
        name: String,
    },
    /// This process has a listener or a descriptor that the previous process did not hand over.
    NotInherited {
        /// Its name.
        name: String,
    },
    /// An item of the state could not be saved, so the restart fails.
    StateNotSaved {
        /// Its name.
        name: String,
        /// Why.
        error: SaveError,
    },
    /// Something unexpected happened, such as a failed system call. The process continues.
    Warning {
        /// What happened, as text.
        text: String,
    },
    /// A signal arrived whose callback is called: `on_hup` or `on_usr1`. What other signals do is reported by the events of
    /// that action.
    SignalReceived {
        /// The signal.
        signal: Signal,
    },
}

impl EventKind {
    /// Returns the pid of the other process that the event is about, if there is one and its pid is known.
    pub fn peer(&self) -> Option<Pid> {
        match self {
            EventKind::Spawned { pid, .. } => Some(*pid),
            EventKind::Failed { pid, .. }
            | EventKind::SuccessorReady { pid }
            | EventKind::HandedOver { pid, .. }
            | EventKind::SuccessorServing { pid }
            | EventKind::RolledBack { pid, .. }
            | EventKind::Released { pid, .. }
            | EventKind::ExecFailed { pid, .. }
            | EventKind::Serving { predecessor: pid, .. }
            | EventKind::PredecessorReleased { pid, .. }
            | EventKind::ReexecFailed { pid, .. }
            | EventKind::PredecessorDied { pid, .. }
            | EventKind::PredecessorExited { pid } => *pid,
            EventKind::Requested { .. }
            | EventKind::Refused { .. }
            | EventKind::NotAborted { .. }
            | EventKind::Accepting { .. }
            | EventKind::Draining { .. }
            | EventKind::StillDraining { .. }
            | EventKind::Unfinished { .. }
            | EventKind::CallbackFailed { .. }
            | EventKind::Unclaimed { .. }
            | EventKind::NotInherited { .. }
            | EventKind::StateNotSaved { .. }
            | EventKind::Warning { .. }
            | EventKind::SignalReceived { .. } => None,
        }
    }
}
