//! Reports as events of the crate `tracing`.

use goagain_signals::{Event, EventKind};

/// INFO for what is to be expected; WARN for what an operator should look into.
pub(crate) fn event(observed: &Event) {
    let Event { attempt, after, report, .. } = observed;
    let after_ms = after.as_secs_f64() * 1e3;
    match report {
        EventKind::Refused { .. }
        | EventKind::NotAborted { .. }
        | EventKind::Failed { .. }
        | EventKind::RolledBack { .. }
        | EventKind::TookOver { .. }
        | EventKind::StillDraining { .. }
        | EventKind::Unfinished { .. }
        | EventKind::Callback { .. }
        | EventKind::Warning { .. } => tracing::warn!(attempt, after_ms, "{report}"),
        _ => tracing::info!(attempt, after_ms, "{report}"),
    }
}
