//! What a process does about its predecessor: as the successor that is not committed, and as the owner over a net.

use super::{Machine, Peer, Phase};
use crate::{Action, Deadline, Report, Stop};
use goagain_env::{Message, Relation};

impl Machine {
    pub(super) fn ready(&mut self, actions: &mut Vec<Action>) {
        if self.phase != Phase::Init {
            return;
        }
        match self.predecessor.take() {
            None => self.own(actions),
            Some(peer) if peer.go => {
                // Its signal is all that a seed understands; it has no net to give, and it asks for no answer.
                actions.push(Action::SignalGo(peer.attempt));
                if peer.relation == Relation::Child {
                    self.leaving.push(peer);
                }
                self.own(actions);
            }
            Some(peer) => {
                actions.push(Action::Send(peer.attempt, Message::Ready));
                actions.push(Action::Arm(Deadline::Answer));
                self.predecessor = Some(peer);
                self.phase = Phase::Wait;
            }
        }
    }

    pub(super) fn cannot_serve(&mut self, reason: String, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Init | Phase::Wait) {
            if let Some(peer) = self.predecessor.as_ref().filter(|peer| !peer.go) {
                actions.push(Action::Send(peer.attempt, Message::Failed(reason)));
            }
            self.leave_uncommitted(actions);
        }
    }

    /// This image was never given the service.
    pub(super) fn leave_uncommitted(&mut self, actions: &mut Vec<Action>) {
        self.phase = Phase::Dead;
        self.refuse_what_was_asked("this process was not given the service: ask the owner", actions);
    }

    pub(super) fn stop_uncommitted(&mut self, stop: Stop, actions: &mut Vec<Action>) {
        if let Some(peer) = &self.predecessor {
            let attempt = peer.attempt;
            actions.push(match (peer.relation, peer.go) {
                // This pid is the service's: the owner stops too.
                (Relation::Child, true) => Action::SignalGo(attempt),
                (Relation::Child, false) => Action::Send(attempt, Message::Leaving),
                (Relation::Parent, true) => Action::Disarm(Deadline::Ready),
                (Relation::Parent, false) => Action::Send(attempt, Message::Failed(stop.to_string())),
            });
        }
        self.stop = Some(stop);
        self.leave_uncommitted(actions);
    }

    pub(super) fn predecessor_says(&mut self, message: Message, actions: &mut Vec<Action>) {
        let Some(peer) = &self.predecessor else { return };
        let (attempt, baton) = (peer.attempt, peer.mark);
        match (self.phase, message) {
            (Phase::Wait, Message::Commit { again }) => {
                self.again |= again;
                self.owes_serving = true;
                self.dismissed = false;
                if self.bounded {
                    actions.push(Action::Arm(Deadline::Release));
                }
                actions.push(Action::Report(attempt, Report::Serving));
                self.own(actions);
            }
            (Phase::Init | Phase::Wait, Message::Abort(_) | Message::Leaving) => {
                self.leave_uncommitted(actions);
            }
            (Phase::Owner, Message::Released { exec, again }) if !baton => {
                self.again |= again;
                actions.push(Action::Disarm(Deadline::Release));
                actions.push(Action::Report(attempt, Report::PredecessorReleased { exec }));
                if exec {
                    // It is still the predecessor, but from here on it is this side that may give the other up.
                    self.predecessor.as_mut().into_iter().for_each(|peer| peer.mark = true);
                    actions.push(Action::Arm(Deadline::Back));
                } else {
                    self.announce_done(actions);
                    self.start_if_asked(actions);
                }
            }
            (Phase::Owner, Message::Leaving) => self.stop_as_owner(Stop::Gracefully, actions),
            (Phase::Owner, Message::Ready) if baton => {
                // As a successor it has not said SERVING yet.
                self.successor = self.predecessor.take().map(|peer| Peer { mark: false, ..peer });
                actions.push(Action::Disarm(Deadline::Back));
                self.commit(actions);
            }
            // It leaves: its end follows, and then this process is the only one.
            (Phase::Owner, Message::Failed(reason)) if baton => {
                actions.push(Action::Report(attempt, Report::ReexecFailed { reason }));
            }
            (_, message) => self.unexpected(attempt, format!("unexpected message {message:?}"), actions),
        }
    }

    /// The predecessor's end or, with how it came, its death, without ABORT or LEAVING.
    pub(super) fn predecessor_gone(&mut self, death: Option<String>, actions: &mut Vec<Action>) {
        let Some(peer) = &self.predecessor else { return };
        let (attempt, baton) = (peer.attempt, peer.mark);
        let reason = death.clone().unwrap_or_else(|| "closed its channel".into());
        actions.push(Action::Report(
            attempt,
            match baton {
                true => Report::ReexecFailed { reason: format!("it {reason}") },
                false => {
                    let was_serving = matches!(self.phase, Phase::Init | Phase::Wait);
                    Report::PredecessorDied { reason, was_serving }
                }
            },
        ));
        actions.push(Action::Disarm(Deadline::Release));
        actions.push(Action::Disarm(Deadline::Back));
        self.announce_done(actions);
        match self.phase {
            Phase::Init => actions.push(Action::Arm(Deadline::Ready)),
            Phase::Wait => self.own(actions),
            _ => {}
        }
        if death.is_some() {
            self.leaving.retain(|peer| peer.attempt != attempt);
            actions.push(Action::Disarm(Deadline::Leave(attempt)));
            self.settled(actions);
        }
        self.start_if_asked(actions);
    }

    /// The predecessor is no net any longer: it is only waited for.
    fn announce_done(&mut self, actions: &mut Vec<Action>) {
        if let Some(peer) = self.predecessor.take() {
            actions.push(Action::Close(peer.attempt));
            if peer.relation == Relation::Child && self.phase == Phase::Owner {
                actions.push(Action::Arm(Deadline::Leave(peer.attempt)));
            }
            self.leaving.push(peer);
        }
    }

    /// It released in order to exec, and is given up before it has come back.
    pub(super) fn not_back(&mut self, reason: String, actions: &mut Vec<Action>) {
        if !self.predecessor.as_ref().is_some_and(|peer| peer.mark) {
            return;
        }
        if let Some(peer) = self.predecessor.take() {
            actions.extend([
                Action::Send(peer.attempt, Message::Abort(reason.clone())),
                Action::Disarm(Deadline::Back),
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

    /// Exec came back. The successor is the owner and knows that it may give this process up: so it is asked for the
    /// service as the new image would have asked.
    pub(super) fn exec_failed(&mut self, reason: String, actions: &mut Vec<Action>) {
        let Some(peer) = self.successor.take() else { return };
        let attempt = peer.attempt;
        actions.push(Action::Report(attempt, Report::ExecFailed { reason }));
        self.predecessor = Some(Peer { mark: false, ..peer });
        self.unsettled = Some(attempt);
        self.bounded = true;
        self.phase = Phase::Init;
        self.ready(actions);
    }
}
