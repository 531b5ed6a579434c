//! How many terms have begun, and which of them the application has seen.

/// A term is the time in which a process accepts: from the moment when it becomes the owner until it hands over or stops.
///
/// A term can end and be followed by the next one within a single step of the loop. Its acceptors have ended all the same, so
/// the application has to hear of it.
#[derive(Debug, Default)]
pub(super) struct TermCount {
    begun: u64,
    /// The last term that the application knows of; 0 if it has not accepted yet.
    seen: u64,
}

impl TermCount {
    pub(super) fn begin(&mut self) {
        self.begun += 1;
    }

    /// The application is about to accept.
    pub(super) fn see(&mut self) {
        self.seen = self.begun;
    }

    /// Whether the application has ever accepted.
    pub(super) fn has_seen_any(&self) -> bool {
        self.seen != 0
    }

    /// Whether the first term has begun, and perhaps ended, and the application does not know of it.
    pub(super) fn has_missed_the_first(&self) -> bool {
        self.seen == 0 && self.begun != 0
    }

    /// Whether the acceptors of the application have ended while a new term has begun.
    pub(super) fn has_missed_an_end(&self) -> bool {
        self.seen != 0 && self.seen != self.begun
    }
}
