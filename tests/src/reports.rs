//! What the library reports, as an event for the harness.

use crate::events::Event;
use goagain::{Held, InFlight, Observed, Report};
use serde_json::{Value, json};

/// A report that was made in `generation`.
pub fn event(generation: u64, observed: &Observed) -> Event {
    let (name, detail) = match &observed.report {
        Report::Requested => ("requested", Value::Null),
        Report::Refused { reason } => ("refused", json!({ "reason": reason })),
        Report::NotAborted { reason } => ("not_aborted", json!({ "reason": reason })),
        Report::Spawned { pid } => ("spawned", json!({ "pid": pid.as_raw() })),
        Report::Ready => ("ready_received", Value::Null),
        Report::Committed => ("committed", Value::Null),
        Report::Serving => ("serving", Value::Null),
        Report::Failed { reason } => ("failed", json!({ "reason": reason })),
        Report::RolledBack { reason } => ("rolled_back", json!({ "reason": reason })),
        Report::TookOver { reason } => ("took_over", json!({ "reason": reason })),
        Report::Draining { stop } => ("draining", json!({ "reason": stop.to_string() })),
        Report::StillDraining { in_flight, held } => ("still_draining", waited_for(*in_flight, held)),
        Report::CutOff { in_flight, held } => ("cut_off", waited_for(*in_flight, held)),
        Report::Released => ("released", Value::Null),
        Report::Settled => ("settled", Value::Null),
        Report::Callback { callback, error } => {
            ("callback_failed", json!({ "reason": error, "of": callback }))
        }
        Report::NotOffered { name, error } => {
            ("not_offered", json!({ "name": name, "reason": error.to_string() }))
        }
        Report::Dropped { name } => ("dropped", json!({ "name": name })),
        Report::Added { name } => ("added", json!({ "name": name })),
        Report::Warning { text } => ("warning", json!({ "reason": text })),
        Report::Signalled { signal } => ("signalled", json!({ "signal": signal.to_string() })),
        other => ("report", json!({ "reason": other.to_string() })),
    };
    Event::new(generation, name).attempt(observed.attempt).detail(detail)
}

fn waited_for(in_flight: InFlight, held: &[Held]) -> Value {
    let InFlight { idle, in_request, long_lived } = in_flight;
    let names: Vec<_> = held.iter().map(|held| &held.name).collect();
    json!({ "idle": idle, "in_request": in_request, "long_lived": long_lived, "names": names })
}
