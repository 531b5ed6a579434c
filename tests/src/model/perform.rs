//! Performs a step by passing inputs to the machine.

use super::act::act;
use super::channel::Channel;
use super::explore::Protocol;
use super::mutant::Mutant;
use super::process::{Life, Peer, Process};
use super::step::Step;
use super::world::{Broken, World};
use goagain_env::{Message, Relation};
use goagain_signals::{Deadline, Input, Machine, Origin, Phase, Stop};
use std::collections::VecDeque;

/// Performs a step.
pub fn perform(protocol: &Protocol, world: &mut World, step: Step) {
    match step {
        Step::Ready(me) => input(protocol, world, me, Input::Ready),
        Step::Waits(me) => {
            world.processes[me].waits = true;
            input(protocol, world, me, Input::Waiting);
        }
        Step::Look(me) => world.processes[me].looked = true,
        Step::Drained(me) => {
            world.processes[me].looked = false;
            world.processes[me].armed.remove(&Deadline::Drain);
            world.processes[me].in_flight = false;
            input(protocol, world, me, Input::Drained);
        }
        Step::Read(me, attempt) => {
            let Some((channel, side)) = world.processes[me].channel_of(attempt) else { return };
            if let Some(message) = world.channels[channel].receive(side) {
                input(protocol, world, me, Input::Message(attempt, message));
            }
        }
        Step::End(me, attempt) => {
            close(world, me, attempt);
            input(protocol, world, me, Input::End(attempt));
            forget_the_dead(world, me);
        }
        Step::Dead(me, attempt) => dead(protocol, world, me, attempt),
        Step::Deadline(me, deadline) => {
            let uncommitted = matches!(world.processes[me].machine.phase(), Phase::Init | Phase::Wait);
            world.processes[me].looked = false;
            world.processes[me].armed.remove(&deadline);
            input(protocol, world, me, Input::Deadline(deadline));
            if uncommitted && world.processes[me].machine.phase() == Phase::Dead {
                world.removed(me);
            }
        }
        Step::Spawned(me, strategy) => spawned(protocol, world, me, strategy),
        Step::Execed(me, strategy) => execed(protocol, world, me, strategy),
        Step::Leave(me) => {
            if world.processes[me].asked {
                world.note(Broken::Forgotten);
            }
            world.processes[me].end(true);
        }
        Step::Close(me) => {
            let peers = std::mem::take(&mut world.processes[me].peers);
            for (channel, side) in peers.into_iter().filter_map(|peer| peer.channel) {
                world.channels[channel].close(side);
            }
            if let Life::Ending { open, .. } = &mut world.processes[me].life {
                *open = false;
            }
        }
        Step::Die(me) => {
            if let Life::Ending { alive, .. } = &mut world.processes[me].life {
                *alive = false;
            }
            for process in &mut world.processes {
                process.parent.take_if(|parent| *parent == me);
            }
        }
        Step::NotSpawned(me) => {
            world.left.failures -= 1;
            if let Some(attempt) = world.processes[me].spawning.take() {
                input(protocol, world, me, Input::SpawnFailed(attempt, String::new()));
            }
        }
        Step::NotExeced(me) => {
            world.left.failures -= 1;
            world.processes[me].in_exec = false;
            input(protocol, world, me, Input::ExecFailed(String::new()));
        }
        Step::CannotServe(me) => {
            world.left.failures -= 1;
            input(protocol, world, me, Input::Fail(String::new()));
            world.removed(me);
        }
        Step::Restart(me) => {
            world.left.restarts -= 1;
            input(protocol, world, me, Input::Restart);
        }
        Step::RestartAnew(me) => {
            world.left.restarts -= 1;
            world.left.aborts -= 1;
            input(protocol, world, me, Input::RestartAnew);
        }
        Step::Abort(me) => {
            world.left.aborts -= 1;
            input(protocol, world, me, Input::Abort(String::new()));
        }
        Step::Stop(me, now) => {
            world.left.stops -= 1;
            let for_the_service = world.is_the_service(me);
            input(protocol, world, me, Input::Stop(if now { Stop::Now(None) } else { Stop::Gracefully }));
            match for_the_service {
                true => world.stopped = true,
                false => world.removed(me),
            }
        }
        Step::Dismiss(me) => {
            world.left.dismissals -= 1;
            input(protocol, world, me, Input::Dismiss);
        }
        Step::Crash(me) => {
            world.left.crashes -= 1;
            world.processes[me].end(false);
            world.removed(me);
        }
        Step::Hang(me) => {
            world.left.hangs -= 1;
            let is_watched = world.is_watched(me);
            world.processes[me].life = Life::Hung;
            world.removed(me);
            world.excused |= !is_watched;
        }
    }
}

fn dead(protocol: &Protocol, world: &mut World, me: usize, attempt: u64) {
    close(world, me, attempt);
    if let Some(gone) = world.processes[me].peer(attempt).and_then(|peer| peer.process.take()) {
        world.processes[gone].parent.take_if(|parent| *parent == me);
    }
    input(protocol, world, me, Input::Dead(attempt, String::new()));
    forget_the_dead(world, me);
}

