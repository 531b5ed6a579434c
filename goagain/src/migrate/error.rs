//! Why a connection was not migrated.

use super::incoming::MAX_BYTES;
use super::migrator::MAX_NAME;
use std::{error, fmt, io};

/// Why a connection was not migrated. The caller still has the connection, unchanged.
#[derive(Debug)]
#[non_exhaustive]
pub enum MigrateError {
    /// There is no successor that serves, or the successor takes no connections. Connections can be sent from the moment when
    /// the successor has sent [SERVING](crate::guide::restart#words) until the successor itself hands over.
    NotOpen,
    /// The successor has not taken the connections that were sent before: the buffer of the socketpair is full. Try again
    /// later.
    Full,
    /// The name of the listener is longer than 500 bytes.
    Name,
    /// The bytes that were read from the connection and not served, or the attached bytes, are more than 16 MiB.
    TooLong,
    /// A system call failed: `sendmsg`, or one that writes the bytes to a memory file (`memfd_create`).
    System(io::Error),
}

impl fmt::Display for MigrateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MigrateError::NotOpen => f.write_str("no successor takes connections now: close the connection instead"),
            MigrateError::Full => f.write_str(
                "the successor has not taken the connections that were sent before: try again later, or close the connection",
            ),
            MigrateError::Name => write!(f, "expected a listener name of at most {MAX_NAME} bytes"),
            MigrateError::TooLong => {
                write!(f, "expected at most {MAX_BYTES} unread bytes, and as many attached bytes, of a connection")
            }
            MigrateError::System(error) => write!(f, "cannot migrate the connection: {error}"),
        }
    }
}

impl error::Error for MigrateError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            // The text of this error contains that of the OS error.
            MigrateError::System(error) => error.source(),
            _ => None,
        }
    }
}
