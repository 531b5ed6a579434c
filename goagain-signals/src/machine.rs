//! The state machine: pure, one function from state and event to state and actions.
//!
//! It holds no descriptor, no clock and no process; peers are known by the number of the attempt that they belong to.
//! The loop that feeds it keeps one promise beside: before it tells of a death or a deadline, it has read the channel
//! until it was empty, and told of everything in it (a deadline that fires beside an unread message loses an owner).

mod owner;
mod predecessor;
mod successor;

use crate::{Action, Deadline, Decisions, Input, Report, Stop, Turn};
use goagain_env::{Message, Relation};

/// Where a process stands in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not ready yet.
    Init,
    /// READY was sent to the predecessor, which has not answered.
    Wait,
    /// This process accepts.
    Owner,
    /// The owner, with an attempt under way.
    Starting,
    /// Handed over: accepts nothing, holds the listeners, is the net.
    Draining,
    /// The net, waiting for the death of a successor that hangs.
    Killing,
    /// The net is gone, the listeners are closed; what is in flight goes on.
    Released,
    /// Stopping gracefully.
    Stopping,
    /// Over.
    Dead,
}

/// The process on the other side of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Peer {
    attempt: u64,
    relation: Relation,
    /// Speaks in signals only.
    go: bool,
    /// Its channel has ended.
    ended: bool,
    /// As a predecessor: it released in order to exec. As a successor: it said SERVING.
    mark: bool,
}

impl Peer {
    fn new(attempt: u64, relation: Relation, go: bool) -> Peer {
        Peer { attempt, relation, go, ended: false, mark: false }
    }
}

/// The predecessor that a new process finds in its handoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The attempt that made this image.
    pub attempt: u64,
    /// What the predecessor is to this process.
    pub relation: Relation,
    /// Whether it speaks in signals only.
    pub go: bool,
    /// Whether it releases by itself, in a time that is known.
    pub bounded: bool,
}

/// One process in the protocol. Cheap to clone, compare and hash, so that a model can explore it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    decisions: Decisions,
    phase: Phase,
    /// The number of the last attempt begun.
    attempt: u64,
    /// Holds the listeners still, and may roll back.
    predecessor: Option<Peer>,
    successor: Option<Peer>,
    /// Told to leave, not yet dead. One at most.
    aborted: Option<Peer>,
    /// Released predecessors that are not dead yet.
    leaving: Vec<Peer>,
    /// A restart was asked for and not begun.
    again: bool,
    /// The last COMMIT passed one on.
    passed: bool,
    /// SERVING is still to be said.
    owes_serving: bool,
    drained: bool,
    probation: bool,
    dismissed: bool,
    /// Whether the predecessor's net ends without DISMISS.
    bounded: bool,
    stop: Option<Stop>,
    /// A graceful stop came already.
    stopping: bool,
    /// The attempt of a hand-over after which others may still be left.
    unsettled: Option<u64>,
}

impl Machine {
    /// A process at its start, with its predecessor if it has one, and the children that an exec left it to reap.
    pub fn new(decisions: Decisions, origin: Option<Origin>, leaving: &[u64]) -> Machine {
        Machine {
            decisions,
            phase: Phase::Init,
            attempt: origin.map_or(0, |origin| origin.attempt),
            predecessor: origin.map(|origin| Peer::new(origin.attempt, origin.relation, origin.go)),
            successor: None,
            aborted: None,
            leaving: leaving.iter().map(|&attempt| Peer::new(attempt, Relation::Child, false)).collect(),
            again: false,
            passed: false,
            owes_serving: false,
            drained: false,
            probation: false,
            dismissed: false,
            bounded: origin.is_none_or(|origin| origin.bounded),
            stop: None,
            stopping: false,
            unsettled: origin
                .filter(|origin| !origin.go || origin.relation == Relation::Child)
                .map(|origin| origin.attempt),
        }
    }

