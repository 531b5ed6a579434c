//! The state machine: one pure function from state and input to state and actions.
//!
//! It holds no descriptor, no clock and no process; it knows a peer by the number of its attempt. The loop that runs it
//! keeps one promise: before it passes on a death or a deadline, it has read the channel until it was empty, and passed
//! on every message (a deadline that is handled before an unread message can end the owner).

mod owner;
mod predecessor;
mod successor;

use crate::{Action, Deadline, Decisions, Input, Report, Stop, Turn};
use goagain_env::{Message, Relation};

/// The state of a process in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not ready yet.
    Init,
    /// READY was sent to the predecessor, which has not answered.
    Wait,
    /// This process accepts: it is the owner.
    Owner,
    /// The owner, while an attempt is running.
    Starting,
    /// Handed over: this process does not accept, keeps the listeners open, and is the fallback.
    Draining,
    /// The fallback, while it waits for the death of a successor that hangs and was killed.
    Killing,
    /// No longer the fallback: the listeners are closed, and connections in flight are finished.
    Released,
    /// Stopping gracefully.
    Stopping,
    /// Nothing is left to do.
    Dead,
}

/// The process on the other side of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Peer {
    attempt: u64,
    relation: Relation,
    /// A process of the Go package goagain: it has signals only, and no channel.
    go: bool,
    /// Its channel has ended.
    ended: bool,
    /// As the predecessor: it released in order to exec, and is to come back as the new image.
    execs: bool,
    /// As the successor: it said SERVING.
    serving: bool,
}

impl Peer {
    fn new(attempt: u64, relation: Relation, go: bool) -> Peer {
        Peer { attempt, relation, go, ended: false, execs: false, serving: false }
    }
}

/// The predecessor that a new process finds in its handoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The attempt that started this process.
    pub attempt: u64,
    /// What the predecessor is to this process.
    pub relation: Relation,
    /// Whether it is a process of the Go package goagain, which has signals only.
    pub go: bool,
    /// Whether it releases without DISMISS, within a known time.
    pub bounded: bool,
}

/// One process in the protocol. It is cheap to clone, compare and hash, so that a model can explore it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    decisions: Decisions,
    phase: Phase,
    /// The number of the last attempt that has begun.
    attempt: u64,
    /// It keeps the listeners open, and may roll back.
    predecessor: Option<Peer>,
    successor: Option<Peer>,
    /// At most one: it was asked to exit, and is not dead yet.
    aborted: Option<Peer>,
    /// Predecessors that have released and are not dead yet.
    exiting: Vec<Peer>,
    /// A restart was requested, and has not begun.
    restart_pending: bool,
    /// The last COMMIT passed a pending restart on to the successor.
    restart_passed_on: bool,
    /// SERVING is still to be sent.
    owes_serving: bool,
    /// Nothing is in flight, or the drain has ended.
    drained: bool,
    /// The probation period is over.
    probation_over: bool,
    /// The fallback is no longer needed.
    dismissed: bool,
    /// Whether the predecessor releases without DISMISS.
    bounded: bool,
    stop: Option<Stop>,
    /// A graceful stop was requested before.
    stopping: bool,
    /// The attempt that started this process, until all earlier processes have exited.
    incomplete: Option<u64>,
}

impl Machine {
    /// Returns a process at its start: `origin` is its predecessor, and `exiting` are the children that were left to it by the
    /// image before an exec, and that it has to reap.
    pub fn new(decisions: Decisions, origin: Option<Origin>, exiting: &[u64]) -> Machine {
        Machine {
            decisions,
            phase: Phase::Init,
            attempt: origin.map_or(0, |origin| origin.attempt),
            predecessor: origin.map(|origin| Peer::new(origin.attempt, origin.relation, origin.go)),
            successor: None,
            aborted: None,
            exiting: exiting.iter().map(|&attempt| Peer::new(attempt, Relation::Child, false)).collect(),
            restart_pending: false,
            restart_passed_on: false,
            owes_serving: false,
            drained: false,
            probation_over: false,
            dismissed: false,
            bounded: origin.is_none_or(|origin| origin.bounded),
            stop: None,
            stopping: false,
            incomplete: origin
                .filter(|origin| !origin.go || origin.relation == Relation::Child)
                .map(|origin| origin.attempt),
        }
    }

    /// Handles one input, and appends to `actions` what the loop has to do.
    pub fn handle(&mut self, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Ready => self.ready(actions),
            Input::Fail(reason) => self.fail(reason, actions),
            Input::Waiting => self.waiting(actions),
            Input::Drained => self.drained(actions),
            Input::OnlyLongLived => self.close_long_lived(actions),
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

    /// Returns the state of this process.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Returns what the application has to do.
    pub fn turn(&self) -> Turn {
        match self.phase {
            Phase::Init => Turn::Prepare,
            Phase::Owner | Phase::Starting => Turn::Serve,
            // A parent reaps its aborted child before it exits.
            Phase::Dead if self.aborted.is_none() => Turn::Exit,
            // After an exec that failed the old image goes on, and drains until it is given the service back.
            Phase::Wait => self.stop.map_or(Turn::Prepare, Turn::Drain),
            _ => Turn::Drain(self.stop.unwrap_or(Stop::HandedOver)),
        }
    }

    /// Returns the number of the last attempt that has begun, in this process or in its predecessors.
    pub fn attempt(&self) -> u64 {
        self.attempt
    }

    /// Returns the children of this process that have released and are not dead yet: an exec has to pass them on.
    pub fn exiting_children(&self) -> impl Iterator<Item = u64> + '_ {
        self.exiting.iter().filter(|peer| peer.relation == Relation::Child).map(|peer| peer.attempt)
    }

