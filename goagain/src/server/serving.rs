//! What the loop asks of this process, answered.

use crate::drain::Connections;
use crate::life::callbacks::{Callbacks, call, call_with};
use crate::migrate::{ListenerMigrations, Migrations};
use crate::socket::kinds::{DatagramSocket, Socket};
use crate::socket::listener::{Ended, Slot, Terms};
use crate::socket::new_socket::begin_listening;
use crate::socket::path;
use crate::state::SavedState;
use goagain_env::Address;
use goagain_env::{Described, Inherited, SaveError, StateItem};
use goagain_signals::{ConnectionInfo, InFlight};
use goagain_signals::{Event, Server};
use nix::sys::socket::{getsockopt, sockopt};
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Far longer than a thread takes that is woken.
pub(crate) const LAST_CALLS: Duration = Duration::from_secs(1);

/// A descriptor that crosses restarts.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) name: String,
    address: Address,
    what: What,
    /// Of a listener: how many may wait in its queue.
    pub(crate) backlog: i32,
    /// It is the socket that the predecessor has too.
    pub(crate) inherited: bool,
    /// A listener that must not get connections before this process is the owner.
    pub(crate) listens_later: bool,
    pub(crate) ended: Option<Ended>,
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
        Kept {
            name: name.to_owned(),
            address: address.clone(),
            what,
            inherited: false,
            backlog: 0,
            listens_later: false,
            ended: None,
        }
    }

    /// While nobody is to accept but after a roll back, hardly anybody is let into a listener's queue: who comes now waits
    /// outside, and is refused when it is closed. Who is inside stays there.
    fn set_dropped(&self, dropped: bool) {
        match &self.what {
            What::Listener(slot, socket) => {
                if slot.set_dropped(dropped) != dropped {
                    // It is a courtesy: where it fails they are let in, and told the end.
                    let _ = begin_listening(&**socket, if dropped { 0 } else { self.backlog });
                }
            }
            What::Datagrams(slot, _) => drop(slot.set_dropped(dropped)),
            What::Other(_) => {}
        }
    }

    fn described(&self) -> (BorrowedFd<'_>, Described) {
        let (name, address) = (self.name.clone(), self.address.clone());
        (self.fd(), Described { fd: self.fd().as_raw_fd(), name, address })
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
        match self.what {
            What::Other(_) => None,
            _ => path::of(&self.address),
        }
    }
}

/// The server's side of the loop.
#[derive(Debug)]
pub(crate) struct Serving {
    kept: Vec<Kept>,
    /// Theirs: there may be thousands.
    names: HashSet<String>,
    pub(crate) inherited: Inherited,
    pub(crate) terms: Terms,
    pub(crate) connections: Connections,
    pub(crate) callbacks: Callbacks,
    /// What the loop has still to report.
    warnings: Vec<String>,
    pub(crate) offers: SavedState,
    pub(crate) moves: Option<Migrations>,
    /// The application is done with the term, and waits in `finish`.
    pub(crate) finishing: bool,
    /// How many terms have begun, and the last one that the application knows of: a term can end, and be followed by the
    /// next, within one step of the loop, and its acceptors have ended all the same.
    term: u64,
    known_term: u64,
    /// What was handed to this image.
    handed: Vec<String>,
    /// What the successor has bound itself, and the names of what it has not kept.
    added: Vec<Kept>,
    dropped: Vec<String>,
    /// The paths of Unix sockets that go when this process does, since it is the last to have them.
    unlink: Vec<(PathBuf, Option<Ended>)>,
}

impl Serving {
    pub(crate) fn new(connections: Connections, callbacks: Callbacks) -> Serving {
        Serving {
            kept: Vec::new(),
            names: HashSet::new(),
            inherited: Inherited::default(),
            terms: Terms::new(),
            connections,
            callbacks,
            warnings: Vec::new(),
            offers: SavedState::default(),
            moves: None,
            finishing: false,
            term: 0,
            known_term: 0,
            handed: Vec::new(),
            added: Vec::new(),
            dropped: Vec::new(),
            unlink: Vec::new(),
        }
    }

    /// Takes over what the predecessor handed to this image.
    pub(crate) fn inherit(&mut self, inherited: Inherited) {
        self.handed = inherited.names().map(str::to_owned).collect();
        self.inherited = inherited;
    }

