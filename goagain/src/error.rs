//! The error types.

pub use crate::migrate::MigrateError;
use crate::socket::AdoptFd;
use goagain_env::Address;
pub use goagain_env::{HandoffError, InheritError, LaunchError, SaveError, StateError};
use goagain_signals::Stop;
pub use goagain_signals::{RestoreError, StartError};
use std::time::Duration;
use std::{error, fmt, io};

/// An error of the application: from `prepare`, from serving, from a service, or from a response body.
pub type BoxError = Box<dyn error::Error + Send + Sync>;

/// Why a listener, or another socket or descriptor, could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenError {
    /// This process already has a descriptor of this name.
    NameTaken {
        /// The name.
        name: String,
    },
    /// The predecessor has handed over a descriptor of this name that has another address, or is of another kind.
    AnotherAddress {
        /// The name.
        name: String,
        /// The kind and the address of the descriptor that was handed over.
        inherited: Address,
        /// The kind and the address that were requested, if known.
        asked: Option<Address>,
    },
    /// The address cannot be resolved or bound, or the inherited socket cannot be used.
    Bind {
        /// The name.
        name: String,
        /// The address, if known.
        address: Option<Address>,
        /// The OS error.
        source: io::Error,
    },
    /// The socket that another program or crate has bound cannot be adopted.
    NotAdopted {
        /// The name.
        name: String,
        /// The socket, unchanged.
        given: AdoptFd,
        /// What was expected and what was found.
        reason: String,
    },
    /// The text is not an address.
    Address {
        /// The text.
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
                write!(
                    f,
                    "the name `{name}` is already in use in this process: give each socket and descriptor a name of its own"
                )
            }
            ListenError::AnotherAddress { name, inherited, asked } => {
                let asked =
                    asked.as_ref().map_or_else(|| "another kind of socket".to_owned(), Address::to_string);
                let inherited = match inherited {
                    Address::Other => "a descriptor without an address".to_owned(),
                    address => address.to_string(),
                };
                write!(
                    f,
                    "`{name}` was inherited as {inherited}, but {asked} was requested: \
                     use a new name, or bind the new address with `listen_or_rebind`"
                )
            }
            ListenError::Bind { name, address, source } => {
                write!(f, "cannot bind `{name}`")?;
                if let Some(address) = address {
                    write!(f, " to {address}")?;
                }
                write!(f, ": {source}")
            }
            ListenError::NotAdopted { name, given: AdoptFd::Number(number), reason } => {
                write!(f, "cannot adopt descriptor {number} for `{name}`: {reason}")
            }
            ListenError::NotAdopted { name, reason, .. } => {
                write!(f, "cannot adopt the socket for `{name}`: {reason}")
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
            // The text of this error contains that of the OS error.
            ListenError::Bind { source, .. } => source.source(),
            _ => None,
        }
    }
}

/// Why this process did not become the owner. It should exit. The predecessor keeps serving.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadyError {
    /// The predecessor has aborted this process, or was stopped itself.
    Aborted(String),
    /// A signal or a call stopped this process.
    Stopped(Stop),
    /// The predecessor did not answer READY within this time, or it died and this process was not ready within this time. See
    /// [`Builder::ready_timeout`](crate::Builder::ready_timeout).
    Silent(Duration),
    /// The state of the owner could not be received.
    State(RestoreError),
    /// Waiting for the predecessor failed (`epoll_wait`, `poll`), or it could not be told about the listeners of this process.
    Channel(io::Error),
}

impl fmt::Display for ReadyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadyError::Aborted(reason) => write!(f, "the predecessor aborted this process: {reason}"),
            ReadyError::Stopped(stop) => write!(f, "{stop} before this process became the owner"),
            ReadyError::Silent(time) => write!(
                f,
                "the predecessor did not answer within {time:?}: look into its log, or raise `ready_timeout`"
            ),
            ReadyError::State(error) => error.fmt(f),
            ReadyError::Channel(error) => write!(f, "cannot wait for the predecessor: {error}"),
        }
    }
}

impl error::Error for ReadyError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            // The text of this error contains theirs.
            ReadyError::State(error) => error.source(),
            ReadyError::Channel(error) => error.source(),
            _ => None,
        }
    }
}
