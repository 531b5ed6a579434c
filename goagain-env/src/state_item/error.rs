//! Why a parcel could not be made.

use std::any::Any;
use std::time::Duration;
use std::{error, fmt, io};

/// Why a parcel could not be made. The restart that it was for has failed, and the service goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaveError {
    /// The application's function said so.
    Failed(String),
    /// It panicked.
    Panicked(String),
    /// There was more than the limit allows.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// It took longer than it may.
    TooLate {
        /// The time for all parcels of a restart.
        within: Duration,
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
                write!(f, "expected at most {limit} bytes, found more: offer less, or raise the limit")
            }
            SaveError::TooLate { within } => {
                write!(f, "expected all parcels to be made within {within:?}, which are over: give them more")
            }
            SaveError::System(reason) => write!(f, "cannot keep it in memory: {reason}"),
        }
    }
}

impl error::Error for SaveError {}
