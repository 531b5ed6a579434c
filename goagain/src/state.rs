//! State that crosses a restart: one process saves it, and the next one restores it.

use crate::life::Goagain;
use crate::life::callbacks::CallbackResult;
use goagain_env::{SaveError, StateLimits};
pub use goagain_env::{StateContents, StateItem, StateWriter};
use goagain_signals::RestoreError;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The state that this process saves for the next one, and its limits.
#[derive(Debug)]
pub(crate) struct SavedState {
    all: Vec<SavedItem>,
    /// The most bytes of one state item.
    pub(crate) limit: u64,
    /// The time for all state items of a restart.
    pub(crate) within: Duration,
}

#[derive(Debug)]
struct SavedItem {
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
    /// Adds an item. It replaces one of the same name.
    fn add(&mut self, name: &str, what: What) {
        self.all.retain(|item| item.name != name);
        self.all.push(SavedItem { name: name.to_owned(), what });
    }

    /// Makes the state items, in the order in which they were added.
    pub(crate) fn pack(&mut self) -> Result<Vec<StateItem>, (String, SaveError)> {
        let limits = StateLimits::new(self.limit, self.within);
        let packed = self.all.iter_mut().map(|SavedItem { name, what }| match what {
            What::Bytes(version, write) => StateItem::pack(name, *version, limits, |writer| write(writer))
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
    /// Saves bytes for the next process, such as the keys of TLS tickets, counters or a cache. The next process gets them with
    /// [`restore_state`](Goagain::restore_state) under the same name.
    ///
    /// `write` is called at each restart, by the process that is the owner then, and writes the bytes to a sealed memory file
    /// (`memfd_create`). They are copied once, when they are written. `version` goes with the bytes, so that the next process knows
    /// how to read them; goagain does not look at it. A later call with the same name replaces this one.
    ///
    /// Nothing is passed on by itself: a process that restores state has to call `save_state` too, so that its own successor gets
    /// the state.
    ///
    /// # When it runs
    /// `write` runs in [`wait`](Goagain::wait) or [`step`](Goagain::step) before the new process is started, while this process
    /// keeps serving. What changes between then and the moment when the new process becomes the owner is not saved. Under a strategy
    /// that execs, the process that serves in between is asked once more, when the old process execs.
    ///
    /// # Limits
    /// All state of a restart has to be written within [`Builder::state_timeout`](crate::Builder::state_timeout), which
    /// defaults to 10 seconds. Each item may have at most [`Builder::state_limit`](crate::Builder::state_limit) bytes, which
    /// defaults to 1 GiB. The library has no thread that watches the time. It checks the time at each write and at the end. A
    /// function that collects data for long without writing should check [`StateWriter::is_late`].
    ///
    /// If `write` fails, panics, or exceeds a limit, the restart fails and this process keeps serving.
    /// [`EventKind::StateNotSaved`](crate::EventKind::StateNotSaved) reports it.
    pub fn save_state<R: CallbackResult>(
        &mut self,
        name: &str,
        version: u32,
        mut write: impl FnMut(&mut StateWriter) -> R + Send + 'static,
    ) {
        let write = Box::new(move |writer: &mut StateWriter| write(writer).into_result());
        self.serving_mut().saved_state.add(name, What::Bytes(version, write));
    }

    /// Saves a descriptor for the next process, such as a file, a pipe or a connection. The next process gets it with
    /// [`restore_fd`](Goagain::restore_fd) under the same name.
    ///
    /// At each restart a duplicate is handed over (`fcntl(F_DUPFD_CLOEXEC)`), so the processes share the file offset and O_NONBLOCK.
    /// A later call with the same name replaces this one. A process that restores a descriptor has to call `save_fd` too, so that its
    /// own successor gets it.
    ///
    /// [`keep_fd`](Goagain::keep_fd) is for a descriptor that stays the same: it is called once, and its descriptor goes to
    /// every successor of this process, together with the sockets. `save_fd` belongs to the state, which the owner makes anew
    /// at each restart. The two differ under a strategy that execs: the old process that has exec'd gets what the process that
    /// served in between has saved.
    pub fn save_fd(&mut self, name: &str, fd: impl Into<OwnedFd>) {
        self.serving_mut().saved_state.add(name, What::Descriptor(fd.into()));
    }

    /// Returns the bytes that the previous owner has [saved](Goagain::save_state) under this name, or `None` if there is no previous
    /// owner or it has saved none. Each item can be taken once. [`ready`](Goagain::ready) closes the items that were not taken.
    ///
    /// In a process that was exec'd in place, this may wait until the owner has written its state, for at most the time that this
    /// process has until it must be ready. After [`Finish::Resume`](crate::Finish::Resume) of an exec that failed, this returns what
    /// the owner in between has saved.
    ///
    /// # Errors
    /// [`RestoreError`]: return it and exit. The owner keeps serving, with its state. [`ready`](Goagain::ready) fails with this
    /// error too.
    pub fn restore_state(&mut self, name: &str) -> Result<Option<StateItem>, RestoreError> {
        self.restore(name, true)
    }

    /// Returns the descriptor that the previous owner has [saved](Goagain::save_fd) under this name. Otherwise like
    /// [`restore_state`](Goagain::restore_state). For a descriptor that was given to [`keep_fd`](Goagain::keep_fd) use
    /// [`kept_fd`](Goagain::kept_fd).
    ///
    /// # Errors
    /// The errors of [`restore_state`](Goagain::restore_state).
    pub fn restore_fd(&mut self, name: &str) -> Result<Option<OwnedFd>, RestoreError> {
        Ok(self.restore(name, false)?.map(OwnedFd::from))
    }

    fn restore(&mut self, name: &str, bytes: bool) -> Result<Option<StateItem>, RestoreError> {
        let (inner, serving) = self.parts();
        let items = inner.state(serving)?;
        // The socketpair for migrated connections is in the state too, and is none of the application's.
        let is_internal = |item: &StateItem| item.contents() == StateContents::Connections;
        let index = items.iter().position(|item| item.name() == name && !is_internal(item));
        let Some(index) = index else { return Ok(None) };
        let found = items[index].contents();
        if (found == StateContents::Bytes) != bytes {
            return Err(RestoreError::AnotherKind { name: name.to_owned(), found });
        }
        Ok(Some(items.remove(index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn state_is_made_anew_each_time_and_the_last_item_of_a_name_counts() {
        let mut state = SavedState::default();
        let mut count = 0u8;
        state.add("count", What::Descriptor(tempfile::tempfile().unwrap().into()));
        let write = move |writer: &mut StateWriter| {
            count += 1;
            writer.write_all(&[count]).map_err(|error| error.to_string())
        };
        state.add("count", What::Bytes(2, Box::new(write)));
        for expected in 1..3 {
            let [mut item] = <[StateItem; 1]>::try_from(state.pack().unwrap()).unwrap();
            let mut read = Vec::new();
            item.read_to_end(&mut read).unwrap();
            assert_eq!((item.name(), item.version(), read), ("count", 2, vec![expected]));
        }
    }

    #[test]
    fn the_state_item_that_fails_is_named() {
        let mut state = SavedState::default();
        state.add("cache", What::Bytes(0, Box::new(|_| Err("the cache is cold".into()))));
        assert_eq!(
            state.pack().unwrap_err(),
            ("cache".into(), SaveError::Failed("the cache is cold".into()))
        );
    }
}
