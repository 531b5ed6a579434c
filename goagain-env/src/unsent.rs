//! The number of written bytes of a connection that have not arrived yet.

use std::io;
use std::os::fd::BorrowedFd;

/// Returns the number of written bytes that the peer's kernel has not acknowledged (TCP) or the peer has not read
/// (Unix), by `ioctl(SIOCOUTQ)`: see tcp(7) and unix(7). The end of the stream (`shutdown`) counts as one byte until it
/// is acknowledged.
///
/// # Errors
/// - The descriptor is not a socket.
/// - [`io::ErrorKind::Unsupported`]: the system is not Linux.
pub fn unsent(connection: BorrowedFd<'_>) -> io::Result<usize> {
    cfg_if::cfg_if! {
        if #[cfg(any(target_os = "android", target_os = "linux"))] {
            crate::sys::raw::unsent(connection)
        } else {
            let _ = connection;
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn bytes_that_the_peer_has_not_read_are_unsent() {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        assert_eq!(unsent(one.as_fd()).unwrap(), 0);
        one.write_all(b"word").unwrap();
        assert!(unsent(one.as_fd()).unwrap() > 0);
        other.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(unsent(one.as_fd()).unwrap(), 0);
    }

    #[test]
    fn a_file_has_no_such_count() {
        unsent(tempfile::tempfile().unwrap().as_fd()).unwrap_err();
    }
}
