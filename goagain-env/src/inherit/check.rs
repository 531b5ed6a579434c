//! Checks whether a descriptor matches its description, before it is owned.

use std::os::fd::BorrowedFd;

use nix::sys::socket::{getsockopt, sockopt};

use super::InheritError;
use crate::address::socket;
use crate::{Address, NamedDescriptor};

/// Checks for a socket (SO_TYPE, `getsockname(2)`) of the expected family and port. A stream or seqpacket socket must
/// listen (SO_ACCEPTCONN). A Unix path is not compared, since a socket may be bound to another path and renamed.
pub(super) fn check(
    variable: &'static str,
    NamedDescriptor { fd: number, name, address }: &NamedDescriptor,
    fd: BorrowedFd<'_>,
) -> Result<(), InheritError> {
    let wrong = |found: String| {
        let what = if listens(address) { "a listener on" } else { "a socket on" };
        let reason = format!("expected descriptor {number} (`{name}`) to be {what} {address}, found {found}");
        Err(InheritError::new(variable, reason))
    };
    if *address == Address::Other {
        return Ok(());
    }
    let (network, storage) = match socket(fd) {
        Ok(Some(found)) => found,
        Ok(None) => return wrong("another kind of descriptor".into()),
        Err(error) => return wrong(format!("a descriptor whose type cannot be read: {error}")),
    };
    if network != address.network() {
        return wrong(format!("a {network} socket"));
    }
    if listens(address) && getsockopt(&fd, sockopt::AcceptConn) != Ok(true) {
        return wrong(format!("a {network} socket that does not listen"));
    }
    let bound = Address::bound(network, &storage);
    match (address.internet(), bound.internet()) {
        (Some(expected), Some(found))
            if expected.is_ipv4() != found.is_ipv4() || expected.port() != found.port() =>
        {
            wrong(format!("{bound}"))
        }
        _ => Ok(()),
    }
}

fn listens(address: &Address) -> bool {
    matches!(address, Address::Tcp(_) | Address::Unix(_) | Address::UnixSeqpacket(_))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::{AsFd, AsRawFd};
    use std::os::unix::net::UnixListener;

    use super::*;

    fn found(fd: impl AsFd, address: &str) -> Result<(), String> {
        let address = Address::parse_go_label(address.as_ref()).unwrap();
        let described = NamedDescriptor { fd: fd.as_fd().as_raw_fd(), name: "http".into(), address };
        check("GOAGAIN_FD", &described, fd.as_fd()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_listener_must_match_its_description() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(found(&listener, &format!("tcp:127.0.0.1:{port}")), Ok(()));
        let other = if port == 80 { 81 } else { 80 };
        let error = found(&listener, &format!("tcp:127.0.0.1:{other}")).unwrap_err();
        let number = listener.as_raw_fd();
        assert_eq!(
            error,
            format!(
                "GOAGAIN_FD: expected descriptor {number} (`http`) to be a listener on tcp:127.0.0.1:{other}, \
                 found tcp:127.0.0.1:{port}"
            )
        );
        assert!(found(&listener, &format!("tcp:[::1]:{port}")).is_err());
        let error = found(&listener, "unix:/x").unwrap_err();
        assert!(error.ends_with("to be a listener on unix:/x, found a tcp socket"), "{error}");
    }

    #[test]
    fn a_connected_socket_is_not_a_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let address = format!("tcp:{}", connected.local_addr().unwrap());
        let error = found(&connected, &address).unwrap_err();
        assert!(error.ends_with("found a tcp socket that does not listen"), "{error}");
    }

    #[test]
    fn other_kinds_are_distinguished() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(found(&udp, &format!("udp:{}", udp.local_addr().unwrap())), Ok(()));
        let file = tempfile::tempfile().unwrap();
        let error = found(&file, "udp:127.0.0.1:1").unwrap_err();
        assert!(
            error.ends_with("to be a socket on udp:127.0.0.1:1, found another kind of descriptor"),
            "{error}"
        );
        let folder = tempfile::tempdir().unwrap();
        let renamed = UnixListener::bind(folder.path().join("temporary")).unwrap();
        assert_eq!(found(&renamed, "unix:/run/x.sock"), Ok(()));
    }
}
