//! Does what the machine answers, in the order in which the loop does it.

use super::perform::close;
use super::process::Process;
use super::world::{Broken, World};
use goagain_env::Message;
use goagain_signals::{Action, Deadline, Input, Phase, Report};

/// Does one action. Some actions result in another input.
pub fn act(world: &mut World, me: usize, action: Action, is_entitled: bool) -> Option<Input> {
    match action {
        Action::Spawn(attempt) => {
            let mut all = world.processes.iter();
            if all.any(|process| process.parent == Some(me) && !process.committed) {
                world.note(Broken::TwoSuccessors);
            }
            let process = &mut world.processes[me];
            (process.spawning, process.asked) = (Some(attempt), false);
        }
        Action::CancelSpawn(attempt) => {
            world.processes[me].spawning.take_if(|spawning| *spawning == attempt);
        }
        Action::Send(attempt, message) => {
            send(world, me, attempt, message);
        }
        Action::Release { attempt, exec, again } => {
            let peer = world.processes[me].process_of(attempt);
            if !send(world, me, attempt, Message::Released { exec, again }) {
                return Some(Input::ReleaseFailed(attempt));
            }
            // Death takes time: releasing an image whose death is not visible yet is the same as if it had died afterwards.
            if !exec && peer.is_some_and(|peer| !world.processes[peer].is_alive()) {
                world.removed(me);
            }
            return Some(Input::ReleaseSent(attempt));
        }
        Action::Kill(attempt) => {
            if let Some(target) = world.processes[me].process_of(attempt) {
                if world.processes[target].is_alive() {
                    world.processes[target].end(false);
                }
            }
        }
        Action::Close(attempt) => close(world, me, attempt),
        // These deadlines change nothing in the machine when they pass.
        Action::Arm(Deadline::IdleGrace | Deadline::LongLived) => {}
        // When these deadlines pass, it is `Step::Drained`.
        Action::Arm(Deadline::Drain | Deadline::ClosingLongLived) => {}
        Action::Arm(deadline) => {
            world.processes[me].armed.insert(deadline);
        }
        Action::Disarm(deadline) => {
            world.processes[me].armed.remove(&deadline);
        }
        Action::Accept => accept(world, me, is_entitled),
        Action::StopAccepting => world.processes[me].accepts = false,
        Action::CloseListeners { .. } => world.processes[me].listens = false,
        Action::Exec => {
            let is_aborted = |process: &Process| process.parent == Some(me) && process.aborted_by == Some(me);
            let beside = world.processes.iter().any(|process| process.is_alive() && is_aborted(process));
            if beside || world.processes[me].in_flight {
                world.note(Broken::ExecEarly);
            }
            world.processes[me].in_exec = true;
        }
        Action::Report(_, Report::Requested) => world.processes[me].asked = true,
        Action::Report(_, Report::Refused { .. }) => world.processes[me].asked = false,
        Action::Report(_, Report::RolledBack { .. }) => {
            let process = &mut world.processes[me];
            process.asked |= std::mem::take(&mut process.passed);
        }
        Action::SignalGo(_)
        | Action::CloseIdle
        | Action::CloseLongLived
        | Action::CloseUnfinished
        | Action::Report(..) => {}
    }
    None
}

fn accept(world: &mut World, me: usize, is_entitled: bool) {
    let mut others = world.processes.iter().enumerate().filter(|&(index, _)| index != me);
    if others.any(|(_, other)| other.is_alive() && other.accepts) {
        world.note(Broken::TwoOwners);
    }
    if !is_entitled {
        world.note(Broken::NotEntitled);
    }
    let was_aborted =
        world.processes[me].peers.iter().filter_map(|peer| peer.channel).any(|(channel, side)| {
            world.channels[channel].unread(side).any(|message| matches!(message, Message::Abort(_)))
        });
    if was_aborted || world.processes[me].aborted_by.is_some() {
        world.note(Broken::OwnerAborted);
    }
    let process = &mut world.processes[me];
    (process.accepts, process.in_flight, process.waits, process.committed) = (true, true, false, true);
}

/// Sends a message without its reason, since no process acts on the reason.
fn send(world: &mut World, me: usize, attempt: u64, message: Message) -> bool {
    let Some((channel, side)) = world.processes[me].channel_of(attempt) else { return false };
    let peer = world.processes[me].process_of(attempt);
    let message = match message {
        Message::Failed(_) => Message::Failed(String::new()),
        Message::Abort(_) => Message::Abort(String::new()),
        message => message,
    };
    match (&message, peer) {
        (Message::Abort(_), Some(peer)) => aborted(world, me, peer),
        (Message::Commit { again }, peer) => {
            let process = &mut world.processes[me];
            process.passed = *again;
            process.asked &= !*again;
            if let Some(peer) = peer {
                world.processes[peer].committed = true;
            }
        }
        _ => {}
    }
    let passes_on = matches!(message, Message::Released { again: true, .. });
    let sent = world.channels[channel].send(side, message);
    if sent && passes_on {
        world.processes[me].asked = false;
    }
    sent
}

/// A process must not be aborted if it accepts, or if it is the owner's fallback and has not released.
fn aborted(world: &mut World, me: usize, peer: usize) {
    let process = &mut world.processes[peer];
    let is_fallback = matches!(process.machine.phase(), Phase::Draining | Phase::Killing) && !process.in_exec;
    if process.is_alive() {
        process.aborted_by = Some(me);
        if process.accepts || is_fallback {
            world.note(Broken::OwnerAborted);
        }
    }
}
