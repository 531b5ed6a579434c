//! The writer for the bytes of a state item, which enforces the limits.

use std::fs::File;
use std::io::{self, Write};
use std::time::Instant;

use super::{SaveError, StateLimits};

/// Writes the bytes of a state item, by `write(2)` into a file in memory.
///
/// A write beyond the size limit or after the deadline fails, and the restart fails with it. Each write is a system
/// call: write large pieces, or wrap the writer in [`BufWriter`](std::io::BufWriter) and flush that.
#[derive(Debug)]
pub struct StateWriter {
    file: File,
    limits: StateLimits,
    written: u64,
    error: Option<SaveError>,
}

impl StateWriter {
    pub(super) fn new(file: File, limits: StateLimits) -> StateWriter {
        StateWriter { file, limits, written: 0, error: None }
    }

    /// Returns how many bytes were written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Returns whether the deadline has passed. Code that collects data for long should check this now and then:
    /// nothing else can interrupt it.
    pub fn is_late(&self) -> bool {
        Instant::now() >= self.limits.deadline
    }

    /// Returns the file and its length, if both limits were kept.
    pub(super) fn finish(mut self) -> Result<(File, u64), SaveError> {
        self.check_limits(0);
        self.error.map_or(Ok((self.file, self.written)), Err)
    }

    /// Notes the limit that forbids `more` bytes. The first error stays.
    fn check_limits(&mut self, more: usize) {
        let StateLimits { max_bytes, timeout, .. } = self.limits;
        if self.error.is_none() && self.is_late() {
            self.error = Some(SaveError::TooLate { timeout });
        } else if self.error.is_none() && self.written.saturating_add(more as u64) > max_bytes {
            self.error = Some(SaveError::TooLarge { limit: max_bytes });
        }
    }
}

impl Write for StateWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check_limits(bytes.len());
        if let Some(error) = &self.error {
            return Err(io::Error::other(error.clone()));
        }
        match self.file.write(bytes) {
            Ok(written) => {
                self.written += written as u64;
                Ok(written)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.error = Some(SaveError::System(error.to_string()));
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
