//! What must not be the case when nothing more is certain to happen.

use super::process::Life;
use super::step::Step;
use super::world::{Broken, World};
use goagain_env::{Next, Relation, View};
use goagain_signals::{Action, Deadline, Decisions, Input};

/// Checks a world. `bound` are the steps that are certain to happen.
pub fn check(world: &mut World, bound: &[Step]) {
    if world.broken.is_some() {
        return;
    }
    world.broken = match bound {
        [] => at_the_end(world),
        _ if bound.iter().all(|step| is_a_drain(world, step)) => in_a_long_drain(world),
        _ => None,
    };
}

/// Returns whether this step is the end of a drain, or leads to nothing else.
fn is_a_drain(world: &World, step: &Step) -> bool {
    // The last resort against a predecessor that hangs does not count as a way to end a drain.
    let is_leave = |deadline: &Deadline| matches!(deadline, Deadline::Exit(_) | Deadline::Release);
    match step {
        Step::Drained(_) => true,
        Step::Deadline(_, deadline) => is_leave(deadline),
        Step::Look(index) => world.processes[*index].armed.iter().all(is_leave),
        _ => false,
    }
}

/// Checks a world in which processes drain for as long as they may, and nothing else happens.
fn in_a_long_drain(world: &World) -> Option<Broken> {
    let owner = world.processes.iter().find(|process| process.runs() && process.accepts)?;
    let releases = world.processes.iter().all(|process| releases(process.machine.decisions()));
    let hangs = world.processes.iter().any(|process| process.life == Life::Hung);
    let acts = world.processes.iter().any(|process| process.looked);
    (owner.asked && releases && !hangs && !acts).then_some(Broken::Delayed)
}

/// Returns whether the fallback of a child ends with the probation period, whichever comes first, the end of the
/// drain or DISMISS.
fn releases(decisions: &Decisions) -> bool {
    let answer = |(drained, dismissed)| {
        decisions.next(View { successor: Relation::Child, drained, probation_over: true, dismissed })
    };
    [(false, false), (false, true)].map(answer) == [Next::Exit; 2]
        && ![(true, false), (true, true)].map(answer).contains(&Next::Stay)
}

fn at_the_end(world: &World) -> Option<Broken> {
    let running = || world.processes.iter().filter(|process| process.runs());
    let mut owners = running().filter(|process| process.accepts);
    let owner = owners.next();
    if world.stopped && running().next().is_some() {
        return Some(Broken::NotStopped);
    }
    if owner.is_none() && !world.stopped && !world.excused {
        return Some(Broken::NoOwner);
    }
    if running().any(|process| process.asked) {
        return Some(Broken::Forgotten);
    }
    let runs = |index: Option<usize>| index.is_some_and(|index| world.processes[index].runs());
    if world.processes.iter().any(|process| process.is_dead() && runs(process.parent)) {
        return Some(Broken::Zombie);
    }
    let saw_to_it = |index: usize| world.processes[index].runs() || world.processes[index].left;
    if world.processes.iter().any(|process| process.is_alive() && process.aborted_by.is_some_and(saw_to_it)) {
        return Some(Broken::Lingers);
    }
    let owner = owner.filter(|owner| !owner.machine.has_fallback())?;
    let mut actions = Vec::new();
    owner.machine.clone().handle(Input::Restart, &mut actions);
    let retries = actions.iter().any(|action| matches!(action, Action::Spawn(_)));
    (!retries).then_some(Broken::NoRetry)
}
