//! The explored protocol: every order of events within the bounds, and every rule of it switched off in turn.
//!
//! `MODEL_FULL=1` widens the bounds.
#![allow(clippy::print_stdout, reason = "the number of states is what one wants to know")]

use goagain_signals::Decisions;
use goagain_tests::model::explore::Protocol;
use goagain_tests::model::mutant::Mutant;
use goagain_tests::model::strategies;
use goagain_tests::model::world::{Bounds, Broken};

const NOTHING: Bounds =
    Bounds { restarts: 0, stops: 0, aborts: 0, dismissals: 0, crashes: 0, hangs: 0, failures: 0 };
const ONE: Bounds = Bounds { restarts: 1, ..NOTHING };
const TWO: Bounds = Bounds { restarts: 2, ..NOTHING };
const THREE: Bounds = Bounds { restarts: 3, ..NOTHING };

/// One restart, and everything that can happen to it, including two stops.
const ANYTHING: Bounds = Bounds { stops: 2, dismissals: 1, crashes: 1, hangs: 1, failures: 1, ..ONE };

/// One restart that is aborted, and everything else that can happen to it.
const ABORTED: Bounds = Bounds { aborts: 1, stops: 1, crashes: 1, hangs: 1, failures: 1, ..ONE };

/// Two restarts, so that three generations exist at once, and one more thing.
const TWO_AND_ONE: [Bounds; 6] = [
    Bounds { crashes: 1, ..TWO },
    Bounds { stops: 1, ..TWO },
    Bounds { hangs: 1, ..TWO },
    Bounds { failures: 1, ..TWO },
    Bounds { dismissals: 1, ..TWO },
    Bounds { aborts: 1, ..TWO },
];

/// Wider bounds, which take minutes.
const WIDE: [Bounds; 8] = [
    Bounds { crashes: 1, stops: 1, ..TWO },
    Bounds { hangs: 1, stops: 1, ..TWO },
    Bounds { crashes: 1, hangs: 1, failures: 1, ..TWO },
    Bounds { crashes: 2, ..TWO },
    Bounds { stops: 2, ..TWO },
    Bounds { aborts: 1, hangs: 1, ..TWO },
    Bounds { aborts: 2, ..TWO },
    THREE,
];

fn is_full() -> bool {
    std::env::var_os("MODEL_FULL").is_some_and(|full| full == "1")
}

/// Explores, expects nothing to be broken, and returns the number of states.
fn holds(strategies: &[Decisions], bounds: Bounds) -> usize {
    let protocol = Protocol { strategies: strategies.to_vec(), bounds, mutant: None };
    let found = protocol.explore();
    if let Some((broken, steps)) = found.broken {
        let described: Vec<_> = strategies.iter().map(|&strategy| strategies::describe(strategy)).collect();
        panic!("{broken:?}, with {described:?} and {bounds:?}, after {steps:#?}");
    }
    found.states
}

fn holds_within_all(name: &str, strategies: &[Decisions]) {
    let wide = WIDE.iter().filter(|_| is_full());
    let mut states = 0;
    for &bounds in [ANYTHING, ABORTED].iter().chain(&TWO_AND_ONE).chain(wide) {
        states += holds(strategies, bounds);
    }
    println!("{name}: {states} states");
}

#[test]
fn single_keeps_the_invariants() {
    holds_within_all("single", &[strategies::single()]);
}

#[test]
fn double_keeps_the_invariants() {
    holds_within_all("double", &[strategies::double()]);
}

#[test]
fn a_standby_keeps_the_invariants() {
    holds_within_all("standby", &[strategies::standby()]);
}

#[test]
fn images_of_different_strategies_keep_the_invariants() {
    let mixed = [strategies::single(), strategies::double()];
    let mut states = holds(&mixed, ANYTHING) + holds(&mixed, TWO);
    if is_full() {
        states += TWO_AND_ONE.iter().map(|&bounds| holds(&mixed, bounds)).sum::<usize>();
    }
    println!("single and double, mixed: {states} states");
}

