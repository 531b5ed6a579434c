//! A step of the protocol at which faults are injected, with the expected outcome of each.

use nix::errno::Errno;

use super::ends::{Ends, GOES_ON, Image, ROLLS_BACK};
use super::kind::{Kind, MESSAGES, STEPS};
use crate::config::StrategyKind;

/// What happens besides the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scene {
    /// A restart into a healthy image.
    Plain,
    /// The successor sends FAILED.
    Fails,
    /// The successor is ready after its deadline.
    Late,
    /// The successor dies as soon as it is the owner.
    Dies,
    /// A request that is never complete prevents the drain of the image that is hit.
    OpenRequest,
}

/// Where faults are injected.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The image that is hit.
    pub side: Image,
    /// The library's name for the step.
    pub name: &'static str,
    /// The strategies that have this step.
    pub strategies: &'static [StrategyKind],
    /// What is injected: at any step, and at this one in particular.
    kinds: (&'static [Kind], &'static [Kind]),
    /// The outcome of a death.
    dies: Ends,
    /// The outcome of a hang.
    hangs: Ends,
    /// The outcome of a slow step.
    slow: Ends,
    /// The outcome of an error, or of a message that cannot be read.
    fails: Ends,
    /// A panic is caught here. It is an error like any other.
    catches: bool,
    /// Whether the image that is hit may have connections. What is in flight on them dies with it.
    pub serves: bool,
    /// The image whose probation period must not end before the fault has had its effect. The outcome would be another one, and
    /// also correct, if the fallback were gone by then.
    pub in_probation_of: Option<Image>,
    /// What else happens.
    pub scene: Scene,
}

/// Creates a point: a step, before or after it, or when its input arrives.
pub(super) const fn step(
    strategies: &'static [StrategyKind],
    side: Image,
    name: &'static str,
    dies: Ends,
    hangs: Ends,
) -> Point {
    let kinds: (&[Kind], &[Kind]) = (STEPS, &[]);
    let (slow, fails, scene) = (super::ends::COMPLETES, GOES_ON, Scene::Plain);
    let (catches, serves, in_probation_of) = (false, true, None);
    Point { side, name, strategies, kinds, dies, hangs, slow, fails, catches, serves, in_probation_of, scene }
}

/// Creates a point for a message that does not arrive as it was meant.
pub(super) const fn message(
    strategies: &'static [StrategyKind],
    side: Image,
    name: &'static str,
    fails: Ends,
) -> Point {
    Point { kinds: (&[], MESSAGES), fails, ..step(strategies, side, name, fails, fails) }
}

impl Point {
    /// The step is a system call, which may also fail.
    pub(super) const fn errors(self, errors: &'static [Kind], fails: Ends) -> Self {
        Self { kinds: (self.kinds.0, errors), fails, ..self }
    }

    /// A panic at this step is caught.
    pub(super) const fn catches(self) -> Self {
        Self { catches: true, ..self }
    }

    /// The image has no connections at this step, so that nothing can be lost with it.
    pub(super) const fn idle(self) -> Self {
        Self { serves: false, ..self }
    }

    /// The fallback of this image exists until the fault has had its effect.
    pub(super) const fn in_probation_of(self, fallback: Image) -> Self {
        Self { in_probation_of: Some(fallback), ..self }
    }

    /// Something else goes wrong by itself. Without a fault the outcome is the same.
    pub(super) const fn scene(self, scene: Scene) -> Self {
        let slow = match scene {
            Scene::Fails | Scene::Late => GOES_ON,
            Scene::Dies => ROLLS_BACK,
            Scene::Plain | Scene::OpenRequest => self.slow,
        };
        Self { scene, slow, ..self }
    }

    /// Returns what is injected here.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        // A stopped child runs no code of the application, and the system calls there cannot panic.
        let stopped = self.name == "pidfd_open" && self.side == Image::Old;
        let all = self.kinds.0.iter().chain(self.kinds.1).copied();
        all.filter(move |kind| !(stopped && *kind == Kind::Panic))
    }

    /// Returns the expected outcome of `kind`.
    pub fn ends(&self, kind: Kind) -> Ends {
        match kind {
            Kind::Panic if self.catches => self.fails,
            Kind::Exit | Kind::Panic | Kind::Abort | Kind::Kill => self.dies,
            Kind::Stop => self.hangs,
            Kind::Slow => self.slow,
            // An image that is being written is tried again.
            Kind::Error(Errno::ETXTBSY) if self.name == "posix_spawn" => self.slow,
            _ => self.fails,
        }
    }

    /// Returns its name in the matrix.
    pub fn label(&self) -> String {
        let scene = match self.scene {
            Scene::Plain => "",
            Scene::Fails => " (FAILED)",
            Scene::Late => " (late)",
            Scene::Dies => " (dies)",
            Scene::OpenRequest => " (open request)",
        };
        format!("{}: {}{scene}", self.side.name(), self.name)
    }
}
