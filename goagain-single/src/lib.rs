//! The strategy Single of goagain: exec once, the child becomes the owner.
//!
//! Start from the crate `goagain`, whose feature `single` brings this.
//!
//! ```text
//! P  owner ── spawn ─────────── COMMIT ─ stops accepting, is the net ─ RELEASED ─ drains on ─ exits
//!               └─ C  initialises ─ READY ┘└─ accepts ─ SERVING ─────────┘└─ may restart in its turn
//! ```
//!
//! The new process is the service from COMMIT on, and its pid is a new one, as with nginx: it suits servers without a
//! supervisor, and those that tell theirs the new pid (a pid file, systemd's MAINPID). Where a supervisor watches the pid
//! that it started, take `goagain-double`.
//!
//! The net is kept for the probation and no longer: then the old process closes its listeners, finishes what is in flight
//! for as long as its drain may take, and leaves; meanwhile the new one can restart again.
#![forbid(unsafe_code)]

use goagain_env::{GoSignal, Launch, LaunchError, Launched, Next, Strategy, View};

/// Exec once: the child becomes the owner.
///
/// Of the seed's variables GOAGAIN_SIGNAL is its own: a seed's child tells its parent by QUIT that it serves.
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
        if view.probation { Next::Exit } else { Next::Stay }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use goagain_env::Relation;

    /// What a loop shows a predecessor, in order, until the answer is no longer Stay.
    fn answered(views: &[View]) -> Option<(usize, Next)> {
        let answers = views.iter().map(|&view| Single.next(view)).enumerate();
        answers.into_iter().find(|&(_, next)| next != Next::Stay)
    }

    fn view(drained: bool, probation: bool) -> View {
        View { successor: Relation::Child, drained, probation, dismissed: false }
    }

    #[test]
    fn leaves_when_probation_is_over_however_long_the_drain() {
        let slow_drain = [view(false, false), view(false, true), view(true, true)];
        assert_eq!(answered(&slow_drain), Some((1, Next::Exit)));
    }

    #[test]
    fn stays_the_net_through_probation_though_drained() {
        let quick_drain = [view(false, false), view(true, false), view(true, true)];
        assert_eq!(answered(&quick_drain), Some((2, Next::Exit)));
    }

    #[test]
    fn never_execs_and_never_cuts_probation_short() {
        for bits in 0..16 {
            let view = View {
                successor: if bits & 8 == 0 { Relation::Child } else { Relation::Parent },
                drained: bits & 4 != 0,
                probation: bits & 2 != 0,
                dismissed: bits & 1 != 0,
            };
            assert_eq!(Single.next(view), if view.probation { Next::Exit } else { Next::Stay }, "{view:?}");
        }
    }
}
