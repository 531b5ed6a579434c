//! The terminal: this is the one place that prints.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Writes a line to standard output. Where nobody reads it any longer, it is lost.
pub(crate) fn say(line: impl Display) {
    let mut output = io::stdout();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

/// Writes a line to standard error.
pub(crate) fn complain(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// How often a line is written instead of a bar.
const EVERY: u64 = 5;

/// A bar on a terminal; elsewhere a plain line every few steps.
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

    /// With a plain line every so many steps.
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

    /// Says what is being done now.
    pub(crate) fn doing(&self, what: &str) {
        self.bar.set_message(what.to_owned());
        self.bar.tick();
    }

    /// Says something that stays above the bar.
    pub(crate) fn note(&self, line: &str) {
        self.bar.suspend(|| complain(line));
    }

    /// One step is done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
        let (done, all) = (self.bar.position(), self.bar.length().unwrap_or(0));
        if self.plain && (done % self.every == 0 || done == all) {
            complain(format!("{}: {done} of {all}", self.what));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A time for people: two digits after the point, in the unit that fits.
pub(crate) fn time(ns: u64) -> String {
    format!("{:.2?}", Duration::from_nanos(ns))
}
