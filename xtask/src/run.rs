//! Runs one strategy under load: a quiet phase, the restarts, and a check of what is left at the end.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use goagain_tests::config::StrategyKind;
use goagain_tests::drills::memory::{self, HeapCommits};
use goagain_tests::floor;
use goagain_tests::load::{Load, LoadOptions};
use goagain_tests::procfs::Descriptor;
use goagain_tests::service::{Binaries, Service, ServiceOptions};
use goagain_tests::summary::{Spread, Summary};
use serde::Serialize;

use crate::output::{Progress, print_line};

/// The time between two requests on a keep-alive connection.
const INTERVAL_MS: u64 = 200;
/// The number of keep-alive connections.
const KEEP_ALIVE: u32 = 50;
/// Slow requests per second, and how long each takes. At any time, some of them last through a restart.
const SLOW: u32 = 5;
const SLOW_MS: u64 = 1_500;
/// How long the load runs without restarts, before the first and after the last.
const QUIET: Duration = Duration::from_secs(3);
/// The time between a settled restart and the next one.
const GAP: Duration = Duration::from_millis(500);
/// Longer than [`INTERVAL_MS`]: a keep-alive connection in use is closed after a response, and never by the idle
/// timeout.
const IDLE_MS: u64 = 5 * INTERVAL_MS;
const PROBATION_MS: u64 = 200;
/// How many times signal → commit is measured, with and without a heap.
const HEAPS: usize = 9;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) strategy: StrategyKind,
    pub(crate) restarts: u32,
    pub(crate) rate: u32,
    pub(crate) seconds: Option<u64>,
}

/// The results of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) strategy: StrategyKind,
    pub(crate) rate: u32,
    pub(crate) summary: Summary,
    /// The time from a bare spawn of the drill server to its first output, under the same load as the service. Measured
    /// once after each restart, so that both are measured under the same conditions.
    pub(crate) floor_under_load: Spread,
    /// Signal → commit without load, by the heap size of the old process.
    pub(crate) heap: HeapCommits,
    /// The owner's descriptors after the first restart, and after the last.
    pub(crate) descriptors: (usize, usize),
    pub(crate) zombies: usize,
}

impl Figures {
    /// Returns whether no request was lost and nothing was left behind.
    pub(crate) fn is_good(&self) -> bool {
        self.summary.lost == 0 && self.descriptors.0 == self.descriptors.1 && self.zombies == 0
    }

    /// Returns the median signal → commit under load, as a multiple of the floor under the same load.
    pub(crate) fn commit_to_floor_under_load(&self) -> Option<f64> {
        Some(self.summary.commit?.median_ns as f64 / self.floor_under_load.median_ns as f64)
    }
}

/// Runs `plan`.
///
/// # Errors
/// - A restart does not settle, the load fails, or a process is left behind at the end.
pub(crate) fn run(binaries: &Binaries, plan: &Plan) -> anyhow::Result<Figures> {
    print_line(format!(
        "{}: {} restarts under {} new connections per second",
        plan.strategy, plan.restarts, plan.rate
    ));
    let options = ServiceOptions::new(plan.strategy).config(|config| {
        config.probation_ms = PROBATION_MS;
        config.idle_ms = IDLE_MS;
    });
    let heap = memory::measure(binaries, &options, HEAPS)?;

    let mut service = Service::start(binaries, options)?;
    // The first and the last restart are without load, so that no connection is among the descriptors.
    service.restart_and_settle()?;
    let first = at_rest(&service)?;
    let before = service.restarts().len();
    let load = Load::start(&binaries.load, &service.address("http")?, &load_options(plan))?;
    load.run_for(QUIET)?;
    let floors = restart_under(binaries, &load, &mut service, plan)?;
    let floor_under_load = Spread::of(floors).context("restarts: expected some, found none")?;
    load.run_for(QUIET)?;
    let records = load.finish()?;
    ensure!(!records.is_empty(), "requests: expected some, found none");
    let summary = Summary::of(&records, &service.events(), &service.restarts()[before..]);

    service.restart_and_settle()?;
    let last = at_rest(&service)?;
    let zombies = service.zombies()?.len();
    service.end()?;
    let descriptors = (first.len(), last.len());
    Ok(Figures {
        strategy: plan.strategy,
        rate: plan.rate,
        summary,
        floor_under_load,
        heap,
        descriptors,
        zombies,
    })
}

/// Restarts under load. Returns the floor measured after each restart, in nanoseconds.
fn restart_under(
    binaries: &Binaries,
    load: &Load,
    service: &mut Service,
    plan: &Plan,
) -> anyhow::Result<Vec<u64>> {
    // If a duration is given, the restarts are spread over what the two quiet phases leave of it.
    let whole = plan.seconds.map(|seconds| Duration::from_secs(seconds).saturating_sub(2 * QUIET));
    let gap = whole.map_or(GAP, |whole| whole / plan.restarts);
    let begin = Instant::now();
    let mut floors = Vec::new();
    let progress = Progress::new(plan.strategy.name(), plan.restarts.into());
    for number in 1..=plan.restarts {
        if whole.is_some_and(|whole| begin.elapsed() >= whole) {
            print_line(format!("{}: the time is up after {} restarts", plan.strategy, number - 1));
            break;
        }
        progress.doing("restarting");
        let restart = service.restart().with_context(|| format!("restart {number}"))?;
        let settled =
            service.await_settled(restart.generation).with_context(|| format!("restart {number}"))?;
        progress.step();
        progress.doing("quiet");
        let took = Duration::from_nanos(settled.t.saturating_sub(restart.signal_ns));
        let rest = if whole.is_some() { gap.saturating_sub(took) } else { gap };
        load.run_for(rest)?;
        floors.push(floor::measure(&binaries.server, 1)?.median_ns);
    }
    Ok(floors)
}

fn load_options(plan: &Plan) -> LoadOptions {
    LoadOptions {
        rate: plan.rate,
        keepalive: KEEP_ALIVE,
        keepalive_interval_ms: INTERVAL_MS,
        slow: SLOW,
        slow_ms: SLOW_MS,
        // The load is ended long before that. The limit is for the case that the harness dies.
        max_seconds: 2 * plan.seconds.unwrap_or(0) + 30 * u64::from(plan.restarts) + 60,
    }
}

fn at_rest(service: &Service) -> anyhow::Result<Vec<Descriptor>> {
    service.quiesce()?;
    service.descriptors(service.owner()?)
}
