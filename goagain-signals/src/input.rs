//! What the state machine reads, and what it answers.

use crate::{Report, Stop};
use goagain_env::Message;

/// What has happened. The machine ignores an input that does not fit its state, whichever it is.
///
/// `u64` is the attempt that a peer belongs to. A process has one peer for each attempt, so the number identifies the peer.
/// Inputs of an attempt that is over identify no peer, and are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The application is ready to serve.
    Ready,
    /// The application cannot serve, for this reason.
    Fail(String),
    /// The application waits for its turn to end, so it accepts by now.
    Waiting,
    /// Nothing is in flight, and the application has nothing more to do.
    Drained,
    /// Only long-lived connections are in flight.
    OnlyLongLived,
    /// A restart was requested.
    Restart,
    /// A restart was requested, and the image file was replaced since the running attempt was started.
    RestartAnew,
    /// The operator or the application aborts the running attempt, for this reason.
    Abort(String),
    /// A stop was requested.
    Stop(Stop),
    /// The operator or the application no longer needs the fallback.
    Dismiss,
    /// The successor of this attempt was started.
    Spawned(u64),
    /// It could not be started, for this reason.
    SpawnFailed(u64, String),
    /// It was not started, for this reason: too many processes would drain, for example.
    SpawnRefused(u64, String),
    /// RELEASED was sent to the successor.
    ReleaseSent(u64),
    /// RELEASED could not be sent: the other end of the channel is closed.
    ReleaseFailed(u64),
    /// The exec failed, for this reason: this is still the old image.
    ExecFailed(String),
    /// A peer sent this message.
    Message(u64, Message),
    /// A peer sent something that cannot be read, or that does not belong here.
    Unknown(u64, String),
    /// A process of the Go package sent the signal by which it says that it serves.
    GoReady(u64),
    /// A peer's channel has ended, and everything before its end was read.
    End(u64),
    /// A peer is dead, and its channel was read to the end. The text says how the process ended.
    Dead(u64, String),
    /// A deadline has passed, and the channels were read.
    Deadline(Deadline),
}

/// What has a deadline. The machine arms and disarms; the loop knows how long each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Deadline {
    /// READY: of the successor (in the owner), or of this process (if its predecessor has died).
    Ready,
    /// The owner's answer to READY (in the successor).
    Answer,
    /// The probation period: the least time for which a predecessor stays the fallback.
    Probation,
    /// SERVING, after COMMIT.
    Serving,
    /// The whole drain.
    Drain,
    /// The first phase of the drain.
    IdleGrace,
    /// The first two phases of the drain, if nothing begins the third one earlier.
    LongLived,
    /// The third phase of the drain: the time for the connections that were asked to close last.
    ClosingLongLived,
    /// The exit of an aborted process, or the death of one whose channel has ended; then SIGKILL.
    Abort,
    /// READY of a predecessor that released in order to exec.
    Reexec,
    /// RELEASED of the predecessor.
    Release,
    /// The exit of a child that has released and drains.
    Exit(u64),
}

/// What the loop has to do, in the order of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the new image. Answer with [`Input::Spawned`] or [`Input::SpawnFailed`], at once or later, or with
    /// [`Input::SpawnRefused`] at once.
    Spawn(u64),
    /// Give up a start that has not been answered yet.
    CancelSpawn(u64),
    /// Send a message on the channel. A failure is no input: the loop then reads the end of the channel.
    Send(u64, Message),
    /// Send RELEASED. Answer with [`Input::ReleaseSent`] or [`Input::ReleaseFailed`] before any other input.
    Release {
        /// The successor's attempt.
        attempt: u64,
        /// Whether an exec follows.
        exec: bool,
        /// Whether a restart is pending, which the successor has to do.
        again: bool,
    },
    /// Send the signal that a process of the Go package expects, to a verified parent or child.
    SignalGo(u64),
    /// Send SIGKILL to a verified parent or child.
    Kill(u64),
    /// Close the channel. The process is still watched and reaped.
    Close(u64),
    /// Start this deadline, or start it again.
    Arm(Deadline),
    /// Stop this deadline.
    Disarm(Deadline),
    /// A term begins: acceptors may accept.
    Accept,
    /// The term ends: acceptors end, and the listeners stay open.
    StopAccepting,
    /// The second phase of the drain: ask idle connections to close.
    CloseIdle,
    /// The third phase of the drain: ask long-lived connections to close.
    CloseLongLived,
    /// The drain has ended: handle the connections that are unfinished as the server was set to.
    CloseUnfinished,
    /// Close the listeners.
    CloseListeners {
        /// Whether no other process has them, so that the paths of Unix sockets are removed too.
        unlink: bool,
    },
    /// Exec the image in place. If that fails, answer with [`Input::ExecFailed`].
    Exec,
    /// Report what has happened.
    Report(u64, Report),
}