fn forget_the_dead(world: &mut World, me: usize) {
    world.processes[me].peers.retain(|peer| peer.process.is_some() || peer.channel.is_some());
}

/// Closes this process's end of an attempt's channel.
pub fn close(world: &mut World, me: usize, attempt: u64) {
    let channel = world.processes[me].peer(attempt).and_then(|peer| peer.channel.take());
    if let Some((channel, side)) = channel {
        world.channels[channel].close(side);
    }
}

fn spawned(protocol: &Protocol, world: &mut World, me: usize, strategy: usize) {
    let Some(attempt) = world.processes[me].spawning.take() else { return };
    let bounded = world.processes[me].machine.decisions().is_bounded(Relation::Child);
    let origin = Origin { attempt, relation: Relation::Parent, go: false, bounded };
    let machine = Machine::new(protocol.strategies[strategy], Some(origin), &[]);
    let (child, channel) = (world.processes.len(), world.channels.len());
    world.channels.push(Channel::pair());
    let theirs = Peer { attempt, process: Some(me), channel: Some((channel, 1)) };
    world.processes.push(Process::new(machine, Some(me), vec![theirs]));
    world.processes[me].peers.push(Peer { attempt, process: Some(child), channel: Some((channel, 0)) });
    input(protocol, world, me, Input::Spawned(attempt));
}

/// The new image knows what survives exec: its successor, which is the owner, and the children that it has to reap.
fn execed(protocol: &Protocol, world: &mut World, me: usize, strategy: usize) {
    let old = &world.processes[me];
    let Some(attempt) = old.machine.successor() else { return };
    let bounded = old.machine.decisions().is_bounded(Relation::Parent);
    let origin = Origin { attempt, relation: Relation::Child, go: false, bounded };
    let passes_on = protocol.mutant != Some(Mutant::ExecForgetsChildren);
    let leaving = old.machine.exiting_children().filter(|_| passes_on);
    let leaving: Vec<usize> = leaving.filter_map(|attempt| old.process_of(attempt)).collect();
    let numbers: Vec<u64> = (0..leaving.len() as u64).map(|index| u64::MAX - index).collect();
    let machine = Machine::new(protocol.strategies[strategy], Some(origin), &numbers);
    let (mut peers, closed): (Vec<Peer>, Vec<Peer>) =
        old.peers.iter().cloned().partition(|peer| peer.attempt == attempt);
    peers.extend(numbers.iter().zip(leaving).map(|(&attempt, process)| Peer {
        attempt,
        process: Some(process),
        channel: None,
    }));
    let (was_asked, parent, aborted_by) = (old.asked, old.parent, old.aborted_by);
    if was_asked {
        world.note(Broken::Forgotten);
    }
    for (channel, side) in closed.into_iter().filter_map(|peer| peer.channel) {
        world.channels[channel].close(side);
    }
    world.processes[me] = Process { committed: true, aborted_by, ..Process::new(machine, parent, peers) };
}

/// Passes an input to the machine, and does what it answers. Inputs that result from that come next.
pub fn input(protocol: &Protocol, world: &mut World, me: usize, event: Input) {
    let mut events = VecDeque::from([event]);
    while let Some(event) = events.pop_front() {
        let inputs = match protocol.mutant {
            None => vec![event],
            Some(mutant) => mutant.inputs(world, me, event),
        };
        for event in inputs {
            handle(protocol, world, me, event, &mut events);
        }
    }
}

fn handle(protocol: &Protocol, world: &mut World, me: usize, event: Input, answers: &mut VecDeque<Input>) {
    let is_entitled = entitles(&world.processes[me], &event);
    let takes_over = match event {
        Input::Message(_, Message::Commit { again: true }) => is_entitled,
        // A stop responds to the messages that it finds unread.
        Input::Message(_, Message::Released { again: true, .. }) => world.processes[me].accepts,
        _ => false,
    };
    world.processes[me].asked |= takes_over;
    let mut actions = Vec::new();
    world.processes[me].machine.handle(event, &mut actions);
    if let Some(mutant) = protocol.mutant {
        actions = mutant.actions(world, me, actions);
    }
    for action in actions {
        answers.extend(act(world, me, action, is_entitled));
    }
}

/// Returns whether this input allows a process to accept that did not before.
fn entitles(process: &Process, event: &Input) -> bool {
    let machine = &process.machine;
    let is_predecessor =
        |attempt| machine.predecessor().is_some_and(|(predecessor, _)| predecessor == attempt);
    match *event {
        Input::Ready => machine.phase() == Phase::Init && machine.predecessor().is_none(),
        Input::Message(attempt, Message::Commit { .. }) | Input::End(attempt) => {
            machine.phase() == Phase::Wait && is_predecessor(attempt)
        }
        Input::Dead(attempt, _) => {
            (machine.phase() == Phase::Wait && is_predecessor(attempt))
                || machine.successor() == Some(attempt)
        }
        _ => false,
    }
}
