//! The table of the protocol, row by row. The strategies are tables too, as this crate knows no strategy.

use super::*;
use crate::Signal;
use goagain_env::{Next, View};

fn table(next: impl Fn(View) -> Next) -> Decisions {
    let mut table = [Next::Stay; 16];
    for view in View::all() {
        table[Decisions::index(view)] = next(view);
    }
    Decisions::from_table(table)
}

/// Exits when the probation period is over, as Single does.
fn exits() -> Decisions {
    table(|view| if view.probation_over { Next::Exit } else { Next::Stay })
}

/// Execs in place when it is drained, as Double does.
fn execs() -> Decisions {
    table(|view| match view.successor {
        Relation::Child if view.probation_over && view.drained => Next::Exec,
        Relation::Parent if view.probation_over => Next::Exit,
        _ => Next::Stay,
    })
}

const BOTH: [fn() -> Decisions; 2] = [exits, execs];
const TERM: Input = Input::Stop(Stop::Now(Some(Signal::Term)));
const QUIT: Input = Input::Stop(Stop::Gracefully);
const COMMIT: Message = Message::Commit { again: false };

/// A machine, and what it answered last.
struct Process {
    machine: Machine,
    answer: Vec<Action>,
}

impl Process {
    fn first(decisions: Decisions) -> Process {
        Process { machine: Machine::new(decisions, None, &[]), answer: Vec::new() }
    }

    fn successor(decisions: Decisions, relation: Relation) -> Process {
        let origin = Origin { attempt: 1, relation, go: false, bounded: true };
        Process { machine: Machine::new(decisions, Some(origin), &[]), answer: Vec::new() }
    }

    fn owner(decisions: Decisions) -> Process {
        Process::first(decisions).then(Input::Ready)
    }

    fn starting(decisions: Decisions) -> Process {
        Process::owner(decisions).then(Input::Restart).then(Input::Spawned(1))
    }

    fn draining(decisions: Decisions) -> Process {
        Process::starting(decisions).says(Message::Ready)
    }

    /// The owner, with its predecessor as the fallback.
    fn with_fallback(decisions: Decisions, relation: Relation) -> Process {
        Process::successor(decisions, relation).then(Input::Ready).says(COMMIT).then(Input::Waiting)
    }

    fn then(mut self, input: Input) -> Process {
        self.answer.clear();
        self.machine.handle(input, &mut self.answer);
        self
    }

    fn says(self, message: Message) -> Process {
        self.then(Input::Message(1, message))
    }

    #[track_caller]
    fn is(self, phase: Phase) -> Process {
        assert_eq!(self.machine.phase(), phase, "after {:?}", self.answer);
        self
    }

    #[track_caller]
    fn did(self, action: Action) -> Process {
        assert!(self.answer.contains(&action), "expected {action:?} in {:?}", self.answer);
        self
    }

    #[track_caller]
    fn did_not(self, unwanted: impl Fn(&Action) -> bool) -> Process {
        assert!(!self.answer.iter().any(unwanted), "found in {:?}", self.answer);
        self
    }

    #[track_caller]
    fn sent(self, message: Message) -> Process {
        self.did(Action::Send(1, message))
    }
}

fn sends(action: &Action) -> bool {
    matches!(action, Action::Send(..) | Action::Release { .. })
}

#[test]
fn a_first_process_serves_when_it_is_ready() {
    Process::first(exits()).is(Phase::Init).then(Input::Ready).is(Phase::Owner).did(Action::Accept);
}

#[test]
fn a_successor_accepts_only_after_commit() {
    for relation in [Relation::Parent, Relation::Child] {
        let waiting = Process::successor(exits(), relation).then(Input::Ready).is(Phase::Wait);
        let waiting = waiting.sent(Message::Ready).did_not(|action| *action == Action::Accept);
        let owner = waiting.says(COMMIT).is(Phase::Owner).did(Action::Accept);
        // It sends SERVING when it waits, and only once.
        owner.did_not(sends).then(Input::Waiting).sent(Message::Serving).then(Input::Waiting).did_not(sends);
    }
}

