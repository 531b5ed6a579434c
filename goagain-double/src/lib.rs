//! The strategy Double of goagain: exec twice, the pid never changes.
//!
//! Start from the crate `goagain`, whose feature `double` brings this.
//!
//! ```text
//! P  owner ── spawn ─────────── COMMIT ─ drains, is the net ─ RELEASED ─ exec
//!               └─ C  initialises ─ READY ┘└─ accepts ─ SERVING ─┘          │
//!                                             (the owner, and the net) ─────┼─ COMMIT ─ drains ─ RELEASED ─ exits
//!                                                        P' initialises ─ READY ┘└─ accepts ─ SERVING ─┘
//! ```
//!
//! It is the same hand-over twice, the second time with the roles exchanged: the child keeps the service while the process
//! that the supervisor watches execs the new image, and gives it back. Whoever of the two dies on the way, the other one
//! serves. It suits supervisors that watch the pid that they started: runit, s6, supervisord, a container's init.
//!
//! # Limitations
//! - A restart takes two starts of the image and two drains.
//! - If the process dies after its exec, its child serves on, but the pid that the supervisor watched is gone.
#![forbid(unsafe_code)]

use goagain_env::{GoSignal, Launch, LaunchError, Launched, Next, Relation, Strategy, View};

/// Exec twice: the pid never changes.
///
/// Of the seed's variables GOAGAIN_SIGNAL is its own: a seed's child tells its parent by USR2 that it serves, and the
/// parent, after its exec, tells the child by QUIT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Double;

impl Strategy for Double {
    fn name(&self) -> &str {
        "double"
    }

    fn launch(&mut self, mut launch: Launch<'_>) -> Result<Launched, LaunchError> {
        launch.signal(GoSignal::Usr2);
        launch.spawn()
    }

    fn exec(&mut self, mut launch: Launch<'_>) -> LaunchError {
        launch.signal(GoSignal::Quit);
        launch.exec()
    }

    fn next(&self, view: View) -> Next {
        match view.successor {
            _ if !view.probation => Next::Stay,
            Relation::Child if view.drained => Next::Exec,
            Relation::Child => Next::Stay,
            Relation::Parent => Next::Exit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a loop shows a predecessor, in order, until the answer is no longer Stay.
    fn answered(views: &[View]) -> Option<(usize, Next)> {
        let answers = views.iter().map(|&view| Double.next(view)).enumerate();
        answers.into_iter().find(|&(_, next)| next != Next::Stay)
    }

    fn view(successor: Relation, drained: bool, probation: bool) -> View {
        View { successor, drained, probation, dismissed: false }
    }

    #[test]
    fn over_a_child_it_execs_when_drained_and_probation_is_over() {
        let slow_drain = [
            view(Relation::Child, false, false),
            view(Relation::Child, false, true),
            view(Relation::Child, true, true),
        ];
        assert_eq!(answered(&slow_drain), Some((2, Next::Exec)));
        let quick_drain = [
            view(Relation::Child, false, false),
            view(Relation::Child, true, false),
            view(Relation::Child, true, true),
        ];
        assert_eq!(answered(&quick_drain), Some((2, Next::Exec)));
    }

    #[test]
    fn over_its_parent_it_leaves_when_probation_is_over() {
        let slow_drain = [view(Relation::Parent, false, false), view(Relation::Parent, false, true)];
        assert_eq!(answered(&slow_drain), Some((1, Next::Exit)));
    }

    #[test]
    fn being_dismissed_changes_nothing() {
        for successor in [Relation::Child, Relation::Parent] {
            for (drained, probation) in [(false, false), (false, true), (true, false), (true, true)] {
                let view = view(successor, drained, probation);
                assert_eq!(Double.next(view), Double.next(View { dismissed: true, ..view }), "{view:?}");
            }
        }
    }
}
