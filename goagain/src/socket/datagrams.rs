//! Sockets of datagrams: both images may hold one, and the owner alone reads.

use crate::drain::latch::Latch;
use crate::drain::{Connections, Guard};
use crate::socket::kinds::DatagramSocket;
use crate::socket::listener::{Open, Slot, Terms};
use goagain_env::Address;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::{self as unix, UnixDatagram};
use std::sync::Arc;

/// A socket of datagrams, UDP or Unix, that crosses restarts. The library keeps the socket; this is a handle to it.
///
/// There is one queue of datagrams, whoever holds the socket: what arrives while the owners change stays in it (SO_RCVBUF
/// bounds it), and each datagram is read once. So nothing is lost as long as one image at a time reads, and the next
/// begins when the one before has ended: that is what [`Datagrams::receiver`] is for.
///
/// The socket is non-blocking, and has to stay so: O_NONBLOCK belongs to the open file, which all processes share.
#[derive(Clone, Debug)]
pub struct Datagrams {
    pub(crate) name: String,
    pub(crate) address: Address,
    pub(crate) inherited: bool,
    pub(crate) slot: Slot<DatagramSocket>,
    pub(crate) terms: Terms,
    pub(crate) connections: Connections,
}

impl Datagrams {
    /// The name under which the next image finds it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it came from the predecessor, or was bound by this image.
    pub fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// Where it is bound: for a Unix socket its path as asked for.
    pub fn local_addr(&self) -> &Address {
        &self.address
    }

    /// A receiver for the present term. After the term has ended, and until the next, it ends at once.
    ///
    /// # Errors
    /// - Before [`ready`](crate::Goagain::ready): the predecessor reads still.
    /// - After the library has closed the socket: this process will not read again.
    pub fn receiver(&self) -> io::Result<Receiver> {
        let term = self.terms.of_owner("a receiver")?;
        // A socket that is closed already is no error while its term is over: the receiver would end at once.
        let socket = if term.is_closed() { None } else { Some(self.open()?) };
        Ok(Receiver { socket, slot: self.slot.clone(), term, connections: self.connections.clone() })
    }

    /// A duplicate as std's (`fcntl(F_DUPFD_CLOEXEC)`), non-blocking: to send at any time, and to read with while
    /// [`Receiver::wait`] says so.
    ///
    /// # Errors
    /// If this is no UDP socket, if the library has closed it, and those of `fcntl`.
    pub fn to_std_udp(&self) -> io::Result<UdpSocket> {
        match &*self.socket()? {
            DatagramSocket::Udp(socket) => socket.try_clone(),
            DatagramSocket::Unix(_) => Err(self.another_kind("UDP")),
        }
    }

    /// As [`Datagrams::to_std_udp`], for Unix sockets.
    ///
    /// # Errors
    /// If this is no Unix socket, if the library has closed it, and those of `fcntl`.
    pub fn to_std_unix(&self) -> io::Result<UnixDatagram> {
        match &*self.socket()? {
            DatagramSocket::Unix(socket) => socket.try_clone(),
            DatagramSocket::Udp(_) => Err(self.another_kind("Unix")),
        }
    }

    fn socket(&self) -> io::Result<Arc<DatagramSocket>> {
        Ok(Arc::clone(&self.open()?.socket))
    }

    fn open(&self) -> io::Result<Arc<Open<DatagramSocket>>> {
        self.slot.open(&self.name)
    }

    fn another_kind(&self, kind: &str) -> io::Error {
        let message = format!("the socket `{}` is {}, not a {kind} socket", self.name, self.address);
        io::Error::new(io::ErrorKind::InvalidInput, message)
    }
}

/// Reads datagrams until the term of this process ends: at commit, or at a stop. What is not read by then is the
/// successor's to read; of a socket that the successor has not asked for, it is read first.
///
/// It waits in `poll` for a datagram and for the end of its term, and reads without blocking. Any number of threads can
/// have one each, or share one.
#[derive(Debug)]
pub struct Receiver {
    /// `None` once it cannot have a term any longer.
    socket: Option<Arc<Open<DatagramSocket>>>,
    slot: Slot<DatagramSocket>,
    term: Arc<Latch>,
    connections: Connections,
}

