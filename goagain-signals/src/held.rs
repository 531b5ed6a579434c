//! What a drain waits for, by name.

use crate::InFlight;
use std::{fmt, time::Duration};

/// What a connection does, and so what a drain does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It waits for a request: in the second phase of a drain it is told to go.
    Idle,
    /// It is in a request, which a drain waits for.
    InRequest,
    /// It lives on (an upgraded connection, a stream, a subscription): in the third phase of a drain, when the others are
    /// gone, it is told to go.
    LongLived,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Idle => "idle",
            Kind::InRequest => "in a request",
            Kind::LongLived => "long-lived",
        })
    }
}

/// One thing with a name that a drain waits for, or did in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// The name that its guard was given (`Guard::set_name`), or else the address of its client.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// For how long it has been in the list.
    pub age: Duration,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {:.1} s)", self.name, self.kind, self.age.as_secs_f64())
    }
}

impl Held {
    /// For servers that keep such a list, and for observers to be tested with.
    pub fn new(name: impl Into<String>, kind: Kind, age: Duration) -> Held {
        Held { name: name.into(), kind, age }
    }
}

/// The most names that a report's text has; the report itself has them all.
const MOST_NAMES: usize = 10;

/// The counts, then some names, then how many there are beside those.
pub(crate) fn write(f: &mut fmt::Formatter<'_>, in_flight: &InFlight, held: &[Held]) -> fmt::Result {
    write!(f, "{in_flight}")?;
    for (index, each) in held.iter().take(MOST_NAMES).enumerate() {
        write!(f, "{} {each}", if index == 0 { ":" } else { "," })?;
    }
    match in_flight.total().max(held.len()).saturating_sub(MOST_NAMES.min(held.len())) {
        more @ 1.. if !held.is_empty() => write!(f, ", and {more} more"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Held, InFlight, Kind, Report};
    use std::time::Duration;

    fn report(idle: usize, held: usize) -> String {
        let held = (0..held)
            .map(|number| Held::new(format!("10.0.0.{number}:99"), Kind::Idle, Duration::from_millis(1_000)));
        let in_flight = InFlight { idle, ..InFlight::default() };
        Report::StillDraining { in_flight, held: held.collect() }.to_string()
    }

    #[test]
    fn a_report_names_some_and_counts_the_others() {
        let counts = |idle| format!("still draining: {idle} idle, 0 in a request, 0 long-lived");
        assert_eq!(report(3, 0), counts(3));
        assert_eq!(report(1, 1), format!("{}: 10.0.0.0:99 (idle, 1.0 s)", counts(1)));
        assert_eq!(
            report(3, 2),
            format!("{}: 10.0.0.0:99 (idle, 1.0 s), 10.0.0.1:99 (idle, 1.0 s), and 1 more", counts(3))
        );
        let many = report(22, 22);
        assert!(many.ends_with("10.0.0.9:99 (idle, 1.0 s), and 12 more"), "{many}");
        assert!(report(10, 10).ends_with("10.0.0.9:99 (idle, 1.0 s)"));
    }
}
