//! What the owner does: it accepts, starts attempts, and stops.

use super::{Machine, Peer, Phase};
use crate::{Action, Deadline, Report, Stop};
use goagain_env::{Message, Relation};

/// The deadlines that run from the start of a drain.
pub(super) const DRAIN: [Deadline; 3] = [Deadline::IdleGrace, Deadline::LongLived, Deadline::Drain];

impl Machine {
    /// Makes this process the owner: it accepts from here on.
    pub(super) fn become_owner(&mut self, actions: &mut Vec<Action>) {
        self.phase = Phase::Owner;
        self.stop = None;
        let over = [Deadline::Answer, Deadline::Ready, Deadline::Probation, Deadline::Serving];
        let drain = [Deadline::Drain, Deadline::IdleGrace, Deadline::LongLived, Deadline::ClosingLongLived];
        actions.extend(over.into_iter().chain(drain).map(Action::Disarm));
        actions.push(Action::Accept);
        for peer in self.exiting.iter().filter(|peer| peer.relation == Relation::Child) {
            actions.push(Action::Arm(Deadline::Exit(peer.attempt)));
        }
        self.report_if_complete(actions);
        self.start_if_pending(actions);
    }

    pub(super) fn restart(&mut self, actions: &mut Vec<Action>) {
        let attempt = self.attempt + 1;
        let refusal = match self.phase {
            Phase::Released => "this process has handed over: ask the process that serves",
            Phase::Stopping | Phase::Dead => "this process is stopping",
            _ => {
                self.restart_pending = true;
                actions.push(Action::Report(attempt, Report::Requested));
                // The process of a failed attempt has `abort_timeout` to exit. A restart that is requested now does not wait
                // for it.
                if let (Phase::Owner, Some(peer)) = (self.phase, &self.aborted) {
                    actions.push(Action::Kill(peer.attempt));
                }
                // RELEASED passes the restart on to the owner. So a fallback that stays until it is dismissed releases now.
                if self.phase == Phase::Draining {
                    return self.dismiss(actions);
                }
                return self.start_if_pending(actions);
            }
        };
        actions.push(Action::Report(attempt, Report::Refused { reason: refusal.into() }));
    }

    /// Restarts after an image was deployed that is newer than the one of the running attempt: that attempt is aborted.
    pub(super) fn restart_anew(&mut self, actions: &mut Vec<Action>) {
        if self.phase == Phase::Starting && self.successor.is_some() {
            self.attempt_failed(
                "a newer image was deployed, and a restart was requested".into(),
                false,
                actions,
            );
        }
        self.restart(actions);
    }

    /// Aborts the running attempt, and refuses the pending restart. COMMIT is final: after it there is nothing to abort.
    pub(super) fn abort_attempt(&mut self, reason: String, actions: &mut Vec<Action>) {
        const COMMITTED: &str = "the new process has taken over, and a commit is final";
        let predecessor_execs = self.predecessor.as_ref().map(|peer| peer.execs);
        let why_not = match (self.phase, predecessor_execs) {
            (Phase::Starting, _) => {
                self.refuse_pending_restart(&reason, actions);
                return self.attempt_failed(reason, false, actions);
            }
            // The predecessor is to come back, and it is this process that may give it up.
            (Phase::Owner, Some(true)) => {
                self.refuse_pending_restart(&reason, actions);
                return self.give_up_reexec(reason, actions);
            }
            (Phase::Owner, _) if self.restart_pending => {
                return self.refuse_pending_restart(&reason, actions);
            }
            (Phase::Owner, None) => "no restart is running",
            (Phase::Owner | Phase::Draining | Phase::Killing, _) => COMMITTED,
            (Phase::Init | Phase::Wait | Phase::Released, _) => {
                "this process does not serve: ask the one that does"
            }
            (Phase::Stopping | Phase::Dead, _) => "this process is stopping",
        };
        actions.push(Action::Report(self.attempt, Report::NotAborted { reason: why_not.into() }));
    }

    /// Begins the pending restart. It waits while the predecessor can still take the service back (there could be two owners),
    /// and while the process of the last attempt is alive.
    pub(super) fn start_if_pending(&mut self, actions: &mut Vec<Action>) {
        if self.phase != Phase::Owner || !self.restart_pending {
            return;
        }
        if self.predecessor.is_some() {
            // DISMISS does not shorten the probation period. It ends a fallback that would stay for longer.
            self.dismiss(actions);
        } else if self.aborted.is_none() {
            self.restart_pending = false;
            self.attempt += 1;
            self.phase = Phase::Starting;
            actions.push(Action::Spawn(self.attempt));
        }
    }

