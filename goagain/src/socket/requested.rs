//! The socket that was asked for: whether an inherited one is it, and how it is made new.

use crate::socket::new_socket::Options;
use goagain_env::Address;
use nix::sys::socket::SockType;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A kind, and where.
#[derive(Debug)]
pub(crate) enum Requested {
    /// One of these addresses, the first that can be had.
    Internet(SockType, Vec<SocketAddr>),
    /// A path, or an abstract name behind `@`.
    Unix(SockType, PathBuf),
}

impl Requested {
    pub(crate) fn internet(kind: SockType, address: impl ToSocketAddrs) -> io::Result<Requested> {
        Ok(Requested::Internet(kind, address.to_socket_addrs()?.collect()))
    }

    pub(crate) fn unix(kind: SockType, path: impl AsRef<Path>) -> Requested {
        Requested::Unix(kind, path.as_ref().to_owned())
    }

    /// Whether `inherited` is what was asked for. Port 0 is any port.
    pub(crate) fn fits(&self, inherited: &Address) -> bool {
        match (self, inherited) {
            (Requested::Internet(SockType::Stream, wanted), Address::Tcp(inherited))
            | (Requested::Internet(SockType::Datagram, wanted), Address::Udp(inherited)) => {
                wanted.iter().any(|wanted| {
                    wanted.ip() == inherited.ip() && [0, inherited.port()].contains(&wanted.port())
                })
            }
            (Requested::Unix(..), inherited) => self.asked().is_some_and(|asked| asked == *inherited),
            _ => false,
        }
    }

    /// What was asked for, for an error: the first where there are more, and `None` where there is none.
    pub(crate) fn asked(&self) -> Option<Address> {
        match self {
            Requested::Internet(SockType::Datagram, addresses) => {
                addresses.first().copied().map(Address::Udp)
            }
            Requested::Internet(_, addresses) => addresses.first().copied().map(Address::Tcp),
            Requested::Unix(kind, path) => Some(match kind {
                SockType::Datagram => Address::UnixDatagram(path.clone()),
                SockType::SeqPacket => Address::UnixSeqpacket(path.clone()),
                _ => Address::Unix(path.clone()),
            }),
        }
    }

    /// The same kind at the one address that another member of its group has.
    pub(crate) fn at(self, address: &Address) -> Requested {
        match (self, address) {
            (Requested::Internet(kind, _), Address::Tcp(address) | Address::Udp(address)) => {
                Requested::Internet(kind, vec![*address])
            }
            (wanted, _) => wanted,
        }
    }

    /// Makes it new, and says where it is: at the port that it was given, and at the path as asked for.
    pub(crate) fn make(&self, options: &mut Options<'_>) -> io::Result<(OwnedFd, Address)> {
        let fd = match self {
            Requested::Internet(kind, addresses) => options.internet(*kind, addresses)?,
            Requested::Unix(kind, path) => options.unix(*kind, path)?,
        };
        let address = match (self, self.asked()) {
            (Requested::Unix(..), Some(asked)) => asked,
            _ => Address::of(fd.as_fd())?,
        };
        Ok((fd, address))
    }
}
