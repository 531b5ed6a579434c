//! What the loop asks of this process, answered.

use super::table::Table;
use super::term_count::TermCount;
use super::unlink::Unlink;
use crate::drain::Connections;
use crate::life::callbacks::{Callbacks, call, call_with};
use crate::migrate::{ListenerMigrations, Migrations};
use crate::socket::path;
use crate::socket::term::CurrentTerm;
use crate::state::SavedState;
use goagain_env::{Address, Inherited, NamedDescriptor, SaveError, StateItem};
use goagain_signals::{ConnectionInfo, Event, InFlight, Server};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

pub(crate) use super::kept::Kept;
pub(crate) use super::unlink::LAST_CALLS;

/// The server's side of the loop.
#[derive(Debug)]
pub(crate) struct Serving {
    table: Table,
    pub(crate) inherited: Inherited,
    pub(crate) term: CurrentTerm,
    term_count: TermCount,
    pub(crate) connections: Connections,
    pub(crate) callbacks: Callbacks,
    /// What the loop has still to report.
    warnings: Vec<String>,
    pub(crate) saved_state: SavedState,
    pub(crate) migrations: Option<Migrations>,
    /// Whether the application is done with the term, and waits in `finish`.
    pub(crate) finishing: bool,
    unlink: Unlink,
}

impl Serving {
    pub(crate) fn new(connections: Connections, callbacks: Callbacks) -> Serving {
        Serving {
            table: Table::default(),
            inherited: Inherited::default(),
            term: CurrentTerm::new(),
            term_count: TermCount::default(),
            connections,
            callbacks,
            warnings: Vec::new(),
            saved_state: SavedState::default(),
            migrations: None,
            finishing: false,
            unlink: Unlink::default(),
        }
    }

    /// Takes over what the predecessor handed to this process.
    pub(crate) fn inherit(&mut self, inherited: Inherited) {
        self.table.set_handed(inherited.names().map(str::to_owned).collect());
        self.inherited = inherited;
    }

