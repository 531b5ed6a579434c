//! The events of the library, by the names that the drills wait for.

use crate::events::Event;
use goagain::EventKind;
use goagain::drain::{ConnectionInfo, InFlight};
use serde_json::{Value, json};

/// An event of the process of `generation`. The two sides of one step of the protocol have one name.
pub fn event(generation: u64, event: &goagain::Event) -> Event {
    let (name, detail) = match &event.kind {
        EventKind::Requested { .. } => ("requested", Value::Null),
        EventKind::Refused { reason } => ("refused", json!({ "reason": reason })),
        EventKind::NotAborted { reason } => ("not_aborted", json!({ "reason": reason })),
        EventKind::Spawned { pid, .. } => ("spawned", json!({ "pid": pid.as_raw() })),
        EventKind::SuccessorReady { .. } => ("ready_received", Value::Null),
        EventKind::HandedOver { .. } | EventKind::Serving { .. } => ("committed", Value::Null),
        EventKind::SuccessorServing { .. } => ("serving", Value::Null),
        EventKind::Failed { reason, .. }
        | EventKind::ExecFailed { reason, .. }
        | EventKind::ReexecFailed { reason, .. } => ("failed", json!({ "reason": reason })),
        EventKind::RolledBack { reason, .. } => ("rolled_back", json!({ "reason": reason })),
        EventKind::PredecessorDied { reason, .. } => ("took_over", json!({ "reason": reason })),
        EventKind::Draining { stop, .. } => ("draining", json!({ "reason": stop.to_string() })),
        EventKind::StillDraining { in_flight, connections } => {
            ("still_draining", waited_for(*in_flight, connections))
        }
        EventKind::Unfinished { in_flight, connections } => {
            ("unfinished", waited_for(*in_flight, connections))
        }
        EventKind::Released { .. } | EventKind::PredecessorReleased { .. } => ("released", Value::Null),
        EventKind::PredecessorExited { .. } => ("settled", Value::Null),
        EventKind::CallbackFailed { callback, error } => {
            ("callback_failed", json!({ "reason": error, "of": callback }))
        }
        EventKind::StateNotSaved { name, error } => {
            ("state_not_saved", json!({ "name": name, "reason": error.to_string() }))
        }
        EventKind::Unclaimed { name } => ("dropped", json!({ "name": name })),
        EventKind::NotInherited { name } => ("added", json!({ "name": name })),
        EventKind::Warning { text } => ("warning", json!({ "reason": text })),
        EventKind::SignalReceived { signal } => ("signalled", json!({ "signal": signal.to_string() })),
        _ => ("report", json!({ "reason": event.message().to_string() })),
    };
    Event::new(generation, name).attempt(event.attempt).detail(detail)
}

fn waited_for(in_flight: InFlight, connections: &[ConnectionInfo]) -> Value {
    let InFlight { idle, in_request, long_lived } = in_flight;
    let names: Vec<_> = connections.iter().map(|connection| &connection.name).collect();
    json!({ "idle": idle, "in_request": in_request, "long_lived": long_lived, "names": names })
}
