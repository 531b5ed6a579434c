//! How a cell ends: who serves then, and what was reported.

use std::fmt;

use crate::config::StrategyKind;

/// An image in the course of one restart, by its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Image {
    /// The predecessor.
    Old,
    /// Its successor.
    New,
    /// Double's second half: the image that the predecessor has exec'd in place.
    Back,
}

impl Image {
    /// Its generation.
    pub fn generation(self) -> u64 {
        match self {
            Self::Old => 1,
            Self::New => 2,
            Self::Back => 3,
        }
    }

    /// What it is called in a sentence.
    pub fn who(self) -> &'static str {
        match self {
            Self::Back => "parent's new image",
            image => image.name(),
        }
    }

    /// Its name in the matrix.
    pub fn name(self) -> &'static str {
        match self {
            Self::Old => "predecessor",
            Self::New => "successor",
            Self::Back => "back",
        }
    }
}

/// What has to be so in the end, as design.md's invariants have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Who serves; with nobody, the supervisor is the net.
    pub owner: Owner,
    /// What was reported, and by whom.
    pub report: Option<(&'static str, Image)>,
    /// The image that hangs may not be killed by anybody: the supervisor, here the harness, lets it go on.
    pub woken: bool,
}

/// Who serves in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This image, and no other process is left.
    One(Image),
    /// The last image of a restart that went well.
    Last,
    /// No process is left.
    Nobody,
}

const fn one(image: Image, report: Option<(&'static str, Image)>) -> Ends {
    Ends { owner: Owner::One(image), report, woken: false }
}

/// The restart goes well.
pub const COMPLETES: Ends = Ends { owner: Owner::Last, report: None, woken: false };
/// The attempt fails, and the predecessor goes on.
pub const GOES_ON: Ends = one(Image::Old, Some(("failed", Image::Old)));
/// The predecessor takes back what it had handed over.
pub const ROLLS_BACK: Ends = one(Image::Old, Some(("rolled_back", Image::Old)));
/// The successor serves: its predecessor is gone.
pub const TAKES_OVER: Ends = one(Image::New, Some(("took_over", Image::New)));
/// The successor serves, and says why it is not the parent.
pub const KEEPS: Ends = one(Image::New, Some(("failed", Image::New)));
/// Double's child takes back what it had given to its parent.
pub const TAKES_BACK: Ends = one(Image::New, Some(("rolled_back", Image::New)));
/// Double's parent serves: its child is gone.
pub const COMES_BACK: Ends = one(Image::Back, Some(("took_over", Image::Back)));
/// Double's parent serves: its child had let go already.
pub const IS_BACK: Ends = one(Image::Back, Some(("settled", Image::Back)));
/// The last net is gone.
pub const NOBODY: Ends = Ends { owner: Owner::Nobody, report: None, woken: false };

impl Ends {
    /// The same, once the supervisor has let the image that hangs go on.
    #[must_use]
    pub const fn woken(self) -> Self {
        Self { woken: true, ..self }
    }

    /// With what a restart that goes well means under `strategy`.
    #[must_use]
    pub fn under(self, strategy: StrategyKind) -> Self {
        let last = if strategy == StrategyKind::Double { Image::Back } else { Image::New };
        match self.owner {
            Owner::Last => {
                let report = self.report.or(Some(("settled", last)));
                Self { owner: Owner::One(last), report, ..self }
            }
            _ => self,
        }
    }
}

/// What has to be so, in words.
impl fmt::Display for Ends {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.owner {
            Owner::One(image) => write!(formatter, "the {} serves", image.who())?,
            Owner::Last => formatter.write_str("the restart goes well")?,
            Owner::Nobody => formatter.write_str("nobody is left, the supervisor is the net")?,
        }
        if let Some((name, image)) = self.report {
            write!(formatter, ", `{name}` is reported by the {}", image.who())?;
        }
        match self.woken {
            true => formatter.write_str(", once the supervisor has let go on what hangs"),
            false => Ok(()),
        }
    }
}