    /// Takes one event. What is to be done is added to `actions`.
    pub fn handle(&mut self, event: Input, actions: &mut Vec<Action>) {
        match event {
            Input::Ready => self.ready(actions),
            Input::Fail(reason) => self.cannot_serve(reason, actions),
            Input::Waiting => self.waiting(actions),
            Input::Drained => self.drained(actions),
            Input::OnlyLongLived => self.part(actions),
            Input::Restart => self.restart(actions),
            Input::RestartAnew => self.restart_anew(actions),
            Input::Abort(reason) => self.abort_attempt(reason, actions),
            Input::Stop(stop) => self.stop(stop, actions),
            Input::Dismiss => self.dismiss(actions),
            Input::Spawned(attempt) => self.spawned(attempt, actions),
            Input::SpawnFailed(attempt, reason) => {
                self.spawn_failed(attempt, Report::Failed { reason }, actions)
            }
            Input::SpawnRefused(attempt, reason) => {
                self.spawn_failed(attempt, Report::Refused { reason }, actions);
            }
            Input::ReleaseSent(attempt) => self.release_sent(attempt, actions),
            Input::ReleaseFailed(attempt) => self.release_failed(attempt, actions),
            Input::ExecFailed(reason) => self.exec_failed(reason, actions),
            Input::Message(attempt, message) => self.message(attempt, message, actions),
            Input::Unknown(attempt, text) => self.unexpected(attempt, text, actions),
            Input::GoReady(attempt) => self.go_ready(attempt, actions),
            Input::End(attempt) => self.end(attempt, actions),
            Input::Dead(attempt, how) => self.dead(attempt, how, actions),
            Input::Deadline(deadline) => self.deadline(deadline, actions),
        }
    }

    /// Where this process stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What the application has to do.
    pub fn turn(&self) -> Turn {
        match self.phase {
            Phase::Init => Turn::Prepare,
            Phase::Owner | Phase::Starting => Turn::Serve,
            // An aborted image is reaped before its parent leaves.
            Phase::Dead if self.aborted.is_none() => Turn::Exit,
            // After an exec that failed this is the old image, which drains until it has been given the service back.
            Phase::Wait => self.stop.map_or(Turn::Prepare, Turn::Drain),
            _ => Turn::Drain(self.stop.unwrap_or(Stop::HandedOver)),
        }
    }

    /// The number of the last attempt begun, in this process or in those that led to it.
    pub fn attempt(&self) -> u64 {
        self.attempt
    }

