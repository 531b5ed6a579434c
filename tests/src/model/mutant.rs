//! Rules switched off: the machine's inputs, or the actions that it answers with, are changed as if the rule did not exist.
//!
//! Rules 8, 9, 10 and 18 are about what the kernel does, which no mutant of a model can show. Rule 19 is about processes of
//! the Go package, which the model does not have.

use super::process::Process;
use super::world::World;
use goagain_env::Message;
use goagain_signals::{Action, Deadline, Input, Phase, Report, Stop};

/// A rule of the protocol that is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Rule 1: an undecided channel is closed without ABORT.
    CloseWithoutAbort,
    /// Rule 2: the other processes are not informed of a stop.
    StopNotSent,
    /// Rule 3: a restart begins while the predecessor can still roll back.
    StartBesideFallback,
    /// Rule 4: RELEASED waits for the drain.
    ReleaseWhenDrained,
    /// Rule 4, and rule 11 under Double: RELEASED does not wait for SERVING.
    ReleaseUnserved,
    /// Rule 5: a successor that hangs before SERVING is left alone.
    HangTolerated,
    /// Rule 6: a death is handled while a message is unread.
    DeathBesideMessage,
    /// Rule 6: a deadline passes while a message is unread.
    DeadlineBesideMessage,
    /// Rule 7: RELEASED that could not be sent counts as sent.
    ReleaseFailedIsReleased,
    /// Rule 7: what is unread when RELEASED could not be sent is not read.
    ReleaseFailedIsTheEnd,
    /// Rule 7: COMMIT that could not be sent is a death.
    CommitFailedIsDeath,
    /// Rule 11: the new image does not know the children of the old one.
    ExecForgetsChildren,
    /// Rule 11: the exec does not wait for the drain.
    ExecUndrained,
    /// Rule 12: the owner gives up its predecessor before the predecessor has released.
    BothGiveUp,
    /// Rule 12: neither gives the other up.
    NeitherGivesUp,
    /// Rule 13: the old image takes the service back by itself when its exec fails.
    ExecFailedTakesBack,
    /// Rule 14: a stop of the image that was exec'd in place ends only that image.
    StopOfNewImageNotSent,
    /// Rule 15: an aborted image may take any time.
    NoAbortTimeout,
    /// Rule 15: a new attempt begins while the old one exists.
    AttemptBesideAttempt,
    /// Rule 16: a predecessor that hangs is left alone.
    HungFallbackTolerated,
    /// Rule 17: the end of any peer is treated as the end of the current attempt.
    AttemptsMixed,
    /// Rule 19: a signal from anyone is treated as the signal of the successor, which serves by then.
    SenderIgnored,
    /// Rule 2, commit is final: a successor that is already the owner is aborted.
    AbortAfterCommit,
    /// Rule 12: an owner aborts the attempt that started it before its predecessor has released.
    AbortBesideFallback,
    /// Rule 15: a newer image starts before the older one, which was aborted for it, is reaped.
    AnewBesideAttempt,
}

