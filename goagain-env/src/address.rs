//! The address of a socket, in Go's notation.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt,
};

use crate::handoff::shortened;
use crate::sys;

/// The address to which a descriptor is bound.
///
/// `Display` writes it as in "tcp:127.0.0.1:48879" or "unix:/run/x.sock". An abstract name of Linux begins with `@`, as
/// in Go.
// Exhaustive: every other descriptor is `Other`, and the facade decides for each variant whether it can listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A TCP socket (SOCK_STREAM over IPv4 or IPv6).
    Tcp(SocketAddr),
    /// A UDP socket (SOCK_DGRAM over IPv4 or IPv6).
    Udp(SocketAddr),
    /// A Unix stream socket (SOCK_STREAM), by path.
    Unix(PathBuf),
    /// A Unix datagram socket (SOCK_DGRAM), by path.
    UnixDatagram(PathBuf),
    /// A Unix socket for packets in order (SOCK_SEQPACKET), by path.
    UnixSeqpacket(PathBuf),
    /// Any other descriptor: a file, a pipe, a socket without a name.
    Other,
}

impl Address {
    /// Returns the address of `fd`, from SO_TYPE (`getsockopt(2)`) and `getsockname(2)`. Does not check whether it
    /// listens.
    ///
    /// # Errors
    /// The errors of the two calls, except ENOTSOCK: a descriptor that is not a socket is [`Address::Other`].
    pub fn of(fd: BorrowedFd<'_>) -> io::Result<Address> {
        Ok(socket(fd)?.map_or(Address::Other, |(network, storage)| Address::bound(network, &storage)))
    }

    /// Converts the result of [`socket`].
    pub(crate) fn bound(network: &str, storage: &SockaddrStorage) -> Address {
        let internet = || {
            let v4 = storage.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
            v4.or_else(|| storage.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
        };
        let name = || {
            let address = storage.as_unix_addr()?;
            let path = address.path().filter(|path| !path.as_os_str().is_empty()).map(PathBuf::from);
            path.or_else(|| {
                let name = sys::abstract_name(address)?;
                Some(PathBuf::from(OsString::from_vec([b"@", name.as_bytes()].concat())))
            })
        };
        let address = match network {
            "tcp" => internet().map(Address::Tcp),
            "udp" => internet().map(Address::Udp),
            "unix" => name().map(Address::Unix),
            "unixgram" => name().map(Address::UnixDatagram),
            _ => name().map(Address::UnixSeqpacket),
        };
        address.unwrap_or(Address::Other)
    }

    /// Returns Go's name of the network: "tcp", "udp", "unix", "unixgram", "unixpacket", or "fd" for any other
    /// descriptor.
    pub fn network(&self) -> &'static str {
        match self {
            Address::Tcp(_) => "tcp",
            Address::Udp(_) => "udp",
            Address::Unix(_) => "unix",
            Address::UnixDatagram(_) => "unixgram",
            Address::UnixSeqpacket(_) => "unixpacket",
            Address::Other => "fd",
        }
    }

    /// Returns the value of GOAGAIN_NAME that the Go package goagain uses for this address: "tcp:127.0.0.1:48879->".
    ///
    /// A NUL in an abstract name ends the value, as in Go, because an environment variable cannot contain one.
    pub fn go_label(&self) -> OsString {
        let host = self.host();
        let host = host.as_bytes().split(|byte| *byte == 0).next().unwrap_or_default();
        OsString::from_vec([self.network().as_bytes(), b":", host, b"->"].concat())
    }

