//! The interface to the model checker: what it explores, and what it found.

use super::check::check;
use super::mutant::Mutant;
use super::perform::perform;
use super::step::{Step, bound, possible};
use super::world::{Bounds, Broken, World};
use goagain_signals::Decisions;
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

const HOLDS: &str = "the invariants hold";

/// What is explored.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// The strategies that an image may have.
    pub strategies: Vec<Decisions>,
    /// What may happen.
    pub bounds: Bounds,
    /// The rule that is switched off.
    pub mutant: Option<Mutant>,
}

/// What was found.
#[derive(Debug)]
pub struct Explored {
    /// The number of states.
    pub states: usize,
    /// The length of the longest path that was taken.
    pub depth: usize,
    /// What is broken, and the steps that lead to it.
    pub broken: Option<(Broken, Vec<Step>)>,
}

impl Protocol {
    /// Explores everything, or until something is found to be broken.
    pub fn explore(self) -> Explored {
        let checker = self.checker().threads(2).finish_when(HasDiscoveries::Any).spawn_bfs().join();
        let broken = checker.discovery(HOLDS).map(|path| {
            let broken = path.last_state().broken;
            (broken.unwrap_or(Broken::NoOwner), path.into_actions())
        });
        Explored { states: checker.unique_state_count(), depth: checker.max_depth(), broken }
    }
}

impl Protocol {
    /// Returns whether no state leads back to itself. Only then does what holds in the end also hold eventually.
    pub fn comes_to_an_end(&self) -> bool {
        let mut open = HashSet::new();
        let mut done = HashSet::new();
        let mut path: Vec<(u64, Vec<World>)> = vec![(0, self.init_states())];
        while let Some((number, next)) = path.last_mut() {
            let Some(world) = next.pop() else {
                open.remove(number);
                done.insert(*number);
                path.pop();
                continue;
            };
            let number = number_of(&world);
            if open.contains(&number) {
                return false;
            }
            if !done.contains(&number) {
                open.insert(number);
                path.push((number, self.next_states(&world)));
            }
        }
        true
    }
}

fn number_of(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        self.strategies.iter().map(|&strategy| World::new(strategy, self.bounds)).collect()
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if world.broken.is_none() {
            bound(self, world, steps);
            possible(world, steps);
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        perform(self, &mut next, step);
        let mut steps = Vec::new();
        bound(self, &next, &mut steps);
        check(&mut next, &steps);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Protocol>> {
        vec![Property::always(HOLDS, |_, world: &World| world.broken.is_none())]
    }
}
