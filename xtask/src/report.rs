//! Prints the figures of the runs as a table.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use goagain_tests::records::Outcome;
use goagain_tests::summary::{Latency, Spread};

use crate::output::time;
use crate::run::Figures;

/// Returns the table, with a column for each run.
pub(crate) fn table(runs: &[Figures]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED);
    table.set_header(std::iter::once(String::new()).chain(runs.iter().map(|run| run.strategy.to_string())));
    for (name, show) in rows() {
        table.add_row(std::iter::once((*name).to_owned()).chain(runs.iter().map(show)));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

type Row = (&'static str, fn(&Figures) -> String);

fn rows() -> &'static [Row] {
    &[
        ("requests", |run| run.summary.requests.to_string()),
        ("  by kind", by_kind),
        ("lost", |run| run.summary.lost.to_string()),
        ("  by kind", lost_by_kind),
        ("keep-alive connections closed while idle", |run| run.summary.closed_idle.to_string()),
        ("restarts", |run| run.summary.restarts.to_string()),
        ("generations that responded", |run| run.summary.generations.to_string()),
        ("signal → commit (median, worst)", |run| spread(run.summary.commit)),
        ("signal → first response of the new process", |run| spread(run.summary.first_answer)),
        ("signal → settled", |run| spread(run.summary.settled)),
        ("latency without restarts (p50, p99, p99.9, max)", |run| latency(&run.summary.quiet)),
        ("latency during restarts", |run| latency(&run.summary.restarting)),
        ("delay of the load generator, p99", |run| time(run.summary.load_late_p99_ns)),
        ("bare spawn (floor), idle (median, worst)", |run| {
            pair(run.heap.floor.median_ns, run.heap.floor.worst_ns)
        }),
        ("bare spawn (floor), under load", |run| {
            pair(run.floor_under_load.median_ns, run.floor_under_load.worst_ns)
        }),
        ("signal → commit, idle", |run| spread(Some(run.heap.none))),
        ("  divided by floor, idle (at most 2)", |run| format!("{:.2}", run.heap.by_floor())),
        ("  divided by floor, both under load (at most 2)", |run| ratio(run.commit_to_floor_under_load())),
        ("signal → commit, 1 GiB heap in the old process", |run| spread(Some(run.heap.gib))),
        ("  divided by that without heap (at most 1.2)", |run| format!("{:.2}", run.heap.ratio())),
        ("descriptors after first and last restart", |run| {
            format!("{}, {}", run.descriptors.0, run.descriptors.1)
        }),
        ("zombies, processes left", |run| format!("{}, 0", run.zombies)),
    ]
}

fn by_kind(run: &Figures) -> String {
    let kinds = run.summary.requests_by_kind.iter();
    kinds.map(|(kind, count)| format!("{} {count}", name(kind))).collect::<Vec<_>>().join(", ")
}

fn lost_by_kind(run: &Figures) -> String {
    let kinds = run.summary.lost_by_kind.iter().flat_map(|(kind, outcomes)| {
        outcomes.iter().map(move |(outcome, count)| format!("{} {}: {count}", name(kind), name(outcome)))
    });
    let lost: Vec<String> = kinds.collect();
    if lost.is_empty() { "–".to_owned() } else { lost.join(", ") }
}

/// Returns the name that a value has in JSON.
fn name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

fn pair(median: u64, worst: u64) -> String {
    format!("{}, {}", time(median), time(worst))
}

fn spread(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "–".to_owned(), |spread| pair(spread.median_ns, spread.worst_ns))
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
}

fn latency(latency: &Latency) -> String {
    [latency.p50_ns, latency.p99_ns, latency.p999_ns, latency.max_ns].map(time).join(", ")
}

/// Returns one line for the run, and one for each problem.
pub(crate) fn verdicts(run: &Figures) -> Vec<String> {
    let summary = &run.summary;
    let mut lines = vec![format!(
        "{}: {} lost of {} requests in {} restarts",
        run.strategy, summary.lost, summary.requests, summary.restarts
    )];
    let timeouts: u64 =
        summary.lost_by_kind.values().filter_map(|outcomes| outcomes.get(&Outcome::Timeout)).sum();
    if timeouts > 0 {
        lines.push(format!("{}: {timeouts} of the lost requests had no response in time", run.strategy));
    }
    if run.descriptors.0 != run.descriptors.1 {
        let (first, last) = run.descriptors;
        lines.push(format!(
            "{}: descriptors: expected {first}, as after the first restart, found {last}",
            run.strategy
        ));
    }
    if run.zombies > 0 {
        lines.push(format!("{}: zombies: expected none, found {}", run.strategy, run.zombies));
    }
    lines
}
