//! `cargo xtask e2e --soak`: many restarts without a pause, and what has changed at the end.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use goagain_tests::config::StrategyKind;
use goagain_tests::events::Event;
use goagain_tests::load::{Load, LoadOptions};
use goagain_tests::service::{Binaries, DEADLINE, Restart, Service, ServiceOptions};
use goagain_tests::soak::{Usage, raise_descriptor_limit};
use goagain_tests::summary::{Spread, Summary};
use serde::Serialize;

use crate::output::{Progress, print_line, time};
use crate::run::Plan;

/// Keep-alive connections, and the time between two requests on each.
const KEEP_ALIVE: u32 = 10;
const INTERVAL_MS: u64 = 50;
/// Much longer than [`INTERVAL_MS`]: a keep-alive connection in use is closed after a response, and never by the idle
/// timeout, even if the load is late on a busy machine. Nothing else waits for this time.
const IDLE_MS: u64 = 40 * INTERVAL_MS;
const SLOW: u32 = 5;
const SLOW_MS: u64 = 50;
/// Short, because it is most of the time of a restart.
const PROBATION_MS: u64 = 200;
/// How many restarts are compared, at the start and at the end.
const COMPARED: usize = 100;
/// The resident memory of two processes of one image differs by some pages. A larger difference, in percent, is growth.
const GROWTH: u64 = 20;

/// How long the handoffs of some restarts took.
#[derive(Clone, Copy, Debug, Serialize)]
struct HandOver {
    commit: Option<Spread>,
    settled: Option<Spread>,
}

/// The results of one strategy's soak.
#[derive(Debug, Serialize)]
struct Figures {
    strategy: StrategyKind,
    rate: u32,
    seconds: f64,
    summary: Summary,
    /// Restarts that failed or were rolled back.
    failed: usize,
    /// After the first restart, and after the last, both without load.
    held: (Usage, Usage),
    first: HandOver,
    last: HandOver,
}

impl Figures {
    fn is_good(&self) -> bool {
        let (first, last) = self.held;
        let alike = |held: Usage| (held.descriptors, held.threads, held.processes);
        let grown = last.resident_kib * 100 > first.resident_kib * (100 + GROWTH);
        self.summary.lost == 0 && self.failed == 0 && alike(first) == alike(last) && !grown
    }
}

/// Soaks each strategy. Returns false if a request was lost, or if the service holds more at the end than at the start.
///
/// # Errors
/// - The file for the figures cannot be written.
pub(crate) fn run_all(binaries: &Binaries, plans: &[Plan], json: Option<&Path>) -> anyhow::Result<bool> {
    raise_descriptor_limit()?;
    let (mut runs, mut good) = (Vec::new(), true);
    for plan in plans {
        // The failure of one strategy must not hide the figures of the other.
        match run(binaries, plan).with_context(|| format!("{}: soak", plan.strategy)) {
            Ok(figures) => runs.push(figures),
            Err(error) => {
                good = false;
                print_line(format!("{error:#}"));
            }
        }
    }
    if !runs.is_empty() {
        print_line(table(&runs));
    }
    for run in &runs {
        let word = if run.is_good() { "ok" } else { "FAILED" };
        let Summary { lost, requests, restarts, .. } = run.summary;
        print_line(format!(
            "soak {}: {word}: {lost} lost of {requests} requests in {restarts} restarts",
            run.strategy
        ));
    }
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&runs)?;
        fs::write(path, text + "\n").with_context(|| format!("{}: results", path.display()))?;
    }
    Ok(good && runs.iter().all(Figures::is_good))
}

fn run(binaries: &Binaries, plan: &Plan) -> anyhow::Result<Figures> {
    print_line(format!(
        "{}: {} restarts under {} new connections per second",
        plan.strategy, plan.restarts, plan.rate
    ));
    let options = ServiceOptions::new(plan.strategy).config(|config| {
        config.probation_ms = PROBATION_MS;
        config.idle_ms = IDLE_MS;
    });
    let mut service = Service::start(binaries, options)?;
    restart(&mut service)?;
    let start = Usage::by(&service)?;
    let load = Load::start(&binaries.load, &service.address("http")?, &load_options(plan))?;
    let begin = Instant::now();
    let restarts = restart_under(&load, &mut service, plan)?;
    let seconds = begin.elapsed().as_secs_f64();
    let records = load.finish()?;
    ensure!(!records.is_empty(), "requests: expected some, found none");
    // The last restart is without load, and is not among those that are judged.
    let events = service.events();
    restart(&mut service)?;
    let end = Usage::by(&service)?;
    service.end()?;
    let hundred = restarts.len().min(COMPARED);
    let failed = |event: &&Event| ["failed", "rolled_back"].contains(&event.name.as_str());
    Ok(Figures {
        strategy: plan.strategy,
        rate: plan.rate,
        seconds,
        failed: events.iter().filter(failed).count(),
        held: (start, end),
        first: hand_over(&events, &restarts[..hundred], restarts.get(hundred)),
        last: hand_over(&events, &restarts[restarts.len() - hundred..], None),
        summary: Summary::of(&records, &events, &restarts),
    })
}

