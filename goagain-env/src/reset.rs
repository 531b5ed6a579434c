//! Ending a connection so that its client knows that it was cut off.

use std::io;
use std::os::fd::BorrowedFd;

/// Resets a TCP connection at once, whoever else holds it (on Linux `connect(2)` to AF_UNSPEC): the client reads ECONNRESET
/// and what was not sent yet is discarded. Threads that wait on the connection wake.
///
/// # Errors
/// It is no TCP connection, or the system has no such way ([`io::ErrorKind::Unsupported`]): shut it down instead.
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
    fn the_client_reads_a_reset_and_another_holder_an_end() {
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
    fn what_is_no_tcp_connection_has_no_reset() {
        let (one, _other) = UnixStream::pair().unwrap();
        reset(one.as_fd()).unwrap_err();
    }
}
