//! What the loop asks of this process, answered.

use crate::callbacks::{Callbacks, call, call_with};
use crate::fresh::begin_listening;
use crate::listener::{Slot, Terms};
use crate::socket::{DatagramSocket, Socket};
use crate::{Address, Connections, InFlight};
use goagain_env::{Described, Inherited};
use goagain_signals::{Observed, Report, Server};
use nix::sys::socket::{getsockopt, sockopt};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A descriptor that crosses restarts.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) name: String,
    address: Address,
    what: What,
    /// A listener that must not get connections before this process is the owner, with its backlog.
    pub(crate) listens_later: Option<i32>,
}

#[derive(Debug)]
enum What {
    Listener(Slot<Socket>, Arc<Socket>),
    Datagrams(Slot<DatagramSocket>, Arc<DatagramSocket>),
    Other(OwnedFd),
}

impl Kept {
    pub(crate) fn listener(name: &str, address: &Address, slot: Slot<Socket>, socket: Arc<Socket>) -> Kept {
        Kept::new(name, address, What::Listener(slot, socket))
    }

    pub(crate) fn datagrams(
        name: &str,
        address: &Address,
        slot: Slot<DatagramSocket>,
        socket: Arc<DatagramSocket>,
    ) -> Kept {
        Kept::new(name, address, What::Datagrams(slot, socket))
    }

    pub(crate) fn other(name: &str, fd: OwnedFd) -> Kept {
        let listens = getsockopt(&fd, sockopt::AcceptConn) == Ok(true);
        let address = match Address::of(fd.as_fd()) {
            // A connection has an address too, and is none that the next image could check.
            Ok(Address::Tcp(_) | Address::Unix(_) | Address::UnixSeqpacket(_)) if !listens => Address::Other,
            Ok(address) => address,
            Err(_) => Address::Other,
        };
        Kept::new(name, &address, What::Other(fd))
    }

    fn new(name: &str, address: &Address, what: What) -> Kept {
        Kept { name: name.to_owned(), address: address.clone(), what, listens_later: None }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.what {
            What::Listener(_, socket) => socket.as_fd(),
            What::Datagrams(_, socket) => socket.as_fd(),
            What::Other(fd) => fd.as_fd(),
        }
    }

    /// Closes it, however many handles there are.
    fn close(&self) {
        match &self.what {
            What::Listener(slot, _) => slot.close(),
            What::Datagrams(slot, _) => slot.close(),
            What::Other(_) => {}
        }
    }

    /// The path that its socket has in the file system. What is only kept is its user's affair.
    fn path(&self) -> Option<&Path> {
        match (&self.address, &self.what) {
            (_, What::Other(_)) => None,
            (Address::Unix(path) | Address::UnixDatagram(path) | Address::UnixSeqpacket(path), _) => {
                Some(path).filter(|path| !path.as_os_str().as_bytes().starts_with(b"@")).map(PathBuf::as_path)
            }
            _ => None,
        }
    }
}

/// The server's side of the loop.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) kept: Vec<Kept>,
    pub(crate) inherited: Inherited,
    pub(crate) terms: Terms,
    pub(crate) connections: Connections,
    pub(crate) callbacks: Callbacks,
    /// The application is done with the term, and waits in `finish`.
    pub(crate) finishing: bool,
    /// How many terms have begun, and the last one that the application knows of: a term can end, and be followed by the
    /// next, within one step of the loop, and its acceptors have ended all the same.
    term: u64,
    known_term: u64,
    /// The paths of Unix sockets that go when this process does, since it is the last to have them.
    unlink: Vec<PathBuf>,
}

impl Serving {
    pub(crate) fn new(inherited: Inherited, connections: Connections, callbacks: Callbacks) -> Serving {
        Serving {
            kept: Vec::new(),
            inherited,
            terms: Terms::new(),
            connections,
            callbacks,
            finishing: false,
            term: 0,
            known_term: 0,
            unlink: Vec::new(),
        }
    }