    /// Whether this image has something of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(crate) fn keep(&mut self, kept: Kept) {
        self.names.insert(kept.name.clone());
        self.kept.push(kept);
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
    pub(crate) fn go_address(&self, fits: impl Fn(&Address) -> bool) -> Option<Address> {
        let named_by_address = |name: &&str| {
            self.inherited.address(name).is_some_and(|address| address.to_string() == **name && fits(address))
        };
        let name = self.inherited.names().find(named_by_address)?;
        self.inherited.address(name).cloned()
    }

    /// Closes what nobody claimed, and says what it was. The path of a Unix socket goes if nobody else has it.
    pub(crate) fn drop_unclaimed(&mut self) -> Vec<String> {
        let unclaimed: Vec<_> =
            self.inherited.drain_unclaimed().map(|each| (each.name, each.address)).collect();
        unclaimed.iter().filter_map(|(_, address)| path::of(address)).for_each(path::remove_if_stale);
        unclaimed.into_iter().map(|(name, _)| name).collect()
    }

    /// What this image has that it was not handed. Of what is only kept, nobody can say whether it is the same.
    pub(crate) fn own(&self) -> Vec<(BorrowedFd<'_>, Described)> {
        self.kept.iter().filter(|kept| !kept.inherited).map(Kept::described).collect()
    }

    /// The names of what the predecessor did not hand over, and of what it did in vain. One that was bound anew is both.
    pub(crate) fn changes(&self) -> (Vec<String>, Vec<String>) {
        let is_only_kept = |kept: &&Kept| matches!(kept.what, What::Other(_));
        let was_handed =
            |kept: &&Kept| kept.inherited || is_only_kept(kept) && self.handed.contains(&kept.name);
        let remains: HashSet<_> = self.kept.iter().filter(was_handed).map(|kept| &kept.name).collect();
        let added = self.kept.iter().filter(|kept| !was_handed(kept)).map(|kept| kept.name.clone());
        let dropped = self.handed.iter().filter(|name| !remains.contains(name)).cloned();
        (added.collect(), dropped.collect())
    }

    fn is_dropped(&self, kept: &Kept) -> bool {
        self.dropped.contains(&kept.name)
    }

    /// Removes the paths of Unix sockets whose last listener this was. A server that has taken a path over meanwhile
    /// listens there, and keeps it.
    ///
    /// Acceptors that wait in other threads have been woken, and are given `moment` to come out of their calls.
    pub(crate) fn unlink(&self, moment: Duration) {
        let end = Instant::now() + moment;
        for (path, ended) in &self.unlink {
            if let Some(ended) = ended {
                // That the other end is gone is an error here, and what is waited for.
                let _ = ended.recv_timeout(end.saturating_duration_since(Instant::now()));
            }
            path::remove_if_stale(path);
        }
    }

    /// What a new listener has of moved connections.
    pub(crate) fn migrations_of(&mut self, listener: &str) -> io::Result<Option<ListenerMigrations>> {
        self.moves.as_mut().map(|moves| moves.of_listener(listener)).transpose()
    }

    /// Tells of moved connections that nobody has accepted, at the very end.
    pub(crate) fn report_left_over(&mut self) {
        for text in self.moves.as_ref().map(Migrations::left_over).unwrap_or_default() {
            self.warn(text);
        }
    }

    fn survive(&mut self, what: &str, result: io::Result<()>) {
        if let Err(error) = result {
            self.warn(format!("cannot {what}: {error}"));
        }
    }

    fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }
}

impl Server for Serving {
    fn accept(&mut self) {
        self.term += 1;
        self.forget_successor();
        for index in 0..self.kept.len() {
            if std::mem::take(&mut self.kept[index].listens_later) {
                let kept = &self.kept[index];
                let result = begin_listening(&kept.fd(), kept.backlog);
                self.survive(&format!("listen for `{}`", kept.name.clone()), result);
            }
        }
        let begun = self.terms.begin();
        self.survive("begin a term", begun);
        let served = self.connections.serve();
        self.survive("keep idle connections in this term", served);
        let served = self.moves.as_mut().map_or(Ok(()), Migrations::serve);
        self.survive("move connections after this term", served);
    }

