//! How a socket is bound: what can be chosen, and the kinds.

use crate::error::ListenError;
use crate::life::Goagain;
use crate::socket::adopt::{AdoptFd, AdoptKind};
use crate::socket::new_socket::Options;
use crate::socket::requested::Requested;
use crate::socket::{Datagrams, Listener};
use nix::sys::socket::SockType;
use std::io;
use std::net::ToSocketAddrs;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// A builder for a listener or a datagram socket of a given name. Returned by [`Goagain::bind`].
///
/// Call the options first, and then a method that names the kind: [`tcp`](Bind::tcp), [`unix`](Bind::unix), [`udp`](Bind::udp)
/// and so on. That method ends the builder and returns the socket.
///
/// - If the predecessor has handed over a socket of this name, that socket is returned. This process *inherits* it. Its kind
///   and its address have to be the requested ones. Otherwise the result is [`ListenError::AnotherAddress`], or, with
///   [`or_rebind`](Bind::or_rebind), a new socket.
/// - If not, a new socket is bound.
///
/// **The options apply to a new socket only.** An inherited socket keeps the options with which it was bound. So a restart does
/// not apply a changed backlog, mode or socket option. The change takes effect when the service is stopped and started, or when
/// the socket gets a new name or a new address.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[derive(Debug)] struct Leaves;
/// # impl goagain::Strategy for Leaves {
/// #     fn name(&self) -> &str { "leaves" }
/// #     fn next(&self, _: goagain::strategy::View) -> goagain::strategy::Next { goagain::strategy::Next::Exit }
/// # }
/// # let mut again = goagain::Goagain::builder(Leaves).isolated()?;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("admin.sock");
/// let http = again.bind("http").backlog(10_000).v6only(true).tcp("[::1]:0")?;
/// let admin = again.bind("admin").mode(0o660).unix(path)?;
/// let dns = again.bind("dns").udp("127.0.0.1:0")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is bound before a kind is asked for, as by `tcp` or `unix`"]
pub struct Bind<'a> {
    pub(super) goagain: &'a mut Goagain,
    pub(super) name: String,
    pub(super) rebinds: bool,
    pub(super) options: Options<'a>,
}

/// Options of a new socket.
impl<'a> Bind<'a> {
    pub(crate) fn new(goagain: &'a mut Goagain, name: &str) -> Bind<'a> {
        Bind { goagain, name: name.to_owned(), rebinds: false, options: Options::default() }
    }

    /// Sets how many connections may wait to be accepted (`listen`). Defaults to 4,096. The kernel caps it
    /// (`net.core.somaxconn` on Linux).
    pub fn backlog(mut self, connections: i32) -> Bind<'a> {
        self.options.backlog = connections;
        self
    }

    /// Sets SO_REUSEADDR. Defaults to on for TCP, as in the standard library, and to off for UDP, where it would share the port.
    pub fn reuse_address(mut self, on: bool) -> Bind<'a> {
        self.options.reuse_address = Some(on);
        self
    }

    /// Sets SO_REUSEPORT. Defaults to off. With it, other processes of the same user may bind the same address, and the kernel
    /// distributes the connections over all of them. For several such sockets in one server see [`Bind::tcp_group`].
    pub fn reuse_port(mut self, on: bool) -> Bind<'a> {
        self.options.reuse_port = on;
        self
    }

    /// Sets IPV6_V6ONLY: whether an IPv6 socket refuses IPv4 clients. Defaults to what the system has. On Linux that is
    /// `net.ipv6.bindv6only`, which is normally 0, so that `[::]:80` accepts both.
    pub fn v6only(mut self, on: bool) -> Bind<'a> {
        self.options.v6only = Some(on);
        self
    }

    /// Sets the permissions of the path of a Unix socket (`chmod`), for example `0o660`. Defaults to what the umask gives. The
    /// path has these permissions from the first moment: the socket is bound under a temporary name and then renamed.
    pub fn mode(mut self, mode: u32) -> Bind<'a> {
        self.options.mode = Some(mode);
        self
    }

    /// Calls `hook` with the new socket before `bind`, to set an option that this builder does not have. It is called once for
    /// each address that is tried. Several hooks are called in the order in which they were given.
    pub fn before_bind(mut self, hook: impl FnMut(BorrowedFd<'_>) -> io::Result<()> + 'a) -> Bind<'a> {
        self.options.before_bind.push(Box::new(hook));
        self
    }

    /// Calls `hook` like [`Bind::before_bind`], but between `bind` and `listen`. A datagram socket does not listen, so there it is
    /// called after `bind`.
    pub fn before_listen(mut self, hook: impl FnMut(BorrowedFd<'_>) -> io::Result<()> + 'a) -> Bind<'a> {
        self.options.before_listen.push(Box::new(hook));
        self
    }

    /// Binds a new socket if the one that the predecessor handed over under this name has another address or is of another kind,
    /// instead of returning [`ListenError::AnotherAddress`]. The old socket is dropped, as if this process had not asked for it.
    pub fn or_rebind(mut self) -> Bind<'a> {
        self.rebinds = true;
        self
    }
}