#[test]
fn abort_and_leaving_end_a_successor_and_after_an_end_it_takes_over() {
    for message in [Message::Abort("no".into()), Message::Leaving] {
        Process::successor(exits(), Relation::Parent).says(message.clone()).is(Phase::Dead);
        Process::successor(exits(), Relation::Parent).then(Input::Ready).says(message).is(Phase::Dead);
    }
    let alone = Process::successor(exits(), Relation::Parent).then(Input::End(1)).is(Phase::Init);
    alone.did(Action::Arm(Deadline::Ready)).then(Input::Ready).is(Phase::Owner).did(Action::Accept);
    let late = Process::successor(exits(), Relation::Parent).then(Input::End(1));
    late.then(Input::Deadline(Deadline::Ready)).is(Phase::Dead);
    let waiting = Process::successor(exits(), Relation::Parent).then(Input::Ready);
    waiting.then(Input::End(1)).is(Phase::Owner).did(Action::Accept);
}

#[test]
fn a_successor_exits_if_its_predecessor_does_not_answer() {
    let waiting = Process::successor(exits(), Relation::Parent).then(Input::Ready);
    let dead = waiting.then(Input::Deadline(Deadline::Answer)).is(Phase::Dead);
    dead.sent(Message::Failed("the predecessor did not answer".into()));
}

#[test]
fn a_stop_before_commit_ends_the_successor_and_after_an_exec_the_service() {
    let child = Process::successor(execs(), Relation::Parent).then(TERM).is(Phase::Dead);
    child.sent(Message::Failed("stopped by SIGTERM".into()));
    Process::successor(execs(), Relation::Child).then(TERM).is(Phase::Dead).sent(Message::Leaving);
}

#[test]
fn an_attempt_that_fails_leaves_the_owner_and_can_be_tried_again() {
    let failures = [
        Input::Message(1, Message::Failed("no database".into())),
        Input::Deadline(Deadline::Ready),
        Input::Unknown(1, "gibberish".into()),
        Input::Message(1, Message::Serving),
    ];
    for failure in failures {
        let owner = Process::starting(exits()).then(failure).is(Phase::Owner);
        let owner = owner.did(Action::Arm(Deadline::Abort)).did_not(|action| *action == Action::Accept);
        // There are never two successors: the aborted one is killed at once, and reaped first.
        let asked = owner.then(Input::Restart).did(Action::Kill(1)).is(Phase::Owner);
        asked.then(Input::Dead(1, "was killed".into())).is(Phase::Starting).did(Action::Spawn(2));
    }
    let owner = Process::owner(exits()).then(Input::Restart).did(Action::Spawn(1));
    let owner = owner.then(Input::SpawnFailed(1, "no such file".into())).is(Phase::Owner);
    owner.then(Input::Restart).did(Action::Spawn(2));
}

#[test]
fn an_attempt_can_be_aborted_until_it_is_committed() {
    let abort = || Input::Abort("a typo".into());
    let failed = Action::Report(1, Report::Failed { reason: "a typo".into() });
    let refused = |attempt| Action::Report(attempt, Report::Refused { reason: "a typo".into() });
    for decisions in BOTH {
        let owner = Process::starting(decisions()).then(abort()).is(Phase::Owner).did(failed.clone());
        let owner = owner.sent(Message::Abort("a typo".into())).did(Action::Arm(Deadline::Abort));
        // A READY that was sent before is ignored.
        let owner = owner.says(Message::Ready).is(Phase::Owner).did_not(|_| true);
        let owner = owner.then(Input::Deadline(Deadline::Abort)).did(Action::Kill(1));
        let owner = owner.then(Input::Dead(1, "was killed".into())).is(Phase::Owner);
        owner.then(Input::Restart).did(Action::Spawn(2)).is(Phase::Starting);
        // A pending restart would start the same image: it is refused too.
        let pending = Process::starting(decisions()).then(Input::Restart).then(abort()).did(refused(2));
        let reaped = pending.then(Input::Dead(1, "was killed".into())).is(Phase::Owner);
        reaped.did_not(|action| matches!(action, Action::Spawn(_)));
        // One that has not begun: its image file is being written, or the last process is not reaped.
        let busy = Process::owner(decisions()).then(Input::Restart).then(abort()).is(Phase::Owner);
        busy.did(Action::CancelSpawn(1)).did(failed.clone());
        let pending = Process::starting(decisions()).then(abort()).then(Input::Restart).is(Phase::Owner);
        pending.then(abort()).did(refused(2)).then(Input::Dead(1, "left".into())).is(Phase::Owner);

        let draining = Process::draining(decisions());
        let before = draining.machine.clone();
        let reason = "the new process has taken over, and a commit is final".to_owned();
        let final_now = Action::Report(1, Report::NotAborted { reason });
        let draining = draining.then(abort()).did(final_now.clone());
        assert_eq!((draining.machine, draining.answer.len()), (before, 1));
        let young = Process::with_fallback(decisions(), Relation::Parent)
            .then(abort())
            .is(Phase::Owner)
            .did(final_now);
        assert_eq!(young.answer.len(), 1);
        let idle = Process::owner(decisions()).then(abort()).is(Phase::Owner);
        idle.did(Action::Report(0, Report::NotAborted { reason: "no restart is running".into() }));
    }
}

