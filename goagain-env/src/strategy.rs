//! The trait `Strategy`: what a strategy decides, and when it is asked.

use std::fmt;

use crate::{Launch, LaunchError, Launched};

/// Decides how a service gets from one generation to the next.
///
/// A strategy decides how the new process is started, and what the old process does next. It does not act: the signal
/// loop of `goagain` holds the channel, the children, the deadlines and the state machine, and carries the decisions
/// out. The two processes of a restart can run different strategies.
///
/// The words used here (predecessor, successor, owner, attempt, commit, probation period, fallback, released) are
/// defined under [Terms](crate#terms).
///
/// The loop calls the methods in this order. Each call comes from one thread, and two calls never overlap.
///
/// 1. [`next`](Strategy::next): when the process starts, once for each of the 16 possible views.
/// 2. [`launch`](Strategy::launch): in the owner, once for each attempt.
/// 3. [`exec`](Strategy::exec): in a predecessor whose `next` returned [`Next::Exec`], once it has nothing left to
///    lose.
///
/// For example, override `launch` to start the new process in a namespace of its own, or to check the image first. Then pass
/// the [`Launch`] on to [`Launch::spawn`]:
///
/// ```
/// use goagain_env::{Launch, LaunchError, Launched, Next, Strategy, View};
///
/// #[derive(Debug)]
/// struct Checked;
///
/// impl Strategy for Checked {
///     fn name(&self) -> &str {
///         "checked"
///     }
///
///     fn launch(&mut self, mut launch: Launch<'_>) -> Result<Launched, LaunchError> {
///         if !launch.image().is_file() {
///             return Err(LaunchError::refused("the new image is not deployed yet"));
///         }
///         launch.env("STARTED_BY", "a restart");
///         launch.spawn()
///     }
///
///     fn next(&self, view: View) -> Next {
///         if view.probation_over || view.dismissed { Next::Exit } else { Next::Stay }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a strategy",
    label = "this must say how the service gets from one generation to the next",
    note = "`Single` needs the feature \"single\" of `goagain`, `Double` its feature \"double\"",
    note = "or implement `Strategy` for `{Self}`: `name` and `next` are enough"
)]
pub trait Strategy: fmt::Debug + Send {
    /// Returns a short name in lower case, for logs and events.
    fn name(&self) -> &str;

    /// Starts the new process.
    ///
    /// The loop calls this in the owner, once for each attempt. It calls it again after a short wait if the error is
    /// [`LaunchError::is_busy`]: a deployment is still writing the image.
    ///
    /// The owner keeps serving during the call, but handles no signal until the call returns. So the call should not
    /// wait for long. A strategy can change the image, the arguments, the environment and the signal for the Go package
    /// ([`Launch::signal`]). It cannot change the handoff.
    ///
    /// `Ok` makes the process the successor of this attempt. The successor must send READY before its ready timeout.
    /// Defaults to [`Launch::spawn`], which `Double` uses too: its roles are exchanged later.
    ///
    /// # Errors
    /// Any error, including one of the strategy's own ([`LaunchError::refused`]). An error or a panic ends the attempt, and the
    /// owner keeps serving.
    fn launch(&mut self, launch: Launch<'_>) -> Result<Launched, LaunchError> {
        launch.spawn()
    }

    /// Replaces this process by the new image.
    ///
    /// The loop calls this in a predecessor whose [`next`](Strategy::next) returned [`Next::Exec`], once three things
    /// hold: the process is drained, it has released the successor, and it has no child left to reap except the
    /// successor.
    ///
    /// Returns only on failure. The process then still runs the old image. It asks its successor to hand the service back, and
    /// becomes the owner again, with its pid unchanged. The successor exits, and the restart is reported as failed with this
    /// error. Defaults to [`Launch::exec`].
    fn exec(&mut self, launch: Launch<'_>) -> LaunchError {
        launch.exec()
    }

    /// Returns what a predecessor does in the situation that `view` describes.
    ///
    /// The result must depend on `view` only. The loop calls this once for each of the 16 views when the process starts, and
    /// keeps the results in a table for the state machine. So a strategy cannot change its mind, a panic here is an error of
    /// the start, and a model checker can explore every possible strategy.
    ///
    /// The loop uses the result only in a predecessor after commit, once the successor has sent SERVING and the probation
    /// period is over. Until then, every predecessor is the fallback.
    ///
    /// - [`Next::Stay`]: the predecessor stays the fallback. It keeps the listening sockets open, and takes over if the
    ///   successor dies.
    /// - [`Next::Exit`]: the predecessor releases the successor now, closes its listening sockets, continues to drain,
    ///   and exits when it is drained.
    /// - [`Next::Exec`]: once it is drained, the predecessor releases the successor and calls [`exec`](Strategy::exec).
    fn next(&self, view: View) -> Next;
}

/// How another process of the service is related to this one.
///
/// In a [`View`] it says whether the predecessor's successor is its child or its parent.
// Exhaustive: there is no third kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// This process spawned the other one.
    Child,
    /// The other process spawned this one. As a successor it has replaced itself by the new image (`Double`'s second
    /// half), and this process runs an older image.
    Parent,
}

/// The situation of a predecessor when its next step is decided.
// Exhaustive: tests of a strategy construct views, and a strategy is a table of all sixteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// Whether the successor is the child or the parent of this process.
    pub successor: Relation,
    /// `true` once no connection is in flight any longer, or the drain timeout is over.
    pub drained: bool,
    /// `true` once the probation period is over: the minimum time for which a predecessor stays the fallback has passed
    /// since commit.
    pub probation_over: bool,
    /// `true` once the successor, or an operator, has said that a fallback is no longer needed.
    pub dismissed: bool,
}

impl View {
    /// Returns all 16 possible views.
    pub fn all() -> impl Iterator<Item = View> {
        (0..16).map(|bits: u8| View {
            successor: if bits & 8 == 0 { Relation::Child } else { Relation::Parent },
            drained: bits & 4 != 0,
            probation_over: bits & 2 != 0,
            dismissed: bits & 1 != 0,
        })
    }
}

/// What a predecessor does next.
// Exhaustive: a new answer would be a new protocol, and the model checker explores these three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// Stay the fallback: keep the listening sockets open, and take over if the successor dies.
    Stay,
    /// Release the successor (never take over again), and exit when drained.
    Exit,
    /// When drained, release the successor and exec the new image in this process.
    Exec,
}

impl<S: Strategy + ?Sized> Strategy for Box<S> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn launch(&mut self, launch: Launch<'_>) -> Result<Launched, LaunchError> {
        (**self).launch(launch)
    }

    fn exec(&mut self, launch: Launch<'_>) -> LaunchError {
        (**self).exec(launch)
    }

    fn next(&self, view: View) -> Next {
        (**self).next(view)
    }
}

fn _object_safe(_: &mut dyn Strategy) {}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[derive(Debug)]
    struct ExitsWhenDrained;

    impl Strategy for ExitsWhenDrained {
        fn name(&self) -> &str {
            "exits"
        }

        fn next(&self, view: View) -> Next {
            if view.drained { Next::Exit } else { Next::Stay }
        }
    }

    #[test]
    fn there_are_sixteen_views() {
        assert_eq!(View::all().collect::<HashSet<_>>().len(), 16);
    }

    #[test]
    fn a_box_behaves_as_its_strategy() {
        let boxed: Box<dyn Strategy> = Box::new(ExitsWhenDrained);
        assert_eq!(Strategy::name(&boxed), "exits");
        for view in View::all() {
            assert_eq!(Strategy::next(&boxed, view), ExitsWhenDrained.next(view));
        }
    }
}
