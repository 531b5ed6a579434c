//! What has to be so when a cell has come to rest: one owner, no stray process, no descriptor more than needed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, ensure};

use super::ends::Image;
use crate::service::Service;

/// How many fresh connections one process has to answer.
const ANSWERS: usize = 20;

/// How often the descriptors are looked at, each time after the owner has answered a signal.
const LOOKS: usize = 200;

/// Exactly one process is left, and it answers everybody.
pub(super) fn one_owner(service: &Service, owner: i32, generation: u64) -> anyhow::Result<()> {
    let said = service.owner()?;
    ensure!(said == owner, "owner: expected {owner}, found that {said} said so last");
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

/// No process but the owner, dead or alive.
pub(super) fn no_stray(service: &Service, owner: i32) -> anyhow::Result<()> {
    let living = service.living();
    ensure!(living == [owner], "processes: expected only {owner}, found {living:?}");
    let zombies = service.zombies()?;
    ensure!(zombies.is_empty(), "zombies: expected none, found {zombies:?}");
    Ok(())
}

/// When an owner is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum When {
    /// After the fault, which has this image as the owner; the predecessor before it too.
    Struck(Image),
    /// After the restart that went well.
    Restarted,
}

/// What an owner has open at rest: all cells have to agree, whatever happened in them.
static OPEN: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());

/// The owner has open what every other owner has then: nothing of what failed is left open.
pub(super) fn descriptors(service: &Service, when: When) -> anyhow::Result<()> {
    let key = format!("{} {when:?}", service.strategy());
    let mut looks = 0..LOOKS;
    loop {
        service.quiesce()?;
        let found = open(service)?;
        let expected = {
            let mut known = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(key.clone()).or_insert_with(|| found.clone()).clone()
        };
        if found == expected {
            return Ok(());
        }
        // A connection that was answered just now may not be closed yet.
        ensure!(
            looks.next().is_some(),
            "descriptors, {key}: expected as elsewhere {expected:?}, found {found:?}"
        );
    }
}

/// The kinds of the owner's descriptors.
fn open(service: &Service) -> anyhow::Result<Vec<String>> {
    let all = service.descriptors(service.owner()?)?;
    let folder = service.folder().path().display().to_string();
    let mut kinds: Vec<String> = all.into_iter().map(|(_, kind)| kind.replace(&folder, "")).collect();
    kinds.sort_unstable();
    Ok(kinds)
}
