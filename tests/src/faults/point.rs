//! A step of the protocol at which faults strike, with what has to come of each.

use nix::errno::Errno;

use super::ends::{Ends, GOES_ON, Image, ROLLS_BACK};
use super::kind::{Kind, MESSAGES, STEPS};
use crate::config::StrategyKind;

/// What happens beside the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scene {
    /// A restart into a healthy image.
    Plain,
    /// The successor says FAILED.
    Fails,
    /// The successor is ready later than it may be.
    Late,
    /// The successor dies as soon as it owns.
    Dies,
    /// A connection that never ends keeps the image that is struck from being drained.
    Held,
}

/// Where faults strike.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The image that is struck.
    pub side: Image,
    /// The name that the library has for the step.
    pub name: &'static str,
    /// The strategies that have it.
    pub strategies: &'static [StrategyKind],
    /// What strikes: at any step, and at this one in particular.
    kinds: (&'static [Kind], &'static [Kind]),
    /// What comes of a death.
    dies: Ends,
    /// What comes of a hang.
    hangs: Ends,
    /// What comes of a step that is slow.
    slow: Ends,
    /// What comes of an error, or of a message that cannot be read.
    fails: Ends,
    /// A panic is caught here: it is an error like any other.
    catches: bool,
    /// Whether the image that is struck may have connections: what is in flight on them dies with it.
    pub serves: bool,
    /// The image whose probation is not over before the fault has done what it does: what comes of it would be something else,
    /// and as right, if the net were gone by then.
    pub in_probation_of: Option<Image>,
    /// What happens beside.
    pub scene: Scene,
}

/// A step, before or after it, or on hearing of it.
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

/// A message that does not arrive as it was meant.
pub(super) const fn message(
    strategies: &'static [StrategyKind],
    side: Image,
    name: &'static str,
    fails: Ends,
) -> Point {
    Point { kinds: (&[], MESSAGES), fails, ..step(strategies, side, name, fails, fails) }
}

impl Point {
    /// A step that is a system call, which may fail too.
    pub(super) const fn errors(self, errors: &'static [Kind], fails: Ends) -> Self {
        Self { kinds: (self.kinds.0, errors), fails, ..self }
    }

    /// A panic here is caught.
    pub(super) const fn catches(self) -> Self {
        Self { catches: true, ..self }
    }

    /// The image has no connection here, so that nothing can be lost with it.
    pub(super) const fn idle(self) -> Self {
        Self { serves: false, ..self }
    }

    /// The net of this image is there until the fault has done what it does.
    pub(super) const fn in_probation_of(self, net: Image) -> Self {
        Self { in_probation_of: Some(net), ..self }
    }

    /// Beside something that goes wrong by itself: without a fault it ends so too.
    pub(super) const fn scene(self, scene: Scene) -> Self {
        let slow = match scene {
            Scene::Fails | Scene::Late => GOES_ON,
            Scene::Dies => ROLLS_BACK,
            Scene::Plain | Scene::Held => self.slow,
        };
        Self { scene, slow, ..self }
    }

    /// What strikes here.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        // Nothing of the application's runs where a child is held, nor can the calls there panic.
        let held = self.name == "pidfd_open" && self.side == Image::Old;
        let all = self.kinds.0.iter().chain(self.kinds.1).copied();
        all.filter(move |kind| !(held && *kind == Kind::Panic))
    }

    /// What has to come of `kind`.
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

    /// Its name in the matrix.
    pub fn label(&self) -> String {
        let scene = match self.scene {
            Scene::Plain => "",
            Scene::Fails => " (FAILED)",
            Scene::Late => " (late)",
            Scene::Dies => " (dies)",
            Scene::Held => " (held)",
        };
        format!("{}: {}{scene}", self.side.name(), self.name)
    }
}
