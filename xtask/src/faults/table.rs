//! Prints the matrix as a table: a row for each point, a character for each cell.

use std::collections::HashMap;
use std::fmt::Write as _;

use goagain_tests::config::StrategyKind;
use goagain_tests::faults::cell::{Cell, Transport};
use goagain_tests::faults::kind::Kind;
use goagain_tests::faults::matrix::Outcome;

/// The groups of columns: each strategy with each transport. A group has a column for each kind of fault.
const GROUPS: [(StrategyKind, Transport); 4] = [
    (StrategyKind::Single, Transport::Tcp),
    (StrategyKind::Single, Transport::Unix),
    (StrategyKind::Double, Transport::Tcp),
    (StrategyKind::Double, Transport::Unix),
];

/// Returns the matrix of `outcomes`, which belong to `cells`.
pub(super) fn table(cells: &[Cell], outcomes: &[Outcome]) -> String {
    let marks: HashMap<String, char> =
        outcomes.iter().map(|outcome| (outcome.name.clone(), mark(outcome))).collect();
    let mut rows: Vec<String> = Vec::new();
    for cell in cells {
        let label = cell.point.label();
        if !rows.contains(&label) {
            rows.push(label);
        }
    }
    let width = rows.iter().map(String::len).max().unwrap_or(0);
    let mut table = String::from("kinds: ");
    let kinds: Vec<Kind> = Kind::all().collect();
    let legend: Vec<String> = kinds.iter().map(|kind| format!("{} {}", kind.letter(), kind.name())).collect();
    // Writing to a `String` does not fail.
    let _ = writeln!(table, "{}", legend.join(", "));
    table.push_str("cells: . passed, s passed and needs the supervisor, F failed, blank no such cell or not in this share\n");
    let _ = write!(table, "{:width$}", "");
    for (strategy, transport) in GROUPS {
        let _ = write!(
            table,
            "  {:columns$}",
            format!("{strategy}, {}", transport.name()),
            columns = kinds.len()
        );
    }
    let letters: String = kinds.iter().map(|kind| kind.letter()).collect();
    let _ = write!(table, "\n{:width$}", "");
    for _ in GROUPS {
        let _ = write!(table, "  {letters}");
    }
    for row in rows {
        let _ = write!(table, "\n{row:width$}");
        for (strategy, transport) in GROUPS {
            table.push_str("  ");
            for kind in &kinds {
                let name = format!("{row}, {}, {strategy}, {}", kind.name(), transport.name());
                table.push(marks.get(&name).copied().unwrap_or(' '));
            }
        }
    }
    table
}

fn mark(outcome: &Outcome) -> char {
    match (&outcome.failure, outcome.supervisor) {
        (Some(_), _) => 'F',
        (None, true) => 's',
        (None, false) => '.',
    }
}