    /// Returns whether a predecessor can still take the service back.
    pub fn has_fallback(&self) -> bool {
        self.predecessor.is_some()
    }

    /// Returns the attempt of the successor, whether the service was handed over to it or not.
    pub fn successor(&self) -> Option<u64> {
        self.successor.as_ref().map(|peer| peer.attempt)
    }

    /// Returns the answers of the strategy.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// Returns why this process has stopped accepting, if it has.
    pub fn stopped_by(&self) -> Option<Stop> {
        self.stop
    }

    /// Returns whether nothing is in flight, or the drain has ended.
    pub fn is_drained(&self) -> bool {
        self.drained || self.phase == Phase::Dead
    }

    /// Returns whether the successor is a process of the Go package goagain.
    pub fn successor_is_go(&self) -> bool {
        self.successor.as_ref().is_some_and(|peer| peer.go)
    }

    /// Returns the attempt of the predecessor, and whether it has released in order to exec. A predecessor that has released
    /// for any other reason is not one any longer.
    pub fn predecessor(&self) -> Option<(u64, bool)> {
        self.predecessor.as_ref().map(|peer| (peer.attempt, peer.execs))
    }

    fn message(&mut self, attempt: u64, message: Message, actions: &mut Vec<Action>) {
        if is(&self.successor, attempt) {
            self.successor_says(message, actions);
        } else if is(&self.predecessor, attempt) {
            self.predecessor_says(message, actions);
        } else if let (Some(aborted), Message::Leaving) = (&self.aborted, &message) {
            // The aborted process has exec'd in place. Supervisors know the service by its pid, so a stop of it stops the
            // service.
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
            self.start_if_pending(actions);
        } else if let Some(index) = self.exiting.iter().position(|peer| peer.attempt == attempt) {
            self.exiting.remove(index);
            actions.push(Action::Disarm(Deadline::Exit(attempt)));
            self.report_if_complete(actions);
        }
    }

    fn deadline(&mut self, deadline: Deadline, actions: &mut Vec<Action>) {
        match (deadline, self.phase) {
            (Deadline::Ready, Phase::Starting) => {
                self.attempt_failed("the new process was not ready in time".into(), false, actions);
            }
            // The predecessor has died: the deadline is the one that it would have enforced.
            (Deadline::Ready, Phase::Init) => self.exit_uncommitted(actions),
            (Deadline::Answer, Phase::Wait) => {
                self.fail("the predecessor did not answer".into(), actions);
            }
            (Deadline::Probation, Phase::Draining) => {
                self.probation_over = true;
                self.decide(actions);
            }
            // It was given the service, and has not served in all this time: it hangs.
            (Deadline::Serving, Phase::Draining) => self.kill_successor(actions),
            (
                Deadline::Drain | Deadline::ClosingLongLived,
                Phase::Draining | Phase::Released | Phase::Stopping,
            ) => {
                actions.push(Action::CloseUnfinished);
                self.drained(actions);
            }
            (Deadline::IdleGrace, _) => actions.push(Action::CloseIdle),
            (Deadline::LongLived, _) => self.close_long_lived(actions),
            (Deadline::Abort, _) => self.abort_timeout_passed(actions),
            (Deadline::Reexec, Phase::Owner) => {
                self.give_up_reexec("it was not ready in time".into(), actions);
            }
            (Deadline::Release, Phase::Owner) => {
                if let Some(peer) = self.predecessor.as_ref().filter(|peer| !peer.execs) {
                    actions.push(Action::Kill(peer.attempt));
                }
            }
            (Deadline::Exit(attempt), _) if self.exiting_children().any(|child| child == attempt) => {
                actions.push(Action::Kill(attempt));
            }
            _ => {}
        }
    }

    fn abort_timeout_passed(&mut self, actions: &mut Vec<Action>) {
        if let Some(peer) = &self.aborted {
            actions.push(Action::Kill(peer.attempt));
        } else if self.successor.as_ref().is_some_and(|peer| peer.ended) {
            match self.phase {
                Phase::Starting => {
                    self.attempt_failed("the new process closed its channel".into(), true, actions)
                }
                Phase::Draining => self.kill_successor(actions),
                _ => {}
            }
        }
    }

    /// Stops. Which processes stop with this one depends on which of them is the owner.
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

    /// Begins the third phase of the drain. The loop does so once.
    fn close_long_lived(&mut self, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Draining | Phase::Killing | Phase::Released | Phase::Stopping) {
            let closing_long_lived = [
                Action::Disarm(Deadline::LongLived),
                Action::CloseLongLived,
                Action::Arm(Deadline::ClosingLongLived),
            ];
            actions.extend(closing_long_lived);
        }
    }

    /// Nothing is in flight, or the drain has ended.
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
