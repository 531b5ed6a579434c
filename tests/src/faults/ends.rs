//! How a cell ends: which image serves then, and what was reported.

use std::fmt;

use crate::config::StrategyKind;

/// An image in the course of one restart, by its role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Image {
    /// The predecessor.
    Old,
    /// Its successor.
    New,
    /// Double's second half: the image that the predecessor has exec'd.
    Reexec,
}

impl Image {
    /// Returns its generation.
    pub fn generation(self) -> u64 {
        match self {
            Self::Old => 1,
            Self::New => 2,
            Self::Reexec => 3,
        }
    }

    /// Returns what it is called in a sentence.
    pub fn who(self) -> &'static str {
        match self {
            Self::Reexec => "parent's new image",
            image => image.name(),
        }
    }

    /// Returns its name in the matrix.
    pub fn name(self) -> &'static str {
        match self {
            Self::Old => "predecessor",
            Self::New => "successor",
            Self::Reexec => "reexec",
        }
    }
}

/// The required outcome, by the invariants of the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Who serves. If nobody does, the supervisor is the fallback.
    pub owner: Owner,
    /// What was reported, and by whom.
    pub report: Option<(&'static str, Image)>,
    /// No process may kill the image that hangs: the supervisor, here the harness, resumes it.
    pub woken: bool,
}

/// Who serves in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This image, and no other process is left.
    One(Image),
    /// The last image of a successful restart.
    Last,
    /// No process is left.
    Nobody,
}

const fn one(image: Image, report: Option<(&'static str, Image)>) -> Ends {
    Ends { owner: Owner::One(image), report, woken: false }
}

/// The restart succeeds.
pub const COMPLETES: Ends = Ends { owner: Owner::Last, report: None, woken: false };
/// The attempt fails, and the predecessor keeps serving.
pub const GOES_ON: Ends = one(Image::Old, Some(("failed", Image::Old)));
/// The predecessor takes back what it had handed over.
pub const ROLLS_BACK: Ends = one(Image::Old, Some(("rolled_back", Image::Old)));
/// The successor serves: its predecessor is gone.
pub const TAKES_OVER: Ends = one(Image::New, Some(("took_over", Image::New)));
/// The successor serves, and reports why the parent does not.
pub const KEEPS: Ends = one(Image::New, Some(("failed", Image::New)));
/// Double's child takes back what it had given to its parent.
pub const TAKES_BACK: Ends = one(Image::New, Some(("rolled_back", Image::New)));
/// Double's parent serves: its child is gone.
pub const COMES_BACK: Ends = one(Image::Reexec, Some(("took_over", Image::Reexec)));
/// Double's parent serves: its child had released already.
pub const IS_BACK: Ends = one(Image::Reexec, Some(("settled", Image::Reexec)));
/// The last fallback is gone.
pub const NOBODY: Ends = Ends { owner: Owner::Nobody, report: None, woken: false };

impl Ends {
    /// Returns the same outcome, after the supervisor has resumed the image that hangs.
    #[must_use]
    pub const fn woken(self) -> Self {
        Self { woken: true, ..self }
    }

    /// Returns the outcome under `strategy`, which determines what a successful restart means.
    #[must_use]
    pub fn under(self, strategy: StrategyKind) -> Self {
        let last = if strategy == StrategyKind::Double { Image::Reexec } else { Image::New };
        match self.owner {
            Owner::Last => {
                let report = self.report.or(Some(("settled", last)));
                Self { owner: Owner::One(last), report, ..self }
            }
            _ => self,
        }
    }
}

/// The required outcome in words.
impl fmt::Display for Ends {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.owner {
            Owner::One(image) => write!(formatter, "the {} serves", image.who())?,
            Owner::Last => formatter.write_str("the restart succeeds")?,
            Owner::Nobody => formatter.write_str("nobody is left, the supervisor is the fallback")?,
        }
        if let Some((name, image)) = self.report {
            write!(formatter, ", `{name}` is reported by the {}", image.who())?;
        }
        match self.woken {
            true => formatter.write_str(", once the supervisor has resumed what hangs"),
            false => Ok(()),
        }
    }
}
