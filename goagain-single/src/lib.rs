//! The strategy `Single` of goagain: starts the new image once, as a child process that becomes the owner.
//!
//! Use it through the crate `goagain`, with its feature `single`. The words of the figure are defined under
//! [Terms](goagain_env#terms).
//!
//! ```text
//! P  owner ── spawn ─────────── COMMIT ─ stops accepting, is the fallback ─ RELEASED ─ drains on ─ exits
//!               └─ C  initializes ─ READY ┘└─ accepts ─ SERVING ──────────────┘└─ can restart in its turn
//! ```
//!
//! The old process (P) spawns a new one (C), which is the service from COMMIT on. So the pid changes, as with nginx.
//! `Single` suits servers without a supervisor, and servers that report the new pid to their supervisor (a pid file,
//! systemd's MAINPID). If a supervisor watches the pid that it started, use `goagain-double`.
//!
//! The old process stays the fallback for the probation period, and no longer. Then it closes its listening sockets,
//! finishes the connections in flight until the drain timeout, and exits. The new process can already restart again
//! meanwhile.
#![forbid(unsafe_code)]

use goagain_env::{GoSignal, Launch, LaunchError, Launched, Next, Strategy, View};

/// Starts the new image once, as a child process that becomes the owner. The pid of the service changes.
///
/// If the new image runs the Go package goagain, the strategy also sets the variable GOAGAIN_SIGNAL: the child sends QUIT to
/// its parent when it serves ([`GoSignal`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Single;

impl Strategy for Single {
    fn name(&self) -> &str {
        "single"
    }

    fn launch(&mut self, mut launch: Launch<'_>) -> Result<Launched, LaunchError> {
        launch.signal(GoSignal::Quit);
        launch.spawn()
    }

    fn next(&self, view: View) -> Next {
        if view.probation_over { Next::Exit } else { Next::Stay }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use goagain_env::Relation;

    /// Shows a predecessor the views in this order, and returns the first answer that is not `Stay`.
    fn first_answer(views: &[View]) -> Option<(usize, Next)> {
        let answers = views.iter().map(|&view| Single.next(view)).enumerate();
        answers.into_iter().find(|&(_, next)| next != Next::Stay)
    }

    fn view(drained: bool, probation_over: bool) -> View {
        View { successor: Relation::Child, drained, probation_over, dismissed: false }
    }

    #[test]
    fn exits_after_probation_even_if_the_drain_is_slow() {
        let slow_drain = [view(false, false), view(false, true), view(true, true)];
        assert_eq!(first_answer(&slow_drain), Some((1, Next::Exit)));
    }

    #[test]
    fn stays_the_fallback_through_probation_even_if_drained() {
        let quick_drain = [view(false, false), view(true, false), view(true, true)];
        assert_eq!(first_answer(&quick_drain), Some((2, Next::Exit)));
    }

    #[test]
    fn never_execs_and_never_shortens_probation() {
        for bits in 0..16 {
            let view = View {
                successor: if bits & 8 == 0 { Relation::Child } else { Relation::Parent },
                drained: bits & 4 != 0,
                probation_over: bits & 2 != 0,
                dismissed: bits & 1 != 0,
            };
            assert_eq!(
                Single.next(view),
                if view.probation_over { Next::Exit } else { Next::Stay },
                "{view:?}"
            );
        }
    }
}
