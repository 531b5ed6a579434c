//! Why a parcel could not be made.

use std::any::Any;
use std::time::Duration;
use std::{error, fmt, io};

/// Why a parcel could not be made. The restart that it was for has failed, and the service goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OfferError {
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

impl OfferError {
    pub(super) fn memory(error: io::Error) -> OfferError {
        OfferError::System(error.to_string())
    }

    pub(super) fn panicked(panic: &(dyn Any + Send)) -> OfferError {
        let text =
            panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        OfferError::Panicked(text.unwrap_or("without a message").to_owned())
    }
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OfferError::Failed(reason) => f.write_str(reason),
            OfferError::Panicked(message) => write!(f, "panicked: {message}"),
            OfferError::TooLarge { limit } => {
                write!(f, "expected at most {limit} bytes, found more: offer less, or raise the limit")
            }
            OfferError::TooLate { within } => {
                write!(f, "expected all parcels to be made within {within:?}, which are over: give them more")
            }
            OfferError::System(reason) => write!(f, "cannot keep it in memory: {reason}"),
        }
    }
}

impl error::Error for OfferError {}
