//! What becomes of a connection that is there when a drain ends.

use nix::sys::socket::{Shutdown, shutdown};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What becomes of a connection that is still there when a drain ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unfinished {
    /// The library leaves it alone; it is closed when the process leaves, or execs.
    #[default]
    Leave,
    /// It is shut down in both directions (`shutdown`): the client reads an end, and may take half an answer for a whole
    /// one where the protocol does not say how long it is.
    Close,
    /// It is reset: the client reads an error (ECONNRESET), and knows that the answer was cut off. A Unix socket has no
    /// reset, and is shut down.
    Reset,
}

/// Cuts one connection. It may have ended by itself: that is no failure.
pub(super) fn close(connection: BorrowedFd<'_>, how: Unfinished) {
    let _: io::Result<()> = match how {
        Unfinished::Leave => Ok(()),
        Unfinished::Close => shut_down(connection),
        Unfinished::Reset => goagain_env::reset(connection).or_else(|_| shut_down(connection)),
    };
}

fn shut_down(connection: BorrowedFd<'_>) -> io::Result<()> {
    Ok(shutdown(connection.as_raw_fd(), Shutdown::Both)?)
}