    /// Parses a value of GOAGAIN_NAME from the Go package goagain: "network:address->". Any text may follow the arrow,
    /// and the arrow may be missing.
    ///
    /// `tcp4` and `tcp6` are read as `tcp`, `udp4` and `udp6` as `udp`. The interface name in a link-local IPv6 address
    /// (`%eth0`) is left out: only the socket knows its number.
    ///
    /// # Errors
    /// The network is unknown, or the address is invalid for it.
    pub fn parse_go_label(label: &OsStr) -> Result<Address, LabelError> {
        let bytes = label.as_bytes();
        let end = bytes.windows(2).rposition(|window| window == b"->").unwrap_or(bytes.len());
        let expected = |what: &str| {
            LabelError(format!("expected {what}, found `{}`", shortened(&label.to_string_lossy())))
        };
        let colon = bytes[..end].iter().position(|byte| *byte == b':');
        let colon = colon.ok_or_else(|| expected("`network:address->`"))?;
        let (network, host) = (&bytes[..colon], &bytes[colon + 1..end]);
        let network = match network {
            b"tcp4" | b"tcp6" => "tcp",
            b"udp4" | b"udp6" => "udp",
            other => std::str::from_utf8(other).unwrap_or_default(),
        };
        if network == "fd" {
            return Err(expected("the network of a socket"));
        }
        Address::from_parts(network, host).map_err(expected)
    }

    /// Returns the part after the network's name: "127.0.0.1:48879", "/run/x.sock", or nothing.
    pub(crate) fn host(&self) -> OsString {
        match self {
            Address::Tcp(address) | Address::Udp(address) => address.to_string().into(),
            Address::Unix(path) | Address::UnixDatagram(path) | Address::UnixSeqpacket(path) => path.into(),
            Address::Other => OsString::new(),
        }
    }

    /// The reverse of `network` and `host`. The error is the text of what was expected.
    pub(crate) fn from_parts(network: &str, host: &[u8]) -> Result<Address, &'static str> {
        let internet = || parse_internet(host).ok_or("an address and a port");
        let path = || {
            let path = PathBuf::from(OsStr::from_bytes(host));
            if host.is_empty() { Err("a path") } else { Ok(path) }
        };
        match network {
            "tcp" => internet().map(Address::Tcp),
            "udp" => internet().map(Address::Udp),
            "unix" => path().map(Address::Unix),
            "unixgram" => path().map(Address::UnixDatagram),
            "unixpacket" => path().map(Address::UnixSeqpacket),
            "fd" if host.is_empty() => Ok(Address::Other),
            "fd" => Err("nothing after `fd`"),
            _ => Err("one of the networks tcp, udp, unix, unixgram, unixpacket"),
        }
    }

    pub(crate) fn internet(&self) -> Option<&SocketAddr> {
        match self {
            Address::Tcp(address) | Address::Udp(address) => Some(address),
            _ => None,
        }
    }

    /// Returns whether the Go package goagain can take this socket over as its only listener.
    pub(crate) fn is_go_listener(&self) -> bool {
        matches!(self, Address::Tcp(_) | Address::Unix(_))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.network(), self.host().to_string_lossy())
    }
}

