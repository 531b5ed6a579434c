//! What a process does about its predecessor: before it is given the service, and as the owner that has a fallback.

use super::{Machine, Peer, Phase};
use crate::{Action, Deadline, Report, Stop};
use goagain_env::{Message, Relation};

impl Machine {
    pub(super) fn ready(&mut self, actions: &mut Vec<Action>) {
        if self.phase != Phase::Init {
            return;
        }
        match self.predecessor.take() {
            None => self.become_owner(actions),
            Some(peer) if peer.go => {
                // A process of the Go package knows only its signal. It cannot be a fallback, and it sends no answer.
                actions.push(Action::SignalGo(peer.attempt));
                if peer.relation == Relation::Child {
                    self.exiting.push(peer);
                }
                self.become_owner(actions);
            }
            Some(peer) => {
                actions.push(Action::Send(peer.attempt, Message::Ready));
                actions.push(Action::Arm(Deadline::Answer));
                self.predecessor = Some(peer);
                self.phase = Phase::Wait;
            }
        }
    }

    pub(super) fn fail(&mut self, reason: String, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Init | Phase::Wait) {
            if let Some(peer) = self.predecessor.as_ref().filter(|peer| !peer.go) {
                actions.push(Action::Send(peer.attempt, Message::Failed(reason)));
            }
            self.exit_uncommitted(actions);
        }
    }

    /// Exits: this process was never given the service.
    pub(super) fn exit_uncommitted(&mut self, actions: &mut Vec<Action>) {
        self.phase = Phase::Dead;
        self.refuse_pending_restart(
            "this process was not given the service: ask the one that serves",
            actions,
        );
    }

    pub(super) fn stop_uncommitted(&mut self, stop: Stop, actions: &mut Vec<Action>) {
        if let Some(peer) = &self.predecessor {
            let attempt = peer.attempt;
            actions.push(match (peer.relation, peer.go) {
                // Supervisors know the service by this pid: the owner stops too.
                (Relation::Child, true) => Action::SignalGo(attempt),
                (Relation::Child, false) => Action::Send(attempt, Message::Leaving),
                (Relation::Parent, true) => Action::Disarm(Deadline::Ready),
                (Relation::Parent, false) => Action::Send(attempt, Message::Failed(stop.to_string())),
            });
        }
        self.stop = Some(stop);
        self.exit_uncommitted(actions);
    }

    pub(super) fn predecessor_says(&mut self, message: Message, actions: &mut Vec<Action>) {
        let Some(peer) = &self.predecessor else { return };
        let (attempt, execs) = (peer.attempt, peer.execs);
        match (self.phase, message) {
            (Phase::Wait, Message::Commit { again }) => {
                self.restart_pending |= again;
                self.owes_serving = true;
                self.dismissed = false;
                if self.bounded {
                    actions.push(Action::Arm(Deadline::Release));
                }
                actions.push(Action::Report(attempt, Report::Serving));
                self.become_owner(actions);
            }
            (Phase::Init | Phase::Wait, Message::Abort(_) | Message::Leaving) => {
                self.exit_uncommitted(actions);
            }
            (Phase::Owner, Message::Released { exec, again }) if !execs => {
                self.restart_pending |= again;
                actions.push(Action::Disarm(Deadline::Release));
                actions.push(Action::Report(attempt, Report::PredecessorReleased { exec }));
                if exec {
                    // It stays the predecessor. But from here on it is this process that may give it up, and not the reverse.
                    self.predecessor.as_mut().into_iter().for_each(|peer| peer.execs = true);
                    actions.push(Action::Arm(Deadline::Reexec));
                } else {
                    self.predecessor_is_done(actions);
                    self.start_if_pending(actions);
                }
            }
            (Phase::Owner, Message::Leaving) => self.stop_as_owner(Stop::Gracefully, actions),
            (Phase::Owner, Message::Ready) if execs => {
                // As a successor it has not said SERVING yet.
                self.successor =
                    self.predecessor.take().map(|peer| Peer { execs: false, serving: false, ..peer });
                actions.push(Action::Disarm(Deadline::Reexec));
                self.commit(actions);
            }
            // It exits: the end of its channel follows, and then this process is the only one.
            (Phase::Owner, Message::Failed(reason)) if execs => {
                actions.push(Action::Report(attempt, Report::ReexecFailed { reason }));
            }
            (_, message) => self.unexpected(attempt, format!("unexpected message {message:?}"), actions),
        }
    }

    /// The predecessor ended without ABORT or LEAVING. `death` says how it died; `None`: only its channel has ended.
    pub(super) fn predecessor_gone(&mut self, death: Option<String>, actions: &mut Vec<Action>) {
        let Some(peer) = &self.predecessor else { return };
        let (attempt, execs) = (peer.attempt, peer.execs);
        let reason = death.clone().unwrap_or_else(|| "closed its channel".into());
        actions.push(Action::Report(
            attempt,
            match execs {
                true => Report::ReexecFailed { reason: format!("it {reason}") },
                false => {
                    let was_serving = matches!(self.phase, Phase::Init | Phase::Wait);
                    Report::PredecessorDied { reason, was_serving }
                }
            },
        ));
        actions.push(Action::Disarm(Deadline::Release));
        actions.push(Action::Disarm(Deadline::Reexec));
        self.predecessor_is_done(actions);
        match self.phase {
            Phase::Init => actions.push(Action::Arm(Deadline::Ready)),
            Phase::Wait => self.become_owner(actions),
            _ => {}
        }
        if death.is_some() {
            self.exiting.retain(|peer| peer.attempt != attempt);
            actions.push(Action::Disarm(Deadline::Exit(attempt)));
            self.report_if_complete(actions);
        }
        self.start_if_pending(actions);
    }

    /// The predecessor is no longer the fallback: from here on this process only waits for its exit.
    fn predecessor_is_done(&mut self, actions: &mut Vec<Action>) {
        if let Some(peer) = self.predecessor.take() {
            actions.push(Action::Close(peer.attempt));
            if peer.relation == Relation::Child && self.phase == Phase::Owner {
                actions.push(Action::Arm(Deadline::Exit(peer.attempt)));
            }
            self.exiting.push(peer);
        }
    }

    /// Gives up a predecessor that released in order to exec, and has not come back.
    pub(super) fn give_up_reexec(&mut self, reason: String, actions: &mut Vec<Action>) {
        if !self.predecessor.as_ref().is_some_and(|peer| peer.execs) {
            return;
        }
        if let Some(peer) = self.predecessor.take() {
            actions.extend([
                Action::Send(peer.attempt, Message::Abort(reason.clone())),
                Action::Disarm(Deadline::Reexec),
                Action::Arm(Deadline::Abort),
                Action::Report(peer.attempt, Report::ReexecFailed { reason }),
            ]);
            self.aborted = Some(peer);
        }
    }

    pub(super) fn waiting(&mut self, actions: &mut Vec<Action>) {
        if let (true, Phase::Owner, Some(peer)) = (self.owes_serving, self.phase, &self.predecessor) {
            self.owes_serving = false;
            actions.push(Action::Send(peer.attempt, Message::Serving));
        }
    }

    /// The exec failed. The successor is the owner, and may give this process up: so this process asks for the service as the
    /// new image would have asked.
    pub(super) fn exec_failed(&mut self, reason: String, actions: &mut Vec<Action>) {
        let Some(peer) = self.successor.take() else { return };
        let attempt = peer.attempt;
        actions.push(Action::Report(attempt, Report::ExecFailed { reason }));
        self.predecessor = Some(Peer { execs: false, serving: false, ..peer });
        self.incomplete = Some(attempt);
        self.bounded = true;
        self.phase = Phase::Init;
        self.ready(actions);
    }
}
