//! The load as the harness sees it: a separate process that is started, paced, and ended.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use crate::process::Process;
use crate::records::{self, Record};

/// The load to generate. Times are in milliseconds.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Requests a second that have a connection of their own.
    pub rate: u32,
    /// The number of kept connections.
    pub keepalive: u32,
    /// The time between two requests on a kept connection.
    pub keepalive_interval_ms: u64,
    /// Slow requests a second.
    pub slow: u32,
    /// How long the answer to a slow request takes.
    pub slow_ms: u64,
    /// When to end by itself, in seconds.
    pub max_seconds: u64,
}

impl Default for LoadOptions {
    /// A light load, for drills that test something else.
    fn default() -> Self {
        Self { rate: 100, keepalive: 5, keepalive_interval_ms: 100, slow: 2, slow_ms: 300, max_seconds: 120 }
    }
}

/// A running load. Ended and reaped on drop.
#[derive(Debug)]
pub struct Load {
    child: Child,
    process: Process,
    records: PathBuf,
    _folder: TempDir,
}

impl Load {
    /// Starts `binary` (drill-load) against `target` (`tcp:ADDR` or `unix:PATH`). Returns when the first request
    /// is answered, so that there is an answer, however soon the load is stopped.
    ///
    /// # Errors
    /// - the binary cannot be started, or ends before its first request.
    pub fn start(binary: &Path, target: &str, options: &LoadOptions) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("a temporary folder for the records")?;
        let records = folder.path().join("records");
        let mut command = Command::new(binary);
        command.arg("--target").arg(target).arg("--records").arg(&records);
        for (name, value) in [
            ("--rate", u64::from(options.rate)),
            ("--keepalive", options.keepalive.into()),
            ("--keepalive-interval-ms", options.keepalive_interval_ms),
            ("--slow", options.slow.into()),
            ("--slow-ms", options.slow_ms),
            ("--max-seconds", options.max_seconds),
        ] {
            command.arg(name).arg(value.to_string());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = {
            let _quiet = crate::image::no_writers();
            command.spawn().with_context(|| format!("{}: cannot be started", binary.display()))?
        };
        let process = Process::open(child.id() as i32)?.context("drill-load: gone at once")?;
        let mut load = Self { child, process, records, _folder: folder };
        let mut line = String::new();
        let output = load.child.stdout.take().context("drill-load: no standard output")?;
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line == "started\n", "drill-load: expected `started`, found `{}`", line.trim_end());
        Ok(load)
    }

    /// Lets the load run for `time`. This is the pacing between two restarts.
    ///
    /// # Errors
    /// - the load ends during that time.
    pub fn run_for(&self, time: Duration) -> anyhow::Result<()> {
        ensure!(!self.process.await_death(time)?, "drill-load: ended before it was stopped");
        Ok(())
    }

    /// Makes the load start no more requests, waits until those in flight are answered or lost, and reads its
    /// records.
    ///
    /// # Errors
    /// - the load failed, or its records cannot be read.
    pub fn finish(mut self) -> anyhow::Result<Vec<Record>> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        if !status.success() {
            bail!("drill-load: expected success, found {status}");
        }
        records::read(&self.records)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // Neither has an effect on a child that `finish` has reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the records that are losses.
pub fn losses(records: &[Record]) -> Vec<&Record> {
    records.iter().filter(|record| record.outcome.is_loss()).collect()
}
