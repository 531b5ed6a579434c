//! What the load writes: one record for each request, as lines of JSON.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// How a request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// On a connection of its own.
    New,
    /// On a connection that is kept.
    Keep,
    /// On a connection of its own, with a slow answer.
    Slow,
}

/// The outcome of a request. Everything but [`Ok`](Outcome::Ok) and [`ClosedIdle`](Outcome::ClosedIdle) is a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered, with status 200 and the identity of an image.
    Ok,
    /// Not a request: the server closed a kept connection while it was idle, after an answer.
    ClosedIdle,
    /// The connection was refused.
    Refused,
    /// The connection was reset.
    Reset,
    /// The connection ended without a complete answer.
    Eof,
    /// No complete answer in time.
    Timeout,
    /// Answered with a status other than 200.
    BadStatus,
    /// Answered with something that is not a valid answer, or not from a drill server.
    BadAnswer,
    /// Any other error of a system call.
    Error,
}

impl Outcome {
    /// Returns whether a request was lost.
    pub fn is_loss(self) -> bool {
        !matches!(self, Self::Ok | Self::ClosedIdle)
    }

    /// Returns whether this is the outcome of a request at all.
    pub fn is_request(self) -> bool {
        self != Self::ClosedIdle
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// How it was sent.
    pub kind: Kind,
    /// When it was due, in nanoseconds of CLOCK_MONOTONIC.
    pub due_ns: u64,
    /// How late the load itself was with it, in nanoseconds; part of the latency.
    pub late_ns: u64,
    /// From the due time to the complete answer, in nanoseconds.
    pub latency_ns: u64,
    /// The outcome.
    pub outcome: Outcome,
    /// The process that answered; 0 for none.
    pub pid: i32,
    /// The generation that answered; 0 for none.
    pub generation: u64,
}

impl Record {
    /// Returns when it ended, in nanoseconds of CLOCK_MONOTONIC.
    pub fn end_ns(&self) -> u64 {
        self.due_ns + self.latency_ns
    }
}

/// Writes `records` to `path`.
///
/// # Errors
/// - the file cannot be written.
pub fn write(path: &Path, records: &[Record]) -> anyhow::Result<()> {
    let context = || format!("{}: records", path.display());
    let mut file = BufWriter::new(File::create(path).with_context(context)?);
    for record in records {
        serde_json::to_writer(&mut file, record).with_context(context)?;
        file.write_all(b"\n").with_context(context)?;
    }
    file.flush().with_context(context)
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// - the file cannot be read, or a line is not a record.
pub fn read(path: &Path) -> anyhow::Result<Vec<Record>> {
    let context = || format!("{}: records", path.display());
    let file = BufReader::new(File::open(path).with_context(context)?);
    file.lines().map(|line| serde_json::from_str(&line?).with_context(context)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_written_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        let record = Record {
            kind: Kind::Keep,
            due_ns: 5,
            late_ns: 1,
            latency_ns: 7,
            outcome: Outcome::BadStatus,
            pid: 2,
            generation: 3,
        };
        write(&path, &[record.clone(), record.clone()]).unwrap();
        assert_eq!(read(&path).unwrap(), [record.clone(), record]);
    }
}
