//! Receiving datagrams, for as long as this process is the owner.

use crate::drain::latch::Latch;
use crate::drain::{Connections, Guard};
use crate::socket::kinds::DatagramSocket;
use crate::socket::shared::{OpenSocket, SharedSocket};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net as unix;
use std::sync::Arc;

/// Receives datagrams until the term of this process ends. Returned by
/// [`Datagrams::receiver`](crate::socket::Datagrams::receiver).
///
/// A [term](crate::guide::restart#words) is the time in which a process accepts, or reads datagrams: from the moment when it
/// becomes the owner until it hands over or stops. Datagrams that have not been read by then are left to the successor. If the
/// successor has dropped the socket, the receiver reads what is in the queue before it ends.
///
/// It waits in `poll` for a datagram and for the end of the term, and reads without blocking. Any number of threads can have a
/// receiver each, or share one.
#[derive(Debug)]
pub struct Receiver {
    /// `None` if the term was over already when the receiver was made.
    socket: Option<Arc<OpenSocket<DatagramSocket>>>,
    shared: SharedSocket<DatagramSocket>,
    term: Arc<Latch>,
    connections: Connections,
}

/// The peer of a datagram: its sender, or the receiver to which it is sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Peer {
    /// A UDP address.
    Udp(SocketAddr),
    /// The address of a Unix socket. It is unnamed if the sender did not bind its socket. Nothing can be sent to an unnamed socket.
    Unix(unix::SocketAddr),
}

impl Receiver {
    pub(crate) fn new(
        socket: Option<Arc<OpenSocket<DatagramSocket>>>,
        shared: SharedSocket<DatagramSocket>,
        term: Arc<Latch>,
        connections: Connections,
    ) -> Receiver {
        Receiver { socket, shared, term, connections }
    }

    /// Waits for a datagram and reads it (`recvfrom`).
    ///
    /// Returns its length, its sender, and a guard. Hold the guard until the datagram is handled: a drain waits for it. Returns
    /// `None` when the term has ended.
    ///
    /// A datagram that is longer than `buffer` is truncated to the length of `buffer`, as `recvfrom` does.
    ///
    /// # Errors
    /// The errors of `recvfrom` and `poll`, except EINTR.
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

    /// Waits (`poll`) until there is something to read or the term has ended. Returns `true` if there is something to read, and
    /// `false` if the term has ended.
    ///
    /// For code that reads on a [duplicate](crate::socket::Datagrams::to_std_udp) of the socket. After `true`, read without
    /// blocking, because another thread may have read the datagram already.
    ///
    /// # Errors
    /// The errors of `poll`, except EINTR.
    pub fn wait(&self) -> io::Result<bool> {
        while let Some(socket) = self.open() {
            let mut fds = [
                PollFd::new(self.term.as_fd(), PollFlags::POLLIN),
                PollFd::new(socket.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                // If the successor has dropped the socket, the queue is emptied first.
                Ok(_) if fds[0].any() == Some(true) && !self.shared.is_dropped() => {}
                Ok(_) => return Ok(fds[1].any() == Some(true)),
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    /// Sends one datagram (`sendto`). If the buffer of the socket is full, it waits for room. It works after the end of the
    /// term too, so that what was received can be answered.
    ///
    /// # Errors
    /// - The errors of `sendto` and `poll`, except EINTR.
    /// - [`io::ErrorKind::InvalidInput`]: the peer is of another kind than the socket, or an unnamed Unix socket, or the receiver was
    ///   made after the end of a term.
    pub fn send_to(&self, bytes: &[u8], peer: &Peer) -> io::Result<usize> {
        let invalid = |message: &str| io::Error::new(io::ErrorKind::InvalidInput, message);
        let socket = self.socket.as_ref().ok_or_else(|| {
            invalid("the receiver was made after the end of a term: make one in the next term")
        })?;
        let socket = &*socket.socket;
        loop {
            let sent = match (socket, peer) {
                (DatagramSocket::Udp(socket), Peer::Udp(peer)) => socket.send_to(bytes, peer),
                (DatagramSocket::Unix(_), Peer::Unix(peer)) if peer.is_unnamed() => {
                    return Err(invalid(
                        "the peer is an unnamed Unix socket: bind the socket of the sender to get an answer",
                    ));
                }
                (DatagramSocket::Unix(socket), Peer::Unix(peer)) => socket.send_to_addr(bytes, peer),
                _ => return Err(invalid("expected a peer of the same kind as the socket")),
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
            .filter(|_| !self.term.is_set() || self.shared.is_dropped())
    }
}