#[test]
fn every_strategy_there_can_be_keeps_the_invariants() {
    let one = [
        Bounds { crashes: 1, ..ONE },
        Bounds { hangs: 1, ..ONE },
        Bounds { dismissals: 1, ..ONE },
        Bounds { failures: 1, ..ONE },
        Bounds { stops: 1, ..ONE },
        Bounds { aborts: 1, ..ONE },
    ];
    let wide = [TWO, Bounds { crashes: 1, dismissals: 1, ..ONE }, Bounds { crashes: 1, stops: 1, ..ONE }];
    let wide = wide.iter().filter(|_| is_full());
    let (mut states, mut count) = (0, 0);
    for strategy in strategies::all() {
        count += 1;
        states += one.iter().chain(wide.clone()).map(|&bounds| holds(&[strategy], bounds)).sum::<usize>();
    }
    println!("{count} strategies: {states} states");
}

#[test]
fn the_steps_that_are_certain_to_happen_end() {
    for strategy in [strategies::single(), strategies::double(), strategies::standby()] {
        let aborts = Bounds { aborts: 1, ..TWO };
        for bounds in
            [Bounds { stops: 1, crashes: 1, ..ONE }, Bounds { hangs: 1, failures: 1, ..ONE }, aborts]
        {
            let protocol = Protocol { strategies: vec![strategy], bounds, mutant: None };
            assert!(protocol.comes_to_an_end(), "{} {bounds:?}", strategies::describe(strategy));
        }
    }
}

/// Explores with a rule switched off, and expects this to be broken.
#[track_caller]
fn is_caught(mutant: Mutant, strategy: Decisions, bounds: Bounds, expected: Broken) {
    let found = Protocol { strategies: vec![strategy], bounds, mutant: Some(mutant) }.explore();
    let steps = found.broken.as_ref().map_or(0, |(_, steps)| steps.len());
    println!("{mutant:?}: {:?} after {steps} steps", found.broken.as_ref().map(|(broken, _)| broken));
    assert_eq!(found.broken.map(|(broken, _)| broken), Some(expected), "{mutant:?}");
}

#[test]
fn without_abort_there_are_two_owners() {
    is_caught(Mutant::CloseWithoutAbort, strategies::single(), ONE, Broken::TwoOwners);
    is_caught(Mutant::CloseWithoutAbort, strategies::double(), ONE, Broken::TwoOwners);
}

#[test]
fn a_stop_that_is_not_sent_is_treated_as_a_crash() {
    let stop = Bounds { stops: 1, ..ONE };
    is_caught(Mutant::StopNotSent, strategies::single(), stop, Broken::NotStopped);
    is_caught(Mutant::StopNotSent, strategies::double(), stop, Broken::NotStopped);
    is_caught(Mutant::StopOfNewImageNotSent, strategies::double(), stop, Broken::NotStopped);
}

#[test]
fn a_restart_while_there_is_a_fallback_leads_to_two_owners() {
    is_caught(Mutant::StartBesideFallback, strategies::single(), TWO, Broken::TwoOwners);
    is_caught(Mutant::StartBesideFallback, strategies::double(), TWO, Broken::TwoOwners);
}

#[test]
fn a_release_that_waits_for_the_drain_delays_the_next_restart() {
    is_caught(Mutant::ReleaseWhenDrained, strategies::single(), TWO, Broken::Delayed);
}

#[test]
fn a_release_that_does_not_wait_for_serving_loses_the_owner() {
    let hang = Bounds { hangs: 1, ..ONE };
    is_caught(Mutant::ReleaseUnserved, strategies::single(), hang, Broken::NoOwner);
    is_caught(Mutant::ReleaseUnserved, strategies::double(), hang, Broken::NoOwner);
    is_caught(Mutant::HangTolerated, strategies::single(), hang, Broken::NoOwner);
    is_caught(Mutant::HangTolerated, strategies::double(), hang, Broken::NoOwner);
}

#[test]
fn a_death_handled_before_an_unread_message_is_misjudged() {
    let stop = Bounds { stops: 1, ..ONE };
    is_caught(Mutant::DeathBesideMessage, strategies::single(), stop, Broken::NotStopped);
    is_caught(Mutant::DeathBesideMessage, strategies::double(), stop, Broken::NotStopped);
}

