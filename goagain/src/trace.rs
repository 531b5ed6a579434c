//! Reports as events of the crate `tracing`.

use goagain_signals::{Observed, Report};

/// INFO for what is to be expected; WARN for what an operator should look into.
pub(crate) fn event(observed: &Observed) {
    let Observed { attempt, after, report, .. } = observed;
    let after_ms = after.as_secs_f64() * 1e3;
    match report {
        Report::Refused { .. }
        | Report::NotAborted { .. }
        | Report::Failed { .. }
        | Report::RolledBack { .. }
        | Report::TookOver { .. }
        | Report::StillDraining { .. }
        | Report::CutOff { .. }
        | Report::Callback { .. }
        | Report::Warning { .. } => tracing::warn!(attempt, after_ms, "{report}"),
        _ => tracing::info!(attempt, after_ms, "{report}"),
    }
}
