//! Which requests a fault may lose: those that were in flight in a killed process, and no others.

use anyhow::ensure;

use super::cell::Cell;
use super::ends::Owner;
use super::kind::{Kind, MESSAGES};
use super::point::Scene;
use crate::load::losses;
use crate::records::Record;

/// When a process went out of service, in nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Strike {
    /// The fault.
    pub(super) from: u64,
    /// The death that it caused directly, or the moment when all threads of the process were stopped.
    pub(super) ended: Option<u64>,
    /// The moment when there was another owner, and the process that hung was killed.
    pub(super) killed: Option<u64>,
    /// Whether the process may have had connections.
    pub(super) serves: bool,
}

impl Strike {
    /// Fails if a request is lost that was not in flight in a process that was killed.
    pub(super) fn judge(&self, cell: &Cell, records: &[Record]) -> anyhow::Result<()> {
        let lost = losses(records);
        let answered = records.len() - lost.len();
        let served = answered > 0 || cell.ends().owner == Owner::Nobody;
        ensure!(served, "requests: expected some answers, found none of {}", records.len());
        let unfair: Vec<&&Record> = lost.iter().filter(|record| !self.excuses(cell, record)).collect();
        ensure!(
            unfair.is_empty(),
            "requests lost: expected none of {} but those in flight in a killed process {self:?}, found {unfair:#?} of {}",
            records.len(),
            lost.len()
        );
        Ok(())
    }

    fn excuses(&self, cell: &Cell, record: &Record) -> bool {
        if cell.point.scene == Scene::Dies && record.due_ns <= self.from {
            // The image of this scene dies before the fault is injected, and its connections with it.
            return true;
        }
        let accepted_by = match cell.ends() {
            _ if record.end_ns() < self.from => return false,
            ends if ends.owner == Owner::Nobody => return true,
            ends if ends.woken || !self.serves => return false,
            _ if cell.dies() || cell.kind == Kind::Stop => self.ended,
            // The other side kills a process whose messages it does not understand.
            _ if MESSAGES.contains(&cell.kind) => self.killed,
            _ => None,
        };
        accepted_by.is_some_and(|end| record.due_ns <= end)
    }
}
