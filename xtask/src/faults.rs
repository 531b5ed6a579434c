//! `cargo xtask e2e --faults`: the matrix of faults at every step of a restart, and the time without service during a
//! rollback.

mod table;

use std::fs;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Args;
use goagain_tests::config::StrategyKind;
use goagain_tests::faults::cell::{self, Cell};
use goagain_tests::faults::gap::{self, Gap, Half};
use goagain_tests::faults::matrix::{self, Outcome};
use goagain_tests::faults::share::{Share, choose};
use goagain_tests::service::Binaries;
use serde::Serialize;
use xshell::Shell;

use crate::busy::Busy;
use crate::output::{Progress, print_line, time};
use crate::programs;

/// How many cells run at once. They wait more than they compute.
const AT_ONCE: usize = 6;
/// How many rollbacks are measured.
const ROLLBACKS: u32 = 20;
const SECONDS_A_DAY: u64 = 24 * 60 * 60;

/// The faults to inject.
#[derive(Debug, Default, Args)]
#[group(id = "fault_matrix")]
pub(crate) struct Options {
    /// Inject a fault at every step of a restart under load, and print the result of each.
    ///
    /// Uses a build of the library with fault points. Also measures for how long no process accepts when a successor
    /// dies. Runs nothing else.
    #[arg(long, conflicts_with_all = ["drill", "no_drills", "soak"])]
    faults: bool,
    /// Run only this part of all cells, such as 1/4. The random seed selects which.
    #[arg(long, requires = "faults", value_name = "PART/OF")]
    share: Option<Share>,
    /// The random seed that assigns the cells to the shares. Defaults to the number of the day.
    #[arg(long, requires = "faults")]
    seed: Option<u64>,
    /// Run only cells whose name contains this text, and measure no rollbacks. Can be repeated.
    #[arg(long, requires = "faults", value_name = "TEXT")]
    cell: Vec<String>,
    /// Run this many cells at once.
    #[arg(long, requires = "faults", value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    at_once: Option<u8>,
}

impl Options {
    /// A share of the cells, a different one each day.
    pub(crate) fn share(share: Share) -> Self {
        Self { faults: true, share: Some(share), ..Self::default() }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.faults
    }
}

/// The contents of the `--json` file.
#[derive(Debug, Serialize)]
struct Results {
    seed: u64,
    share: String,
    cells: Vec<Outcome>,
    gaps: Vec<Gap>,
}

/// How to run the cells.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) strategies: Vec<StrategyKind>,
    /// Whether one thread for each core only uses CPU time meanwhile.
    pub(crate) busy: bool,
    /// How many times.
    pub(crate) times: u32,
    /// The file for the results.
    pub(crate) json: Option<&'a Path>,
}

/// Runs the cells. Returns whether all passed.
///
/// # Errors
/// - The programs cannot be built, or the file cannot be written.
pub(crate) fn run(shell: &Shell, options: &Options, plan: &Plan<'_>) -> anyhow::Result<bool> {
    print_line("building the drill servers with fault points");
    let binaries = programs::build_with_faults(shell)?;
    let today = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / SECONDS_A_DAY;
    let (share, seed) = (options.share.unwrap_or(Share::WHOLE), options.seed.unwrap_or(today));
    let (all, cells) = chosen(options, &plan.strategies, share, seed);
    let _busy = plan.busy.then(Busy::start);
    let at_once = options.at_once.map_or(AT_ONCE, usize::from);
    let mut outcomes = Vec::new();
    for time in 1..=plan.times {
        print_line(format!(
            "faults: {} of {all} cells, share {share}, seed {seed}, run {time} of {}",
            cells.len(),
            plan.times
        ));
        outcomes.extend(run_once(&binaries, &cells, at_once));
    }
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some()).count();
    if plan.times > 1 {
        let passed = outcomes.len() - failed;
        print_line(format!("faults: {passed} cells passed, {failed} failed in {} runs", plan.times));
    }
    let mut good = failed == 0;

    let mut gaps = Vec::new();
    if options.cell.is_empty() {
        good &= measure(&binaries, &plan.strategies, &mut gaps);
    }
    if let Some(path) = plan.json {
        let results = Results { seed, share: share.to_string(), cells: outcomes, gaps };
        fs::write(path, serde_json::to_string_pretty(&results)? + "\n")
            .with_context(|| format!("{}: results", path.display()))?;
    }
    Ok(good)
}

/// Runs each cell once, and shows the results.
fn run_once(binaries: &Binaries, cells: &[Cell], at_once: usize) -> Vec<Outcome> {
    let begin = Instant::now();
    let progress = Progress::every("faults", cells.len() as u64, 100);
    let outcomes = matrix::run(binaries, cells, at_once, |outcome| {
        progress.doing(&outcome.name);
        if outcome.failure.is_some() {
            progress.note(&format!("faults: FAILED {}", outcome.name));
        }
        progress.step();
    });
    drop(progress);
    print_line(table::table(cells, &outcomes));
    let failed: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.failure.is_some()).collect();
    for outcome in &failed {
        let failure = outcome.failure.as_deref().unwrap_or_default();
        print_line(format!("FAILED {}\nexpected: {}\n{failure}", outcome.name, outcome.expected));
    }
    let supervised = outcomes.iter().filter(|outcome| outcome.supervisor).count();
    print_line(format!(
        "faults: {} cells passed, {} failed, in {:.0} s; {supervised} of them need the supervisor",
        outcomes.len() - failed.len(),
        failed.len(),
        begin.elapsed().as_secs_f64()
    ));
    outcomes
}

/// Returns the number of all selected cells, and this share of them.
fn chosen(options: &Options, strategies: &[StrategyKind], share: Share, seed: u64) -> (usize, Vec<Cell>) {
    let mut all = cell::all();
    all.retain(|cell| strategies.contains(&cell.strategy));
    if !options.cell.is_empty() {
        all.retain(|cell| options.cell.iter().any(|text| cell.name().contains(text)));
    }
    let chosen = choose(all.len(), share, seed);
    (all.len(), chosen.into_iter().map(|number| all[number]).collect())
}

/// Measures for how long no process accepts: for each strategy, and for the second half of `Double`.
fn measure(binaries: &Binaries, strategies: &[StrategyKind], gaps: &mut Vec<Gap>) -> bool {
    let mut good = true;
    for &strategy in strategies {
        let halves: &[Half] = match strategy {
            StrategyKind::Double => &[Half::First, Half::Second],
            _ => &[Half::First],
        };
        for &half in halves {
            let who = match half {
                Half::First => "the successor dies",
                Half::Second => "the parent's new image dies",
            };
            match gap::measure(binaries, strategy, half, ROLLBACKS) {
                Ok(gap) => {
                    let (median, worst) = (time(gap.answered.median_ns), time(gap.answered.worst_ns));
                    print_line(format!(
                        "rollback, {strategy}, {who}: SIGKILL to the fallback's first response {median} median, {worst} worst \
                         of {}; {} of {} requests were in flight in the killed process",
                        gap.times, gap.lost, gap.requests
                    ));
                    gaps.push(gap);
                }
                Err(error) => {
                    good = false;
                    print_line(format!("rollback, {strategy}, {who}: FAILED: {error:#}"));
                }
            }
        }
    }
    good
}