/// The kinds of sockets.
impl Bind<'_> {
    /// Returns the listener of this name at an address that is given as text: `127.0.0.1:80`, `[::1]:80`, `unix:/run/http.sock`, or
    /// `unix:@name` for an abstract name.
    ///
    /// # Errors
    /// - [`ListenError::Address`]: the text is not such an address.
    /// - The errors of [`Bind::tcp`] and [`Bind::unix`].
    pub fn listen(self, address: &str) -> Result<Listener, ListenError> {
        match (address.strip_prefix("unix:"), address.rsplit_once(':')) {
            (Some(path), _) if !path.is_empty() => self.unix(path),
            (None, Some((host, port))) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                self.tcp(address)
            }
            _ => Err(ListenError::Address { given: address.to_owned() }),
        }
    }

    /// Returns the TCP listener of this name: the inherited one, or a new one that is bound to `address`. An inherited listener
    /// fits port 0 whatever its port is, and keeps its port.
    ///
    /// # Errors
    /// - [`ListenError::NameTaken`]: this process already has a socket of this name.
    /// - [`ListenError::AnotherAddress`]: the inherited socket has another address or is of another kind.
    /// - [`ListenError::Bind`]: `socket`, `setsockopt`, `bind`, `listen` or a hook has failed, or the address cannot be resolved.
    pub fn tcp(self, address: impl ToSocketAddrs) -> Result<Listener, ListenError> {
        let requested = self.internet(SockType::Stream, address)?;
        self.listener(&requested)
    }

    /// Returns TCP listeners that share one address (SO_REUSEPORT), each with a queue of its own. They are inherited, or bound.
    /// Their names are `name`, `name#2`, `name#3`, and so on.
    ///
    /// All members of the predecessor's group are inherited, even if there are more than `members`, because the queue of a
    /// member that is not inherited would be lost. If there are fewer, new members are bound. A new member begins to listen
    /// when this process is the owner.
    ///
    /// # Errors
    /// The errors of [`Bind::tcp`], for any member.
    pub fn tcp_group(
        self,
        address: impl ToSocketAddrs,
        members: usize,
    ) -> Result<Vec<Listener>, ListenError> {
        let requested = self.internet(SockType::Stream, address)?;
        self.group(requested, members, Bind::keep_listener)
    }

    /// Returns the Unix listener of this name: the inherited one, or a new one that is bound to `path`. A path that begins with
    /// `@` is an abstract name, which only Linux has.
    ///
    /// A socket that a dead server has left at the path is replaced: the new socket is bound under a temporary name and then
    /// renamed, so that there is a socket at the path at all times.
    ///
    /// # Errors
    /// - [`ListenError::NameTaken`]: this process already has a socket of this name.
    /// - [`ListenError::AnotherAddress`]: the inherited socket has another address or is of another kind.
    /// - [`ListenError::Bind`]: a server listens at `path`, or there is something at `path` that is not a socket, or `socket`,
    ///   `bind`, `listen`, `chmod`, `rename` or a hook has failed.
    pub fn unix(self, path: impl AsRef<Path>) -> Result<Listener, ListenError> {
        self.listener(&Requested::unix(SockType::Stream, path))
    }

    /// Returns the Unix listener of this name whose connections carry packets (SOCK_SEQPACKET). Otherwise like [`Bind::unix`].
    ///
    /// # Errors
    /// The errors of [`Bind::unix`].
    #[cfg(not(target_vendor = "apple"))]
    pub fn unix_seqpacket(self, path: impl AsRef<Path>) -> Result<Listener, ListenError> {
        self.listener(&Requested::unix(SockType::SeqPacket, path))
    }

    /// Returns the UDP socket of this name: the inherited one, or a new one that is bound to `address`. An inherited socket
    /// fits port 0 whatever its port is, and keeps its port.
    ///
    /// # Errors
    /// - [`ListenError::NameTaken`]: this process already has a socket of this name.
    /// - [`ListenError::AnotherAddress`]: the inherited socket has another address or is of another kind.
    /// - [`ListenError::Bind`]: `socket`, `setsockopt`, `bind` or a hook has failed, or the address cannot be resolved.
    pub fn udp(self, address: impl ToSocketAddrs) -> Result<Datagrams, ListenError> {
        let requested = self.internet(SockType::Datagram, address)?;
        self.datagrams(&requested)
    }

    /// Returns UDP sockets that share one address (SO_REUSEPORT), each with a queue of its own, like [`Bind::tcp_group`].
    ///
    /// An inherited group keeps its size, whatever `members` is. A new member would receive datagrams that no process reads
    /// before this process is the owner.
    ///
    /// # Errors
    /// The errors of [`Bind::udp`], for any member.
    pub fn udp_group(
        self,
        address: impl ToSocketAddrs,
        members: usize,
    ) -> Result<Vec<Datagrams>, ListenError> {
        let requested = self.internet(SockType::Datagram, address)?;
        self.group(requested, members, Bind::keep_datagrams)
    }

    /// Returns the Unix datagram socket of this name. Otherwise like [`Bind::unix`].
    ///
    /// # Errors
    /// The errors of [`Bind::unix`].
    pub fn unix_datagram(self, path: impl AsRef<Path>) -> Result<Datagrams, ListenError> {
        self.datagrams(&Requested::unix(SockType::Datagram, path))
    }

    /// Returns the listener of this name: the inherited one, or `socket`, which another program or crate has bound. That may be a
    /// service manager or a parent process, with the number of a descriptor that this process was started with, or a crate such as
    /// `listenfd`.
    ///
    /// Any address is accepted. The socket becomes close-on-exec and non-blocking, and crosses restarts like any other.
    ///
    /// If the predecessor has handed over a listener of this name, that listener is returned. Then a number is ignored, and an
    /// owned socket is closed. When the service stops, the path of a Unix socket is removed if no other process holds the
    /// socket.
    ///
    /// # Errors
    /// - [`ListenError::NotAdopted`]: `socket` is not a listener, or its number is not open, or the number belongs to this
    ///   process. The error contains `socket`, which was not changed.
    /// - [`ListenError::NameTaken`]: this process already has a socket of this name.
    /// - [`ListenError::AnotherAddress`]: the inherited socket is not a listener.
    pub fn adopt(mut self, socket: impl Into<AdoptFd>) -> Result<Listener, ListenError> {
        let found = self.inherit_or_adopt(socket.into(), AdoptKind::Listener)?;
        self.keep_listener(found)
    }

    /// Returns the datagram socket of this name, UDP or Unix: the inherited one, or `socket`, which another program or crate has
    /// bound. Otherwise like [`Bind::adopt`].
    ///
    /// # Errors
    /// The errors of [`Bind::adopt`].
    pub fn adopt_datagrams(mut self, socket: impl Into<AdoptFd>) -> Result<Datagrams, ListenError> {
        let found = self.inherit_or_adopt(socket.into(), AdoptKind::Datagrams)?;
        self.keep_datagrams(found)
    }

    fn internet(&self, kind: SockType, address: impl ToSocketAddrs) -> Result<Requested, ListenError> {
        Requested::internet(kind, address).map_err(|source| ListenError::bind(&self.name, None, source))
    }

    fn listener(mut self, requested: &Requested) -> Result<Listener, ListenError> {
        let found = self.inherit_or_bind(self.name.clone(), requested)?;
        self.keep_listener(found)
    }

    fn datagrams(mut self, requested: &Requested) -> Result<Datagrams, ListenError> {
        let found = self.inherit_or_bind(self.name.clone(), requested)?;
        self.keep_datagrams(found)
    }
}