#[test]
fn a_restart_of_a_newer_image_does_not_wait_for_the_older_one() {
    for decisions in BOTH {
        let owner = Process::starting(decisions()).then(Input::RestartAnew).is(Phase::Owner);
        let reason = "a newer image was deployed, and a restart was requested".to_owned();
        let owner = owner.did(Action::Report(1, Report::Failed { reason })).did(Action::Kill(1));
        let owner = owner.did(Action::Report(2, Report::Requested));
        let owner = owner.did_not(|action| matches!(action, Action::Spawn(_)));
        owner.then(Input::Dead(1, "was killed".into())).is(Phase::Starting).did(Action::Spawn(2));
        // In every other state it is a restart like any other.
        let others: [fn(Decisions) -> Process; 5] = [
            Process::first,
            Process::owner,
            |decisions| Process::owner(decisions).then(Input::Restart),
            Process::draining,
            |decisions| Process::with_fallback(decisions, Relation::Parent),
        ];
        for process in others {
            let newer = process(decisions()).then(Input::RestartAnew);
            let plain = process(decisions()).then(Input::Restart);
            assert_eq!((newer.machine, newer.answer), (plain.machine, plain.answer));
        }
    }
}

#[test]
fn a_predecessor_that_execs_is_given_up_by_an_abort_and_not_for_a_newer_image() {
    let owner = || {
        Process::with_fallback(execs(), Relation::Parent).says(Message::Released { exec: true, again: false })
    };
    let alone = owner().then(Input::Abort("it hangs".into())).is(Phase::Owner);
    let alone = alone.sent(Message::Abort("it hangs".into())).did(Action::Arm(Deadline::Abort));
    let alone = alone.did(Action::Disarm(Deadline::Reexec)).did_not(|action| *action == Action::Accept);
    let alone = alone.then(Input::Deadline(Deadline::Abort)).did(Action::Kill(1));
    alone.then(Input::Dead(1, "was killed".into())).then(Input::Restart).did(Action::Spawn(2));
    // Keeping the pid is worth the wait, and the restart is passed on to the new image.
    let pending = owner().then(Input::RestartAnew).is(Phase::Owner).did_not(sends);
    pending.says(Message::Ready).sent(Message::Commit { again: true });
}

#[test]
fn an_aborted_process_is_killed_after_the_abort_timeout() {
    let owner = Process::starting(exits()).then(Input::Deadline(Deadline::Ready));
    let owner = owner.then(Input::Deadline(Deadline::Abort)).did(Action::Kill(1));
    owner
        .then(Input::Dead(1, "was killed".into()))
        .is(Phase::Owner)
        .then(Input::Restart)
        .did(Action::Spawn(2));
}

#[test]
fn the_end_of_a_channel_counts_as_a_death_after_the_abort_timeout() {
    let starting = Process::starting(exits()).then(Input::End(1)).is(Phase::Starting);
    let starting = starting.did(Action::Arm(Deadline::Abort));
    starting.then(Input::Deadline(Deadline::Abort)).is(Phase::Owner).did(Action::Kill(1));
    let draining = Process::draining(exits()).then(Input::End(1)).is(Phase::Draining);
    let killing = draining.then(Input::Deadline(Deadline::Abort)).is(Phase::Killing).did(Action::Kill(1));
    killing.then(Input::Dead(1, "was killed".into())).is(Phase::Owner).did(Action::Accept);
}

