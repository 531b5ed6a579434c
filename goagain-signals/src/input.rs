//! What the state machine is told, and what it answers.

use crate::{Report, Stop};
use goagain_env::Message;

/// What the machine is told. An event that does not fit the state is ignored, whatever it is.
///
/// `u64` is the attempt that a peer belongs to: a process has one peer an attempt, so that its number names the peer.
/// Events of an attempt that is over name no peer and fall to the ground.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The application can serve.
    Ready,
    /// The application cannot serve, and says why.
    Fail(String),
    /// The application waits for its turn to end: it accepts by now.
    Waiting,
    /// Nothing is in flight any longer, and the application has nothing more to do.
    Drained,
    /// Nothing but what is long-lived is in flight.
    OnlyLongLived,
    /// A restart was asked for.
    Restart,
    /// A restart was asked for, and the image that the attempt under way runs was replaced after it had been started.
    RestartAnew,
    /// The operator or the application wants the attempt under way to end, and says why.
    Abort(String),
    /// A stop was asked for.
    Stop(Stop),
    /// The operator or the application needs its net no longer.
    Dismiss,
    /// The successor of this attempt runs.
    Spawned(u64),
    /// It could not be started.
    SpawnFailed(u64, String),
    /// It was not started: too many processes would drain.
    SpawnRefused(u64, String),
    /// RELEASED is on its way to the successor.
    ReleaseSent(u64),
    /// It could not be sent: the successor's end is closed.
    ReleaseFailed(u64),
    /// Exec came back: this is still the old image.
    ExecFailed(String),
    /// A peer said something.
    Message(u64, Message),
    /// A peer said something that cannot be read.
    Unknown(u64, String),
    /// A seed's process signalled that it serves.
    GoReady(u64),
    /// The end of a peer's channel, everything before it having been read.
    End(u64),
    /// A peer is dead, its channel having been read to the end; with how it ended.
    Dead(u64, String),
    /// A deadline passed, the channels having been read.
    Deadline(Deadline),
}

/// What can be waited for under a deadline. The machine arms and disarms; the loop knows how long each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Deadline {
    /// Until READY: of the successor (in the owner), or of this image (in an orphan).
    Ready,
    /// Until the owner answers READY (in the successor).
    Answer,
    /// The least time for which a predecessor stays the net.
    Probation,
    /// Until SERVING: of a committed successor.
    Serving,
    /// The most time for a drain.
    Drain,
    /// The first phase of a drain.
    IdleGrace,
    /// Until the third phase of a drain, if nothing begins it earlier.
    LongLived,
    /// The third phase of a drain: the most time for those that were told last.
    ClosingLongLived,
    /// What an aborted or ended image is given before SIGKILL.
    Abort,
    /// Until a predecessor that released in order to exec is ready again.
    Back,
    /// Until a predecessor releases.
    Release,
    /// Until a released child of ours has drained and left.
    Leave(u64),
}

/// What the machine answers: to be done in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the new image; answer with [`Input::Spawned`] or [`Input::SpawnFailed`], at once or later, or with
    /// [`Input::SpawnRefused`] at once.
    Spawn(u64),
    /// Give up a start that has not been answered yet.
    CancelSpawn(u64),
    /// Say it on the channel. Failing to is no event: the end is read from the channel.
    Send(u64, Message),
    /// Send RELEASED; answer with [`Input::ReleaseSent`] or [`Input::ReleaseFailed`] before anything else.
    Release {
        /// The successor's attempt.
        attempt: u64,
        /// Whether an exec follows.
        exec: bool,
        /// A restart that was asked for meanwhile.
        again: bool,
    },
    /// Send the seed's signal to a verified parent or child.
    SignalGo(u64),
    /// SIGKILL to a verified parent or child.
    Kill(u64),
    /// Close the channel; the process is still watched and reaped.
    Close(u64),
    /// Start this deadline, anew if it runs.
    Arm(Deadline),
    /// Stop it.
    Disarm(Deadline),
    /// A term begins: acceptors may accept.
    Accept,
    /// The term ends: acceptors end; the listeners are kept.
    StopAccepting,
    /// The second phase of the drain: tell the idle to go.
    CloseIdle,
    /// The third phase of the drain: tell the long-lived to go.
    CloseLongLived,
    /// The drain is over: what is in flight is cut off.
    CloseUnfinished,
    /// Let the listeners go.
    CloseListeners {
        /// Whether nobody else has them, so that the paths of Unix sockets go too.
        unlink: bool,
    },
    /// Exec the image in place. If it comes back, that is [`Input::ExecFailed`].
    Exec,
    /// Tell the observer.
    Report(u64, Report),
}
