//! Why the state of the predecessor is not to be had.

use goagain_env::{StateContents, StateError};
use std::time::Duration;
use std::{error, fmt};

/// Why the state that was handed over is not to be had. This image should not serve: what it lacks is still with the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoreError {
    /// The owner could not make it, for this reason.
    NotMade(String),
    /// It did not come whole.
    Torn(StateError),
    /// It did not come in the time that this image has until it is ready.
    Silent(Duration),
    /// This image was told to leave before it came.
    Aborted,
    /// What has this name is of another kind.
    AnotherKind {
        /// The name.
        name: String,
        /// What it is.
        found: StateContents,
    },
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::NotMade(reason) => write!(f, "the state: the owner could not make it: {reason}"),
            RestoreError::Torn(error) => write!(f, "the state: it did not come whole: {error}"),
            RestoreError::Silent(time) => {
                write!(f, "the state: the owner did not hand it over within {time:?}")
            }
            RestoreError::Aborted => f.write_str("the state: this image was told to leave before it came"),
            RestoreError::AnotherKind { name, found } => {
                let (is, other) = match found {
                    StateContents::Bytes => ("bytes", "`take`"),
                    _ => ("a descriptor", "`restore_fd`"),
                };
                write!(f, "`{name}` was offered as {is}: ask for it by {other}")
            }
        }
    }
}

impl error::Error for RestoreError {}
