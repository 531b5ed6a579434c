//! Sockets: inherited by name, or bound.

use crate::error::ListenError;
use crate::life::Goagain;
use crate::server::serving::Kept;
use crate::socket::adopt::{AdoptFd, GivenKind};
use crate::socket::kinds::{DatagramSocket, Socket};
use crate::socket::listener::Slot;
use crate::socket::new_socket::Options;
use crate::socket::requested::Requested;
use crate::socket::{Datagrams, Listener};
use goagain_env::Address;
use goagain_env::InheritedDescriptor;
use nix::sys::socket::SockType;
use std::io;
use std::net::ToSocketAddrs;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

/// How a socket is bound if it is not inherited: everything that can be chosen, then the kind. Made by [`Goagain::bind`].
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
///
/// A socket that is inherited is as the image made it that bound it: nothing that is chosen here touches it.
#[derive(Debug)]
#[must_use = "nothing is bound before a kind is asked for, as by `tcp` or `unix`"]
pub struct Bind<'a> {
    goagain: &'a mut Goagain,
    name: String,
    rebinds: bool,
    options: Options<'a>,
}

/// A socket, and where it came from.
struct Had {
    name: String,
    fd: OwnedFd,
    address: Address,
    inherited: bool,
    listens_later: bool,
}

impl Had {
    fn inherited(name: String, InheritedDescriptor { fd, address, .. }: InheritedDescriptor) -> Had {
        Had { name, fd, address, inherited: true, listens_later: false }
    }
}

impl<'a> Bind<'a> {
    pub(crate) fn new(goagain: &'a mut Goagain, name: &str) -> Bind<'a> {
        Bind { goagain, name: name.to_owned(), rebinds: false, options: Options::default() }
    }

    /// How many connections may wait to be accepted (`listen`), 4,096 if not said; the kernel caps it.
    pub fn backlog(mut self, connections: i32) -> Bind<'a> {
        self.options.backlog = connections;
        self
    }

