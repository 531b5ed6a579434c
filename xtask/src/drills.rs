//! Runs the drills in this process, one after the other.

use std::time::Instant;

use goagain_tests::config::StrategyKind;
use goagain_tests::drills::{Context, all};
use goagain_tests::service::Binaries;
use serde::Serialize;

use crate::output::print_line;

/// The result of one drill with one strategy.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    name: String,
    milliseconds: u64,
    notes: Vec<String>,
    /// The error, if the drill failed.
    pub(crate) failure: Option<String>,
}

/// Prints each drill's name, its strategies, and what it shows.
pub(crate) fn list() {
    for drill in all() {
        let strategies: Vec<_> = drill.strategies.iter().map(|strategy| strategy.name()).collect();
        print_line(format!("{:32} {:14} {}", drill.name, strategies.join(", "), drill.about));
    }
}

/// Checks that a drill has this name.
///
/// # Errors
/// - There is no such drill.
pub(crate) fn known(name: &str) -> Result<String, String> {
    let found = all().iter().any(|drill| drill.name == name);
    found.then(|| name.to_owned()).ok_or_else(|| "no such drill: see --list".to_owned())
}

/// Runs the drills with these names, or all, for these strategies. Drills of a custom strategy are always included.
pub(crate) fn run(binaries: &Binaries, strategies: &[StrategyKind], names: &[String]) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for drill in all().iter().filter(|drill| names.is_empty() || names.iter().any(|name| name == drill.name))
    {
        let is_selected =
            |strategy: &&StrategyKind| **strategy == StrategyKind::Standby || strategies.contains(strategy);
        for &strategy in drill.strategies.iter().filter(is_selected) {
            let context = Context::new(binaries.clone(), strategy);
            let begin = Instant::now();
            let failure = (drill.run)(&context).err().map(|error| format!("{error:#}"));
            let outcome = Outcome {
                name: format!("{}::{strategy}", drill.name),
                milliseconds: begin.elapsed().as_millis() as u64,
                notes: context.notes(),
                failure,
            };
            show(&outcome);
            outcomes.push(outcome);
        }
    }
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    print_line(format!("drills: {} passed, {failed} failed", outcomes.len() - failed));
    outcomes
}

fn show(outcome: &Outcome) {
    let word = if outcome.failure.is_some() { "FAILED" } else { "ok" };
    print_line(format!("drill {:45} {word} ({:.1} s)", outcome.name, outcome.milliseconds as f64 / 1e3));
    for note in &outcome.notes {
        print_line(format!("      {note}"));
    }
    if let Some(failure) = &outcome.failure {
        print_line(format!("      {failure}"));
    }
}
