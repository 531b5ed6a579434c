//! What the loop asks of this process, answered.

use crate::callbacks::{Callbacks, call, call_with};
use crate::listener::{Slot, Terms};
use crate::socket::Socket;
use crate::{Address, Connections, InFlight};
use goagain_env::{Described, Inherited};
use goagain_signals::{Observed, Report, Server};
use nix::sys::socket::{getsockopt, sockopt};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A descriptor that crosses restarts.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) name: String,
    address: Address,
    what: What,
}

#[derive(Debug)]
enum What {
    Listener(Slot, Arc<Socket>),
    Other(OwnedFd),
}

impl Kept {
    pub(crate) fn listener(name: &str, address: &Address, slot: Slot, socket: Arc<Socket>) -> Kept {
        Kept { name: name.to_owned(), address: address.clone(), what: What::Listener(slot, socket) }
    }

    pub(crate) fn other(name: &str, fd: OwnedFd) -> Kept {
        let listens = getsockopt(&fd, sockopt::AcceptConn) == Ok(true);
        let address = match Address::of(fd.as_fd()) {
            // A connection has an address too, and is none that the next image could check.
            Ok(Address::Tcp(_) | Address::Unix(_) | Address::UnixSeqpacket(_)) if !listens => Address::Other,
            Ok(address) => address,
            Err(_) => Address::Other,
        };
        Kept { name: name.to_owned(), address, what: What::Other(fd) }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.what {
            What::Listener(_, socket) => socket.as_fd(),
            What::Other(fd) => fd.as_fd(),
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
            if crate::bind::is_stale(path) {
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
            if let What::Listener(slot, _) = kept.what {
                slot.close();
            }
            if let (true, Address::Unix(path)) = (unlink, kept.address) {
                self.unlink.push(path);
            }
        }
    }

    fn is_drained(&self) -> bool {
        self.connections.take_wake();
        self.finishing && self.connections.is_empty()
    }

    fn descriptors(&self) -> Vec<(BorrowedFd<'_>, Described)> {
        // The seed's listener is the first one, so listeners go first.
        let listeners = self.kept.iter().filter(|kept| matches!(kept.what, What::Listener(..)));
        let others = self.kept.iter().filter(|kept| matches!(kept.what, What::Other(_)));
        let describe = |kept: &'_ Kept| Described {
            fd: kept.fd().as_raw_fd(),
            name: kept.name.clone(),
            address: kept.address.clone(),
        };
        listeners.chain(others).map(|kept| (kept.fd(), describe(kept))).collect()
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
