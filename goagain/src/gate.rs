//! A gate that closes once: everything that waits on it wakes, and stays awake.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Closed by dropping one end of a socketpair: the other is then readable, for any number of threads that poll it.
#[derive(Debug)]
pub(crate) struct Gate {
    closed: AtomicBool,
    waits: UnixStream,
    holds: Mutex<Option<UnixStream>>,
}

impl Gate {
    pub(crate) fn new() -> io::Result<Gate> {
        let (waits, holds) = UnixStream::pair()?;
        Ok(Gate { closed: AtomicBool::new(false), waits, holds: Mutex::new(Some(holds)) })
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        *self.holds.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

impl AsFd for Gate {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waits.as_fd()
    }
}
