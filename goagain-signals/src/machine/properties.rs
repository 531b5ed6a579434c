//! What one process must never do, whatever inputs it reads and in whatever order.

use super::*;
use crate::Signal;
use goagain_env::Next;
use proptest::prelude::*;

fn any_decisions() -> impl Strategy<Value = Decisions> {
    let next = prop_oneof![Just(Next::Stay), Just(Next::Exit), Just(Next::Exec)];
    proptest::array::uniform16(next).prop_map(Decisions::from_table)
}

fn any_message() -> impl Strategy<Value = Message> {
    prop_oneof![
        4 => Just(Message::Ready),
        1 => Just(Message::Failed("no database".into())),
        4 => any::<bool>().prop_map(|again| Message::Commit { again }),
        1 => Just(Message::Abort("no".into())),
        4 => Just(Message::Serving),
        3 => any::<(bool, bool)>().prop_map(|(exec, again)| Message::Released { exec, again }),
        1 => Just(Message::Leaving),
        2 => Just(Message::Dismiss),
    ]
}

fn any_stop() -> impl Strategy<Value = Stop> {
    prop_oneof![Just(Stop::Now(Some(Signal::Term))), Just(Stop::Gracefully), Just(Stop::HandedOver)]
}

fn any_deadline() -> impl Strategy<Value = Deadline> {
    prop_oneof![
        Just(Deadline::Ready),
        Just(Deadline::Answer),
        Just(Deadline::Probation),
        Just(Deadline::Serving),
        Just(Deadline::Drain),
        Just(Deadline::IdleGrace),
        Just(Deadline::LongLived),
        Just(Deadline::ClosingLongLived),
        Just(Deadline::Abort),
        Just(Deadline::Reexec),
        Just(Deadline::Release),
        (0..4u64).prop_map(Deadline::Exit),
    ]
}

/// There are few attempts, so that many inputs have a peer.
fn any_input() -> impl Strategy<Value = Input> {
    let attempt = 0..4u64;
    prop_oneof![
        4 => Just(Input::Ready),
        1 => Just(Input::Fail("no database".into())),
        4 => Just(Input::Waiting),
        4 => Just(Input::Drained),
        2 => Just(Input::OnlyLongLived),
        8 => Just(Input::Restart),
        2 => Just(Input::RestartAnew),
        2 => Just(Input::Abort("a typo".into())),
        1 => any_stop().prop_map(Input::Stop),
        1 => Just(Input::Dismiss),
        1 => (attempt.clone(), any_message()).prop_map(|(attempt, message)| Input::Message(attempt, message)),
        16 => (1..3u64, any_message()).prop_map(|(attempt, message)| Input::Message(attempt, message)),
        1 => attempt.clone().prop_map(|attempt| Input::Unknown(attempt, "gibberish".into())),
        1 => attempt.clone().prop_map(Input::GoReady),
        2 => attempt.clone().prop_map(Input::End),
        4 => attempt.prop_map(|attempt| Input::Dead(attempt, "was killed".into())),
        8 => any_deadline().prop_map(Input::Deadline),
    ]
}

fn any_origin() -> impl Strategy<Value = Option<Origin>> {
    let relation = prop_oneof![Just(Relation::Child), Just(Relation::Parent)];
    proptest::option::of(
        (relation, any::<bool>(), any::<bool>()).prop_map(|(relation, go, bounded)| Origin {
            attempt: 1,
            relation,
            go,
            bounded,
        }),
    )
}

/// What one process has done so far.
#[derive(Default)]
struct Done {
    accepts: bool,
    closed: bool,
    dead: bool,
    spawned: u64,
    committed: Vec<u64>,
}

impl Done {
    /// Checks one action, and returns the input by which the loop answers it at once.
    fn act(&mut self, action: &Action, outcome: bool) -> Result<Option<Input>, TestCaseError> {
        match action {
            Action::Accept => {
                prop_assert!(!self.accepts, "a term begins within a term");
                prop_assert!(!self.closed, "accepts without listeners");
                self.accepts = true;
            }
            Action::StopAccepting => self.accepts = false,
            Action::CloseListeners { .. } => {
                prop_assert!(!self.accepts, "closes the listeners while it accepts");
                prop_assert!(!self.closed, "closes twice");
                self.closed = true;
            }
            Action::Send(attempt, Message::Commit { .. }) => {
                prop_assert!(!self.committed.contains(attempt), "commits twice");
                self.committed.push(*attempt);
            }
            Action::Spawn(attempt) => {
                prop_assert!(self.accepts, "a process that does not serve starts an attempt");
                prop_assert!(
                    *attempt > self.spawned,
                    "the number of an attempt is not greater than the last one"
                );
                self.spawned = *attempt;
                return Ok(Some(match (outcome, attempt % 2) {
                    (true, _) => Input::Spawned(*attempt),
                    (false, 0) => Input::SpawnFailed(*attempt, "no such file".into()),
                    (false, _) => Input::SpawnRefused(*attempt, "too many drain".into()),
                }));
            }
            Action::Release { attempt, .. } => {
                return Ok(Some(match outcome {
                    true => Input::ReleaseSent(*attempt),
                    false => Input::ReleaseFailed(*attempt),
                }));
            }
            Action::Exec => return Ok(Some(Input::ExecFailed("no such file".into()))),
            _ => {}
        }
        Ok(None)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_process_keeps_its_own_rules(
        decisions in any_decisions(),
        origin in any_origin(),
        inputs in proptest::collection::vec((any_input(), any::<bool>()), 0..60),
    ) {
        let mut machine = Machine::new(decisions, origin, &[3]);
        let mut done = Done::default();
        for (input, outcome) in inputs {
            let mut queue = vec![input];
            while let Some(input) = queue.pop() {
                let mut actions = Vec::new();
                machine.handle(input, &mut actions);
                for action in &actions {
                    prop_assert!(!done.dead || !matches!(action, Action::Accept | Action::Spawn(_) | Action::Exec));
                    queue.extend(done.act(action, outcome)?);
                }
            }
            let serves = machine.turn() == Turn::Serve;
            prop_assert_eq!(serves, done.accepts, "the turn does not say what the acceptors do");
            prop_assert!(!done.dead || machine.phase() == Phase::Dead, "a dead process is alive again");
            done.dead = machine.phase() == Phase::Dead;
        }
    }
}
