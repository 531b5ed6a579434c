//! A named piece of state, on its way from one image to the next.

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

/// A named piece of state, by descriptor: bytes in a file of memory, sealed on Linux (`memfd_create(2)`, F_ADD_SEALS), or
/// whatever else was offered.
///
/// Reading begins at the start of the bytes. They are nobody else's any longer: where they are many, map the descriptor
/// (`mmap(2)`, shared and read-only) and they are not copied at all.
#[derive(Debug)]
pub struct StateItem {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) contents: StateContents,
    /// Of bytes, how many.
    pub(crate) length: u64,
    pub(crate) file: File,
}

/// What a parcel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateContents {
    /// Bytes that were written for the purpose.
    Bytes,
    /// A descriptor of any kind.
    Descriptor,
    /// A socket that connections come over.
    Connections,
}

/// What making the parcels of one restart may take.
#[derive(Clone, Copy, Debug)]
pub struct StateLimits {
    bytes: u64,
    within: Duration,
    until: Instant,
}

impl StateLimits {
    /// From now on: so many bytes for each parcel, and so much time for all of them.
    pub fn new(bytes: u64, within: Duration) -> StateLimits {
        StateLimits { bytes, within, until: Instant::now() + within }
    }
}

impl StateItem {
    /// Bytes: what `write` writes. It runs on this thread; the allowance is looked at when it writes, and when it is done.
    ///
    /// # Errors
    /// [`SaveError`]: it failed, panicked or was not content with its allowance, whatever it made of that itself; or there
    /// is no memory.
    pub fn pack(
        name: &str,
        version: u32,
        allowance: StateLimits,
        write: impl FnOnce(&mut StateWriter) -> Result<(), String>,
    ) -> Result<StateItem, SaveError> {
        let mut writer = StateWriter::new(sys::nameless_file().map_err(SaveError::memory)?.into(), allowance);
        let written = catch_unwind(AssertUnwindSafe(|| write(&mut writer)));
        let (mut file, length) = writer.finish()?;
        written.map_err(|panic| SaveError::panicked(&*panic))?.map_err(SaveError::Failed)?;
        // The other side reads by the same open file.
        file.seek(SeekFrom::Start(0)).and_then(|_| sys::seal(&file)).map_err(SaveError::memory)?;
        Ok(StateItem { name: name.to_owned(), version, contents: StateContents::Bytes, length, file })
    }

    /// A descriptor of any kind.
    pub fn descriptor(name: &str, contents: StateContents, fd: OwnedFd) -> StateItem {
        StateItem { name: name.to_owned(), version: 0, contents, length: 0, file: fd.into() }
    }

    /// The name that it was offered by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version that it was offered with: what it means is the application's affair.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What it holds.
    pub fn contents(&self) -> StateContents {
        self.contents
    }

    /// How many bytes there are; 0 of a descriptor.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl Read for StateItem {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }

    // The file knows its size, and makes room at once.
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
    fn from(parcel: StateItem) -> OwnedFd {
        parcel.file.into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn allowance(bytes: u64) -> StateLimits {
        StateLimits::new(bytes, Duration::from_secs(60))
    }

    #[test]
    fn what_was_written_is_read_and_sealed() {
        let write =
            |writer: &mut StateWriter| writer.write_all(b"tickets").map_err(|error| error.to_string());
        let mut parcel = StateItem::pack("keys", 3, allowance(7), write).unwrap();
        assert_eq!((parcel.name(), parcel.version(), parcel.len()), ("keys", 3, 7));
        let mut read = String::new();
        parcel.read_to_string(&mut read).unwrap();
        assert_eq!(read, "tickets");
        #[cfg(all(target_os = "linux", not(goagain_portable)))]
        assert!((&parcel.file).write(b"x").is_err(), "it is sealed");
        let empty = StateItem::pack("", 0, allowance(0), |_| Ok(())).unwrap();
        assert!(empty.is_empty());
    }

    #[test]
    fn what_goes_wrong_is_told_even_if_it_is_passed_over() {
        let pack = |allowance, write: fn(&mut StateWriter) -> Result<(), String>| {
            StateItem::pack("keys", 0, allowance, write).unwrap_err()
        };
        let over = |writer: &mut StateWriter| {
            let _ = writer.write_all(&[0; 8]);
            Ok(())
        };
        assert_eq!(pack(allowance(7), over), SaveError::TooLarge { limit: 7 });
        let late = StateLimits::new(7, Duration::ZERO);
        assert_eq!(pack(late, |_| Ok(())), SaveError::TooLate { within: Duration::ZERO });
        let fails = |_: &mut StateWriter| Err("no keys".to_owned());
        assert_eq!(pack(allowance(7), fails), SaveError::Failed("no keys".into()));
        let panics = |_: &mut StateWriter| panic!("at the disco");
        assert_eq!(pack(allowance(7), panics), SaveError::Panicked("at the disco".into()));
    }
}