    fn stop_accepting(&mut self) {
        self.kept.iter().filter(|kept| self.is_dropped(kept)).for_each(|kept| kept.set_dropped(true));
        // What has come is there before the acceptors see that they end.
        for text in self.moves.as_mut().map(Migrations::refuse_more).unwrap_or_default() {
            self.warn(text);
        }
        self.terms.end();
        self.connections.drain();
    }

    fn close_idle(&mut self) {
        self.connections.close_idle();
    }

    fn close_long_lived(&mut self) {
        self.connections.close_long_lived();
    }

    fn only_long_lived(&self) -> bool {
        self.connections.only_long_lived()
    }

    fn waits_for(&self) -> (InFlight, Vec<ConnectionInfo>) {
        (self.connections.in_flight(), self.connections.list())
    }

    fn in_flight(&self) -> InFlight {
        self.connections.in_flight()
    }

    fn close_unfinished(&mut self, held: &[ConnectionInfo]) -> Result<(), String> {
        if self.connections.is_empty() {
            return Ok(());
        }
        let called = call_with(&mut self.callbacks.on_unfinished, held);
        self.connections.close_unfinished();
        called
    }

    fn close_listeners(&mut self, unlink: bool) {
        self.names.clear();
        for kept in std::mem::take(&mut self.kept) {
            kept.close();
            let goes = unlink || self.is_dropped(&kept);
            let path = kept.path().filter(|_| goes).map(Path::to_owned);
            self.unlink.extend(path.map(|path| (path, kept.ended)));
        }
        self.added.clear();
    }

    fn is_drained(&self) -> bool {
        self.connections.take_wake();
        self.finishing && self.connections.is_empty()
    }

    fn descriptors(&self) -> Vec<(BorrowedFd<'_>, Described)> {
        // The seed's listener is the first one, so listeners go first.
        let is_listener = |kept: &&Kept| matches!(kept.what, What::Listener(..));
        let (listeners, others): (Vec<_>, Vec<_>) =
            self.kept.iter().filter(|kept| !self.is_dropped(kept)).partition(is_listener);
        let is_replaced = |kept: &&Kept| self.added.iter().any(|added| added.name == kept.name);
        let own = listeners.into_iter().chain(others).filter(|kept| !is_replaced(kept));
        let handed = own.chain(&self.added).map(Kept::described);
        // Nobody asks for these, but who has the path last is the one to take it away.
        let last = self.kept.iter().filter(|kept| self.is_dropped(kept) && kept.path().is_some());
        let last = last.map(|kept| {
            let (fd, described) = kept.described();
            (fd, Described { name: format!("{} (dropped)", kept.name), ..described })
        });
        handed.chain(last).collect()
    }

    fn successor_added(&mut self, name: String, address: Address, fd: OwnedFd) {
        self.added.push(Kept::new(&name, &address, What::Other(fd)));
    }

    fn successor_dropped(&mut self, name: String) {
        self.dropped.push(name);
    }

    fn forget_successor(&mut self) {
        self.added.clear();
        self.dropped.clear();
        self.kept.iter().for_each(|kept| kept.set_dropped(false));
    }

    fn state(&mut self) -> Result<Vec<StateItem>, (String, SaveError)> {
        // First, so that no socket of an attempt before is left if a parcel cannot be made.
        let connections = self.moves.as_mut().map(Migrations::parcel).transpose();
        let connections = connections.map_err(|error| ("".into(), SaveError::System(error.to_string())))?;
        let mut parcels = self.offers.pack()?;
        parcels.extend(connections);
        Ok(parcels)
    }

    fn committed(&mut self) {
        self.moves.iter_mut().for_each(Migrations::committed);
    }

    fn successor_serves(&mut self) {
        self.moves.iter_mut().for_each(Migrations::successor_serves);
    }

    fn incoming(&self) -> Option<BorrowedFd<'_>> {
        self.moves.as_ref().and_then(Migrations::incoming)
    }

    fn take_arrivals(&mut self) {
        for text in self.moves.as_mut().map(Migrations::take).unwrap_or_default() {
            self.warn(text);
        }
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

    fn before_exit(&mut self) -> Result<(), String> {
        call(&mut self.callbacks.before_exit)
    }

    fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn on_event(&mut self, event: &Event) {
        self.callbacks.on_event(event);
    }
}