#[test]
fn a_restart_that_is_requested_while_one_runs_is_passed_on_and_done_here_after_a_roll_back() {
    let starting = Process::starting(exits()).then(Input::Restart).is(Phase::Starting);
    let draining = starting.says(Message::Ready).sent(Message::Commit { again: true });
    let again = draining.then(Input::Dead(1, "was killed".into())).did(Action::Accept).did(Action::Spawn(2));
    again.is(Phase::Starting);
}

#[test]
fn a_successor_restarts_only_when_its_predecessor_cannot_roll_back() {
    let owner = Process::with_fallback(exits(), Relation::Parent).then(Input::Restart).is(Phase::Owner);
    let owner = owner.sent(Message::Dismiss).did_not(|action| matches!(action, Action::Spawn(_)));
    let released = owner.says(Message::Released { exec: false, again: false });
    released.is(Phase::Starting).did(Action::Spawn(2));
    let passed_on = Process::successor(exits(), Relation::Parent).then(Input::Ready);
    let passed_on = passed_on.says(Message::Commit { again: true }).is(Phase::Owner).sent(Message::Dismiss);
    passed_on.then(Input::End(1)).did(Action::Spawn(2));
}

#[test]
fn the_fallback_ends_when_probation_is_over_and_the_successor_serves() {
    let release = Action::Release { attempt: 1, exec: false, again: false };
    let served = Process::draining(exits()).says(Message::Serving).did_not(sends);
    let probed = served.then(Input::Deadline(Deadline::Probation)).did(release).is(Phase::Draining);
    let released = probed.then(Input::ReleaseSent(1)).is(Phase::Released);
    let released = released.did(Action::CloseListeners { unlink: false });
    released.then(Input::Drained).is(Phase::Dead);
}

#[test]
fn a_release_that_cannot_be_sent_counts_as_a_death_in_probation() {
    let probed = Process::draining(exits()).says(Message::Serving).then(Input::Deadline(Deadline::Probation));
    let ended = probed.then(Input::ReleaseFailed(1)).is(Phase::Draining).did(Action::Arm(Deadline::Abort));
    let ended = ended.did_not(|action| matches!(action, Action::CloseListeners { .. }));
    ended.then(Input::Dead(1, "was killed".into())).is(Phase::Owner).did(Action::Accept);
}

#[test]
fn a_successor_that_does_not_serve_in_time_is_killed_and_rolled_back() {
    for decisions in BOTH {
        // The end of probation is no reason to kill it: a slow machine is not a process that hangs.
        let probed = Process::draining(decisions()).then(Input::Deadline(Deadline::Probation));
        let probed = probed.did_not(|action| matches!(action, Action::Kill(_))).did_not(sends);
        probed.says(Message::Serving).did(Action::Disarm(Deadline::Serving)).is(Phase::Draining);
        let killing = Process::draining(decisions()).then(Input::Deadline(Deadline::Serving));
        let killing = killing.is(Phase::Killing).did(Action::Kill(1));
        let killing = killing.says(Message::Serving).is(Phase::Killing);
        killing.then(Input::Dead(1, "was killed".into())).is(Phase::Owner).did(Action::Accept);
    }
}

#[test]
fn a_death_rolls_back_in_every_phase_of_the_drain() {
    for decisions in BOTH {
        let dead = Input::Dead(1, "exited with status 1".into());
        let reason = "exited with status 1".to_owned();
        let rolled_back = Action::Report(1, Report::RolledBack { reason });
        Process::draining(decisions()).then(dead.clone()).is(Phase::Owner).did(rolled_back.clone());
        Process::draining(decisions()).then(Input::Drained).then(dead).is(Phase::Owner).did(rolled_back);
    }
}

#[test]
fn an_exec_needs_the_drain_probation_and_serving_in_any_order() {
    let exec = Action::Release { attempt: 1, exec: true, again: false };
    let steps = [Input::Message(1, Message::Serving), Input::Deadline(Deadline::Probation), Input::Drained];
    for order in [[0, 1, 2], [0, 2, 1], [2, 0, 1]] {
        let [first, second, third] = order.map(|index| steps[index].clone());
        let waits = Process::draining(execs()).then(first).did_not(sends).then(second).did_not(sends);
        waits.then(third).did(exec.clone()).then(Input::ReleaseSent(1)).did(Action::Exec);
    }
}

