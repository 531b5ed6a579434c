//! State for the next image, and from the last.

use crate::life::Goagain;
use crate::life::callbacks::CallbackResult;
use goagain_env::{SaveError, StateLimits};
pub use goagain_env::{StateContents, StateItem, StateWriter};
use goagain_signals::RestoreError;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// What this image offers to the next, and within what.
#[derive(Debug)]
pub(crate) struct SavedState {
    all: Vec<Offer>,
    /// Bytes, for each parcel.
    pub(crate) limit: u64,
    /// For all parcels of a restart.
    pub(crate) within: Duration,
}

#[derive(Debug)]
struct Offer {
    name: String,
    what: What,
}

enum What {
    Bytes(u32, Write),
    Descriptor(OwnedFd),
}

type Write = Box<dyn FnMut(&mut StateWriter) -> Result<(), String> + Send>;

impl Default for SavedState {
    fn default() -> SavedState {
        SavedState { all: Vec::new(), limit: 1 << 30, within: Duration::from_secs(10) }
    }
}

impl SavedState {
    /// A second offer of a name takes the place of the first.
    fn add(&mut self, name: &str, what: What) {
        self.all.retain(|offer| offer.name != name);
        self.all.push(Offer { name: name.to_owned(), what });
    }

    /// Makes the parcels, in the order of the offers.
    pub(crate) fn pack(&mut self) -> Result<Vec<StateItem>, (String, SaveError)> {
        let allowance = StateLimits::new(self.limit, self.within);
        let packed = self.all.iter_mut().map(|Offer { name, what }| match what {
            What::Bytes(version, write) => StateItem::pack(name, *version, allowance, |writer| write(writer))
                .map_err(|error| (name.clone(), error)),
            What::Descriptor(fd) => match fd.as_fd().try_clone_to_owned() {
                Ok(fd) => Ok(StateItem::descriptor(name, StateContents::Descriptor, fd)),
                Err(error) => Err((name.clone(), SaveError::System(error.to_string()))),
            },
        });
        packed.collect()
    }
}

impl fmt::Debug for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Bytes(version, _) => f.debug_tuple("Bytes").field(version).finish_non_exhaustive(),
            What::Descriptor(fd) => f.debug_tuple("Descriptor").field(fd).finish(),
        }
    }
}

impl Goagain {
    /// SavedState bytes to the next image, such as the keys of TLS tickets, counters, or a cache. At each restart `write` is called and
    /// writes them, into a sealed file of memory (`memfd_create`), which the next image [takes](Goagain::take) by this name:
    /// they are copied once, when they are written. A later offer of the name takes the place of this one.
    ///
    /// It runs in the loop (in [`wait`](Goagain::wait) or [`step`](Goagain::step)) before the new image is started, while this
    /// one serves on: what changes from then to the commit is not in it. Under a strategy that execs the image that serves
    /// meanwhile is asked once more, when the process execs. It has as long as
    /// [`Builder::state_timeout`](crate::Builder::state_timeout) says, and room for
    /// [`Builder::state_limit`](crate::Builder::state_limit). No thread of ours watches it: the time is looked at when it writes
    /// and when it is done, so whoever collects for long without writing should ask [`StateWriter::is_late`].
    ///
    /// If it fails or panics, or takes more than it may, the restart fails and the service goes on. The observer is told by
    /// [`EventKind::StateNotSaved`](crate::EventKind::StateNotSaved).
    ///
    /// `version` goes with the bytes, for the next image to know how to read them; goagain does not look at it.
    pub fn save_state<R: CallbackResult>(
        &mut self,
        name: &str,
        version: u32,
        mut write: impl FnMut(&mut StateWriter) -> R + Send + 'static,
    ) {
        let write = Box::new(move |writer: &mut StateWriter| write(writer).into_result());
        self.serving_mut().offers.add(name, What::Bytes(version, write));
    }

    /// SavedState a descriptor to the next image: a file, a pipe, a connection. Each restart hands over a duplicate
    /// (`fcntl(F_DUPFD_CLOEXEC)`), so offset and O_NONBLOCK are shared. A later offer of the name takes the place of this one.
    ///
    /// Unlike what is [kept](Goagain::keep), it is the owner's of the moment: under a strategy that execs the process that comes
    /// back has what the image in between offered.
    pub fn save_fd(&mut self, name: &str, fd: impl Into<OwnedFd>) {
        self.serving_mut().offers.add(name, What::Descriptor(fd.into()));
    }

    /// Takes the bytes that the image before offered under this name: `None` if there is no such image, or if it offered none.
    /// Each is there once, until [`ready`](Goagain::ready) closes what was not taken.
    ///
    /// In a process that was exec'd in place it may have to wait until the owner has made them, as long as this image may
    /// take until it is ready. After [`Finish::Resume`](crate::Finish::Resume) of an exec that failed, what the owner in between
    /// offered can be taken too.
    ///
    /// # Errors
    /// [`RestoreError`]: pass it on and leave, and the owner goes on with its state. [`ready`](Goagain::ready) fails by it too.
    pub fn restore_state(&mut self, name: &str) -> Result<Option<StateItem>, RestoreError> {
        self.take_any(name, true)
    }

    /// Takes the descriptor that the image before offered under this name; otherwise as [`take`](Goagain::take).
    ///
    /// # Errors
    /// [`RestoreError`]
    pub fn restore_fd(&mut self, name: &str) -> Result<Option<OwnedFd>, RestoreError> {
        Ok(self.take_any(name, false)?.map(OwnedFd::from))
    }

    fn take_any(&mut self, name: &str, bytes: bool) -> Result<Option<StateItem>, RestoreError> {
        let (inner, serving) = self.parts();
        let parcels = inner.state(serving)?;
        let of_ours = |parcel: &StateItem| parcel.contents() == StateContents::Connections;
        let index = parcels.iter().position(|parcel| parcel.name() == name && !of_ours(parcel));
        let Some(index) = index else { return Ok(None) };
        let found = parcels[index].contents();
        if (found == StateContents::Bytes) != bytes {
            return Err(RestoreError::AnotherKind { name: name.to_owned(), found });
        }
        Ok(Some(parcels.remove(index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn offers_are_made_anew_each_time_and_the_last_of_a_name_counts() {
        let mut offers = SavedState::default();
        let mut count = 0u8;
        offers.add("count", What::Descriptor(tempfile::tempfile().unwrap().into()));
        let write = move |writer: &mut StateWriter| {
            count += 1;
            writer.write_all(&[count]).map_err(|error| error.to_string())
        };
        offers.add("count", What::Bytes(2, Box::new(write)));
        for expected in 1..3 {
            let [mut parcel] = <[StateItem; 1]>::try_from(offers.pack().unwrap()).unwrap();
            let mut read = Vec::new();
            parcel.read_to_end(&mut read).unwrap();
            assert_eq!((parcel.name(), parcel.version(), read), ("count", 2, vec![expected]));
        }
    }

    #[test]
    fn the_parcel_that_fails_is_named() {
        let mut offers = SavedState::default();
        offers.add("cache", What::Bytes(0, Box::new(|_| Err("is cold".into()))));
        assert_eq!(offers.pack().unwrap_err(), ("cache".into(), SaveError::Failed("is cold".into())));
    }
}
