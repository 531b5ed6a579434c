//! What a process does about its successor: it commits, is the net, rolls back, releases.

use super::owner::DRAIN;
use super::{Machine, Peer, Phase};
use crate::{Action, Deadline, Report, Stop};
use goagain_env::{Message, Next, View};

impl Machine {
    pub(super) fn successor_says(&mut self, message: Message, actions: &mut Vec<Action>) {
        match (self.phase, message) {
            (Phase::Starting, Message::Ready) => self.commit(actions),
            (Phase::Starting, Message::Failed(reason)) => self.attempt_failed(reason, false, actions),
            (Phase::Draining, Message::Serving) => {
                if let Some(peer) = &mut self.successor {
                    peer.mark = true;
                    actions.push(Action::Disarm(Deadline::Serving));
                    actions.push(Action::Report(peer.attempt, Report::SuccessorServing));
                }
                self.decide(actions);
            }
            (Phase::Draining, Message::Dismiss) => {
                self.dismissed = true;
                self.decide(actions);
            }
            (Phase::Draining | Phase::Killing, Message::Leaving) => self.successor_leaves(actions),
            (_, message) => self.unexpected(self.attempt, format!("unexpected message {message:?}"), actions),
        }
    }

    /// Final: the successor owns. The acceptors end; a restart asked for meanwhile is passed on.
    pub(super) fn commit(&mut self, actions: &mut Vec<Action>) {
        let Some(attempt) = self.successor() else { return };
        actions.push(Action::Send(attempt, Message::Commit { again: self.again }));
        self.passed = std::mem::take(&mut self.again);
        self.begin_draining(attempt, actions);
        actions.push(Action::Arm(Deadline::Probation));
        actions.push(Action::Arm(Deadline::Serving));
    }

    fn begin_draining(&mut self, attempt: u64, actions: &mut Vec<Action>) {
        self.phase = Phase::Draining;
        self.stop = Some(Stop::HandedOver);
        (self.drained, self.probation, self.dismissed, self.stopping) = (false, false, false, false);
        actions.extend([
            Action::Disarm(Deadline::Ready),
            Action::StopAccepting,
            Action::Report(attempt, Report::SuccessorReady),
            Action::Report(attempt, Report::HandedOver),
            Action::Report(attempt, Report::Draining { stop: Stop::HandedOver }),
        ]);
        actions.extend(DRAIN.map(Action::Arm));
    }

    /// A seed's process serves as soon as it signals, and knows of no net: there is no probation.
    pub(super) fn go_ready(&mut self, attempt: u64, actions: &mut Vec<Action>) {
        let back = self.phase == Phase::Owner && self.predecessor() == Some((attempt, true));
        if back {
            self.successor = self.predecessor.take();
            actions.push(Action::Disarm(Deadline::Back));
        } else if self.phase != Phase::Starting || self.successor() != Some(attempt) {
            return;
        }
        if let Some(peer) = &mut self.successor {
            (peer.go, peer.mark) = (true, true);
            self.begin_draining(attempt, actions);
            self.probation = true;
            self.decide(actions);
        }
    }

    /// Asks the strategy, once the successor serves and probation is over.
    pub(super) fn decide(&mut self, actions: &mut Vec<Action>) {
        let (Some(peer), Some(exec)) = (&self.successor, self.may_release()) else {
            if self.stays_for_good() {
                self.refuse_what_was_asked("this process is kept as the net: ask the owner", actions);
            }
            return;
        };
        if peer.go {
            self.release(exec, actions);
        } else {
            actions.push(Action::Release { attempt: peer.attempt, exec, again: self.again });
        }
    }

    /// Whether the net can end now, and whether an exec follows.
    fn may_release(&self) -> Option<bool> {
        let peer = self.successor.as_ref().filter(|peer| peer.mark && !peer.ended)?;
        if self.phase != Phase::Draining || !self.probation {
            return None;
        }
        match self.decisions.next(self.view(peer)) {
            Next::Exit => Some(false),
            // No aborted child outlives the exec unseen: this attempt began when the last one was reaped.
            Next::Exec if self.drained => Some(true),
            Next::Exec | Next::Stay => None,
        }
    }

    fn view(&self, successor: &Peer) -> View {
        View {
            successor: successor.relation,
            drained: self.drained,
            probation: self.probation,
            dismissed: self.dismissed,
        }
    }

    /// Whether nothing is left to come that could make the strategy change its mind, but the successor's death.
    fn stays_for_good(&self) -> bool {
        let all = self.phase == Phase::Draining && self.drained && self.probation && self.dismissed;
        let served = self.successor.as_ref().filter(|peer| peer.mark && !peer.ended);
        all && served.is_some_and(|peer| self.decisions.next(self.view(peer)) == Next::Stay)
    }