    /// SO_REUSEADDR. If not said it is on for TCP, as std has it, and off for UDP, where it would share the port.
    pub fn reuse_address(mut self, on: bool) -> Bind<'a> {
        self.options.reuse_address = Some(on);
        self
    }

    /// SO_REUSEPORT, off if not said: others of the same user may bind the same address, and the kernel spreads the
    /// connections over all. For several in one server see [`Bind::tcp_group`].
    pub fn reuse_port(mut self, on: bool) -> Bind<'a> {
        self.options.reuse_port = on;
        self
    }

    /// IPV6_V6ONLY: whether a socket of version 6 leaves version 4 alone. If not said the system decides: on Linux
    /// `net.ipv6.bindv6only`, which is 0, so that `[::]:80` takes both.
    pub fn v6only(mut self, on: bool) -> Bind<'a> {
        self.options.v6only = Some(on);
        self
    }

    /// The permissions of a Unix socket's path (`chmod`), as in `0o660`; by the umask if not said. The path appears with
    /// them: the socket is bound under a temporary name, and renamed.
    pub fn mode(mut self, mode: u32) -> Bind<'a> {
        self.options.mode = Some(mode);
        self
    }

    /// What is to be done with the new socket before `bind`: any option that this builder does not have. It is called
    /// once for each address that is tried, and each hook that was given is.
    pub fn before_bind(mut self, hook: impl FnMut(BorrowedFd<'_>) -> io::Result<()> + 'a) -> Bind<'a> {
        self.options.before_bind.push(Box::new(hook));
        self
    }

    /// As [`Bind::before_bind`], between `bind` and `listen`; for datagrams, which are not listened for, after `bind`.
    pub fn before_listen(mut self, hook: impl FnMut(BorrowedFd<'_>) -> io::Result<()> + 'a) -> Bind<'a> {
        self.options.before_listen.push(Box::new(hook));
        self
    }

    /// Where the predecessor has another address, or another kind of socket, under this name: binds the new one, in place
    /// of [`ListenError::AnotherAddress`]. The old one is dropped, as if nothing had asked for it.
    pub fn or_rebind(mut self) -> Bind<'a> {
        self.rebinds = true;
        self
    }

    /// The listener of this name at an address as text: `127.0.0.1:80`, `[::1]:80`, `unix:/run/http.sock`, or
    /// `unix:@name` for an abstract name.
    ///
    /// # Errors
    /// [`ListenError`]
    pub fn listen(self, address: &str) -> Result<Listener, ListenError> {
        match (address.strip_prefix("unix:"), address.rsplit_once(':')) {
            (Some(path), _) if !path.is_empty() => self.unix(path),
            (None, Some((host, port))) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                self.tcp(address)
            }
            _ => Err(ListenError::Address { given: address.to_owned() }),
        }
    }

    /// The TCP listener of this name: inherited, or bound to `address`. With port 0 an inherited one keeps its port.
    ///
    /// # Errors
    /// [`ListenError`]: the name was taken, inherited with another address or kind, or the address cannot be bound.
    pub fn tcp(self, address: impl ToSocketAddrs) -> Result<Listener, ListenError> {
        let wanted = self.internet(SockType::Stream, address)?;
        self.listener(&wanted)
    }

    /// TCP listeners that share one address (SO_REUSEPORT), each with a queue of its own: inherited, or bound. Their names are
    /// `name`, `name#2`, `name#3`, and so on.
    ///
    /// All members that the predecessor had are carried over, also if they are more than asked for: the queue of one that
    /// is left behind would be lost. If they are fewer the group grows; new members listen once this process is the owner.
    ///
    /// # Errors
    /// [`ListenError`]: as with [`Bind::tcp`], for any of them.
    pub fn tcp_group(
        self,
        address: impl ToSocketAddrs,
        members: usize,
    ) -> Result<Vec<Listener>, ListenError> {
        let wanted = self.internet(SockType::Stream, address)?;
        self.group(wanted, members, Bind::keep_listener)
    }

    /// The Unix listener of this name: inherited, or bound to `path`; where that begins with `@`, to an abstract name of
    /// Linux. What a dead server left at the path is replaced, by a socket that is made under a temporary name and renamed.
    ///
    /// # Errors
    /// [`ListenError`]: the name was taken, inherited with another address or kind, a server listens at `path`, something
    /// else than a socket is there, or the path cannot be bound.
    pub fn unix(self, path: impl AsRef<Path>) -> Result<Listener, ListenError> {
        self.listener(&Requested::unix(SockType::Stream, path))
    }

    /// The Unix listener of packets (SOCK_SEQPACKET) of this name. As [`Bind::unix`].
    ///
    /// # Errors
    /// As [`Bind::unix`].
    #[cfg(not(target_vendor = "apple"))]
    pub fn unix_seqpacket(self, path: impl AsRef<Path>) -> Result<Listener, ListenError> {
        self.listener(&Requested::unix(SockType::SeqPacket, path))
    }

    /// The UDP socket of this name: inherited, or bound to `address`. With port 0 an inherited one keeps its port.
    ///
    /// # Errors
    /// [`ListenError`]: the name was taken, inherited with another address or kind, or the address cannot be bound.
    pub fn udp(self, address: impl ToSocketAddrs) -> Result<Datagrams, ListenError> {
        let wanted = self.internet(SockType::Datagram, address)?;
        self.datagrams(&wanted)
    }

    /// UDP sockets that share one address (SO_REUSEPORT), each with a queue of its own. As [`Bind::tcp_group`], but that an
    /// inherited group stays as it is: a new member would take datagrams that nobody reads before this process owns.
    ///
    /// # Errors
    /// [`ListenError`]: as with [`Bind::udp`], for any of them.
    pub fn udp_group(
        self,
        address: impl ToSocketAddrs,
        members: usize,
    ) -> Result<Vec<Datagrams>, ListenError> {
        let wanted = self.internet(SockType::Datagram, address)?;
        self.group(wanted, members, Bind::keep_datagrams)
    }

    /// The Unix socket of datagrams of this name. As [`Bind::unix`].
    ///
    /// # Errors
    /// As [`Bind::unix`].
    pub fn unix_datagram(self, path: impl AsRef<Path>) -> Result<Datagrams, ListenError> {
        self.datagrams(&Requested::unix(SockType::Datagram, path))
    }

    /// The listener of this name: inherited, or the one that somebody else bound: a service manager, or a parent, under a
    /// number that this process was started with, or a crate such as `listenfd`. Any address is good. It is made
    /// close-on-exec and non-blocking, and crosses restarts like any other.
    ///
    /// Where the predecessor handed over a listener of this name, that one it is: a number is not looked at then, and an owned
    /// socket is closed. A path of a Unix socket is unlinked when the service stops, if nobody else holds the socket.
    ///
    /// # Errors
    /// - [`ListenError::NotAdopted`]: it is no listener, or the number is not open, or is this process's own; then it is in
    ///   the error, and was not touched.
    /// - [`ListenError`]: the name was taken, or inherited as another kind.
    pub fn adopt(mut self, socket: impl Into<AdoptFd>) -> Result<Listener, ListenError> {
        let had = self.have_or_adopt(socket.into(), GivenKind::Listener)?;
        self.keep_listener(had)
    }

    /// The socket of datagrams of this name, UDP or Unix: inherited, or the one that somebody else bound. As [`Bind::adopt`].
    ///
    /// # Errors
    /// As [`Bind::adopt`].
    pub fn adopt_datagrams(mut self, socket: impl Into<AdoptFd>) -> Result<Datagrams, ListenError> {
        let had = self.have_or_adopt(socket.into(), GivenKind::Datagrams)?;
        self.keep_datagrams(had)
    }

    fn have_or_adopt(&mut self, given: AdoptFd, kind: GivenKind) -> Result<Had, ListenError> {
        let name = self.name.clone();
        if let Some(had) = self.inherited(&name, |address| kind.fits(address), || None)? {
            return Ok(had);
        }
        match given.take(kind) {
            Ok((fd, address)) => Ok(Had { name, fd, address, inherited: false, listens_later: false }),
            Err((given, reason)) => Err(ListenError::NotAdopted { name, given, reason }),
        }
    }

    fn internet(&self, kind: SockType, address: impl ToSocketAddrs) -> Result<Requested, ListenError> {
        Requested::internet(kind, address).map_err(|source| ListenError::bind(&self.name, None, source))
    }

    fn listener(mut self, wanted: &Requested) -> Result<Listener, ListenError> {
        let had = self.have(self.name.clone(), wanted)?;
        self.keep_listener(had)
    }

    fn datagrams(mut self, wanted: &Requested) -> Result<Datagrams, ListenError> {
        let had = self.have(self.name.clone(), wanted)?;
        self.keep_datagrams(had)
    }

    /// All of them are had before one is kept, so that the names are free where one is not to be had.
    fn group<T>(
        mut self,
        wanted: Requested,
        members: usize,
        keep: impl Fn(&mut Self, Had) -> Result<T, ListenError>,
    ) -> Result<Vec<T>, ListenError> {
        self.options.reuse_port = true;
        let first = self.have(self.name.clone(), &wanted)?;
        let wanted = wanted.at(&first.address);
        let member = |name: &str, number: usize| format!("{name}#{number}");
        let members = if first.inherited {
            let inherited = &self.goagain.serving_mut().inherited;
            let are = (2..).take_while(|&number| inherited.address(&member(&self.name, number)).is_some());
            let are = are.count() + 1;
            // A new member must not be given connections before this process accepts.
            self.options.listens_later = true;
            if matches!(first.address, Address::Udp(_)) { are } else { members.max(are) }
        } else {
            members
        };
        let mut all = vec![first];
        for number in 2..=members {
            all.push(self.have(member(&self.name, number), &wanted)?);
        }
        all.into_iter().map(|had| keep(&mut self, had)).collect()
    }

    /// What the predecessor handed over under this name, if it fits.
    fn inherited(
        &mut self,
        name: &str,
        fits: impl Fn(&Address) -> bool,
        asked: impl FnOnce() -> Option<Address>,
    ) -> Result<Option<Had>, ListenError> {
        let serving = self.goagain.serving_mut();
        let name = name.to_owned();
        if serving.has(&name) {
            return Err(ListenError::NameTaken { name });
        }
        match serving.inherited.address(&name) {
            Some(address) if fits(address) => {
                let descriptor = serving.inherited.take(&name);
                Ok(descriptor.map(|descriptor| Had::inherited(name, descriptor)))
            }
            Some(address) if !self.rebinds => {
                let (inherited, asked) = (address.clone(), asked());
                Err(ListenError::AnotherAddress { name, inherited, asked })
            }
            // What nobody claims is dropped when this image is ready.
            _ => Ok(None),
        }
    }

    /// The socket of this name: inherited, or made.
    fn have(&mut self, name: String, wanted: &Requested) -> Result<Had, ListenError> {
        if let Some(had) = self.inherited(&name, |address| wanted.fits(address), || wanted.asked())? {
            return Ok(had);
        }
        // What a seed hands over has no name, only an address.
        let serving = self.goagain.serving_mut();
        let of_go = serving.go_address(|address| wanted.fits(address));
        if let Some(descriptor) = of_go.and_then(|address| serving.inherited.take_address(&address)) {
            return Ok(Had::inherited(name, descriptor));
        }
        let made = wanted.make(&mut self.options);
        let (fd, address) = made.map_err(|source| ListenError::bind(&name, wanted.asked(), source))?;
        let listens_later = self.options.listens_later;
        Ok(Had { name, fd, address, inherited: false, listens_later })
    }

    fn keep_listener(&mut self, had: Had) -> Result<Listener, ListenError> {
        let Had { name, fd, address, inherited, listens_later } = had;
        let backlog = self.options.backlog;
        let socket = Socket::new(&address, fd)
            .map_err(|source| ListenError::bind(&name, Some(address.clone()), source))?;
        let socket = Arc::new(socket);
        let (slot, ended) = Slot::new(Arc::clone(&socket));
        let serving = self.goagain.serving_mut();
        let moves = serving
            .migrations_of(&name)
            .map_err(|source| ListenError::bind(&name, Some(address.clone()), source))?;
        let mut kept = Kept::listener(&name, &address, slot.clone(), socket);
        (kept.inherited, kept.listens_later, kept.ended) = (inherited, listens_later, Some(ended));
        kept.backlog = backlog;
        serving.keep(kept);
        let (terms, connections) = (serving.terms.clone(), serving.connections.clone());
        Ok(Listener { name, address, inherited, slot, terms, connections, moves })
    }

    fn keep_datagrams(&mut self, had: Had) -> Result<Datagrams, ListenError> {
        let Had { name, fd, address, inherited, .. } = had;
        let socket = DatagramSocket::new(&address, fd)
            .map_err(|source| ListenError::bind(&name, Some(address.clone()), source))?;
        let socket = Arc::new(socket);
        let (slot, ended) = Slot::new(Arc::clone(&socket));
        let serving = self.goagain.serving_mut();
        let mut kept = Kept::datagrams(&name, &address, slot.clone(), socket);
        (kept.inherited, kept.ended) = (inherited, Some(ended));
        serving.keep(kept);
        let (terms, connections) = (serving.terms.clone(), serving.connections.clone());
        Ok(Datagrams { name, address, inherited, slot, terms, connections })
    }
}
