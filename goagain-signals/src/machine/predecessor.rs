//! What a process does about its successor: it commits, is the fallback, rolls back, releases.

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
                    peer.serving = true;
                    actions.push(Action::Disarm(Deadline::Serving));
                    actions.push(Action::Report(peer.attempt, Report::SuccessorServing));
                }
                self.decide(actions);
            }
            (Phase::Draining, Message::Dismiss) => {
                self.dismissed = true;
                self.decide(actions);
            }
            (Phase::Draining | Phase::Killing, Message::Leaving) => self.successor_stops(actions),
            (_, message) => self.unexpected(self.attempt, format!("unexpected message {message:?}"), actions),
        }
    }

    /// Makes the successor the owner, which is final. Acceptors end, and COMMIT passes a pending restart on.
    pub(super) fn commit(&mut self, actions: &mut Vec<Action>) {
        let Some(attempt) = self.successor() else { return };
        actions.push(Action::Send(attempt, Message::Commit { again: self.restart_pending }));
        self.restart_passed_on = std::mem::take(&mut self.restart_pending);
        self.begin_draining(attempt, actions);
        actions.push(Action::Arm(Deadline::Probation));
        actions.push(Action::Arm(Deadline::Serving));
    }

    fn begin_draining(&mut self, attempt: u64, actions: &mut Vec<Action>) {
        self.phase = Phase::Draining;
        self.stop = Some(Stop::HandedOver);
        (self.drained, self.probation_over, self.dismissed, self.stopping) = (false, false, false, false);
        actions.extend([
            Action::Disarm(Deadline::Ready),
            Action::StopAccepting,
            Action::Report(attempt, Report::SuccessorReady),
            Action::Report(attempt, Report::HandedOver),
            Action::Report(attempt, Report::Draining { stop: Stop::HandedOver }),
        ]);
        actions.extend(DRAIN.map(Action::Arm));
    }

    /// A process of the Go package serves as soon as it sends its signal. It has no protocol for a fallback, so there is no
    /// probation period.
    pub(super) fn go_ready(&mut self, attempt: u64, actions: &mut Vec<Action>) {
        let back = self.phase == Phase::Owner && self.predecessor() == Some((attempt, true));
        if back {
            self.successor = self.predecessor.take().map(|peer| Peer { execs: false, ..peer });
            actions.push(Action::Disarm(Deadline::Reexec));
        } else if self.phase != Phase::Starting || self.successor() != Some(attempt) {
            return;
        }
        if let Some(peer) = &mut self.successor {
            (peer.go, peer.serving) = (true, true);
            self.begin_draining(attempt, actions);
            self.probation_over = true;
            self.decide(actions);
        }
    }

    /// Asks the strategy, once the successor serves and the probation period is over.
    pub(super) fn decide(&mut self, actions: &mut Vec<Action>) {
        let (Some(peer), Some(exec)) = (&self.successor, self.may_release()) else {
            if self.stays_until_a_death() {
                self.refuse_pending_restart(
                    "this process stays as the fallback: ask the process that serves",
                    actions,
                );
            }
            return;
        };
        if peer.go {
            self.release(exec, actions);
        } else {
            actions.push(Action::Release { attempt: peer.attempt, exec, again: self.restart_pending });
        }
    }

    /// Returns whether an exec follows the release, or `None` if this process cannot release now.
    fn may_release(&self) -> Option<bool> {
        let peer = self.successor.as_ref().filter(|peer| peer.serving && !peer.ended)?;
        if self.phase != Phase::Draining || !self.probation_over {
            return None;
        }
        match self.decisions.next(self.view(peer)) {
            Next::Exit => Some(false),
            // No aborted child is left behind by the exec: this attempt began only when the child of the last one was reaped.
            Next::Exec if self.drained => Some(true),
            Next::Exec | Next::Stay => None,
        }
    }

    fn view(&self, successor: &Peer) -> View {
        View {
            successor: successor.relation,
            drained: self.drained,
            probation_over: self.probation_over,
            dismissed: self.dismissed,
        }
    }

    /// Returns whether this process stays the fallback until its successor dies: nothing else can change the strategy's answer.
    fn stays_until_a_death(&self) -> bool {
        let all = self.phase == Phase::Draining && self.drained && self.probation_over && self.dismissed;
        let served = self.successor.as_ref().filter(|peer| peer.serving && !peer.ended);
        all && served.is_some_and(|peer| self.decisions.next(self.view(peer)) == Next::Stay)
    }

    pub(super) fn release_sent(&mut self, attempt: u64, actions: &mut Vec<Action>) {
        if let (true, Some(exec)) = (self.successor() == Some(attempt), self.may_release()) {
            self.restart_pending = false;
            self.release(exec, actions);
        }
    }

    /// If RELEASED cannot be sent, the successor has died in the probation period. But the channel is read to its end first: it
    /// may hold a LEAVING. In another phase, a stop has released a successor that was dead already.
    pub(super) fn release_failed(&mut self, attempt: u64, actions: &mut Vec<Action>) {
        if self.phase == Phase::Draining {
            if let Some(peer) = self.successor.as_mut().filter(|peer| peer.attempt == attempt) {
                peer.ended = true;
                actions.push(Action::Arm(Deadline::Abort));
            }
            return;
        }
        self.restart_pending |= std::mem::take(&mut self.restart_passed_on);
        self.refuse_pending_restart("the new process has died, and this process is stopping", actions);
    }

    fn release(&mut self, exec: bool, actions: &mut Vec<Action>) {
        actions.push(Action::Report(self.attempt, Report::Released { exec }));
        if exec {
            actions.push(Action::Exec);
            return;
        }
        self.end_fallback(false, actions);
    }

    /// This process is no longer the fallback: it finishes its drain, and exits. Where the whole service stops (`unlink`), it may
    /// be the last process that has the listeners.
    fn end_fallback(&mut self, unlink: bool, actions: &mut Vec<Action>) {
        self.refuse_pending_restart("it can no longer be passed on to the process that serves", actions);
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

    /// The end of the channel does not prove that the process is dead. The death is waited for, for `abort_timeout`; then the
    /// process is killed.
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
                // The restart that COMMIT passed on was not done.
                self.restart_pending |= std::mem::take(&mut self.restart_passed_on);
                actions.push(Action::Report(peer.attempt, Report::RolledBack { reason: how }));
                self.become_owner(actions);
            }
            _ => {}
        }
    }

    /// The successor was asked to stop: this is not a crash.
    fn successor_stops(&mut self, actions: &mut Vec<Action>) {
        let Some(peer) = &self.successor else { return };
        if self.decisions.may_exec(peer.relation) {
            // Supervisors know the service by this pid, and the service stops.
            self.stop_draining(Stop::Gracefully, actions);
        } else {
            self.end_fallback(true, actions);
        }
    }

    pub(super) fn stop_as_predecessor(&mut self, stop: Stop, actions: &mut Vec<Action>) {
        let Some(peer) = &self.successor else { return };
        let (attempt, go, relation) = (peer.attempt, peer.go, peer.relation);
        if self.decisions.may_exec(relation) {
            // The stop is meant for the service: the owner stops too.
            actions.push(match go {
                true => Action::SignalGo(attempt),
                false => Action::Send(attempt, Message::Leaving),
            });
            self.stop_draining(stop, actions);
        } else {
            let again = std::mem::take(&mut self.restart_pending);
            self.restart_passed_on |= again;
            actions.push(Action::Release { attempt, exec: false, again });
            self.end_fallback(false, actions);
            if matches!(stop, Stop::Now(_)) {
                self.phase = Phase::Dead;
            }
        }
        self.stopping = true;
    }

    fn stop_draining(&mut self, stop: Stop, actions: &mut Vec<Action>) {
        self.stop = Some(stop);
        self.end_fallback(true, actions);
        self.phase = match stop {
            Stop::Now(_) => Phase::Dead,
            _ if self.drained => Phase::Dead,
            _ => Phase::Stopping,
        };
    }
}