#[test]
fn an_exec_that_fails_asks_for_the_service_as_the_new_image_would() {
    let drained = Process::draining(execs()).says(Message::Serving).then(Input::Drained);
    let exec = drained.then(Input::Deadline(Deadline::Probation)).then(Input::ReleaseSent(1));
    let asks = exec.then(Input::ExecFailed("no such file".into())).is(Phase::Wait).sent(Message::Ready);
    assert_eq!(asks.machine.turn(), Turn::Drain(Stop::HandedOver));
    let back = asks.says(COMMIT).is(Phase::Owner).did(Action::Accept);
    assert_eq!(back.machine.turn(), Turn::Serve);
}

#[test]
fn the_child_gives_the_service_back_and_is_the_fallback() {
    let owner = Process::with_fallback(execs(), Relation::Parent)
        .says(Message::Released { exec: true, again: false });
    let owner = owner.is(Phase::Owner).did(Action::Arm(Deadline::Reexec));
    let fallback = owner.says(Message::Ready).is(Phase::Draining).sent(COMMIT).did(Action::StopAccepting);
    let probed = fallback.says(Message::Serving).then(Input::Deadline(Deadline::Probation));
    let release = Action::Release { attempt: 1, exec: false, again: false };
    probed.did(release).then(Input::ReleaseSent(1)).is(Phase::Released);
}

#[test]
fn a_predecessor_that_does_not_come_back_is_given_up() {
    let owner = Process::with_fallback(execs(), Relation::Parent)
        .says(Message::Released { exec: true, again: false });
    let alone =
        owner.then(Input::Deadline(Deadline::Reexec)).is(Phase::Owner).did(Action::Arm(Deadline::Abort));
    let alone = alone.then(Input::Deadline(Deadline::Abort)).did(Action::Kill(1));
    let alone = alone.then(Input::Dead(1, "was killed".into())).is(Phase::Owner);
    alone.then(Input::Restart).did(Action::Spawn(2));
    // Supervisors know the service by its pid: a stop of it stops the service.
    let owner = Process::with_fallback(execs(), Relation::Parent)
        .says(Message::Released { exec: true, again: false });
    owner.then(Input::Deadline(Deadline::Reexec)).says(Message::Leaving).is(Phase::Stopping);
}

#[test]
fn a_predecessor_past_all_its_deadlines_is_killed() {
    let owner = Process::with_fallback(exits(), Relation::Parent).then(Input::Deadline(Deadline::Release));
    let owner = owner.is(Phase::Owner).did(Action::Kill(1));
    let settled = Action::Report(1, Report::PredecessorExited);
    owner.then(Input::Dead(1, "ended".into())).is(Phase::Owner).did(settled);
}

#[test]
fn a_stop_of_the_owner_is_not_a_crash() {
    for (stop, phase) in [(TERM, Phase::Dead), (QUIT, Phase::Stopping)] {
        Process::with_fallback(exits(), Relation::Parent).then(stop.clone()).is(phase).sent(Message::Leaving);
        let starting = Process::starting(exits()).then(stop.clone()).is(phase);
        let ended = if stop == TERM {
            Action::Kill(1)
        } else {
            Action::Send(1, Message::Abort("the owner is stopping".into()))
        };
        starting.did(ended).did(Action::StopAccepting).did(Action::CloseListeners { unlink: true });
    }
}

#[test]
fn a_stop_of_the_child_ends_a_parent_that_is_to_come_back() {
    let owner = || {
        Process::with_fallback(execs(), Relation::Parent).says(Message::Released { exec: true, again: false })
    };
    let dead = owner().then(TERM).is(Phase::Dead).sent(Message::Leaving).did(Action::Kill(1));
    assert_ne!(dead.machine.turn(), Turn::Exit);
    assert_eq!(dead.then(Input::Dead(1, "was killed".into())).machine.turn(), Turn::Exit);
    let stopping =
        owner().then(QUIT).is(Phase::Stopping).sent(Message::Leaving).did(Action::Arm(Deadline::Abort));
    let stopping = stopping.then(Input::Deadline(Deadline::Abort)).did(Action::Kill(1)).is(Phase::Stopping);
    stopping.then(Input::Drained).is(Phase::Dead);
}

#[test]
fn a_process_exits_when_its_aborted_child_is_reaped() {
    let dead = Process::starting(exits()).then(TERM).is(Phase::Dead);
    assert_ne!(dead.machine.turn(), Turn::Exit);
    assert_eq!(dead.then(Input::Dead(1, "was killed".into())).machine.turn(), Turn::Exit);
}

