//! Where the bytes of a parcel are written to, within what they may take.

use std::fs::File;
use std::io::{self, Write};
use std::time::Instant;

use super::{SaveError, StateLimits};

/// Takes the bytes of a parcel, by `write(2)` into a file of memory.
///
/// A write beyond the size limit or after the deadline fails, and with it the restart. Each write is a system call: give
/// large pieces, or wrap it in [`BufWriter`](std::io::BufWriter) (and flush that).
#[derive(Debug)]
pub struct StateWriter {
    file: File,
    allowance: StateLimits,
    written: u64,
    refused: Option<SaveError>,
}

impl StateWriter {
    pub(super) fn new(file: File, allowance: StateLimits) -> StateWriter {
        StateWriter { file, allowance, written: 0, refused: None }
    }

    /// How many bytes were written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Whether the deadline has passed: whoever collects for long should ask now and then, for nobody else can stop it.
    pub fn is_late(&self) -> bool {
        Instant::now() >= self.allowance.until
    }

    /// The file and its length, if all was within the allowance.
    pub(super) fn finish(mut self) -> Result<(File, u64), SaveError> {
        self.look(0);
        self.refused.map_or(Ok((self.file, self.written)), Err)
    }

    /// Notes what keeps `more` bytes from being written. What was refused once stays so.
    fn look(&mut self, more: usize) {
        let StateLimits { bytes, within, .. } = self.allowance;
        if self.refused.is_none() && self.is_late() {
            self.refused = Some(SaveError::TooLate { within });
        } else if self.refused.is_none() && self.written.saturating_add(more as u64) > bytes {
            self.refused = Some(SaveError::TooLarge { limit: bytes });
        }
    }
}

impl Write for StateWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.look(bytes.len());
        if let Some(refused) = &self.refused {
            return Err(io::Error::other(refused.clone()));
        }
        match self.file.write(bytes) {
            Ok(written) => {
                self.written += written as u64;
                Ok(written)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.refused = Some(SaveError::System(error.to_string()));
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
