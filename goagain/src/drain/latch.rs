//! A latch that closes once: everything that waits on it wakes, and stays awake.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Instant;

/// Closed by dropping one end of a socketpair: the other is then readable, for any number of threads that poll it. Tasks
/// are woken too.
#[derive(Debug)]
pub(crate) struct Latch {
    closed: OnceLock<Instant>,
    waits: UnixStream,
    holds: Mutex<Holds>,
}

#[derive(Debug)]
struct Holds {
    /// `None` once the latch is closed.
    end: Option<UnixStream>,
    wakers: HashMap<u64, Waker>,
    /// How many places were given out.
    places: u64,
}

impl Latch {
    pub(crate) fn new() -> io::Result<Latch> {
        let (waits, end) = UnixStream::pair()?;
        let holds = Holds { end: Some(end), wakers: HashMap::new(), places: 0 };
        Ok(Latch { closed: OnceLock::new(), waits, holds: Mutex::new(holds) })
    }

    pub(crate) fn close(&self) {
        self.closed.get_or_init(Instant::now);
        let woken = {
            let mut holds = self.lock();
            holds.end = None;
            std::mem::take(&mut holds.wakers)
        };
        // Whatever a waker does, it does without our lock.
        woken.into_values().for_each(Waker::wake);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get().is_some()
    }

    /// When it was closed.
    pub(crate) fn closed_at(&self) -> Option<Instant> {
        self.closed.get().copied()
    }

    /// A place for a task's waker.
    pub(crate) fn place(&self) -> u64 {
        let mut holds = self.lock();
        holds.places += 1;
        holds.places
    }

    /// Whether it is closed; if not, this waker is woken when it is.
    pub(crate) fn is_closed_or_wakes(&self, place: u64, waker: &Waker) -> bool {
        let mut holds = self.lock();
        if holds.end.is_some() {
            holds
                .wakers
                .entry(place)
                .and_modify(|held| held.clone_from(waker))
                .or_insert_with(|| waker.clone());
        }
        holds.end.is_none()
    }

    /// The task waits no longer.
    pub(crate) fn give_up(&self, place: u64) {
        let forgotten = self.lock().wakers.remove(&place);
        drop(forgotten);
    }

    fn lock(&self) -> MutexGuard<'_, Holds> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Latch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waits.as_fd()
    }
}