#[test]
fn a_fallback_does_not_take_over_if_its_successor_stops() {
    Process::draining(exits()).says(Message::Leaving).is(Phase::Released);
    let stopping = Process::draining(execs()).says(Message::Leaving).is(Phase::Stopping);
    stopping.then(Input::Dead(1, "exited".into())).is(Phase::Stopping).then(Input::Drained).is(Phase::Dead);
    let killing = Process::draining(exits()).then(Input::Deadline(Deadline::Serving));
    killing.says(Message::Leaving).is(Phase::Released);
}

#[test]
fn a_stop_of_a_fallback_that_would_exec_stops_the_service() {
    let released = Action::Release { attempt: 1, exec: false, again: false };
    Process::draining(exits()).then(QUIT).is(Phase::Released).did(released.clone());
    Process::draining(exits()).then(TERM).is(Phase::Dead).did(released);
    Process::draining(execs()).then(QUIT).is(Phase::Stopping).sent(Message::Leaving);
    Process::draining(execs()).then(TERM).is(Phase::Dead).sent(Message::Leaving);
    Process::with_fallback(execs(), Relation::Parent).says(Message::Leaving).is(Phase::Stopping);
}

#[test]
fn a_second_stop_while_draining_is_immediate_and_an_end_is_not_a_stop() {
    let stopping = Process::owner(exits()).then(QUIT).is(Phase::Stopping);
    let stopping = stopping.then(Input::End(1)).says(Message::Leaving).is(Phase::Stopping);
    stopping.then(QUIT).is(Phase::Dead);
    Process::owner(exits()).then(QUIT).then(TERM).is(Phase::Dead);
    // Handing over is not a stop that was requested: the first QUIT finds a drain that is running.
    let released = Process::draining(exits()).says(Message::Serving);
    let released = released.then(Input::Deadline(Deadline::Probation)).then(Input::ReleaseSent(1));
    released.then(QUIT).is(Phase::Released).then(QUIT).is(Phase::Dead);
}

#[test]
fn a_deadline_ends_a_drain() {
    Process::owner(exits()).then(QUIT).then(Input::Deadline(Deadline::Drain)).is(Phase::Dead);
    let drained = Process::draining(execs()).then(Input::Deadline(Deadline::Drain));
    assert!(drained.machine.is_drained());
}

#[test]
fn a_fallback_that_stays_is_dismissed() {
    let standby = || table(|view| if view.dismissed { Next::Exit } else { Next::Stay });
    let fallback = Process::draining(standby()).says(Message::Serving);
    let fallback = fallback
        .then(Input::Deadline(Deadline::Probation))
        .did_not(sends)
        .then(Input::Drained)
        .did_not(sends);
    let release = Action::Release { attempt: 1, exec: false, again: false };
    fallback.says(Message::Dismiss).did(release.clone());
    // This does not shorten the probation period.
    let fallback = Process::draining(standby()).says(Message::Serving).says(Message::Dismiss).did_not(sends);
    fallback.then(Input::Deadline(Deadline::Probation)).did(release);
}

#[test]
fn a_process_of_the_go_package_as_successor_serves_when_it_signals() {
    let released = Process::starting(exits()).then(Input::GoReady(1)).is(Phase::Released);
    released.did(Action::StopAccepting).did_not(sends);
    let draining = Process::starting(execs()).then(Input::GoReady(1)).is(Phase::Draining);
    let exec = draining.then(Input::Drained).did(Action::Exec).did_not(sends);
    let back = exec.then(Input::ExecFailed("no".into())).did(Action::SignalGo(1)).is(Phase::Owner);
    back.did(Action::Accept);
}

#[test]
fn a_process_of_the_go_package_as_predecessor_is_signalled_and_is_no_fallback() {
    for relation in [Relation::Parent, Relation::Child] {
        let origin = Origin { attempt: 0, relation, go: true, bounded: false };
        let process = Process { machine: Machine::new(exits(), Some(origin), &[]), answer: Vec::new() };
        let owner = process.then(Input::Ready).is(Phase::Owner).did(Action::SignalGo(0)).did(Action::Accept);
        assert!(!owner.machine.has_fallback());
        owner.then(Input::Restart).did(Action::Spawn(1));
    }
}

