//! Why a state item could not be made.

use std::any::Any;
use std::time::Duration;
use std::{error, fmt, io};

/// Why a state item could not be made. The restart has failed, and the service continues without it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaveError {
    /// The application's function returned this error.
    Failed(String),
    /// The application's function panicked with this message.
    Panicked(String),
    /// There were more bytes than the limit allows.
    TooLarge {
        /// The limit for each item, in bytes.
        limit: u64,
    },
    /// The items were not made in time.
    TooLate {
        /// The time for all items of a restart together.
        timeout: Duration,
    },
    /// A system call failed.
    System(String),
}

impl SaveError {
    pub(super) fn memory(error: io::Error) -> SaveError {
        SaveError::System(error.to_string())
    }

    pub(super) fn panicked(panic: &(dyn Any + Send)) -> SaveError {
        let text =
            panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        SaveError::Panicked(text.unwrap_or("without a message").to_owned())
    }
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SaveError::Failed(reason) => f.write_str(reason),
            SaveError::Panicked(message) => write!(f, "panicked: {message}"),
            SaveError::TooLarge { limit } => {
                write!(f, "expected at most {limit} bytes, found more: save less, or raise the limit")
            }
            SaveError::TooLate { timeout } => {
                write!(
                    f,
                    "expected all state items to be saved within {timeout:?}: save less, or raise the timeout"
                )
            }
            SaveError::System(reason) => write!(f, "cannot store it in memory: {reason}"),
        }
    }
}

impl error::Error for SaveError {}
