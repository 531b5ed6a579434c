//! How much is in flight, by kind.

use std::fmt;

/// How many connections, or other pieces of work, are in flight, by kind.
// Exhaustive: a server of your own builds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct InFlight {
    /// Connections that wait for a request: new ones, and keep-alive connections between two requests.
    pub idle: usize,
    /// Connections that serve a request.
    pub in_request: usize,
    /// Long-lived connections: upgraded connections, streams, subscriptions.
    pub long_lived: usize,
}

impl InFlight {
    /// Returns the number of all of them.
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