/// A message may arrive between the check of a channel and the handling of a deadline: nothing prevents that. So
/// the protocol has to tolerate a deadline while a message is unread, and it does. The rule makes it rare.
#[test]
fn a_deadline_while_a_message_is_unread_is_tolerated() {
    for strategy in [strategies::single(), strategies::double()] {
        for bounds in [Bounds { stops: 1, crashes: 1, ..ONE }, Bounds { hangs: 1, failures: 1, ..ONE }, TWO] {
            let mutant = Some(Mutant::DeadlineBesideMessage);
            let found = Protocol { strategies: vec![strategy], bounds, mutant }.explore();
            assert!(found.broken.is_none(), "{:?}", found.broken);
        }
    }
}

#[test]
fn a_message_that_could_not_be_sent_is_not_misinterpreted() {
    let (crash, stop) = (Bounds { crashes: 1, ..ONE }, Bounds { stops: 1, ..ONE });
    is_caught(Mutant::ReleaseFailedIsReleased, strategies::single(), crash, Broken::NoOwner);
    is_caught(Mutant::ReleaseFailedIsReleased, strategies::double(), crash, Broken::NoOwner);
    is_caught(Mutant::ReleaseFailedIsTheEnd, strategies::single(), stop, Broken::NotStopped);
    is_caught(Mutant::ReleaseFailedIsTheEnd, strategies::double(), stop, Broken::NotStopped);
    is_caught(Mutant::CommitFailedIsDeath, strategies::double(), stop, Broken::NotStopped);
}

#[test]
fn an_exec_that_forgets_its_children_leaves_a_zombie() {
    is_caught(Mutant::ExecForgetsChildren, strategies::double(), TWO, Broken::Zombie);
}

#[test]
fn an_exec_that_does_not_wait_for_the_drain_loses_requests() {
    is_caught(Mutant::ExecUndrained, strategies::double(), ONE, Broken::ExecEarly);
}

#[test]
fn a_signal_of_an_operator_mistaken_for_the_go_package_loses_the_owner() {
    let failure = Bounds { failures: 1, ..TWO };
    is_caught(Mutant::SenderIgnored, strategies::single(), failure, Broken::NoOwner);
    is_caught(Mutant::SenderIgnored, strategies::double(), failure, Broken::NotEntitled);
}

#[test]
fn exactly_one_side_gives_up_the_other() {
    is_caught(Mutant::BothGiveUp, strategies::double(), ONE, Broken::OwnerAborted);
    is_caught(Mutant::NeitherGivesUp, strategies::double(), Bounds { hangs: 1, ..TWO }, Broken::Forgotten);
}

#[test]
fn a_failed_exec_takes_nothing_back_by_itself() {
    is_caught(
        Mutant::ExecFailedTakesBack,
        strategies::double(),
        Bounds { failures: 1, ..ONE },
        Broken::TwoOwners,
    );
}

#[test]
fn an_aborted_image_is_ended_and_waited_for() {
    is_caught(Mutant::NoAbortTimeout, strategies::single(), Bounds { hangs: 1, ..ONE }, Broken::Lingers);
    is_caught(Mutant::AttemptBesideAttempt, strategies::single(), TWO, Broken::TwoSuccessors);
}

#[test]
fn what_is_committed_is_not_aborted() {
    let abort = Bounds { aborts: 1, ..ONE };
    is_caught(Mutant::AbortAfterCommit, strategies::single(), abort, Broken::OwnerAborted);
    is_caught(Mutant::AbortAfterCommit, strategies::double(), abort, Broken::OwnerAborted);
    is_caught(Mutant::AbortBesideFallback, strategies::single(), abort, Broken::OwnerAborted);
    is_caught(Mutant::AbortBesideFallback, strategies::double(), abort, Broken::OwnerAborted);
    let anew = Bounds { aborts: 1, ..TWO };
    is_caught(Mutant::AnewBesideAttempt, strategies::single(), anew, Broken::TwoSuccessors);
}

#[test]
fn a_fallback_that_hangs_would_delay_every_restart() {
    let hang = Bounds { hangs: 1, ..TWO };
    is_caught(Mutant::HungFallbackTolerated, strategies::single(), hang, Broken::Forgotten);
    is_caught(Mutant::HungFallbackTolerated, strategies::double(), hang, Broken::Forgotten);
}

#[test]
fn attempts_are_not_mixed_up() {
    is_caught(Mutant::AttemptsMixed, strategies::single(), TWO, Broken::TwoOwners);
    is_caught(Mutant::AttemptsMixed, strategies::double(), TWO, Broken::TwoOwners);
}
