//! The owner's part: it accepts, starts attempts, and stops.

use super::{Machine, Peer, Phase};
use crate::{Action, Deadline, Report, Stop};
use goagain_env::{Message, Relation};

/// What a drain begins with.
pub(super) const DRAIN: [Deadline; 3] = [Deadline::IdleGrace, Deadline::LongLived, Deadline::Drain];

impl Machine {
    /// This process accepts from here on.
    pub(super) fn own(&mut self, actions: &mut Vec<Action>) {
        self.phase = Phase::Owner;
        self.stop = None;
        let over = [Deadline::Answer, Deadline::Ready, Deadline::Probation, Deadline::Serving];
        let drain = [Deadline::Drain, Deadline::IdleGrace, Deadline::LongLived, Deadline::ClosingLongLived];
        actions.extend(over.into_iter().chain(drain).map(Action::Disarm));
        actions.push(Action::Accept);
        for peer in self.leaving.iter().filter(|peer| peer.relation == Relation::Child) {
            actions.push(Action::Arm(Deadline::Leave(peer.attempt)));
        }
        self.settled(actions);
        self.start_if_asked(actions);
    }

    pub(super) fn restart(&mut self, actions: &mut Vec<Action>) {
        let attempt = self.attempt + 1;
        let refusal = match self.phase {
            Phase::Released => "this process has handed over and released: ask the owner",
            Phase::Stopping | Phase::Dead => "this process is stopping",
            _ => {
                self.again = true;
                actions.push(Action::Report(attempt, Report::Requested));
                // A restart that the operator asks for now does not wait for the grace of a failed one.
                if let (Phase::Owner, Some(peer)) = (self.phase, &self.aborted) {
                    actions.push(Action::Kill(peer.attempt));
                }
                // The owner is told of it with RELEASED, so a net that stays for longer lets go.
                if self.phase == Phase::Draining {
                    return self.dismiss(actions);
                }
                return self.start_if_asked(actions);
            }
        };
        actions.push(Action::Report(attempt, Report::Refused { reason: refusal.into() }));
    }

    /// A restart of an image that was deployed since the attempt under way was started: nobody wants that one any longer.
    pub(super) fn restart_anew(&mut self, actions: &mut Vec<Action>) {
        if self.phase == Phase::Starting && self.successor.is_some() {
            self.attempt_failed("a newer image was deployed, and a restart requested".into(), false, actions);
        }
        self.restart(actions);
    }

    /// Ends the attempt under way, and refuses the restart that was noted. A commit is final.
    pub(super) fn abort_attempt(&mut self, reason: String, actions: &mut Vec<Action>) {
        const COMMITTED: &str = "the attempt is committed, and a commit is final";
        let baton = self.predecessor.as_ref().map(|peer| peer.mark);
        let why_not = match (self.phase, baton) {
            (Phase::Starting, _) => {
                self.refuse_what_was_asked(&reason, actions);
                return self.attempt_failed(reason, false, actions);
            }
            // It is this side that may give the other up.
            (Phase::Owner, Some(true)) => {
                self.refuse_what_was_asked(&reason, actions);
                return self.not_back(reason, actions);
            }
            (Phase::Owner, _) if self.again => return self.refuse_what_was_asked(&reason, actions),
            (Phase::Owner, None) => "no attempt is under way",
            (Phase::Owner | Phase::Draining | Phase::Killing, _) => COMMITTED,
            (Phase::Init | Phase::Wait | Phase::Released, _) => {
                "this process is not the owner: ask the owner"
            }
            (Phase::Stopping | Phase::Dead, _) => "this process is stopping",
        };
        actions.push(Action::Report(self.attempt, Report::NotAborted { reason: why_not.into() }));
    }

    /// Begins the attempt that was asked for, unless somebody could still take the service back (there would be two
    /// owners), or the image of the last attempt still lives.
    pub(super) fn start_if_asked(&mut self, actions: &mut Vec<Action>) {
        if self.phase != Phase::Owner || !self.again {
            return;
        }
        if self.predecessor.is_some() {
            // Its probation is not cut short by this; a strategy that stays for longer lets go.
            self.dismiss(actions);
        } else if self.aborted.is_none() {
            self.again = false;
            self.attempt += 1;
            self.phase = Phase::Starting;
            actions.push(Action::Spawn(self.attempt));
        }
    }

    /// A restart that was noted will not be done: whoever asked is told.
    pub(super) fn refuse_what_was_asked(&mut self, reason: &str, actions: &mut Vec<Action>) {
        if std::mem::take(&mut self.again) {
            actions.push(Action::Report(self.attempt + 1, Report::Refused { reason: reason.into() }));
        }
    }

    /// The net is needed no longer: the owner says so to it, and the net itself can be told.
    pub(super) fn dismiss(&mut self, actions: &mut Vec<Action>) {
        if self.phase == Phase::Draining {
            self.dismissed = true;
            return self.decide(actions);
        }
        if let (Phase::Owner, Some(peer)) = (self.phase, &self.predecessor) {
            if !peer.mark && !self.dismissed {
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

    /// The attempt is over and the owner goes on.
    pub(super) fn failed(&mut self, attempt: u64, report: Report, actions: &mut Vec<Action>) {
        self.phase = Phase::Owner;
        actions.extend([Action::Disarm(Deadline::Ready), Action::Report(attempt, report)]);
        self.start_if_asked(actions);
    }

    /// Gives up the successor of the attempt under way: ABORT and a grace, or SIGKILL at once.
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

    /// The owner stops, and with it every successor that is not committed, and a predecessor that is the net.
    pub(super) fn stop_as_owner(&mut self, stop: Stop, actions: &mut Vec<Action>) {
        let now = matches!(stop, Stop::Now(_));
        match self.phase {
            Phase::Starting => self.abort("the owner is stopping", now, actions),
            // SIGKILL is on its way already.
            Phase::Killing => self.aborted = self.successor.take(),
            Phase::Owner => {}
            _ => return,
        }
        if let Some(peer) = self.predecessor.take() {
            // No crash: do not take over.
            actions.push(Action::Send(peer.attempt, Message::Leaving));
            if peer.mark {
                // It is to come back, and not committed: it ends with this process, even if it hangs.
                actions.push(if now { Action::Kill(peer.attempt) } else { Action::Arm(Deadline::Abort) });
                actions.push(Action::Disarm(Deadline::Back));
                self.aborted = Some(peer);
            } else {
                self.leaving.push(peer);
            }
        }
        self.refuse_what_was_asked("this process is stopping", actions);
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

    /// Tells when this process is the owner and nobody of the hand-over before is left.
    pub(super) fn settled(&mut self, actions: &mut Vec<Action>) {
        let owner = matches!(self.phase, Phase::Owner | Phase::Starting);
        if owner && self.predecessor.is_none() && self.leaving.is_empty() {
            if let Some(attempt) = self.unsettled.take() {
                actions.push(Action::Report(attempt, Report::PredecessorExited));
            }
        }
    }
}