/// Returns how long these restarts took. `after` is the first restart that is not one of them.
fn hand_over(events: &[Event], restarts: &[Restart], after: Option<&Restart>) -> HandOver {
    let end = after.map_or(u64::MAX, |restart| restart.signal_ns);
    let events: Vec<Event> = events.iter().filter(|event| event.t < end).cloned().collect();
    let Summary { commit, settled, .. } = Summary::of(&[], &events, restarts);
    HandOver { commit, settled }
}

fn restart_under(load: &Load, service: &mut Service, plan: &Plan) -> anyhow::Result<Vec<Restart>> {
    let most = plan.seconds.map(Duration::from_secs);
    let begin = Instant::now();
    let mut restarts = Vec::new();
    let progress = Progress::every(plan.strategy.name(), plan.restarts.into(), 100);
    for number in 1..=plan.restarts {
        if most.is_some_and(|most| begin.elapsed() >= most) {
            print_line(format!("{}: the time is up after {} restarts", plan.strategy, number - 1));
            break;
        }
        restarts.push(restart(service).with_context(|| format!("restart {number}"))?);
        load.run_for(Duration::ZERO)?;
        progress.step();
    }
    Ok(restarts)
}

/// Restarts once, and waits until the restart is over. A failed restart is counted afterwards, from the events.
fn restart(service: &mut Service) -> anyhow::Result<Restart> {
    let restart = service.restart()?;
    let (double, pid) = (service.strategy() == StrategyKind::Double, service.main_pid());
    let over = |event: &Event| match event.name.as_str() {
        "settled" => event.generation > restart.generation && (!double || event.pid == pid),
        "failed" => true,
        "rolled_back" => double && event.pid != pid,
        "owner" => event.generation == restart.generation,
        _ => false,
    };
    let over = service.await_event(over, DEADLINE)?;
    ensure!(
        over.name != "rolled_back",
        "rolled back to the child, and the process with the service's pid has ended: {}",
        service.story(service.events().len().saturating_sub(20))
    );
    if over.name == "settled" && !double {
        // The previous process is a child of the harness by now, which reaps it.
        service.await_gone(restart.pid)?;
    }
    Ok(restart)
}

fn load_options(plan: &Plan) -> LoadOptions {
    LoadOptions {
        rate: plan.rate,
        keepalive: KEEP_ALIVE,
        keepalive_interval_ms: INTERVAL_MS,
        slow: SLOW,
        slow_ms: SLOW_MS,
        // The load is ended long before that. The limit is for the case that the harness dies.
        max_seconds: plan.seconds.unwrap_or(0) + 5 * u64::from(plan.restarts) + 60,
    }
}

type Row = (&'static str, fn(&Figures) -> String);

const ROWS: &[Row] = &[
    ("restarts, in seconds", |run| format!("{}, {:.1}", run.summary.restarts, run.seconds)),
    ("requests, lost", |run| format!("{}, {}", run.summary.requests, run.summary.lost)),
    ("restarts that failed or were rolled back", |run| run.failed.to_string()),
    ("generations that responded", |run| run.summary.generations.to_string()),
    ("resident memory, start → end", |run| both(run, |held| format!("{} KiB", held.resident_kib))),
    ("descriptors", |run| both(run, |held| held.descriptors.to_string())),
    ("threads", |run| both(run, |held| held.threads.to_string())),
    ("processes of the service", |run| both(run, |held| held.processes.to_string())),
    ("signal → commit, first hundred (median, worst)", |run| spread(run.first.commit)),
    ("signal → commit, last hundred", |run| spread(run.last.commit)),
    ("signal → settled, first hundred", |run| spread(run.first.settled)),
    ("signal → settled, last hundred", |run| spread(run.last.settled)),
];

/// Returns the table, with a column for each run.
fn table(runs: &[Figures]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    table.set_header(std::iter::once(String::new()).chain(runs.iter().map(|run| run.strategy.to_string())));
    for (name, show) in ROWS {
        table.add_row(std::iter::once((*name).to_owned()).chain(runs.iter().map(show)));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn both(run: &Figures, show: fn(Usage) -> String) -> String {
    format!("{} → {}", show(run.held.0), show(run.held.1))
}

fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "–".to_owned(),
        |spread| format!("{}, {}", time(spread.median_ns), time(spread.worst_ns)),
    )
}
