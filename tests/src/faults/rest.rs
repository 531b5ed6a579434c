//! What must be true when a cell is at rest: one owner, no stray process, no unnecessary descriptor.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::ends::Image;
use crate::procfs::Descriptor;
use crate::service::{DEADLINE, Service};

/// How many new connections one process has to answer.
const ANSWERS: usize = 20;

/// Checks that exactly one process is left, and that it answers everybody.
pub(super) fn one_owner(service: &Service, owner: i32, generation: u64) -> anyhow::Result<()> {
    let said = service.owner()?;
    ensure!(said == owner, "owner: expected {owner}, found that {said} was the last to report it");
    service.quiesce()?;
    no_stray(service, owner)?;
    for number in 1..=ANSWERS {
        let answer = service.get("/").with_context(|| format!("answer {number} of {ANSWERS}"))?;
        let found = (answer.pid, answer.generation);
        ensure!(
            found == (owner, generation),
            "answer {number}: expected {owner} of generation {generation}, found {found:?}"
        );
    }
    Ok(())
}

/// Checks that there is no process but the owner, dead or alive.
pub(super) fn no_stray(service: &Service, owner: i32) -> anyhow::Result<()> {
    let living = service.living();
    ensure!(living == [owner], "processes: expected only {owner}, found {living:?}");
    let zombies = service.zombies()?;
    ensure!(zombies.is_empty(), "zombies: expected none, found {zombies:?}");
    Ok(())
}

/// When an owner is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum When {
    /// After the fault, with this image as the owner, or the predecessor before the fault.
    Struck(Image),
    /// After the successful restart.
    Restarted,
}

/// What an owner has open at rest. All cells have to agree, whatever happened in them.
static OPEN: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());

/// Checks that the owner has the same descriptors open as every other owner: nothing of what failed is left open.
pub(super) fn descriptors(service: &Service, when: When) -> anyhow::Result<()> {
    let key = format!("{} {when:?}", service.strategy());
    let known = || OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let first = known().get(&key).cloned();
    let expected = match first {
        Some(expected) => expected,
        None => {
            let found = open(service, service.descriptors_at_rest()?);
            known().entry(key.clone()).or_insert(found).clone()
        }
    };
    let end = Instant::now() + DEADLINE;
    loop {
        service.quiesce()?;
        let found = open(service, service.descriptors(service.owner()?)?);
        if found == expected {
            return Ok(());
        }
        // A connection that was just answered may not be closed yet.
        ensure!(
            Instant::now() < end,
            "descriptors, {key}: expected as elsewhere {expected:?}, found {found:?}"
        );
    }
}

/// Returns the kinds of the owner's descriptors.
fn open(service: &Service, all: Vec<Descriptor>) -> Vec<String> {
    let folder = service.folder().path().display().to_string();
    let mut kinds: Vec<String> = all.into_iter().map(|(_, kind)| kind.replace(&folder, "")).collect();
    kinds.sort_unstable();
    kinds
}