/// Who sent a datagram, and whom one is sent to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Peer {
    /// Over UDP.
    Udp(SocketAddr),
    /// Over a Unix socket. It has no name if the sender did not bind; then nothing can be sent back.
    Unix(unix::SocketAddr),
}

impl Receiver {
    /// Waits for a datagram and reads it (`recvfrom`): its length, who sent it, and a guard that a drain waits for, to be
    /// held until the datagram is dealt with. `None` when the term has ended.
    ///
    /// What is longer than `buffer` is cut to its length, as ever with datagrams.
    ///
    /// # Errors
    /// Those of `recvfrom` and `poll`, but for EINTR.
    pub fn recv_from(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, Peer, Guard)>> {
        while let Some(socket) = self.open() {
            let mut guard = self.connections.begin();
            guard.busy();
            let received = match socket {
                DatagramSocket::Udp(socket) => {
                    socket.recv_from(buffer).map(|(length, peer)| (length, Peer::Udp(peer)))
                }
                DatagramSocket::Unix(socket) => {
                    socket.recv_from(buffer).map(|(length, peer)| (length, Peer::Unix(peer)))
                }
            };
            match received {
                Ok((length, peer)) => return Ok(Some((length, peer, guard))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) => {
                    drop(guard);
                    if !self.wait()? {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Waits (`poll`) until there is something to read, `true`, or the term has ended, `false`: for those who read by
    /// other calls, on a [duplicate](Datagrams::to_std_udp). With `true`, read without blocking: another thread may
    /// have been faster.
    ///
    /// # Errors
    /// Those of `poll`, but for EINTR.
    pub fn wait(&self) -> io::Result<bool> {
        while let Some(socket) = self.open() {
            let mut fds = [
                PollFd::new(self.term.as_fd(), PollFlags::POLLIN),
                PollFd::new(socket.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                // Of one that nobody has after this process, what is queued is read.
                Ok(_) if fds[0].any() == Some(true) && !self.slot.is_dropped() => {}
                Ok(_) => return Ok(fds[1].any() == Some(true)),
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    /// Sends one datagram (`sendto`), and waits for room in the socket's buffer where there is none. It works after the
    /// end of the term too: what was received is answered.
    ///
    /// # Errors
    /// - Those of `sendto` and `poll`, but for EINTR.
    /// - [`io::ErrorKind::InvalidInput`]: the peer is of another kind than the socket, or a Unix socket without a name.
    pub fn send_to(&self, bytes: &[u8], peer: &Peer) -> io::Result<usize> {
        let invalid = |message: &str| io::Error::new(io::ErrorKind::InvalidInput, message);
        let socket =
            self.socket.as_ref().ok_or_else(|| invalid("this receiver was made after its term had ended"))?;
        let socket = &*socket.socket;
        loop {
            let sent = match (socket, peer) {
                (DatagramSocket::Udp(socket), Peer::Udp(peer)) => socket.send_to(bytes, peer),
                (DatagramSocket::Unix(_), Peer::Unix(peer)) if peer.is_unnamed() => {
                    return Err(invalid("the sender has no name: bind its socket, or expect no answer"));
                }
                (DatagramSocket::Unix(socket), Peer::Unix(peer)) => socket.send_to_addr(bytes, peer),
                _ => return Err(invalid("the peer is of another kind than the socket")),
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
                    match poll(&mut fds, PollTimeout::NONE) {
                        Ok(_) | Err(nix::Error::EINTR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                sent => return sent,
            }
        }
    }

    fn open(&self) -> Option<&DatagramSocket> {
        self.socket
            .as_ref()
            .map(|open| &*open.socket)
            .filter(|_| !self.term.is_closed() || self.slot.is_dropped())
    }
}
