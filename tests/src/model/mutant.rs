//! Rules switched off: what the machine is told, or what is done of its answers, is changed as if the rule were not there.
//!
//! Rules 8, 9, 10 and 18 are about what the kernel does, which no mutant of a model can show; rule 19 is about seeds,
//! which the model has not.

use super::process::Process;
use super::world::World;
use goagain_env::Message;
use goagain_signals::{Action, Deadline, Input, Phase, Report, Stop};

/// A rule of the protocol that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Rule 1: an undecided channel is closed without ABORT.
    CloseWithoutAbort,
    /// Rule 2: a stop is not told to the others.
    StopUntold,
    /// Rule 3: a restart is started while the predecessor can still roll back.
    StartBesideNet,
    /// Rule 4: RELEASED waits for the drain.
    ReleaseWhenDrained,
    /// Rule 4, and rule 11 under Double: RELEASED does not wait for SERVING.
    ReleaseUnserved,
    /// Rule 5: a successor that hangs before SERVING is left alone.
    HangTolerated,
    /// Rule 6: a death is told beside an unread message.
    DeathBesideMessage,
    /// Rule 6: a deadline passes beside an unread message.
    DeadlineBesideMessage,
    /// Rule 7: RELEASED that could not be sent is as good as sent.
    ReleaseFailedIsReleased,
    /// Rule 7: what is unread when RELEASED could not be sent is not read.
    ReleaseFailedIsTheEnd,
    /// Rule 7: COMMIT that could not be sent is a death.
    CommitFailedIsDeath,
    /// Rule 11: the new image does not know of the children that the old one had.
    ExecForgetsChildren,
    /// Rule 11: the exec does not wait for the drain.
    ExecUndrained,
    /// Rule 12: the owner gives its predecessor up before that has released.
    BothGiveUp,
    /// Rule 12: nobody gives the other up.
    NeitherGivesUp,
    /// Rule 13: the old image takes the service back by itself when its exec fails.
    ExecFailedTakesBack,
    /// Rule 14: a stop of the image that was exec'd in place ends that image only.
    StopOfNewImageUntold,
    /// Rule 15: an aborted image has all the time it wants.
    NoAbortTimeout,
    /// Rule 15: a new attempt is begun beside the old one.
    AttemptBesideAttempt,
    /// Rule 16: a predecessor that hangs is left alone.
    HungNetTolerated,
    /// Rule 17: the end of any peer is taken for that of the attempt under way.
    AttemptsMixed,
    /// Rule 19: anyone's signal is taken for the successor's, which serves by then.
    SenderIgnored,
    /// Rule 2, commit is final: a successor is aborted that has been given the service.
    AbortAfterCommit,
    /// Rule 12: an owner aborts the attempt that made it before its predecessor has released.
    AbortBesideNet,
    /// Rule 15: a newer image is started before the older one, which was aborted for it, is reaped.
    AnewBesideAttempt,
}

impl Mutant {
    /// What the machine is told instead.
    pub fn told(self, world: &mut World, me: usize, event: Input) -> Vec<Input> {
        let process = &world.processes[me];
        let machine = &process.machine;
        match (self, event) {
            (Mutant::StartBesideNet, Input::Restart) if machine.phase() == Phase::Owner => {
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
            (Mutant::StopOfNewImageUntold, Input::Stop(_))
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
            (Mutant::AbortBesideNet, Input::Abort(reason)) if machine.phase() == Phase::Owner => {
                let released = Message::Released { exec: true, again: false };
                let predecessor = machine.predecessor().map(|(attempt, _)| Input::Message(attempt, released));
                predecessor.into_iter().chain([Input::Abort(reason)]).collect()
            }
            (Mutant::AnewBesideAttempt, Input::RestartAnew) => {
                let died = machine.successor().map(|attempt| Input::Dead(attempt, String::new()));
                [Input::RestartAnew].into_iter().chain(died).collect()
            }
            (Mutant::HungNetTolerated, Input::Deadline(Deadline::Release)) => Vec::new(),
            (Mutant::AttemptsMixed, Input::Dead(attempt, how)) => {
                vec![Input::Dead(machine.successor().unwrap_or(attempt), how)]
            }
            (_, event) => vec![event],
        }
    }

    /// What is done instead.
    pub fn done(self, world: &mut World, me: usize, mut actions: Vec<Action>) -> Vec<Action> {
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
            Mutant::StopUntold => {
                actions.retain(|action| !matches!(action, Action::Send(_, Message::Leaving)));
            }
            Mutant::StartBesideNet => actions.retain(|action| match action {
                Action::Close(attempt) => !is_net(world, process, *attempt),
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

fn is_net(world: &World, process: &Process, attempt: u64) -> bool {
    let peer = process.process_of(attempt).map(|peer| &world.processes[peer].machine);
    peer.is_some_and(|machine| {
        machine.phase() == Phase::Draining && machine.stopped_by() == Some(Stop::HandedOver)
    })
}
