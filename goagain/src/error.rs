//! What can fail, typed.

pub use crate::migrate::MigrateError;
use crate::socket::AdoptFd;
use goagain_env::Address;
pub use goagain_env::{HandoffError, InheritError, LaunchError, SaveError, StateError};
use goagain_signals::Stop;
pub use goagain_signals::{RestoreError, StartError};
use std::time::Duration;
use std::{error, fmt, io};

/// An error of the application's own: what `prepare`, serving, a service or a body fails with.
pub type BoxError = Box<dyn error::Error + Send + Sync>;

/// Why a listener is not to be had.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenError {
    /// This image has a descriptor of this name already.
    NameTaken {
        /// The name.
        name: String,
    },
    /// The predecessor had another address, or another kind of descriptor, under this name.
    AnotherAddress {
        /// The name.
        name: String,
        /// What the predecessor has there, kind and address.
        inherited: Address,
        /// What was asked for.
        asked: Option<Address>,
    },
    /// The address cannot be bound, or the inherited listener not be used.
    Bind {
        /// The name.
        name: String,
        /// The address, where it could be told.
        address: Option<Address>,
        /// The system's answer.
        source: io::Error,
    },
    /// The socket that somebody else bound cannot be adopted.
    NotAdopted {
        /// The name.
        name: String,
        /// The socket, as it was.
        given: AdoptFd,
        /// What was expected, and what was found.
        reason: String,
    },
    /// The address cannot be read.
    Address {
        /// What was given.
        given: String,
    },
}

impl ListenError {
    pub(crate) fn bind(name: &str, address: Option<Address>, source: io::Error) -> ListenError {
        ListenError::Bind { name: name.to_owned(), address, source }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::NameTaken { name } => {
                write!(f, "the name `{name}` is taken: give each listener its own")
            }
            ListenError::AnotherAddress { name, inherited, asked } => {
                let asked = asked.as_ref().map_or_else(|| "another address".to_owned(), Address::to_string);
                let inherited = match inherited {
                    Address::Other => "a descriptor without an address".to_owned(),
                    address => address.to_string(),
                };
                write!(
                    f,
                    "`{name}` was inherited as {inherited}, and {asked} was asked for: \
                     give it a new name, or let it be bound anew (`listen_or_rebind`)"
                )
            }
            ListenError::Bind { name, address, source } => {
                write!(f, "cannot listen for `{name}`")?;
                if let Some(address) = address {
                    write!(f, " on {address}")?;
                }
                write!(f, ": {source}")
            }
            ListenError::NotAdopted { name, given: AdoptFd::Number(number), reason } => {
                write!(f, "cannot adopt descriptor {number} for `{name}`: {reason}")
            }
            ListenError::NotAdopted { name, reason, .. } => {
                write!(f, "cannot adopt the socket that was given for `{name}`: {reason}")
            }
            ListenError::Address { given } => {
                write!(f, "expected an address like `127.0.0.1:80` or `unix:/run/http.sock`, found `{given}`")
            }
        }
    }
}

impl error::Error for ListenError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            // What it says is said by this error already.
            ListenError::Bind { source, .. } => source.source(),
            _ => None,
        }
    }
}

/// Why this process did not become the owner. There is nothing for it to do but to leave; the predecessor serves on.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadyError {
    /// The predecessor aborted this image, or was told to stop.
    Aborted(String),
    /// A stop reached this process.
    Stopped(Stop),
    /// The predecessor did not answer in this time, or an orphan was not ready in it.
    Silent(Duration),
    /// The state of the owner did not come.
    State(RestoreError),
    /// Waiting failed.
    Channel(io::Error),
}

impl fmt::Display for ReadyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadyError::Aborted(reason) => write!(f, "the predecessor aborted this image: {reason}"),
            ReadyError::Stopped(stop) => write!(f, "{stop} before it was the owner"),
            ReadyError::Silent(time) => write!(f, "the predecessor did not answer within {time:?}"),
            ReadyError::State(error) => error.fmt(f),
            ReadyError::Channel(error) => write!(f, "cannot wait for the predecessor: {error}"),
        }
    }
}

impl error::Error for ReadyError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            // What they say is said by this error already.
            ReadyError::State(error) => error.source(),
            ReadyError::Channel(error) => error.source(),
            _ => None,
        }
    }
}
