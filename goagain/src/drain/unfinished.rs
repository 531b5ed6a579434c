//! What happens to connections that are left at the deadline of a drain.

use nix::sys::socket::{Shutdown, shutdown};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What happens to a connection that is still in flight when a drain ends. Set with
/// [`Builder::unfinished`](crate::Builder::unfinished). Defaults to [`Unfinished::Leave`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unfinished {
    /// The library does nothing with it. It is closed when the process exits or execs.
    #[default]
    Leave,
    /// It is shut down in both directions (`shutdown`). The client reads an end of file. If the protocol does not say how long the
    /// response is, the client may take half a response for a whole one.
    Close,
    /// It is reset. The client reads an error (ECONNRESET), so it knows that the response is incomplete. A Unix socket cannot be
    /// reset, and is shut down instead.
    Reset,
}

/// Closes one connection. It may have ended by itself, so errors are ignored.
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
