//! What can happen next.

use super::explore::Protocol;
use super::mutant::Mutant;
use super::process::{Life, Process};
use super::world::World;
use goagain_signals::{Deadline, Input, Phase, Turn};

/// One step. The first number is the process that it happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The application can serve.
    Ready(usize),
    /// The application waits for the end of its term.
    Waits(usize),
    /// Nothing is in flight, or the deadline for it has passed.
    Drained(usize),
    /// The next message of this attempt is read.
    Read(usize, u64),
    /// The end of this attempt's channel is read.
    End(usize, u64),
    /// The death of this attempt's process is seen.
    Dead(usize, u64),
    /// Everything was read, and something else is handled next. Meanwhile more messages may come.
    Look(usize),
    /// A deadline passes.
    Deadline(usize, Deadline),
    /// The image that is being started runs, with this strategy.
    Spawned(usize, usize),
    /// The exec succeeds, with this strategy.
    Execed(usize, usize),
    /// The application exits, as its turn says.
    Leave(usize),
    /// The kernel closes the descriptors of a process that has ended.
    Close(usize),
    /// The death of a process that has ended becomes visible.
    Die(usize),
    /// Not certain to happen: the image cannot be started.
    NotSpawned(usize),
    /// Not certain to happen: the exec fails.
    NotExeced(usize),
    /// Not certain to happen: the application cannot serve.
    CannotServe(usize),
    /// Not certain to happen: a restart is requested.
    Restart(usize),
    /// Not certain to happen: a restart is requested for an image that has replaced the one of the current attempt.
    RestartAnew(usize),
    /// Not certain to happen: the current attempt is aborted.
    Abort(usize),
    /// Not certain to happen: a stop is requested, at once or gracefully.
    Stop(usize, bool),
    /// Not certain to happen: the fallback is dismissed.
    Dismiss(usize),
    /// Not certain to happen: the process crashes.
    Crash(usize),
    /// Not certain to happen: the process hangs.
    Hang(usize),
}

/// Adds what is certain to happen unless something else happens first.
pub fn bound(protocol: &Protocol, world: &World, steps: &mut Vec<Step>) {
    for (index, process) in world.processes.iter().enumerate() {
        match process.life {
            Life::Running => running(protocol, world, index, process, steps),
            Life::Hung => {}
            Life::Ending { open, alive } => {
                steps.extend(open.then_some(Step::Close(index)));
                steps.extend(alive.then_some(Step::Die(index)));
            }
        }
    }
}

fn running(protocol: &Protocol, world: &World, index: usize, process: &Process, steps: &mut Vec<Step>) {
    let strategies = 0..protocol.strategies.len();
    if process.in_exec {
        return steps.extend(strategies.map(|strategy| Step::Execed(index, strategy)));
    }
    if process.looked {
        return acting(index, process, steps);
    }
    if process.spawning.is_some() {
        steps.extend(strategies.map(|strategy| Step::Spawned(index, strategy)));
    }
    match process.machine.turn() {
        Turn::Exit => steps.push(Step::Leave(index)),
        Turn::Prepare if process.machine.phase() == Phase::Init => steps.push(Step::Ready(index)),
        Turn::Serve if !process.waits => steps.push(Step::Waits(index)),
        _ => {}
    }
    let mut has_read_all = true;
    for peer in &process.peers {
        let channel = peer.channel.map(|(channel, side)| (&world.channels[channel], side));
        let mut is_read = true;
        if let Some((channel, side)) = channel {
            if channel.first(side).is_some() {
                (has_read_all, is_read) = (false, false);
                steps.push(Step::Read(index, peer.attempt));
            } else if channel.has_ended(side) {
                (has_read_all, is_read) = (false, false);
                steps.push(Step::End(index, peer.attempt));
            }
        }
        if protocol.mutant == Some(Mutant::DeathBesideMessage) {
            is_read = true;
        }
        if is_read && peer.process.is_some_and(|peer| world.processes[peer].is_dead()) {
            steps.push(Step::Dead(index, peer.attempt));
        }
    }
    let drains = process.drains() && changes(process, Input::Drained);
    if drains || !process.armed.is_empty() {
        let may_act = has_read_all || protocol.mutant == Some(Mutant::DeadlineBesideMessage);
        steps.extend(may_act.then_some(Step::Look(index)));
    }
}

/// Adds what a process may do that has just read everything.
fn acting(index: usize, process: &Process, steps: &mut Vec<Step>) {
    steps.extend(process.armed.iter().map(|&deadline| Step::Deadline(index, deadline)));
    steps.extend((process.drains() && changes(process, Input::Drained)).then_some(Step::Drained(index)));
}

/// Returns whether the machine would react to it.
fn changes(process: &Process, event: Input) -> bool {
    let mut machine = process.machine.clone();
    let mut actions = Vec::new();
    machine.handle(event, &mut actions);
    !actions.is_empty() || machine != process.machine
}

/// Adds what may happen or not: actions of the operator, and failures.
pub fn possible(world: &World, steps: &mut Vec<Step>) {
    let left = &world.left;
    for (index, process) in world.processes.iter().enumerate() {
        let (phase, runs) = (process.machine.phase(), process.runs());
        let acts = runs && !process.in_exec && !process.looked && process.machine.turn() != Turn::Exit;
        let can_fail = left.failures > 0 && runs;
        steps.extend((can_fail && process.spawning.is_some()).then_some(Step::NotSpawned(index)));
        steps.extend((can_fail && process.in_exec).then_some(Step::NotExeced(index)));
        steps.extend((can_fail && acts && phase == Phase::Init).then_some(Step::CannotServe(index)));
        steps.extend((left.restarts > 0 && acts).then_some(Step::Restart(index)));
        if left.aborts > 0 && acts {
            // The loop does this only then.
            let anew = left.restarts > 0 && phase == Phase::Starting && process.machine.successor().is_some();
            steps.extend(anew.then_some(Step::RestartAnew(index)));
            steps.push(Step::Abort(index));
        }
        if left.stops > 0 && acts {
            steps.extend([Step::Stop(index, true), Step::Stop(index, false)]);
        }
        steps.extend((left.dismissals > 0 && acts).then_some(Step::Dismiss(index)));
        steps.extend((left.crashes > 0 && process.is_alive()).then_some(Step::Crash(index)));
        steps.extend((left.hangs > 0 && runs).then_some(Step::Hang(index)));
    }
}