    /// Whether this image has something of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.kept.iter().any(|kept| kept.name == name)
    }

    /// Whether the acceptors of the application have ended while a new term has begun.
    pub(crate) fn missed_the_end(&self) -> bool {
        self.known_term != 0 && self.known_term != self.term
    }

    /// The application is about to accept.
    pub(crate) fn begins_to_accept(&mut self) {
        self.finishing = false;
        self.known_term = self.term;
    }

    /// The address under which a seed's listener was inherited, if it fits.
    pub(crate) fn seeds_address(&self, fits: impl Fn(&Address) -> bool) -> Option<Address> {
        let named_by_address = |name: &&str| {
            self.inherited.address(name).is_some_and(|address| address.to_string() == **name && fits(address))
        };
        let name = self.inherited.names().find(named_by_address)?;
        self.inherited.address(name).cloned()
    }

    /// Closes what nobody claimed, and says what it was.
    pub(crate) fn drop_unclaimed(&mut self) -> Vec<String> {
        self.inherited.drain_unclaimed().map(|descriptor| descriptor.name).collect()
    }

    /// Removes the paths of Unix sockets whose last listener this was. A server that has taken a path over meanwhile
    /// listens there, and keeps it.
    pub(crate) fn unlink(&self) {
        for path in &self.unlink {
            if crate::path::is_stale(path) {
                // It is tidiness only: what is left is replaced by the next to bind there.
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn survive(&mut self, what: &str, result: io::Result<()>) {
        if let Err(error) = result {
            let report = Report::Warning { text: format!("cannot {what}: {error}") };
            self.callbacks.observe(&Observed::new(0, Duration::ZERO, report));
        }
    }
}

impl Server for Serving {
    fn accept(&mut self) {
        self.term += 1;
        for index in 0..self.kept.len() {
            if let Some(backlog) = self.kept[index].listens_later.take() {
                let result = begin_listening(&self.kept[index].fd(), backlog);
                self.survive(&format!("listen for `{}`", self.kept[index].name.clone()), result);
            }
        }
        let begun = self.terms.begin();
        self.survive("begin a term", begun);
        let served = self.connections.serve();
        self.survive("keep idle connections in this term", served);
    }

    fn stop_accepting(&mut self) {
        self.terms.end();
        self.connections.drain();
    }

    fn close_idle(&mut self) {
        self.connections.close_idle();
    }

    fn part(&mut self) {
        self.connections.part();
    }

    fn only_long_lived(&self) -> bool {
        self.connections.only_long_lived()
    }

    fn cut_off(&mut self) -> (InFlight, Result<(), String>) {
        let in_flight = self.connections.in_flight();
        if in_flight.total() == 0 {
            return (in_flight, Ok(()));
        }
        let called = call_with(&mut self.callbacks.on_cut_off, &self.connections.held());
        self.connections.cut_off();
        (in_flight, called)
    }

    fn close_listeners(&mut self, unlink: bool) {
        for kept in self.kept.drain(..) {
            kept.close();
            self.unlink.extend(kept.path().filter(|_| unlink).map(Path::to_owned));
        }
    }

    fn is_drained(&self) -> bool {
        self.connections.take_wake();
        self.finishing && self.connections.is_empty()
    }

    fn descriptors(&self) -> Vec<(BorrowedFd<'_>, Described)> {
        // The seed's listener is the first one, so listeners go first.
        let is_listener = |kept: &&Kept| matches!(kept.what, What::Listener(..));
        let (listeners, others): (Vec<_>, Vec<_>) = self.kept.iter().partition(is_listener);
        let describe = |kept: &'_ Kept| Described {
            fd: kept.fd().as_raw_fd(),
            name: kept.name.clone(),
            address: kept.address.clone(),
        };
        listeners.into_iter().chain(others).map(|kept| (kept.fd(), describe(kept))).collect()
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        Some(self.connections.wake())
    }

    fn reload(&mut self) -> Result<(), String> {
        call(&mut self.callbacks.on_hup)
    }

    fn reopen(&mut self) -> Result<(), String> {
        call(&mut self.callbacks.on_usr1)
    }

    fn before_exec(&mut self) -> Result<(), String> {
        call(&mut self.callbacks.before_exec)
    }

    fn observe(&mut self, observed: &Observed) {
        self.callbacks.observe(observed);
    }
}
