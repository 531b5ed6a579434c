//! Runs many cells, a few at a time, and collects their outcomes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use serde::Serialize;

use super::cell::Cell;
use crate::service::Binaries;

/// The outcome of a cell.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub milliseconds: u64,
    /// The expected outcome.
    pub expected: String,
    /// Only a supervisor could help: the last fallback was hit, or no process may kill the one that hangs.
    pub supervisor: bool,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Runs `cells`, `at_once` of them at a time. Calls `done` when each one ends. The outcomes are in the order of the cells.
pub fn run(
    binaries: &Binaries,
    cells: &[Cell],
    at_once: usize,
    done: impl Fn(&Outcome) + Sync,
) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(vec![None; cells.len()]);
    thread::scope(|scope| {
        for _ in 0..at_once.clamp(1, cells.len().max(1)) {
            scope.spawn(|| {
                while let Some((number, cell)) = taken(&next, cells) {
                    let outcome = run_one(binaries, cell);
                    done(&outcome);
                    outcomes.lock().unwrap_or_else(PoisonError::into_inner)[number] = Some(outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect()
}

fn taken<'a>(next: &AtomicUsize, cells: &'a [Cell]) -> Option<(usize, &'a Cell)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    cells.get(number).map(|cell| (number, cell))
}

fn run_one(binaries: &Binaries, cell: &Cell) -> Outcome {
    let begin = Instant::now();
    let failure = cell.run(binaries).err().map(|error| format!("{error:#}"));
    Outcome {
        name: cell.name(),
        milliseconds: begin.elapsed().as_millis() as u64,
        expected: cell.ends().to_string(),
        supervisor: cell.needs_a_supervisor(),
        failure,
    }
}