    /// Refuses the pending restart, if there is one, and reports that.
    pub(super) fn refuse_pending_restart(&mut self, reason: &str, actions: &mut Vec<Action>) {
        if std::mem::take(&mut self.restart_pending) {
            actions.push(Action::Report(self.attempt + 1, Report::Refused { reason: reason.into() }));
        }
    }

    /// The fallback is no longer needed: the owner sends DISMISS to it, and the fallback itself may release.
    pub(super) fn dismiss(&mut self, actions: &mut Vec<Action>) {
        if self.phase == Phase::Draining {
            self.dismissed = true;
            return self.decide(actions);
        }
        if let (Phase::Owner, Some(peer)) = (self.phase, &self.predecessor) {
            if !peer.execs && !self.dismissed {
                self.dismissed = true;
                actions.push(Action::Send(peer.attempt, Message::Dismiss));
                if !self.bounded {
                    actions.push(Action::Arm(Deadline::Release));
                }
            }
        }
    }

    pub(super) fn spawned(&mut self, attempt: u64, actions: &mut Vec<Action>) {
        if self.phase == Phase::Starting && self.attempt == attempt && self.successor.is_none() {
            self.successor = Some(Peer::new(attempt, Relation::Child, false));
            actions.push(Action::Arm(Deadline::Ready));
        } else {
            actions.push(Action::Kill(attempt));
        }
    }

    pub(super) fn spawn_failed(&mut self, attempt: u64, report: Report, actions: &mut Vec<Action>) {
        if self.phase == Phase::Starting && self.attempt == attempt && self.successor.is_none() {
            self.failed(attempt, report, actions);
        }
    }

    /// The attempt has failed, and the owner keeps serving.
    pub(super) fn failed(&mut self, attempt: u64, report: Report, actions: &mut Vec<Action>) {
        self.phase = Phase::Owner;
        actions.extend([Action::Disarm(Deadline::Ready), Action::Report(attempt, report)]);
        self.start_if_pending(actions);
    }

    /// Aborts the successor of the running attempt: ABORT, and SIGKILL after `abort_timeout`, or SIGKILL at once (`now`).
    pub(super) fn abort(&mut self, reason: &str, now: bool, actions: &mut Vec<Action>) {
        if let Some(peer) = self.successor.take() {
            let attempt = peer.attempt;
            actions.push(Action::Disarm(Deadline::Ready));
            if now {
                actions.push(Action::Kill(attempt));
            } else {
                actions.push(Action::Send(attempt, Message::Abort(reason.into())));
                actions.push(Action::Arm(Deadline::Abort));
            }
            self.aborted = Some(peer);
        } else {
            actions.push(Action::CancelSpawn(self.attempt));
        }
    }

    pub(super) fn attempt_failed(&mut self, reason: String, kill: bool, actions: &mut Vec<Action>) {
        self.abort(&reason, kill, actions);
        self.failed(self.attempt, Report::Failed { reason }, actions);
    }

    /// The owner stops. With it stop a successor that was not given the service, and a predecessor that is the fallback.
    pub(super) fn stop_as_owner(&mut self, stop: Stop, actions: &mut Vec<Action>) {
        let now = matches!(stop, Stop::Now(_));
        match self.phase {
            Phase::Starting => self.abort("the owner is stopping", now, actions),
            // SIGKILL was sent before.
            Phase::Killing => self.aborted = self.successor.take(),
            Phase::Owner => {}
            _ => return,
        }
        if let Some(peer) = self.predecessor.take() {
            // This is not a crash: the predecessor must not take over.
            actions.push(Action::Send(peer.attempt, Message::Leaving));
            if peer.execs {
                // It is to come back, and was not given the service: it ends with this process, even if it hangs.
                actions.push(if now { Action::Kill(peer.attempt) } else { Action::Arm(Deadline::Abort) });
                actions.push(Action::Disarm(Deadline::Reexec));
                self.aborted = Some(peer);
            } else {
                self.exiting.push(peer);
            }
        }
        self.refuse_pending_restart("this process is stopping", actions);
        self.stop = Some(stop);
        self.stopping = true;
        self.phase = if now { Phase::Dead } else { Phase::Stopping };
        actions.extend([
            Action::StopAccepting,
            Action::CloseListeners { unlink: stop != Stop::HandedOver },
            Action::Report(self.attempt, Report::Draining { stop }),
        ]);
        if !now {
            actions.extend(DRAIN.map(Action::Arm));
        }
    }

    /// Reports once that this process is the owner and that all earlier processes have exited.
    pub(super) fn report_if_complete(&mut self, actions: &mut Vec<Action>) {
        let owner = matches!(self.phase, Phase::Owner | Phase::Starting);
        if owner && self.predecessor.is_none() && self.exiting.is_empty() {
            if let Some(attempt) = self.incomplete.take() {
                actions.push(Action::Report(attempt, Report::PredecessorExited));
            }
        }
    }
}
