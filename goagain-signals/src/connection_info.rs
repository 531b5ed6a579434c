//! One connection that a drain waits for.

use crate::InFlight;
use std::{fmt, time::Duration};

/// What a connection does. A drain treats the three kinds differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionKind {
    /// It waits for a request. A drain asks it to close in its second phase.
    Idle,
    /// It serves a request. A drain waits for the response.
    InRequest,
    /// It is long-lived: an upgraded connection, a tunnel, a subscription. A drain asks it to close in its third phase, when
    /// the other connections are finished, or when the drain is about to time out.
    LongLived,
}

impl fmt::Display for ConnectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConnectionKind::Idle => "idle",
            ConnectionKind::InRequest => "in a request",
            ConnectionKind::LongLived => "long-lived",
        })
    }
}

/// A connection, or another piece of work with a name, that a drain waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The name that was set for its guard (`Guard::set_name`). If none was set, the address of its client.
    pub name: String,
    /// What it does.
    pub kind: ConnectionKind,
    /// How long ago it began.
    pub age: Duration,
}

impl fmt::Display for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {:.1} s)", self.name, self.kind, self.age.as_secs_f64())
    }
}

impl ConnectionInfo {
    /// Returns a connection info, for a server that keeps such a list, or to test a callback with.
    pub fn new(name: impl Into<String>, kind: ConnectionKind, age: Duration) -> ConnectionInfo {
        ConnectionInfo { name: name.into(), kind, age }
    }
}

/// How many connections the sentence of an event names. The event itself has all of them.
const MAX_NAMES: usize = 10;

/// Writes the counts, the first names, and how many others there are.
pub(crate) fn write(
    out: &mut impl fmt::Write,
    in_flight: &InFlight,
    connections: &[ConnectionInfo],
) -> fmt::Result {
    write!(out, "{in_flight}")?;
    for (index, each) in connections.iter().take(MAX_NAMES).enumerate() {
        write!(out, "{} {each}", if index == 0 { ":" } else { "," })?;
    }
    match in_flight.total().max(connections.len()).saturating_sub(MAX_NAMES.min(connections.len())) {
        more @ 1.. if !connections.is_empty() => write!(out, ", and {more} more"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(idle: usize, connections: usize) -> String {
        let info = |number| {
            ConnectionInfo::new(format!("10.0.0.{number}:99"), ConnectionKind::Idle, Duration::from_secs(1))
        };
        let connections: Vec<_> = (0..connections).map(info).collect();
        let mut out = String::new();
        write(&mut out, &InFlight { idle, ..InFlight::default() }, &connections).unwrap();
        out
    }

    #[test]
    fn some_connections_are_named_and_the_others_are_counted() {
        let counts = |idle| format!("{idle} idle, 0 in a request, 0 long-lived");
        assert_eq!(written(3, 0), counts(3));
        assert_eq!(written(1, 1), format!("{}: 10.0.0.0:99 (idle, 1.0 s)", counts(1)));
        assert_eq!(
            written(3, 2),
            format!("{}: 10.0.0.0:99 (idle, 1.0 s), 10.0.0.1:99 (idle, 1.0 s), and 1 more", counts(3))
        );
        let many = written(22, 22);
        assert!(many.ends_with("10.0.0.9:99 (idle, 1.0 s), and 12 more"), "{many}");
        assert!(written(10, 10).ends_with("10.0.0.9:99 (idle, 1.0 s)"));
    }
}
