//! A requested socket: whether an inherited socket fits, and how a new one is made.

use crate::socket::new_socket::Options;
use goagain_env::Address;
use nix::sys::socket::SockType;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The kind and the address of a requested socket.
#[derive(Debug)]
pub(crate) enum Requested {
    /// TCP or UDP, at the first of these addresses that can be bound.
    Internet(SockType, Vec<SocketAddr>),
    /// A path, or, after an `@`, an abstract name.
    Unix(SockType, PathBuf),
}

impl Requested {
    pub(crate) fn internet(kind: SockType, address: impl ToSocketAddrs) -> io::Result<Requested> {
        Ok(Requested::Internet(kind, address.to_socket_addrs()?.collect()))
    }

    pub(crate) fn unix(kind: SockType, path: impl AsRef<Path>) -> Requested {
        Requested::Unix(kind, path.as_ref().to_owned())
    }

    /// Returns whether `inherited` is what was requested. Port 0 stands for any port.
    pub(crate) fn fits(&self, inherited: &Address) -> bool {
        match (self, inherited) {
            (Requested::Internet(SockType::Stream, requested), Address::Tcp(inherited))
            | (Requested::Internet(SockType::Datagram, requested), Address::Udp(inherited)) => {
                requested.iter().any(|requested| {
                    requested.ip() == inherited.ip() && [0, inherited.port()].contains(&requested.port())
                })
            }
            (Requested::Unix(..), inherited) => self.asked().is_some_and(|asked| asked == *inherited),
            _ => false,
        }
    }

    /// Returns the requested address, for an error: the first if there are several, and `None` if there is none.
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

    /// Returns a request of the same kind for the address that another member of the group has.
    pub(crate) fn at(self, address: &Address) -> Requested {
        match (self, address) {
            (Requested::Internet(kind, _), Address::Tcp(address) | Address::Udp(address)) => {
                Requested::Internet(kind, vec![*address])
            }
            (requested, _) => requested,
        }
    }

    /// Makes a new socket. Returns it with its address: the port that it has got, or the path as it was requested.
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
