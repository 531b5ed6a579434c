//! Sockets that somebody else bound.

use goagain_env::Address;
use goagain_env::AdoptError;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{getsockopt, sockopt};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixListener};

/// A socket that somebody else bound, for [`Bind::adopt`](crate::socket::Bind::adopt): the number of a descriptor that this process was
/// started with, as in socket activation, or a socket that is owned here.
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
    /// A descriptor that came across `execve(2)`, so that it is not close-on-exec, and that nobody in this process owns.
    Number(RawFd),
    /// A socket of this process.
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
    /// Owns it, close-on-exec, and says where it is bound, if it is of the kind; gives it back otherwise, with the reason.
    pub(crate) fn take(self, kind: GivenKind) -> Result<(OwnedFd, Address), (AdoptFd, String)> {
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

/// What a given socket has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GivenKind {
    Listener,
    Datagrams,
}

impl GivenKind {
    pub(crate) fn fits(self, address: &Address) -> bool {
        match self {
            GivenKind::Listener => {
                matches!(address, Address::Tcp(_) | Address::Unix(_) | Address::UnixSeqpacket(_))
            }
            GivenKind::Datagrams => matches!(address, Address::Udp(_) | Address::UnixDatagram(_)),
        }
    }

    fn expected(self) -> &'static str {
        match self {
            GivenKind::Listener => "a listener (TCP, Unix, Unix of packets)",
            GivenKind::Datagrams => "a bound socket of datagrams (UDP, Unix)",
        }
    }

    /// By SO_TYPE, `getsockname(2)` and SO_ACCEPTCONN.
    fn check(self, fd: BorrowedFd<'_>) -> Result<Address, String> {
        let wrong = |found: String| Err(format!("expected {}, found {found}", self.expected()));
        match Address::of(fd) {
            Err(error) => wrong(format!("a descriptor that cannot be looked at: {error}")),
            Ok(Address::Other) => wrong("another kind of descriptor, or a socket without an address".into()),
            Ok(address) if !self.fits(&address) => wrong(address.to_string()),
            Ok(address) => match (self, getsockopt(&fd, sockopt::AcceptConn)) {
                (GivenKind::Listener, Ok(false) | Err(_)) => {
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

    fn refused(given: impl Into<AdoptFd>, kind: GivenKind) -> String {
        given.into().take(kind).map(|(_, address)| address).unwrap_err().1
    }

    #[test]
    fn what_is_of_the_kind_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let bound = Address::Tcp(listener.local_addr().unwrap());
        let (fd, address) = AdoptFd::from(listener).take(GivenKind::Listener).unwrap();
        assert_eq!(address, bound);
        let flags = fcntl(&fd, FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(AdoptFd::from(udp).take(GivenKind::Datagrams).is_ok());
    }

    #[test]
    fn what_is_not_is_given_back() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let why = refused(OwnedFd::from(connected), GivenKind::Listener);
        assert!(why.ends_with(", which does not listen"), "{why}");
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(refused(udp, GivenKind::Listener).contains("found udp:127.0.0.1:"));
        let address = listener.local_addr().unwrap();
        let (given, why) = AdoptFd::from(listener).take(GivenKind::Datagrams).unwrap_err();
        assert_eq!(why, format!("expected a bound socket of datagrams (UDP, Unix), found tcp:{address}"));
        let AdoptFd::Owned(fd) = given else { panic!("{given:?}") };
        assert_eq!(TcpListener::from(fd).local_addr().unwrap(), address);
        let file = tempfile::tempfile().unwrap();
        assert!(refused(OwnedFd::from(file), GivenKind::Listener).contains("another kind of descriptor"));
    }

    #[test]
    fn a_number_of_this_process_is_not_taken_from_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&listener);
        let why = refused(number, GivenKind::Listener);
        assert!(why.ends_with("is close-on-exec, so it did not come across exec"), "{why}");
        assert!(refused(-1, GivenKind::Listener).ends_with("is not open"));
    }
}