impl Mutant {
    /// Returns the inputs that the machine gets instead.
    pub fn inputs(self, world: &mut World, me: usize, event: Input) -> Vec<Input> {
        let process = &world.processes[me];
        let machine = &process.machine;
        match (self, event) {
            (Mutant::StartBesideFallback, Input::Restart) if machine.phase() == Phase::Owner => {
                let released = Message::Released { exec: false, again: false };
                let predecessor = machine.predecessor().map(|(attempt, _)| Input::Message(attempt, released));
                predecessor.into_iter().chain([Input::Restart]).collect()
            }
            (Mutant::ReleaseUnserved, event @ Input::Deadline(Deadline::Probation)) => {
                let serving = machine.successor().map(|attempt| Input::Message(attempt, Message::Serving));
                serving.into_iter().chain([event]).collect()
            }
            (Mutant::ReleaseFailedIsReleased, Input::ReleaseFailed(attempt)) => {
                vec![Input::ReleaseSent(attempt)]
            }
            (Mutant::ReleaseFailedIsTheEnd, Input::ReleaseFailed(attempt)) => vec![Input::End(attempt)],
            (Mutant::CommitFailedIsDeath, Input::Message(attempt, Message::Ready)) => {
                let ready = Input::Message(attempt, Message::Ready);
                let gone = process.channel_of(attempt).is_some_and(|(channel, side)| {
                    !world.channels[channel].clone().send(side, Message::Ready)
                });
                let died = gone.then(|| Input::Dead(attempt, String::new()));
                [ready].into_iter().chain(died).collect()
            }
            (Mutant::ExecUndrained, event @ Input::Message(_, Message::Serving)) => {
                vec![event, Input::Drained]
            }
            (Mutant::SenderIgnored, Input::Restart | Input::Stop(_))
                if machine.phase() == Phase::Starting =>
            {
                machine.successor().map(Input::GoReady).into_iter().collect()
            }
            (Mutant::BothGiveUp, Input::Message(attempt, Message::Commit { again })) => vec![
                Input::Message(attempt, Message::Commit { again }),
                Input::Message(attempt, Message::Released { exec: true, again: false }),
            ],
            (Mutant::ExecFailedTakesBack, Input::ExecFailed(_)) => {
                let successor = machine.successor();
                successor.map(|attempt| Input::Dead(attempt, String::new())).into_iter().collect()
            }
            (Mutant::StopOfNewImageNotSent, Input::Stop(_))
                if matches!(machine.phase(), Phase::Init | Phase::Wait) =>
            {
                vec![Input::Fail(String::new())]
            }
            (Mutant::NoAbortTimeout, Input::Deadline(Deadline::Abort)) => Vec::new(),
            (Mutant::AttemptBesideAttempt, Input::Restart) => {
                let aborted = process.peers.iter().filter(|peer| {
                    peer.process.is_some_and(|peer| world.processes[peer].aborted_by == Some(me))
                });
                let died = aborted.map(|peer| Input::Dead(peer.attempt, String::new()));
                died.chain([Input::Restart]).collect()
            }
            (Mutant::AbortBesideFallback, Input::Abort(reason)) if machine.phase() == Phase::Owner => {
                let released = Message::Released { exec: true, again: false };
                let predecessor = machine.predecessor().map(|(attempt, _)| Input::Message(attempt, released));
                predecessor.into_iter().chain([Input::Abort(reason)]).collect()
            }
            (Mutant::AnewBesideAttempt, Input::RestartAnew) => {
                let died = machine.successor().map(|attempt| Input::Dead(attempt, String::new()));
                [Input::RestartAnew].into_iter().chain(died).collect()
            }
            (Mutant::HungFallbackTolerated, Input::Deadline(Deadline::Release)) => Vec::new(),
            (Mutant::AttemptsMixed, Input::Dead(attempt, how)) => {
                vec![Input::Dead(machine.successor().unwrap_or(attempt), how)]
            }
            (_, event) => vec![event],
        }
    }

    /// Returns the actions that are done instead.
    pub fn actions(self, world: &mut World, me: usize, mut actions: Vec<Action>) -> Vec<Action> {
        let process = &world.processes[me];
        let phase = process.machine.phase();
        match self {
            Mutant::CloseWithoutAbort => {
                for action in &mut actions {
                    if let Action::Send(attempt, Message::Abort(_)) = action {
                        *action = Action::Close(*attempt);
                    }
                }
            }
            Mutant::AbortAfterCommit => {
                let successor = process.machine.successor();
                for action in &mut actions {
                    if let (Action::Report(_, Report::NotAborted { .. }), Some(attempt)) =
                        (&*action, successor)
                    {
                        *action = Action::Send(attempt, Message::Abort(String::new()));
                    }
                }
            }
            Mutant::StopNotSent => {
                actions.retain(|action| !matches!(action, Action::Send(_, Message::Leaving)));
            }
            Mutant::StartBesideFallback => actions.retain(|action| match action {
                Action::Close(attempt) => !is_fallback(world, process, *attempt),
                _ => true,
            }),
            Mutant::ReleaseWhenDrained => {
                let drained = process.machine.is_drained();
                actions.retain(|action| drained || !matches!(action, Action::Release { .. }));
            }
            Mutant::HangTolerated => {
                actions.retain(|action| phase != Phase::Killing || !matches!(action, Action::Kill(_)));
            }
            Mutant::NeitherGivesUp => actions.retain(|action| *action != Action::Arm(Deadline::Reexec)),
            _ => {}
        }
        actions
    }
}

fn is_fallback(world: &World, process: &Process, attempt: u64) -> bool {
    let peer = process.process_of(attempt).map(|peer| &world.processes[peer].machine);
    peer.is_some_and(|machine| {
        machine.phase() == Phase::Draining && machine.stopped_by() == Some(Stop::HandedOver)
    })
}
