//! A handle to a datagram socket.

use crate::drain::Connections;
use crate::socket::Receiver;
use crate::socket::kinds::DatagramSocket;
use crate::socket::shared::{OpenSocket, SharedSocket};
use crate::socket::term::CurrentTerm;
use goagain_env::Address;
use std::io;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

/// A datagram socket, UDP or Unix, that crosses restarts. The library keeps the socket, and this is a handle to it. Returned by
/// [`Bind::udp`](crate::socket::Bind::udp) and the like.
///
/// Several processes may hold the socket, but only the owner may read it. The socket has one queue, whichever process holds it.
/// A datagram that arrives while the owner changes stays in the queue (SO_RCVBUF limits its size), and each datagram is read once.
/// So nothing is lost as long as only one process reads at a time and the next one begins when the one before has ended.
/// [`Datagrams::receiver`] does this.
///
/// The socket is non-blocking and has to stay so: O_NONBLOCK belongs to the open file description, which all processes share.
#[derive(Clone, Debug)]
pub struct Datagrams {
    pub(crate) name: String,
    pub(crate) address: Address,
    pub(crate) inherited: bool,
    pub(crate) shared: SharedSocket<DatagramSocket>,
    pub(crate) term: CurrentTerm,
    pub(crate) connections: Connections,
}

impl Datagrams {
    /// Returns the name by which the next process finds the socket.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the predecessor handed the socket over. If not, this process has bound or adopted it.
    pub fn is_inherited(&self) -> bool {
        self.inherited
    }

    /// Returns the address to which it is bound. For a Unix socket this is the path that was asked for.
    pub fn local_addr(&self) -> &Address {
        &self.address
    }

    /// Returns a receiver for the current term. One that is made after the end of a term, and before the next term, ends at once.
    ///
    /// A [term](crate::guide::restart#words) is the time in which a process accepts, or reads datagrams: from the moment when
    /// it becomes the owner until it hands over or stops.
    ///
    /// # Errors
    /// - [`io::ErrorKind::InvalidInput`] before [`ready`](crate::Goagain::ready) has returned: the predecessor still reads.
    /// - [`io::ErrorKind::NotConnected`] after the library has closed the socket: this process will not read again.
    pub fn receiver(&self) -> io::Result<Receiver> {
        let term = self.term.latch("a receiver")?;
        // If the term is over, a closed socket is no error: the receiver would end at once anyway.
        let socket = if term.is_set() { None } else { Some(self.open()?) };
        Ok(Receiver::new(socket, self.shared.clone(), term, self.connections.clone()))
    }

    /// Returns a duplicate as a UDP socket of the standard library (`fcntl(F_DUPFD_CLOEXEC)`). It is non-blocking.
    ///
    /// Use it to send at any time, and to read while [`Receiver::wait`] returns `true`.
    ///
    /// # Errors
    /// - [`io::ErrorKind::InvalidInput`] if this is not a UDP socket.
    /// - [`io::ErrorKind::NotConnected`] if the library has closed it.
    /// - The errors of `fcntl`.
    pub fn to_std_udp(&self) -> io::Result<UdpSocket> {
        match &*self.socket()? {
            DatagramSocket::Udp(socket) => socket.try_clone(),
            DatagramSocket::Unix(_) => Err(self.another_kind("UDP")),
        }
    }

    /// Returns a duplicate like [`Datagrams::to_std_udp`], of a Unix socket.
    ///
    /// # Errors
    /// - [`io::ErrorKind::InvalidInput`] if this is not a Unix datagram socket.
    /// - [`io::ErrorKind::NotConnected`] if the library has closed it.
    /// - The errors of `fcntl`.
    pub fn to_std_unix(&self) -> io::Result<UnixDatagram> {
        match &*self.socket()? {
            DatagramSocket::Unix(socket) => socket.try_clone(),
            DatagramSocket::Udp(_) => Err(self.another_kind("Unix")),
        }
    }

    fn socket(&self) -> io::Result<Arc<DatagramSocket>> {
        Ok(Arc::clone(&self.open()?.socket))
    }

    fn open(&self) -> io::Result<Arc<OpenSocket<DatagramSocket>>> {
        self.shared.open(&self.name)
    }

    fn another_kind(&self, kind: &str) -> io::Error {
        let message = format!("the socket `{}` is {}, expected a {kind} socket", self.name, self.address);
        io::Error::new(io::ErrorKind::InvalidInput, message)
    }
}
