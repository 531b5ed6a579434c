//! Errors of restoring the state.

use goagain_env::{StateContents, StateError};
use std::time::Duration;
use std::{error, fmt};

/// Why the state of the predecessor cannot be restored. This process should not serve: the owner still has the state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoreError {
    /// The owner could not save it, for this reason.
    NotMade(String),
    /// It did not arrive completely.
    Torn(StateError),
    /// It did not arrive in the time that this process has until it is ready.
    Silent(Duration),
    /// The predecessor aborted this process before the state had arrived.
    Aborted,
    /// The state of this name is of another kind.
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
            RestoreError::NotMade(reason) => write!(f, "the state: the owner could not save it: {reason}"),
            RestoreError::Torn(error) => write!(f, "the state: it did not arrive completely: {error}"),
            RestoreError::Silent(time) => {
                write!(f, "the state: the owner did not hand it over within {time:?}")
            }
            RestoreError::Aborted => {
                f.write_str("the state: the predecessor aborted this process before it arrived")
            }
            RestoreError::AnotherKind { name, found } => {
                let (is, other) = match found {
                    StateContents::Bytes => ("bytes", "`restore_state`"),
                    _ => ("a descriptor", "`restore_fd`"),
                };
                write!(f, "`{name}` was saved as {is}: restore it by {other}")
            }
        }
    }
}

impl error::Error for RestoreError {}
