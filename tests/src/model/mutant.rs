//! Rules switched off.

use super::world::World;
use goagain_signals::{Action, Event};

/// A rule of the protocol that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A death is told beside an unread message (rule 6).
    DeathBesideMessage,
    /// A deadline passes beside an unread message (rule 6).
    DeadlineBesideMessage,
}

impl Mutant {
    /// What the machine is told instead.
    pub fn told(self, _world: &mut World, _me: usize, event: Event) -> Vec<Event> {
        vec![event]
    }

    /// What is done instead.
    pub fn done(self, _world: &mut World, _me: usize, actions: Vec<Action>) -> Vec<Action> {
        actions
    }
}