    /// Whether this process has a descriptor of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.table.has(name)
    }

    pub(crate) fn keep(&mut self, kept: Kept) {
        self.table.keep(kept);
    }

    /// Whether the first term has begun, and perhaps ended, and the application does not know of it.
    pub(crate) fn missed_the_first(&self) -> bool {
        self.term_count.has_missed_the_first()
    }

    /// Whether the application has ever accepted.
    pub(crate) fn has_served(&self) -> bool {
        self.term_count.has_seen_any()
    }

    /// Whether the acceptors of the application have ended while a new term has begun.
    pub(crate) fn missed_the_end(&self) -> bool {
        self.term_count.has_missed_an_end()
    }

    /// The application is about to accept.
    pub(crate) fn begins_to_accept(&mut self) {
        self.finishing = false;
        self.term_count.see();
    }

    /// Returns the address under which the listener of a Go process was inherited, if it fits.
    pub(crate) fn go_address(&self, fits: impl Fn(&Address) -> bool) -> Option<Address> {
        let named_by_address = |name: &&str| {
            self.inherited.address(name).is_some_and(|address| address.to_string() == **name && fits(address))
        };
        let name = self.inherited.names().find(named_by_address)?;
        self.inherited.address(name).cloned()
    }

    /// Closes what the application has not claimed, and returns the names. The path of a Unix socket is removed if no other
    /// process holds the socket.
    pub(crate) fn drop_unclaimed(&mut self) -> Vec<String> {
        let unclaimed: Vec<_> =
            self.inherited.drain_remaining().map(|each| (each.name, each.address)).collect();
        unclaimed.iter().filter_map(|(_, address)| path::of(address)).for_each(path::remove_if_stale);
        unclaimed.into_iter().map(|(name, _)| name).collect()
    }

    /// As [`Table::own`].
    pub(crate) fn own(&self) -> Vec<(BorrowedFd<'_>, NamedDescriptor)> {
        self.table.own()
    }

    /// As [`Table::changes`].
    pub(crate) fn changes(&self) -> (Vec<String>, Vec<String>) {
        self.table.changes()
    }

    /// As [`Unlink::remove`].
    pub(crate) fn unlink(&self, time: Duration) {
        self.unlink.remove(time);
    }

    /// Returns what a new listener needs for its migrated connections.
    pub(crate) fn migrations_of(&mut self, listener: &str) -> io::Result<Option<ListenerMigrations>> {
        self.migrations.as_mut().map(|migrations| migrations.of_listener(listener)).transpose()
    }

    /// Warns of migrated connections that nothing has accepted, at the very end.
    pub(crate) fn report_left_over(&mut self) {
        for text in self.migrations.as_ref().map(Migrations::left_over).unwrap_or_default() {
            self.warn(text);
        }
    }

    /// Reports a failure after which this process keeps serving.
    fn warn_of(&mut self, what: &str, result: io::Result<()>) {
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
        self.term_count.begin();
        self.forget_successor();
        for (name, error) in self.table.listen_if_put_off() {
            self.warn_of(&format!("listen for `{name}`"), Err(error));
        }
        let begun = self.term.begin();
        self.warn_of("begin a term", begun);
        let served = self.connections.serve();
        self.warn_of("keep idle connections in this term", served);
        let served = self.migrations.as_mut().map_or(Ok(()), Migrations::serve);
        self.warn_of("migrate connections after this term", served);
    }

    fn addresses(&self) -> Vec<Address> {
        self.table.addresses()
    }

    fn stop_accepting(&mut self) {
        self.table.mark_dropped();
        // Migrated connections that have come are in the queue before the acceptors see that the term has ended.
        for text in self.migrations.as_mut().map(Migrations::refuse_more).unwrap_or_default() {
            self.warn(text);
        }
        self.term.end();
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

    fn in_flight(&self) -> InFlight {
        self.connections.in_flight()
    }

    fn waits_for(&self) -> (InFlight, Vec<ConnectionInfo>) {
        (self.connections.in_flight(), self.connections.list())
    }

    fn close_unfinished(&mut self, connections: &[ConnectionInfo]) -> Result<(), String> {
        if self.connections.is_empty() {
            return Ok(());
        }
        let called = call_with(&mut self.callbacks.on_unfinished, connections);
        self.connections.close_unfinished();
        called
    }

    fn close_listeners(&mut self, unlink: bool) {
        for (kept, is_dropped) in self.table.take_all() {
            let path = kept.path().filter(|_| unlink || is_dropped).map(Path::to_owned);
            let calls_ended = kept.close();
            if let Some(path) = path {
                self.unlink.add(path, calls_ended);
            }
        }
    }

    fn is_drained(&self) -> bool {
        self.connections.take_wake();
        self.finishing && self.connections.is_empty()
    }

    fn descriptors(&self) -> Vec<(BorrowedFd<'_>, NamedDescriptor)> {
        self.table.descriptors()
    }

    fn successor_added(&mut self, name: String, address: Address, fd: OwnedFd) {
        self.table.successor_added(&name, &address, fd);
    }

    fn successor_dropped(&mut self, name: String) {
        self.table.successor_dropped(name);
    }

    fn forget_successor(&mut self) {
        self.table.forget_successor();
    }

    fn state(&mut self) -> Result<Vec<StateItem>, (String, SaveError)> {
        // First, so that no socket of an earlier attempt is left if a state item cannot be made.
        let connections = self.migrations.as_mut().map(Migrations::state_item).transpose();
        let connections = connections.map_err(|error| ("".into(), SaveError::System(error.to_string())))?;
        let mut items = self.saved_state.pack()?;
        items.extend(connections);
        Ok(items)
    }

    fn committed(&mut self) {
        self.migrations.iter_mut().for_each(Migrations::committed);
    }

    fn successor_serves(&mut self) {
        self.migrations.iter_mut().for_each(Migrations::successor_serves);
    }

    fn incoming(&self) -> Option<BorrowedFd<'_>> {
        self.migrations.as_ref().and_then(Migrations::incoming)
    }

    fn take_arrivals(&mut self) {
        for text in self.migrations.as_mut().map(Migrations::take).unwrap_or_default() {
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
