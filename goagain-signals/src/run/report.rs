//! Reporting: what the machine says, with the pids and times that only the loop knows.

use super::Loop;
use crate::{Deadline, Event, EventKind, Phase, Report, Role, Server};
use goagain_env::{Pid, Process, Relation};
use std::time::Instant;

impl Loop {
    /// Passes an event to the server, with this process, its role, and the time since `attempt` was requested.
    pub fn report(&mut self, attempt: u64, kind: EventKind, server: &mut dyn Server) {
        if matches!(kind, EventKind::Requested { .. }) {
            self.since.entry(attempt).or_insert_with(Instant::now);
        }
        let elapsed = self.since.get(&attempt).unwrap_or(&self.started).elapsed();
        let role = Role::of(self.machine.phase());
        server.on_event(&Event::new(Pid::current(), self.generation, role, attempt, elapsed, kind));
    }

    /// Reports the warnings that the loop or the server has kept until now.
    pub fn report_warnings(&mut self, server: &mut dyn Server) {
        let own = std::mem::take(&mut self.warnings);
        for text in own.into_iter().chain(server.take_warnings()) {
            self.report(self.machine.attempt(), EventKind::Warning { text }, server);
        }
    }

    pub(super) fn report_of_machine(&mut self, attempt: u64, report: Report, server: &mut dyn Server) {
        let kind = self.kind_of(attempt, report, server);
        self.report(attempt, kind, server);
    }

    /// The machine has done all of its step by now: it stands where the event has led.
    fn kind_of(&self, attempt: u64, report: Report, server: &dyn Server) -> EventKind {
        let peer = self.peers.iter().find(|peer| peer.attempt == attempt);
        let pid = peer.and_then(|peer| peer.pid);
        match report {
            Report::Requested => {
                let begins = self.machine.phase() == Phase::Starting && self.machine.attempt() == attempt;
                EventKind::Requested { waits: !begins }
            }
            Report::Refused { reason } => EventKind::Refused { reason },
            Report::NotAborted { reason } => EventKind::NotAborted { reason },
            Report::Failed { reason } => EventKind::Failed { pid, reason },
            Report::SuccessorReady => EventKind::SuccessorReady { pid },
            Report::HandedOver => {
                let is_go = self.machine.successor_is_go();
                let process = peer.and_then(|peer| peer.process.as_ref()).map(Process::relation);
                // One that has exec'd in place is of this generation plus one or, where its exec failed, minus one.
                let is_next = process == Some(Relation::Child) && !is_go;
                EventKind::HandedOver {
                    pid,
                    generation: is_next.then_some(self.generation + 1),
                    fallback: (!is_go).then_some(self.settings.probation),
                }
            }
            Report::SuccessorServing => EventKind::SuccessorServing { pid },
            Report::RolledBack { reason } => EventKind::RolledBack { pid, reason },
            Report::Released { exec } => EventKind::Released { pid, exec },
            Report::ExecFailed { reason } => EventKind::ExecFailed { pid, reason },
            Report::Serving => {
                let is_bounded = self.deadlines.contains_key(&Deadline::Release);
                let fallback = is_bounded.then(|| self.length(Deadline::Release));
                EventKind::Serving { predecessor: pid, fallback }
            }
            Report::PredecessorReleased { exec } => EventKind::PredecessorReleased { pid, exec },
            Report::ReexecFailed { reason } => EventKind::ReexecFailed { pid, reason },
            Report::PredecessorDied { reason, was_serving } => {
                EventKind::PredecessorDied { pid, reason, was_serving }
            }
            Report::PredecessorExited => EventKind::PredecessorExited { pid },
            Report::Draining { stop } => EventKind::Draining { stop, in_flight: server.in_flight() },
            Report::Warning { text } => EventKind::Warning { text },
        }
    }
}
