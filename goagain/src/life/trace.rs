//! Events as events of the crate `tracing`.

use goagain_signals::{Event, EventKind};
use tracing::Level;

/// Emits what [`Event`]'s `Display` writes, with the process in fields of its own: `pid`, `generation`, `role`, `attempt`,
/// `elapsed_ms` and, where the event is about another process, `peer`, its pid.
pub(crate) fn event(event: &Event) {
    let Event { generation, attempt, .. } = event;
    let (pid, peer) = (event.pid.as_raw(), event.kind.peer().map(|pid| pid.as_raw()));
    let elapsed_ms = event.elapsed.as_secs_f64() * 1e3;
    // The level of a tracing event is part of its static metadata: there are two.
    macro_rules! emit {
        ($level:expr) => {
            tracing::event!(
                $level,
                pid,
                generation,
                role = %event.role,
                attempt,
                elapsed_ms,
                peer,
                "{}",
                event.message()
            )
        };
    }
    match level(&event.kind) {
        Level::WARN => emit!(Level::WARN),
        _ => emit!(Level::INFO),
    }
}

/// INFO for what a restart or a stop is made of; WARN for what an operator should look into.
fn level(kind: &EventKind) -> Level {
    match kind {
        EventKind::Refused { .. }
        | EventKind::NotAborted { .. }
        | EventKind::Failed { .. }
        | EventKind::RolledBack { .. }
        | EventKind::ExecFailed { .. }
        | EventKind::ReexecFailed { .. }
        | EventKind::PredecessorDied { .. }
        | EventKind::StillDraining { .. }
        // A name that was changed by mistake closes a port.
        | EventKind::Unclaimed { .. }
        | EventKind::Unfinished { .. }
        | EventKind::CallbackFailed { .. }
        | EventKind::StateNotSaved { .. }
        | EventKind::Warning { .. } => Level::WARN,
        _ => Level::INFO,
    }
}
