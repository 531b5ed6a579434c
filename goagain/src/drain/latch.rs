//! A latch that is set once: everything that waits for it wakes, and does not wait for it again.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Instant;

/// Set by dropping one end of a socketpair. The other end is then readable, for any number of threads that poll it. Tasks
/// are woken too.
#[derive(Debug)]
pub(crate) struct Latch {
    set_at: OnceLock<Instant>,
    readable: UnixStream,
    waiting: Mutex<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// `None` once the latch is set.
    end: Option<UnixStream>,
    wakers: HashMap<u64, Waker>,
    last_id: u64,
}

impl Latch {
    pub(crate) fn new() -> io::Result<Latch> {
        let (readable, end) = UnixStream::pair()?;
        let waiting = Waiting { end: Some(end), wakers: HashMap::new(), last_id: 0 };
        Ok(Latch { set_at: OnceLock::new(), readable, waiting: Mutex::new(waiting) })
    }

    pub(crate) fn set(&self) {
        self.set_at.get_or_init(Instant::now);
        let woken = {
            let mut waiting = self.lock();
            waiting.end = None;
            std::mem::take(&mut waiting.wakers)
        };
        // A waker can run any code, so it runs without the lock.
        woken.into_values().for_each(Waker::wake);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.set_at.get().is_some()
    }

    /// Returns when it was set.
    pub(crate) fn set_at(&self) -> Option<Instant> {
        self.set_at.get().copied()
    }

    /// Returns a number by which a task that waits is known.
    pub(crate) fn new_id(&self) -> u64 {
        let mut waiting = self.lock();
        waiting.last_id += 1;
        waiting.last_id
    }

    /// Returns whether it is set. If not, wakes `waker` when it is; a waker that was given before under the same `id` is replaced.
    pub(crate) fn is_set_or_wakes(&self, id: u64, waker: &Waker) -> bool {
        let mut waiting = self.lock();
        if waiting.end.is_some() {
            waiting
                .wakers
                .entry(id)
                .and_modify(|known| known.clone_from(waker))
                .or_insert_with(|| waker.clone());
        }
        waiting.end.is_none()
    }

    /// Forgets the waker of a task that does not wait any longer.
    pub(crate) fn forget(&self, id: u64) {
        let forgotten = self.lock().wakers.remove(&id);
        drop(forgotten);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Latch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}