    /// The released predecessors that are children of this process and not dead yet: an exec must pass them on.
    pub fn children_leaving(&self) -> impl Iterator<Item = u64> + '_ {
        self.leaving.iter().filter(|peer| peer.relation == Relation::Child).map(|peer| peer.attempt)
    }

    /// Whether a predecessor could still take the service back.
    pub fn has_fallback(&self) -> bool {
        self.predecessor.is_some()
    }

    /// The successor under way, committed or not.
    pub fn successor(&self) -> Option<u64> {
        self.successor.as_ref().map(|peer| peer.attempt)
    }

    /// What the strategy answers.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// The stop that this process was given, if it was, or [`Stop::HandedOver`].
    pub fn stopped_by(&self) -> Option<Stop> {
        self.stop
    }

    /// Whether nothing is in flight any longer, or has had its time.
    pub fn is_drained(&self) -> bool {
        self.drained || self.phase == Phase::Dead
    }

    /// Whether the successor speaks in signals only.
    pub fn successor_is_go(&self) -> bool {
        self.successor.as_ref().is_some_and(|peer| peer.go)
    }

    /// The predecessor that has not released, and whether it released in order to exec.
    pub fn predecessor(&self) -> Option<(u64, bool)> {
        self.predecessor.as_ref().map(|peer| (peer.attempt, peer.mark))
    }

    fn message(&mut self, attempt: u64, message: Message, actions: &mut Vec<Action>) {
        if is(&self.successor, attempt) {
            self.successor_says(message, actions);
        } else if is(&self.predecessor, attempt) {
            self.predecessor_says(message, actions);
        } else if let (Some(aborted), Message::Leaving) = (&self.aborted, &message) {
            // The aborted image is the one that was exec'd in place: its pid is the service's, and it was told to stop.
            if aborted.attempt == attempt && aborted.relation == Relation::Parent {
                self.stop_as_owner(Stop::Gracefully, actions);
            }
        }
    }

    fn unexpected(&mut self, attempt: u64, text: String, actions: &mut Vec<Action>) {
        if is(&self.successor, attempt) && self.phase == Phase::Starting {
            self.attempt_failed(text, false, actions);
        } else {
            actions.push(Action::Report(attempt, Report::Warning { text }));
        }
    }

    fn end(&mut self, attempt: u64, actions: &mut Vec<Action>) {
        if is(&self.successor, attempt) {
            self.successor_ended(actions);
        } else if is(&self.predecessor, attempt) {
            self.predecessor_gone(None, actions);
        }
    }

    fn dead(&mut self, attempt: u64, how: String, actions: &mut Vec<Action>) {
        if is(&self.successor, attempt) {
            self.successor_dead(how, actions);
        } else if is(&self.predecessor, attempt) {
            self.predecessor_gone(Some(how), actions);
        } else if is(&self.aborted, attempt) {
            self.aborted = None;
            actions.push(Action::Disarm(Deadline::Abort));
            self.start_if_asked(actions);
        } else if let Some(index) = self.leaving.iter().position(|peer| peer.attempt == attempt) {
            self.leaving.remove(index);
            actions.push(Action::Disarm(Deadline::Leave(attempt)));
            self.settled(actions);
        }
    }

    fn deadline(&mut self, deadline: Deadline, actions: &mut Vec<Action>) {
        match (deadline, self.phase) {
            (Deadline::Ready, Phase::Starting) => {
                self.attempt_failed("it was not ready within its deadline".into(), false, actions);
            }
            // An orphan has the same time as under its predecessor.
            (Deadline::Ready, Phase::Init) => self.leave_uncommitted(actions),
            (Deadline::Answer, Phase::Wait) => {
                self.cannot_serve("the predecessor did not answer".into(), actions);
            }
            (Deadline::Probation, Phase::Draining) => {
                self.probation = true;
                self.decide(actions);
            }
            // Committed and not serving in all this time: it hangs.
            (Deadline::Serving, Phase::Draining) => self.kill_successor(actions),
            (
                Deadline::Drain | Deadline::ClosingLongLived,
                Phase::Draining | Phase::Released | Phase::Stopping,
            ) => {
                actions.push(Action::CloseUnfinished);
                self.drained(actions);
            }
            (Deadline::IdleGrace, _) => actions.push(Action::CloseIdle),
            (Deadline::LongLived, _) => self.part(actions),
            (Deadline::Abort, _) => self.grace_over(actions),
            (Deadline::Back, Phase::Owner) => {
                self.not_back("it was not back within its deadline".into(), actions);
            }
            (Deadline::Release, Phase::Owner) => {
                if let Some(peer) = self.predecessor.as_ref().filter(|peer| !peer.mark) {
                    actions.push(Action::Kill(peer.attempt));
                }
            }
            (Deadline::Leave(attempt), _) if self.children_leaving().any(|child| child == attempt) => {
                actions.push(Action::Kill(attempt));
            }
            _ => {}
        }
    }

    fn grace_over(&mut self, actions: &mut Vec<Action>) {
        if let Some(peer) = &self.aborted {
            actions.push(Action::Kill(peer.attempt));
        } else if self.successor.as_ref().is_some_and(|peer| peer.ended) {
            match self.phase {
                Phase::Starting => self.attempt_failed("it closed its channel".into(), true, actions),
                Phase::Draining => self.kill_successor(actions),
                _ => {}
            }
        }
    }

    /// Stops: what that means depends on who has the service.
    fn stop(&mut self, stop: Stop, actions: &mut Vec<Action>) {
        let served = !matches!(self.phase, Phase::Init | Phase::Wait | Phase::Dead);
        match self.phase {
            Phase::Init | Phase::Wait => self.stop_uncommitted(stop, actions),
            Phase::Owner | Phase::Starting | Phase::Killing => self.stop_as_owner(stop, actions),
            Phase::Draining => self.stop_as_predecessor(stop, actions),
            Phase::Released | Phase::Stopping => {
                if self.stopping || matches!(stop, Stop::Now(_)) {
                    self.phase = Phase::Dead;
                }
                self.stopping = true;
            }
            Phase::Dead => {}
        }
        if self.phase == Phase::Dead {
            actions.extend(served.then_some(Action::CloseUnfinished));
            if let Some(peer) = &self.aborted {
                actions.push(Action::Kill(peer.attempt));
            }
        }
    }

    /// The third phase of the drain, which the loop begins once.
    fn part(&mut self, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Draining | Phase::Killing | Phase::Released | Phase::Stopping) {
            let parting = [
                Action::Disarm(Deadline::LongLived),
                Action::CloseLongLived,
                Action::Arm(Deadline::ClosingLongLived),
            ];
            actions.extend(parting);
        }
    }

    /// Everything that is in flight is done, or has had its time.
    fn drained(&mut self, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Draining => {
                self.drained = true;
                self.decide(actions);
            }
            Phase::Released | Phase::Stopping => {
                self.phase = Phase::Dead;
                if let Some(peer) = &self.aborted {
                    actions.push(Action::Kill(peer.attempt));
                }
            }
            _ => {}
        }
    }
}

fn is(peer: &Option<Peer>, attempt: u64) -> bool {
    peer.as_ref().is_some_and(|peer| peer.attempt == attempt)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
