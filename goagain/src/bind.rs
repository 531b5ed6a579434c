//! Listeners: inherited by name, or bound.

use crate::listener::Slot;
use crate::serving::Kept;
use crate::socket::Socket;
use crate::{Address, Goagain, ListenError, Listener};
use goagain_env::InheritedDescriptor;
use nix::sys::socket::{Backlog, listen};
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longer than std's: a restart, or a burst, finds room. The kernel caps it (net.core.somaxconn).
const BACKLOG: i32 = 4096;

/// How a listener is bound if it is not inherited. Made by [`Goagain::bind`].
#[derive(Debug)]
#[must_use = "nothing is bound before `tcp` or `unix` is called"]
pub struct Bind<'a> {
    goagain: &'a mut Goagain,
    name: String,
    backlog: i32,
}

impl<'a> Bind<'a> {
    pub(crate) fn new(goagain: &'a mut Goagain, name: &str) -> Bind<'a> {
        Bind { goagain, name: name.to_owned(), backlog: BACKLOG }
    }

    /// How many connections may wait to be accepted (`listen`), 4,096 if not said; the kernel caps it.
    pub fn backlog(mut self, connections: i32) -> Bind<'a> {
        self.backlog = connections;
        self
    }

    /// The TCP listener of this name: inherited, or bound to `address` with SO_REUSEADDR as std does. With port 0 an
    /// inherited one keeps its port.
    ///
    /// # Errors
    /// [`ListenError`]: the name was taken, inherited with another address, or the address cannot be bound.
    pub fn tcp(self, address: impl ToSocketAddrs) -> Result<Listener, ListenError> {
        let resolved = address.to_socket_addrs().map(Iterator::collect::<Vec<SocketAddr>>);
        let wanted = resolved.map_err(|source| ListenError::bind(&self.name, None, source))?;
        let fits = |address: &Address| match address {
            Address::Tcp(inherited) => wanted.iter().any(|wanted| {
                wanted.ip() == inherited.ip() && [0, inherited.port()].contains(&wanted.port())
            }),
            _ => false,
        };
        let asked = || wanted.first().map(|&address| Address::Tcp(address));
        self.inherited_or(fits, &asked, |backlog| {
            let listener = TcpListener::bind(&*wanted)?;
            set_backlog(&listener, backlog)?;
            let address = Address::Tcp(listener.local_addr()?);
            Ok((Socket::tcp(listener)?, address))
        })
    }

    /// The Unix listener of this name: inherited, or bound to `path`. What a dead server left there is replaced, by a
    /// socket that is made under a temporary name and renamed.
    ///
    /// # Errors
    /// [`ListenError`]: the name was taken, inherited with another address, a server listens at `path`, something else
    /// than a socket is there, or the path cannot be bound.
    pub fn unix(self, path: impl AsRef<Path>) -> Result<Listener, ListenError> {
        let path = path.as_ref();
        let asked = Address::Unix(path.to_owned());
        self.inherited_or(
            |address| *address == asked,
            &|| Some(asked.clone()),
            |backlog| {
                let listener = bind_unix(path)?;
                set_backlog(&listener, backlog)?;
                Ok((Socket::unix(listener)?, asked.clone()))
            },
        )
    }

    fn inherited_or(
        self,
        fits: impl Fn(&Address) -> bool,
        asked: &dyn Fn() -> Option<Address>,
        bind: impl FnOnce(i32) -> io::Result<(Socket, Address)>,
    ) -> Result<Listener, ListenError> {
        let serving = self.goagain.serving_mut();
        let name = self.name;
        if serving.kept.iter().any(|kept| kept.name == name) {
            return Err(ListenError::NameTaken { name });
        }
        let inherited = match serving.inherited.address(&name) {
            Some(address) if fits(address) => serving.inherited.take(&name),
            Some(address) => {
                let (inherited, asked) = (address.clone(), asked());
                return Err(ListenError::AnotherAddress { name, inherited, asked });
            }
            // What a seed hands over has no name, only an address.
            None => {
                let address = serving.seeds_address(&fits);
                address.and_then(|address| serving.inherited.take_address(&address))
            }
        };
        let is_inherited = inherited.is_some();
        let made = match inherited {
            Some(descriptor) => adopt(descriptor),
            None => bind(self.backlog),
        };
        let (socket, address) = made.map_err(|source| ListenError::bind(&name, asked(), source))?;
        let socket = Arc::new(socket);
        let slot = Slot::new(Arc::clone(&socket));
        serving.kept.push(Kept::listener(&name, &address, slot.clone(), socket));
        Ok(Listener {
            name,
            address,
            inherited: is_inherited,
            slot,
            terms: serving.terms.clone(),
            connections: serving.connections.clone(),
        })
    }
}

fn adopt(descriptor: InheritedDescriptor) -> io::Result<(Socket, Address)> {
    let InheritedDescriptor { address, fd, .. } = descriptor;
    let socket = match address {
        Address::Unix(_) => Socket::unix(UnixListener::from(fd))?,
        _ => Socket::tcp(TcpListener::from(fd))?,
    };
    Ok((socket, address))
}

fn set_backlog(listener: &impl std::os::fd::AsFd, backlog: i32) -> io::Result<()> {
    // A second listen(2) on a listener changes its backlog.
    Ok(listen(listener, Backlog::new(backlog).unwrap_or(Backlog::MAXCONN))?)
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        // In place, so that the socket's own name (getsockname) is the path too: a seed's process passes that on.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return UnixListener::bind(path),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            let message = "something that is no socket is there: move it away";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        Ok(_) if !is_stale(path) => {
            let message = "a server listens there: stop it, or restart it in place of starting another";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
        }
        // A dead server left it; the rename replaces it.
        Ok(_) => {}
    }
    let temporary = temporary_name(path);
    if is_stale(&temporary) {
        // Of a process of the same pid that died before its rename: in a container every first one may have it.
        let _ = fs::remove_file(&temporary);
    }
    let listener = UnixListener::bind(&temporary)?;
    if let Err(error) = fs::rename(&temporary, path) {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    Ok(listener)
}

/// Short, since a socket's path has 108 bytes at most (unix(7)), and in the same folder, so that a rename suffices.
fn temporary_name(path: &Path) -> PathBuf {
    path.with_file_name(format!(".{:x}", std::process::id()))
}

/// Whether a socket is at `path` that no process holds any longer (ECONNREFUSED).
///
/// It is asked with a socket of another type, to which one that is held answers EPROTOTYPE. So a server's queue does not
/// get a connection that nobody wants, and a queue that is full is not waited for.
pub(crate) fn is_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let connected = UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    is_socket && connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
