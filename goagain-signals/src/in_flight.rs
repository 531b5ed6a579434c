//! What is in flight, by kind.

use std::fmt;

/// How many connections, or other pieces of work, are in flight, by what they do.
// Exhaustive: a server that is not of the facade makes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct InFlight {
    /// They wait for a request: new ones, and kept ones between two requests.
    pub idle: usize,
    /// They are in a request.
    pub in_request: usize,
    /// They live on: upgraded connections, streams, subscriptions.
    pub long_lived: usize,
}

impl InFlight {
    /// All together.
    pub fn total(self) -> usize {
        self.idle + self.in_request + self.long_lived
    }
}

impl fmt::Display for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InFlight { idle, in_request, long_lived } = self;
        write!(f, "{idle} idle, {in_request} in a request, {long_lived} long-lived")
    }
}
