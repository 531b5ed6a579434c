//! The strategy `Double` of goagain: starts the new image twice, the second time in the old process, which keeps its pid.
//!
//! Use it through the crate `goagain`, with its feature `double`. The words of the figure are defined under
//! [Terms](goagain_env#terms).
//!
//! ```text
//! P  owner ── spawn ─────────── COMMIT ─ drains, is the fallback ─ RELEASED ─ exec
//!               └─ C  initializes ─ READY ┘└─ accepts ─ SERVING ───────┘        │
//!                                            (C is owner and fallback) ─────────┼─ COMMIT ─ drains ─ RELEASED ─ exits
//!                                                        P' initializes ─ READY ┘└─ accepts ─ SERVING ─┘
//! ```
//!
//! The process that the supervisor watches (P) spawns a child (C), which runs the new image and takes the service over. Then P
//! execs the new image in place (P'), and takes the service back. So a restart is the same handoff twice, the second time with
//! the roles exchanged. If one of the two processes dies during the restart, the other one serves.
//!
//! The pid stays the same, unless the new image fails after the exec: it dies, or it is not ready or does not serve in time.
//! `Double` suits supervisors that watch the pid that they started: systemd, runit, s6, supervisord, a container's init.
//!
//! # Limitations
//! - A restart needs two starts of the image and two drains.
//! - If the new image fails after the exec, the child continues to serve, but the pid that the supervisor watched is gone.
#![forbid(unsafe_code)]

use goagain_env::{GoSignal, Launch, LaunchError, Launched, Next, Relation, Strategy, View};

/// Starts the new image twice: first as a child process, and then by `execve(2)` in the old process. So the pid of the service
/// stays the same, unless the new image fails after the exec.
///
/// If the new image runs the Go package goagain, the strategy also sets the variable GOAGAIN_SIGNAL: the child sends USR2 to
/// its parent when it serves, and after its exec the parent sends QUIT to the child ([`GoSignal`]).
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
            _ if !view.probation_over => Next::Stay,
            Relation::Child if view.drained => Next::Exec,
            Relation::Child => Next::Stay,
            Relation::Parent => Next::Exit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows a predecessor the views in this order, and returns the first answer that is not `Stay`.
    fn first_answer(views: &[View]) -> Option<(usize, Next)> {
        let answers = views.iter().map(|&view| Double.next(view)).enumerate();
        answers.into_iter().find(|&(_, next)| next != Next::Stay)
    }

    fn view(successor: Relation, drained: bool, probation_over: bool) -> View {
        View { successor, drained, probation_over, dismissed: false }
    }

    #[test]
    fn with_a_child_as_successor_it_execs_when_drained_and_probation_is_over() {
        let slow_drain = [
            view(Relation::Child, false, false),
            view(Relation::Child, false, true),
            view(Relation::Child, true, true),
        ];
        assert_eq!(first_answer(&slow_drain), Some((2, Next::Exec)));
        let quick_drain = [
            view(Relation::Child, false, false),
            view(Relation::Child, true, false),
            view(Relation::Child, true, true),
        ];
        assert_eq!(first_answer(&quick_drain), Some((2, Next::Exec)));
    }

    #[test]
    fn with_its_parent_as_successor_it_exits_when_probation_is_over() {
        let slow_drain = [view(Relation::Parent, false, false), view(Relation::Parent, false, true)];
        assert_eq!(first_answer(&slow_drain), Some((1, Next::Exit)));
    }

    #[test]
    fn a_dismissal_changes_nothing() {
        for successor in [Relation::Child, Relation::Parent] {
            for (drained, probation) in [(false, false), (false, true), (true, false), (true, true)] {
                let view = view(successor, drained, probation);
                assert_eq!(Double.next(view), Double.next(View { dismissed: true, ..view }), "{view:?}");
            }
        }
    }
}