    pub(super) fn release_sent(&mut self, attempt: u64, actions: &mut Vec<Action>) {
        if let (true, Some(exec)) = (self.successor() == Some(attempt), self.may_release()) {
            self.again = false;
            self.release(exec, actions);
        }
    }

    /// A failure to release is a death in probation, but the channel is read on to its end: a LEAVING may be in it.
    /// It may also be that a stop let go of a successor that was dead.
    pub(super) fn release_failed(&mut self, attempt: u64, actions: &mut Vec<Action>) {
        if self.phase == Phase::Draining {
            if let Some(peer) = self.successor.as_mut().filter(|peer| peer.attempt == attempt) {
                peer.ended = true;
                actions.push(Action::Arm(Deadline::Abort));
            }
            return;
        }
        self.again |= std::mem::take(&mut self.passed);
        self.refuse_what_was_asked("the successor is gone, and this process is stopping", actions);
    }

    fn release(&mut self, exec: bool, actions: &mut Vec<Action>) {
        actions.push(Action::Report(self.attempt, Report::Released { exec }));
        if exec {
            actions.push(Action::Exec);
            return;
        }
        self.let_the_successor_go(false, actions);
    }

    /// This process is no net any longer, drains on, and leaves. Where the service stops (`unlink`), it may be the last to
    /// have the listeners.
    fn let_the_successor_go(&mut self, unlink: bool, actions: &mut Vec<Action>) {
        self.refuse_what_was_asked("the successor cannot be told of it", actions);
        self.phase = Phase::Released;
        actions.extend([
            Action::Disarm(Deadline::Probation),
            Action::Disarm(Deadline::Serving),
            Action::Disarm(Deadline::Abort),
            Action::CloseListeners { unlink },
        ]);
        if let Some(attempt) = self.successor() {
            actions.push(Action::Close(attempt));
        }
        if self.drained {
            self.phase = Phase::Dead;
        }
    }

    pub(super) fn kill_successor(&mut self, actions: &mut Vec<Action>) {
        if let Some(attempt) = self.successor() {
            self.phase = Phase::Killing;
            actions.push(Action::Kill(attempt));
        }
    }

    /// The end alone proves no death, and the death comes soon: it is waited for, and then helped.
    pub(super) fn successor_ended(&mut self, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Starting | Phase::Draining) {
            if let Some(peer) = self.successor.as_mut().filter(|peer| !peer.go) {
                peer.ended = true;
                actions.push(Action::Close(peer.attempt));
                actions.push(Action::Arm(Deadline::Abort));
            }
        }
    }

    pub(super) fn successor_dead(&mut self, how: String, actions: &mut Vec<Action>) {
        let Some(peer) = self.successor.take() else { return };
        actions.push(Action::Disarm(Deadline::Abort));
        match self.phase {
            Phase::Starting => {
                let reason = format!("the new process {how} before it was ready");
                self.failed(peer.attempt, Report::Failed { reason }, actions);
            }
            Phase::Draining | Phase::Killing => {
                // What COMMIT passed on was not done.
                self.again |= std::mem::take(&mut self.passed);
                actions.push(Action::Report(peer.attempt, Report::RolledBack { reason: how }));
                self.own(actions);
            }
            _ => {}
        }
    }

    /// The successor was told to stop: that is no crash.
    fn successor_leaves(&mut self, actions: &mut Vec<Action>) {
        let Some(peer) = &self.successor else { return };
        if self.decisions.may_exec(peer.relation) {
            // This pid is the service's, and the service stops.
            self.stop_draining(Stop::Gracefully, actions);
        } else {
            self.let_the_successor_go(true, actions);
        }
    }

    pub(super) fn stop_as_predecessor(&mut self, stop: Stop, actions: &mut Vec<Action>) {
        let Some(peer) = &self.successor else { return };
        let (attempt, go, relation) = (peer.attempt, peer.go, peer.relation);
        if self.decisions.may_exec(relation) {
            // The stop is for the service: the owner stops too.
            actions.push(match go {
                true => Action::SignalGo(attempt),
                false => Action::Send(attempt, Message::Leaving),
            });
            self.stop_draining(stop, actions);
        } else {
            let again = std::mem::take(&mut self.again);
            self.passed |= again;
            actions.push(Action::Release { attempt, exec: false, again });
            self.let_the_successor_go(false, actions);
            if matches!(stop, Stop::Now(_)) {
                self.phase = Phase::Dead;
            }
        }
        self.stopping = true;
    }

    fn stop_draining(&mut self, stop: Stop, actions: &mut Vec<Action>) {
        self.stop = Some(stop);
        self.let_the_successor_go(true, actions);
        self.phase = match stop {
            Stop::Now(_) => Phase::Dead,
            _ if self.drained => Phase::Dead,
            _ => Phase::Stopping,
        };
    }
}