/// Returns the network and the address of a socket. `None`: not a socket, or a socket of another family.
pub(crate) fn socket(fd: BorrowedFd<'_>) -> io::Result<Option<(&'static str, SockaddrStorage)>> {
    let kind = match getsockopt(&fd, sockopt::SockType) {
        Ok(kind) => kind,
        // nix returns EINVAL for a type that it does not know.
        Err(Errno::ENOTSOCK | Errno::EINVAL) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let storage: SockaddrStorage = match getsockname(fd.as_raw_fd()) {
        Ok(storage) => storage,
        // EOPNOTSUPP: a family without names. nix returns EINVAL for a family that it does not know.
        Err(Errno::EOPNOTSUPP | Errno::EINVAL) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let network = match (storage.family(), kind) {
        (Some(AddressFamily::Inet | AddressFamily::Inet6), SockType::Stream) => "tcp",
        (Some(AddressFamily::Inet | AddressFamily::Inet6), SockType::Datagram) => "udp",
        (Some(AddressFamily::Unix), SockType::Stream) => "unix",
        (Some(AddressFamily::Unix), SockType::Datagram) => "unixgram",
        (Some(AddressFamily::Unix), SockType::SeqPacket) => "unixpacket",
        _ => return Ok(None),
    };
    Ok(Some((network, storage)))
}

/// Parses "127.0.0.1:80", "[::1]:80", "[fe80::1%3]:80", and "[fe80::1%eth0]:80" without its zone.
fn parse_internet(host: &[u8]) -> Option<SocketAddr> {
    let host = std::str::from_utf8(host).ok()?;
    host.parse().ok().or_else(|| {
        let (before, zone) = host.split_once('%')?;
        let (zone, after) = zone.split_once(']')?;
        if zone.is_empty() { None } else { format!("{before}]{after}").parse().ok() }
    })
}

/// Why a label is not an address: what was expected and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelError(String);

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LabelError {}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_label_is_as_go_writes_it() {
        let tcp = Address::Tcp("127.0.0.1:48879".parse().unwrap());
        assert_eq!(tcp.go_label(), "tcp:127.0.0.1:48879->");
        assert_eq!(tcp.to_string(), "tcp:127.0.0.1:48879");
        assert_eq!(Address::Unix("/run/x.sock".into()).go_label(), "unix:/run/x.sock->");
        assert_eq!(Address::Unix("@a\0b".into()).go_label(), "unix:@a->");
        assert_eq!(Address::Other.to_string(), "fd:");
    }

    #[test]
    fn labels_are_read_leniently() {
        let tcp = Address::Tcp("127.0.0.1:80".parse().unwrap());
        for label in ["tcp:127.0.0.1:80->", "tcp4:127.0.0.1:80->10.0.0.1:9", "tcp6:127.0.0.1:80"] {
            assert_eq!(Address::parse_go_label(label.as_ref()), Ok(tcp.clone()), "{label}");
        }
        let all = Address::Tcp("[::]:80".parse().unwrap());
        assert_eq!(Address::parse_go_label("tcp:[::]:80->".as_ref()), Ok(all));
        let zone = Address::Tcp("[fe80::1]:80".parse().unwrap());
        assert_eq!(Address::parse_go_label("tcp:[fe80::1%eth0]:80->".as_ref()), Ok(zone));
        let arrow = Address::Unix("/a->b".into());
        assert_eq!(Address::parse_go_label("unix:/a->b->".as_ref()), Ok(arrow));
    }

    #[test]
    fn an_error_says_what_was_expected() {
        for (label, expected) in [
            ("", "expected `network:address->`, found ``"),
            ("sctp:1.2.3.4:5->", "expected one of the networks"),
            ("tcp:1.2.3.4->", "expected an address and a port, found `tcp:1.2.3.4->`"),
            ("tcp:localhost:80->", "expected an address and a port"),
            ("unix:->", "expected a path"),
            ("fd:->", "expected the network of a socket"),
        ] {
            let error = Address::parse_go_label(label.as_ref()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_path_that_is_not_utf_8_is_kept() {
        let path = OsStr::from_bytes(b"/run/\xff\xfe.sock");
        let address = Address::Unix(path.into());
        assert_eq!(Address::parse_go_label(&address.go_label()), Ok(address));
    }

    #[test]
    fn sockets_have_the_address_to_which_they_are_bound() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(Address::of(tcp.as_fd()).unwrap(), Address::Tcp(tcp.local_addr().unwrap()));
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(Address::of(udp.as_fd()).unwrap(), Address::Udp(udp.local_addr().unwrap()));
        let connected = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
        assert_eq!(Address::of(connected.as_fd()).unwrap(), Address::Tcp(connected.local_addr().unwrap()));
    }

    #[test]
    fn unix_sockets_have_their_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sock");
        let stream = UnixListener::bind(&path).unwrap();
        assert_eq!(Address::of(stream.as_fd()).unwrap(), Address::Unix(path));
        let path = folder.path().join("y.sock");
        let datagram = UnixDatagram::bind(&path).unwrap();
        assert_eq!(Address::of(datagram.as_fd()).unwrap(), Address::UnixDatagram(path));
    }

    #[test]
    fn a_descriptor_without_a_name_is_other() {
        let (one, _two) = UnixStream::pair().unwrap();
        assert_eq!(Address::of(one.as_fd()).unwrap(), Address::Other);
        assert_eq!(Address::of(tempfile::tempfile().unwrap().as_fd()).unwrap(), Address::Other);
    }

    #[cfg(all(target_os = "linux", not(goagain_portable)))]
    #[test]
    fn an_abstract_name_begins_with_an_at() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::SocketAddr;

        let name = format!("goagain-env-{}", std::process::id());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        assert_eq!(Address::of(listener.as_fd()).unwrap(), Address::Unix(format!("@{name}").into()));
    }
}
