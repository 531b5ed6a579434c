//! A descriptor that crosses restarts.

use crate::socket::kinds::{DatagramSocket, Socket};
use crate::socket::new_socket::begin_listening;
use crate::socket::path;
use crate::socket::shared::{CallsEnded, SharedSocket};
use goagain_env::{Address, NamedDescriptor};
use nix::sys::socket::{getsockopt, sockopt};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// A descriptor that this process hands to the next one, under a name.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(super) name: String,
    address: Address,
    /// Whether the predecessor has the same socket.
    pub(super) inherited: bool,
    what: What,
}

#[derive(Debug)]
enum What {
    Listener(KeptListener),
    Datagrams(KeptDatagrams),
    Other(OwnedFd),
}

/// A listening socket, with what has to be known to close its queue and open it again.
#[derive(Debug)]
pub(crate) struct KeptListener {
    pub(crate) shared: SharedSocket<Socket>,
    pub(crate) socket: Arc<Socket>,
    /// How many connections may wait in its queue.
    pub(crate) backlog: i32,
    /// Whether it must not get connections before this process is the owner.
    pub(crate) listens_later: bool,
    pub(crate) calls_ended: CallsEnded,
}

/// A datagram socket.
#[derive(Debug)]
pub(crate) struct KeptDatagrams {
    pub(crate) shared: SharedSocket<DatagramSocket>,
    pub(crate) socket: Arc<DatagramSocket>,
    pub(crate) calls_ended: CallsEnded,
}

impl Kept {
    pub(crate) fn listener(name: &str, address: &Address, inherited: bool, listener: KeptListener) -> Kept {
        Kept { inherited, ..Kept::new(name, address, What::Listener(listener)) }
    }

    pub(crate) fn datagrams(name: &str, address: &Address, inherited: bool, socket: KeptDatagrams) -> Kept {
        Kept { inherited, ..Kept::new(name, address, What::Datagrams(socket)) }
    }

    /// Returns a descriptor that the application keeps, of whatever kind.
    pub(crate) fn other(name: &str, fd: OwnedFd) -> Kept {
        let listens = getsockopt(&fd, sockopt::AcceptConn) == Ok(true);
        let address = match Address::of(fd.as_fd()) {
            // A connection has an address too, but the next process could not check that one.
            Ok(Address::Tcp(_) | Address::Unix(_) | Address::UnixSeqpacket(_)) if !listens => Address::Other,
            Ok(address) => address,
            Err(_) => Address::Other,
        };
        Kept::of_successor(name, &address, fd)
    }

    /// Returns a descriptor that the successor has sent, with the address that it named.
    pub(super) fn of_successor(name: &str, address: &Address, fd: OwnedFd) -> Kept {
        Kept::new(name, address, What::Other(fd))
    }

    fn new(name: &str, address: &Address, what: What) -> Kept {
        Kept { name: name.to_owned(), address: address.clone(), inherited: false, what }
    }

    pub(super) fn is_listener(&self) -> bool {
        matches!(self.what, What::Listener(_))
    }

    /// Whether the library only keeps it, and neither accepts nor reads on it.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn is_other(&self) -> bool {
        matches!(self.what, What::Other(_))
    }

    /// Begins to listen, if that was put off until this process is the owner.
    pub(super) fn listen_if_put_off(&mut self) -> io::Result<()> {
        match &mut self.what {
            What::Listener(KeptListener { listens_later, socket, backlog, .. }) if *listens_later => {
                *listens_later = false;
                begin_listening(&**socket, *backlog)
            }
            _ => Ok(()),
        }
    }

    /// Sets whether the successor has dropped it. Then this process accepts on it again only after a rollback, so its queue is
    /// all but closed: new clients wait outside, and are refused when it is closed. Clients in the queue stay there.
    pub(super) fn set_dropped(&self, dropped: bool) {
        match &self.what {
            What::Listener(listener) => {
                if listener.shared.set_dropped(dropped) != dropped {
                    // A courtesy: if it fails, new clients enter the queue and read an end when it is closed.
                    let _ = begin_listening(&*listener.socket, if dropped { 0 } else { listener.backlog });
                }
            }
            What::Datagrams(datagrams) => drop(datagrams.shared.set_dropped(dropped)),
            What::Other(_) => {}
        }
    }

    pub(super) fn described(&self) -> (BorrowedFd<'_>, NamedDescriptor) {
        let (name, address) = (self.name.clone(), self.address.clone());
        (self.fd(), NamedDescriptor { fd: self.fd().as_raw_fd(), name, address })
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.what {
            What::Listener(listener) => listener.socket.as_fd(),
            What::Datagrams(datagrams) => datagrams.socket.as_fd(),
            What::Other(fd) => fd.as_fd(),
        }
    }

    /// Returns the path that its socket has in the file system. The path of a descriptor that is only kept is left to the
    /// caller.
    pub(super) fn path(&self) -> Option<&Path> {
        match self.what {
            What::Other(_) => None,
            _ => path::of(&self.address),
        }
    }

    /// Closes it, however many handles the application has. The result tells when no thread is in a call on it any longer.
    pub(super) fn close(self) -> Option<CallsEnded> {
        match self.what {
            What::Listener(KeptListener { shared, calls_ended, .. }) => {
                shared.close();
                Some(calls_ended)
            }
            What::Datagrams(KeptDatagrams { shared, calls_ended, .. }) => {
                shared.close();
                Some(calls_ended)
            }
            What::Other(_) => None,
        }
    }
}
