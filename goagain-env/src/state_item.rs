//! A named piece of saved state, on its way from one process to the next.

mod error;
mod writer;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

pub use self::error::SaveError;
pub use self::writer::StateWriter;
use crate::sys;

/// A named piece of saved state: bytes in a file in memory, or a descriptor of any other kind.
///
/// The file is sealed on Linux (`memfd_create(2)`, F_ADD_SEALS). Reading begins at the start of the bytes. Nobody else
/// uses them any longer. To avoid copying large contents, map the descriptor (`mmap(2)`, shared and read-only).
#[derive(Debug)]
pub struct StateItem {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) contents: StateContents,
    /// The number of bytes; 0 for a descriptor.
    pub(crate) length: u64,
    pub(crate) file: File,
}

/// What a state item holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateContents {
    /// Bytes that were written for this item.
    Bytes,
    /// A descriptor of any kind.
    Descriptor,
    /// A socket over which connections arrive.
    Connections,
}

/// How many bytes and how much time the items of one restart may take.
#[derive(Clone, Copy, Debug)]
pub struct StateLimits {
    max_bytes: u64,
    timeout: Duration,
    deadline: Instant,
}

impl StateLimits {
    /// Sets limits that start now: at most `max_bytes` for each item, and `timeout` for all of them together.
    pub fn new(max_bytes: u64, timeout: Duration) -> StateLimits {
        StateLimits { max_bytes, timeout, deadline: Instant::now() + timeout }
    }
}

impl StateItem {
    /// Creates an item of bytes, which `write` writes. `write` runs on this thread. The limits are checked at each
    /// write, and once `write` has returned.
    ///
    /// # Errors
    /// - [`SaveError::Failed`], [`SaveError::Panicked`]: `write` failed or panicked.
    /// - [`SaveError::TooLarge`], [`SaveError::TooLate`]: `write` exceeded a limit, even if it ignored the error of its
    ///   writes.
    /// - [`SaveError::System`]: there is no memory for the file.
    pub fn pack(
        name: &str,
        version: u32,
        limits: StateLimits,
        write: impl FnOnce(&mut StateWriter) -> Result<(), String>,
    ) -> Result<StateItem, SaveError> {
        let mut writer = StateWriter::new(sys::anonymous_file().map_err(SaveError::memory)?.into(), limits);
        let written = catch_unwind(AssertUnwindSafe(|| write(&mut writer)));
        let (mut file, length) = writer.finish()?;
        written.map_err(|panic| SaveError::panicked(&*panic))?.map_err(SaveError::Failed)?;
        // The other process reads through the same open file description, so the position is shared.
        file.seek(SeekFrom::Start(0)).and_then(|_| sys::seal(&file)).map_err(SaveError::memory)?;
        Ok(StateItem { name: name.to_owned(), version, contents: StateContents::Bytes, length, file })
    }

    /// Creates an item from a descriptor of any kind.
    pub fn descriptor(name: &str, contents: StateContents, fd: OwnedFd) -> StateItem {
        StateItem { name: name.to_owned(), version: 0, contents, length: 0, file: fd.into() }
    }

    /// Returns the name under which the item was saved.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the version with which the item was saved. The application decides what it means.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Returns what the item holds.
    pub fn contents(&self) -> StateContents {
        self.contents
    }

    /// Returns the number of bytes; 0 for a descriptor.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Returns whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl Read for StateItem {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }

    // The file knows its size, so it reserves the memory once.
    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.file.read_to_end(buffer)
    }
}

impl Seek for StateItem {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl AsFd for StateItem {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl From<StateItem> for OwnedFd {
    fn from(item: StateItem) -> OwnedFd {
        item.file.into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn limits(bytes: u64) -> StateLimits {
        StateLimits::new(bytes, Duration::from_secs(60))
    }

    #[test]
    fn written_bytes_are_read_and_sealed() {
        let write =
            |writer: &mut StateWriter| writer.write_all(b"tickets").map_err(|error| error.to_string());
        let mut item = StateItem::pack("keys", 3, limits(7), write).unwrap();
        assert_eq!((item.name(), item.version(), item.len()), ("keys", 3, 7));
        let mut read = String::new();
        item.read_to_string(&mut read).unwrap();
        assert_eq!(read, "tickets");
        #[cfg(all(target_os = "linux", not(goagain_portable)))]
        assert!((&item.file).write(b"x").is_err(), "it is sealed");
        let empty = StateItem::pack("", 0, limits(0), |_| Ok(())).unwrap();
        assert!(empty.is_empty());
    }

    #[test]
    fn errors_are_returned_even_if_the_function_ignores_them() {
        let pack = |limits, write: fn(&mut StateWriter) -> Result<(), String>| {
            StateItem::pack("keys", 0, limits, write).unwrap_err()
        };
        let over = |writer: &mut StateWriter| {
            let _ = writer.write_all(&[0; 8]);
            Ok(())
        };
        assert_eq!(pack(limits(7), over), SaveError::TooLarge { limit: 7 });
        let late = StateLimits::new(7, Duration::ZERO);
        assert_eq!(pack(late, |_| Ok(())), SaveError::TooLate { timeout: Duration::ZERO });
        let fails = |_: &mut StateWriter| Err("no keys".to_owned());
        assert_eq!(pack(limits(7), fails), SaveError::Failed("no keys".into()));
        let panics = |_: &mut StateWriter| panic!("at the disco");
        assert_eq!(pack(limits(7), panics), SaveError::Panicked("at the disco".into()));
    }
}
