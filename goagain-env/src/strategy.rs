//! The contract: what a strategy decides, and when it is asked.

use std::fmt;

use crate::{Launch, LaunchError, Launched};

/// How a service gets from one generation to the next.
///
/// A strategy decides, it does not act: the signal loop has the channel, the children, the deadlines, and the one state
/// machine. A strategy says how the new image is started, and what becomes of the old process. The two processes of a
/// restart need not run the same strategy.
///
/// It is called in this order, each time by one thread, and never two calls at once:
///
/// 1. [`next`](Strategy::next), when the process starts: once for each of the 16 views there can be.
/// 2. [`launch`](Strategy::launch), in the owner, once an attempt.
/// 3. [`exec`](Strategy::exec), in a predecessor whose `next` said [`Next::Exec`], once it has nothing left to lose.
///
/// A strategy that starts the new image in a namespace of its own, or checks it first, overrides `launch` and hands the
/// [`Launch`] on to [`Launch::spawn`]:
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
///         if view.probation || view.dismissed { Next::Exit } else { Next::Stay }
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
    /// A short name in lower case, for logs and reports.
    fn name(&self) -> &str;

    /// Starts the new image. Called in the owner, once an attempt, and again after a short wait if the error was that the
    /// image is busy ([`LaunchError::is_busy`]: a deploy is still writing it).
    ///
    /// The owner serves on meanwhile, and answers no signal until this returns: so it should not wait for long. Image,
    /// arguments, environment and the seed's signal may be changed; the handoff is not.
    ///
    /// `Ok` makes the process the successor of this attempt: it has to say READY within its time. By default
    /// [`Launch::spawn`], in Double too: the roles are exchanged later.
    ///
    /// # Errors
    /// Any, its own ones by [`LaunchError::refused`]. An error, or a panic, ends the attempt and leaves the owner as it was.
    fn launch(&mut self, launch: Launch<'_>) -> Result<Launched, LaunchError> {
        launch.spawn()
    }

    /// Becomes the new image. Called in a predecessor whose [`next`](Strategy::next) said [`Next::Exec`], when it is
    /// drained, has released its net duty, and has no child left to reap but the successor.
    ///
    /// Returns on failure only. The process is then still the old image, and asks its successor for the service back: it
    /// becomes the owner again, under the pid that it had all along, the successor leaves, and the restart is reported as
    /// failed with this error. By default [`Launch::exec`].
    fn exec(&mut self, launch: Launch<'_>) -> LaunchError {
        launch.exec()
    }

    /// What a predecessor does in this view of things.
    ///
    /// Must be pure and total: it is asked once for each of the 16 views when the process starts, and the table of its
    /// answers is what the state machine runs by. So it cannot change its mind, a panic here is an error of the start,
    /// and a model can explore every strategy that can be written.
    ///
    /// The answer for the view that holds is acted on in a predecessor after commit, and only when the successor has said
    /// SERVING and probation is over (before that, every predecessor is the net):
    ///
    /// - [`Next::Stay`]: goes on to be the net. It holds the listeners, and takes over if the successor dies.
    /// - [`Next::Exit`]: releases now, closes the listeners, drains on, and leaves when drained.
    /// - [`Next::Exec`]: when drained, releases, and calls [`exec`](Strategy::exec).
    fn next(&self, view: View) -> Next;
}

/// Whose process the successor is, seen from its predecessor.
// Exhaustive: there is no third kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// We spawned it.
    Child,
    /// It spawned us: our own image is the older one, and it has exec'd itself anew (Double's second half).
    Parent,
}

/// What a predecessor knows when it is asked for its next step.
// Exhaustive: the tests of a strategy make views, and a strategy is a table of all sixteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// Whose process the successor is.
    pub successor: Relation,
    /// Nothing is in flight any longer, or the time to drain is over.
    pub drained: bool,
    /// Probation is over: the least time for which a predecessor stays the net has passed.
    pub probation: bool,
    /// The successor, or an operator, said that it needs no net any longer.
    pub dismissed: bool,
}

impl View {
    /// Each view there can be, all 16.
    pub fn all() -> impl Iterator<Item = View> {
        (0..16).map(|bits: u8| View {
            successor: if bits & 8 == 0 { Relation::Child } else { Relation::Parent },
            drained: bits & 4 != 0,
            probation: bits & 2 != 0,
            dismissed: bits & 1 != 0,
        })
    }
}

/// What a predecessor does next.
// Exhaustive: a new answer is a new protocol, and the model explores these three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// Stay the net.
    Stay,
    /// Release, and leave when drained.
    Exit,
    /// When drained, release, and exec the new image in this very process.
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
    struct Leaves;

    impl Strategy for Leaves {
        fn name(&self) -> &str {
            "leaves"
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
    fn a_box_is_the_strategy_in_it() {
        let boxed: Box<dyn Strategy> = Box::new(Leaves);
        assert_eq!(Strategy::name(&boxed), "leaves");
        for view in View::all() {
            assert_eq!(Strategy::next(&boxed, view), Leaves.next(view));
        }
    }
}
