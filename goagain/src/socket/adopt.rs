//! Sockets that another program or crate has bound.

use goagain_env::Address;
use goagain_env::AdoptError;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{getsockopt, sockopt};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixListener};

/// A socket that another program or crate has bound, for [`Bind::adopt`](crate::socket::Bind::adopt).
///
/// It is the number of a descriptor that this process was started with, as in socket activation, or a socket that this process owns.
///
/// ```
/// # use goagain::{Goagain, Listener};
/// # use goagain::error::ListenError;
/// # fn listen(again: &mut Goagain, bound: std::net::TcpListener) -> Result<[Listener; 2], ListenError> {
/// let http = again.bind("http").adopt(3)?;
/// let admin = again.bind("admin").adopt(bound)?;
/// # Ok([http, admin])
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum AdoptFd {
    /// The number of a descriptor that this process was started with. It has come across `execve(2)`, so it is not close-on-exec,
    /// and nothing in this process owns it yet.
    Number(RawFd),
    /// A socket that this process owns.
    Owned(OwnedFd),
}

impl From<RawFd> for AdoptFd {
    fn from(number: RawFd) -> AdoptFd {
        AdoptFd::Number(number)
    }
}

impl From<OwnedFd> for AdoptFd {
    fn from(fd: OwnedFd) -> AdoptFd {
        AdoptFd::Owned(fd)
    }
}

impl From<TcpListener> for AdoptFd {
    fn from(socket: TcpListener) -> AdoptFd {
        AdoptFd::Owned(socket.into())
    }
}

impl From<UnixListener> for AdoptFd {
    fn from(socket: UnixListener) -> AdoptFd {
        AdoptFd::Owned(socket.into())
    }
}

impl From<UdpSocket> for AdoptFd {
    fn from(socket: UdpSocket) -> AdoptFd {
        AdoptFd::Owned(socket.into())
    }
}

impl From<UnixDatagram> for AdoptFd {
    fn from(socket: UnixDatagram) -> AdoptFd {
        AdoptFd::Owned(socket.into())
    }
}

impl AdoptFd {
    /// Takes ownership, makes the socket close-on-exec, and returns its address, if it is of the kind. Otherwise returns it
    /// unchanged, with the reason.
    pub(crate) fn take(self, kind: AdoptKind) -> Result<(OwnedFd, Address), (AdoptFd, String)> {
        match self {
            AdoptFd::Number(number) => goagain_env::adopt(number, |fd| kind.check(fd)).map_err(|error| {
                let why = match error {
                    AdoptError::Refused(why) => why,
                    other => format!("expected {}, found that {other}", kind.expected()),
                };
                (AdoptFd::Number(number), why)
            }),
            AdoptFd::Owned(fd) => {
                let checked = kind.check(fd.as_fd()).and_then(|address| {
                    let set = fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
                    set.map(|_| address).map_err(|error| format!("cannot make it close-on-exec: {error}"))
                });
                match checked {
                    Ok(address) => Ok((fd, address)),
                    Err(why) => Err((AdoptFd::Owned(fd), why)),
                }
            }
        }
    }
}

/// What a socket to be adopted has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AdoptKind {
    Listener,
    Datagrams,
}

impl AdoptKind {
    pub(crate) fn fits(self, address: &Address) -> bool {
        match self {
            AdoptKind::Listener => {
                matches!(address, Address::Tcp(_) | Address::Unix(_) | Address::UnixSeqpacket(_))
            }
            AdoptKind::Datagrams => matches!(address, Address::Udp(_) | Address::UnixDatagram(_)),
        }
    }

    fn expected(self) -> &'static str {
        match self {
            AdoptKind::Listener => "a listening socket (TCP, Unix or SOCK_SEQPACKET)",
            AdoptKind::Datagrams => "a bound datagram socket (UDP or Unix)",
        }
    }

    /// Returns the address if the kind is right (SO_TYPE, `getsockname(2)`, SO_ACCEPTCONN).
    fn check(self, fd: BorrowedFd<'_>) -> Result<Address, String> {
        let wrong = |found: String| Err(format!("expected {}, found {found}", self.expected()));
        match Address::of(fd) {
            Err(error) => wrong(format!("a descriptor that cannot be examined: {error}")),
            Ok(Address::Other) => wrong("another kind of descriptor, or a socket without an address".into()),
            Ok(address) if !self.fits(&address) => wrong(address.to_string()),
            Ok(address) => match (self, getsockopt(&fd, sockopt::AcceptConn)) {
                (AdoptKind::Listener, Ok(false) | Err(_)) => {
                    wrong(format!("{address}, which does not listen"))
                }
                _ => Ok(address),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn refused(socket: impl Into<AdoptFd>, kind: AdoptKind) -> String {
        socket.into().take(kind).map(|(_, address)| address).unwrap_err().1
    }

    #[test]
    fn a_socket_of_the_kind_is_adopted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let bound = Address::Tcp(listener.local_addr().unwrap());
        let (fd, address) = AdoptFd::from(listener).take(AdoptKind::Listener).unwrap();
        assert_eq!(address, bound);
        let flags = fcntl(&fd, FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(AdoptFd::from(udp).take(AdoptKind::Datagrams).is_ok());
    }

    #[test]
    fn a_socket_of_another_kind_is_returned() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let why = refused(OwnedFd::from(connected), AdoptKind::Listener);
        assert!(why.ends_with(", which does not listen"), "{why}");
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(refused(udp, AdoptKind::Listener).contains("found udp:127.0.0.1:"));
        let address = listener.local_addr().unwrap();
        let (returned, why) = AdoptFd::from(listener).take(AdoptKind::Datagrams).unwrap_err();
        assert_eq!(why, format!("expected a bound datagram socket (UDP or Unix), found tcp:{address}"));
        let AdoptFd::Owned(fd) = returned else { panic!("{returned:?}") };
        assert_eq!(TcpListener::from(fd).local_addr().unwrap(), address);
        let file = tempfile::tempfile().unwrap();
        assert!(refused(OwnedFd::from(file), AdoptKind::Listener).contains("another kind of descriptor"));
    }

    #[test]
    fn a_descriptor_that_this_process_owns_is_not_adopted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&listener);
        let why = refused(number, AdoptKind::Listener);
        assert!(why.ends_with("is close-on-exec, so it did not come across exec"), "{why}");
        assert!(refused(-1, AdoptKind::Listener).ends_with("is not open"));
    }
}