#[test]
fn inputs_of_another_attempt_are_ignored() {
    let starting = Process::starting(exits());
    let before = starting.machine.clone();
    let after = starting
        .then(Input::Message(7, Message::Ready))
        .then(Input::End(7))
        .then(Input::Dead(7, "exited".into()))
        .then(Input::SpawnFailed(7, "no".into()))
        .then(Input::Deadline(Deadline::Exit(7)));
    assert_eq!(after.machine, before);
}

#[test]
fn children_that_an_exec_left_are_reaped_and_killed_after_their_deadline() {
    let origin = Origin { attempt: 1, relation: Relation::Child, go: false, bounded: true };
    let process = Process { machine: Machine::new(execs(), Some(origin), &[99]), answer: Vec::new() };
    let owner = process.then(Input::Ready).says(COMMIT).did(Action::Arm(Deadline::Exit(99)));
    let owner = owner.then(Input::Deadline(Deadline::Exit(99))).did(Action::Kill(99));
    let owner = owner.then(Input::Dead(99, "was killed".into()));
    assert_eq!(owner.machine.exiting_children().count(), 0);
}

#[test]
fn a_drain_ends_by_any_of_its_deadlines_and_closes_what_is_unfinished() {
    for deadline in [Deadline::Drain, Deadline::ClosingLongLived] {
        let dead = Process::owner(exits()).then(QUIT).then(Input::Deadline(deadline)).is(Phase::Dead);
        assert_eq!(dead.answer[0], Action::CloseUnfinished);
        let drained = Process::draining(execs()).then(Input::Deadline(deadline)).did(Action::CloseUnfinished);
        assert!(drained.machine.is_drained());
        // The owner ignores the deadlines of a drain that was rolled back.
        Process::owner(exits()).then(Input::Deadline(deadline)).did_not(|_| true);
    }
    // After a drain that is complete nothing is unfinished. After a stop now, and after a second stop, something may be.
    Process::owner(exits())
        .then(QUIT)
        .then(Input::Drained)
        .did_not(|action| *action == Action::CloseUnfinished);
    Process::owner(exits()).then(TERM).did(Action::CloseUnfinished);
    Process::owner(exits()).then(QUIT).then(QUIT).is(Phase::Dead).did(Action::CloseUnfinished);
    Process::draining(exits()).then(TERM).is(Phase::Dead).did(Action::CloseUnfinished);
    // It never served.
    Process::successor(exits(), Relation::Parent)
        .then(TERM)
        .did_not(|action| *action == Action::CloseUnfinished);
}

#[test]
fn long_lived_connections_are_asked_to_close_when_no_others_are_left_or_by_a_deadline() {
    for input in [Input::OnlyLongLived, Input::Deadline(Deadline::LongLived)] {
        for decisions in BOTH {
            let draining = Process::draining(decisions()).did(Action::Arm(Deadline::LongLived));
            let before = draining.machine.clone();
            let closing = draining
                .then(input.clone())
                .did(Action::CloseLongLived)
                .did(Action::Arm(Deadline::ClosingLongLived));
            // The state of the protocol does not depend on it.
            assert_eq!(closing.did(Action::Disarm(Deadline::LongLived)).machine, before);
            let back = Process::draining(decisions()).then(input.clone());
            let back = back.then(Input::Dead(1, "was killed".into())).is(Phase::Owner);
            back.did(Action::Disarm(Deadline::LongLived)).did(Action::Disarm(Deadline::ClosingLongLived));
        }
        Process::owner(exits()).then(QUIT).then(input.clone()).did(Action::CloseLongLived);
        Process::owner(exits()).then(input).did_not(|_| true);
    }
}

#[test]
fn a_restart_that_would_make_too_many_drain_is_refused_and_can_be_requested_again() {
    let owner = Process::owner(exits()).then(Input::Restart).then(Input::SpawnRefused(1, "too many".into()));
    let owner = owner.is(Phase::Owner).did(Action::Report(1, Report::Refused { reason: "too many".into() }));
    // The machine treats it like a failure, so what the model shows of failures holds for it.
    let failed = Process::owner(exits()).then(Input::Restart).then(Input::SpawnFailed(1, "no".into()));
    assert_eq!(owner.machine, failed.machine);
    owner.did_not(sends).then(Input::Restart).did(Action::Spawn(2)).is(Phase::Starting);
}
