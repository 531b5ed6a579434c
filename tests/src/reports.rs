//! What the library reports, as an event for the harness.

use crate::events::Event;
use goagain::EventKind;
use goagain::drain::{ConnectionInfo, InFlight};
use serde_json::{Value, json};

/// A report that was made in `generation`.
pub fn event(generation: u64, observed: &goagain::Event) -> Event {
    let (name, detail) = match &observed.report {
        EventKind::Requested => ("requested", Value::Null),
        EventKind::Refused { reason } => ("refused", json!({ "reason": reason })),
        EventKind::NotAborted { reason } => ("not_aborted", json!({ "reason": reason })),
        EventKind::Spawned { pid } => ("spawned", json!({ "pid": pid.as_raw() })),
        EventKind::Ready => ("ready_received", Value::Null),
        EventKind::Committed => ("committed", Value::Null),
        EventKind::Serving => ("serving", Value::Null),
        EventKind::Failed { reason } => ("failed", json!({ "reason": reason })),
        EventKind::RolledBack { reason } => ("rolled_back", json!({ "reason": reason })),
        EventKind::TookOver { reason } => ("took_over", json!({ "reason": reason })),
        EventKind::Draining { stop } => ("draining", json!({ "reason": stop.to_string() })),
        EventKind::StillDraining { in_flight, connections } => {
            ("still_draining", waited_for(*in_flight, connections))
        }
        EventKind::Unfinished { in_flight, connections } => {
            ("unfinished", waited_for(*in_flight, connections))
        }
        EventKind::Released => ("released", Value::Null),
        EventKind::Settled => ("settled", Value::Null),
        EventKind::Callback { callback, error } => {
            ("callback_failed", json!({ "reason": error, "of": callback }))
        }
        EventKind::StateNotSaved { name, error } => {
            ("state_not_saved", json!({ "name": name, "reason": error.to_string() }))
        }
        EventKind::Dropped { name } => ("dropped", json!({ "name": name })),
        EventKind::Added { name } => ("added", json!({ "name": name })),
        EventKind::Warning { text } => ("warning", json!({ "reason": text })),
        EventKind::SignalReceived { signal } => ("signalled", json!({ "signal": signal.to_string() })),
        other => ("report", json!({ "reason": other.to_string() })),
    };
    Event::new(generation, name).attempt(observed.attempt).detail(detail)
}

fn waited_for(in_flight: InFlight, connections: &[ConnectionInfo]) -> Value {
    let InFlight { idle, in_request, long_lived } = in_flight;
    let names: Vec<_> = connections.iter().map(|connections| &connections.name).collect();
    json!({ "idle": idle, "in_request": in_request, "long_lived": long_lived, "names": names })
}
