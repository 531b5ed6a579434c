//! The end of the current term.

use crate::drain::latch::Latch;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The current term, which the library shares with the listeners and acceptors that it has handed out.
///
/// A term is the time in which a process accepts: from the moment when it becomes the owner until it hands over or stops. Each
/// has a latch of its own, which is set when the term ends.
#[derive(Clone, Debug)]
pub(crate) struct CurrentTerm(Arc<Mutex<Latches>>);

#[derive(Debug, Default)]
struct Latches {
    current: Option<Arc<Latch>>,
    /// For the next term: a process that takes over again may have no descriptor left, and has to accept all the same.
    spare: Option<Latch>,
}

impl CurrentTerm {
    pub(crate) fn new() -> CurrentTerm {
        CurrentTerm(Arc::default())
    }

    pub(crate) fn begin(&self) -> io::Result<()> {
        let mut latches = self.lock();
        let latch = latches.spare.take().map_or_else(Latch::new, Ok)?;
        *latches = Latches { current: Some(Arc::new(latch)), spare: Latch::new().ok() };
        Ok(())
    }

    pub(crate) fn end(&self) {
        if let Some(latch) = &self.lock().current {
            latch.set();
        }
    }

    /// Returns the latch of the current term, or of the last one, for `what`, which is made for that term.
    ///
    /// # Errors
    /// This process has not become the owner yet.
    pub(crate) fn latch(&self, what: &str) -> io::Result<Arc<Latch>> {
        self.lock().current.clone().ok_or_else(|| {
            let message = format!("not ready yet: call `ready` before making {what}");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Latches> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd, AsRawFd};

    #[test]
    fn the_next_term_needs_no_new_descriptor() {
        let term = CurrentTerm::new();
        term.begin().unwrap();
        term.end();
        let number = |latch: &Latch| latch.as_fd().as_raw_fd();
        let spare = term.lock().spare.as_ref().map(number);
        term.begin().unwrap();
        let current = term.latch("a test").unwrap();
        assert_eq!(spare, Some(number(&current)));
        assert!(!current.is_set());
    }
}
