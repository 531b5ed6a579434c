//! Errors of the start.

use goagain_env::{HandoffError, InheritError};
use std::{error, fmt, io};

/// Why a loop cannot start. The predecessor, if there is one, keeps serving.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// This process has a loop, or had one. There can be only one, since it reads the signals of the process.
    AlreadyStarted,
    /// A variable of the handoff cannot be read.
    Handoff(HandoffError),
    /// A descriptor of the handoff is missing, or of another kind.
    Inherit(InheritError),
    /// The strategy's `next` panicked.
    Strategy(String),
    /// A system call failed.
    System {
        /// What the call was for, as in `make a pipe`.
        what: &'static str,
        /// The OS error.
        source: io::Error,
    },
}

impl StartError {
    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
        move |source| StartError::System { what, source }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::AlreadyStarted => {
                f.write_str("this process has started goagain already: start it once, and share its handle")
            }
            StartError::Handoff(error) => error.fmt(f),
            StartError::Inherit(error) => error.fmt(f),
            StartError::Strategy(name) => {
                write!(f, "the strategy `{name}` panicked when asked for its decisions")
            }
            StartError::System { what, source } => write!(f, "cannot {what}: {source}"),
        }
    }
}

impl error::Error for StartError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            // Their texts are the text of this error.
            StartError::System { source, .. } => source.source(),
            StartError::Handoff(error) => error.source(),
            StartError::Inherit(error) => error.source(),
            StartError::AlreadyStarted | StartError::Strategy(_) => None,
        }
    }
}

impl From<HandoffError> for StartError {
    fn from(error: HandoffError) -> StartError {
        StartError::Handoff(error)
    }
}

impl From<InheritError> for StartError {
    fn from(error: InheritError) -> StartError {
        StartError::Inherit(error)
    }
}
