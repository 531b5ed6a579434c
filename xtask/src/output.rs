//! The terminal. Only this file prints.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Writes a line to standard output. If the reader is gone, the line is lost.
pub(crate) fn print_line(line: impl Display) {
    let mut output = io::stdout();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

/// Writes a line to standard error.
pub(crate) fn print_error(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// After how many steps a line is written instead of a bar.
const EVERY: u64 = 5;

/// A bar on a terminal. Elsewhere, a plain line every few steps.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    what: String,
    plain: bool,
    every: u64,
}

impl Progress {
    pub(crate) fn new(what: &str, steps: u64) -> Self {
        Self::every(what, steps, EVERY)
    }

    /// As `new`, with a plain line every `every` steps.
    pub(crate) fn every(what: &str, steps: u64, every: u64) -> Self {
        let plain = !io::stderr().is_terminal();
        let target = if plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(steps), target);
        if let Ok(style) = ProgressStyle::with_template("{prefix:8} {bar:30} {pos}/{len} {msg} [{elapsed}]") {
            bar.set_style(style);
        }
        bar.set_prefix(what.to_owned());
        Self { bar, what: what.to_owned(), plain, every }
    }

    /// Shows the current action.
    pub(crate) fn doing(&self, what: &str) {
        self.bar.set_message(what.to_owned());
        self.bar.tick();
    }

    /// Writes a line that stays above the bar.
    pub(crate) fn note(&self, line: &str) {
        self.bar.suspend(|| print_error(line));
    }

    /// Counts one step as done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
        let (done, all) = (self.bar.position(), self.bar.length().unwrap_or(0));
        if self.plain && (done % self.every == 0 || done == all) {
            print_error(format!("{}: {done} of {all}", self.what));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Formats a time with two decimals, in the unit that fits.
pub(crate) fn time(ns: u64) -> String {
    format!("{:.2?}", Duration::from_nanos(ns))
}
