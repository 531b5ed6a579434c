//! Resets a connection, so that its client knows that it was closed early.

use std::io;
use std::os::fd::BorrowedFd;

/// Resets a TCP connection at once, even if other descriptors hold it (on Linux by `connect(2)` to AF_UNSPEC). The
/// client reads ECONNRESET, and unsent data is discarded. Threads that wait for the connection wake up.
///
/// # Errors
/// - The descriptor is not a TCP connection.
/// - [`io::ErrorKind::Unsupported`]: the system is not Linux. Shut the connection down instead.
pub fn reset(connection: BorrowedFd<'_>) -> io::Result<()> {
    cfg_if::cfg_if! {
        if #[cfg(target_os = "linux")] {
            crate::sys::raw::disconnect(connection)
        } else {
            let _ = connection;
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_client_reads_a_reset_and_other_descriptors_read_an_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let reading = {
            let mut other = server.try_clone().unwrap();
            std::thread::spawn(move || other.read(&mut [0]))
        };
        reset(server.as_fd()).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(!matches!(reading.join().unwrap(), Ok(1..)));
        assert!(!matches!(server.read(&mut [0]), Ok(1..)));
    }

    #[test]
    fn only_a_tcp_connection_can_be_reset() {
        let (one, _other) = UnixStream::pair().unwrap();
        reset(one.as_fd()).unwrap_err();
    }
}
