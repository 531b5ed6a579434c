//! All descriptors that this process hands over, and what the successor has changed of them.

use super::kept::Kept;
use goagain_env::{Address, NamedDescriptor};
use std::collections::HashSet;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// All descriptors that this process has, by name.
#[derive(Debug, Default)]
pub(super) struct Table {
    kept: Vec<Kept>,
    /// The names of `kept`, of which there may be thousands.
    names: HashSet<String>,
    /// The names of what the predecessor handed to this process.
    handed: Vec<String>,
    successor: Changes,
}

/// What a successor has said of its own descriptors before it became the owner.
#[derive(Debug, Default)]
struct Changes {
    /// What it has bound itself.
    added: Vec<Kept>,
    /// The names of what it was handed and has not kept.
    dropped: Vec<String>,
}

impl Table {
    pub(super) fn set_handed(&mut self, names: Vec<String>) {
        self.handed = names;
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    pub(super) fn keep(&mut self, kept: Kept) {
        self.names.insert(kept.name.clone());
        self.kept.push(kept);
    }

    /// Returns the descriptors that this process was not handed. Whether one that is only kept is the one that was handed over
    /// cannot be known, so it counts as new.
    pub(super) fn own(&self) -> Vec<(BorrowedFd<'_>, NamedDescriptor)> {
        self.kept.iter().filter(|kept| !kept.inherited).map(Kept::described).collect()
    }

    /// Returns the names of what this process has and was not handed, and of what it was handed and has not kept. A socket that
    /// was bound again is in both.
    pub(super) fn changes(&self) -> (Vec<String>, Vec<String>) {
        let was_handed = |kept: &&Kept| kept.inherited || kept.is_other() && self.handed.contains(&kept.name);
        let remains: HashSet<_> = self.kept.iter().filter(was_handed).map(|kept| &kept.name).collect();
        let added = self.kept.iter().filter(|kept| !was_handed(kept)).map(|kept| kept.name.clone());
        let dropped = self.handed.iter().filter(|name| !remains.contains(name)).cloned();
        (added.collect(), dropped.collect())
    }

    /// Returns what a new process is started with.
    pub(super) fn descriptors(&self) -> Vec<(BorrowedFd<'_>, NamedDescriptor)> {
        // A Go process takes the first descriptor for its listener, so listeners go first.
        let (listeners, others): (Vec<_>, Vec<_>) =
            self.kept.iter().filter(|kept| !self.is_dropped(kept)).partition(|kept| kept.is_listener());
        let is_replaced = |kept: &&Kept| self.successor.added.iter().any(|added| added.name == kept.name);
        let own = listeners.into_iter().chain(others).filter(|kept| !is_replaced(kept));
        let handed = own.chain(&self.successor.added).map(Kept::described);
        // The new process does not ask for these, but the last process that holds a path has to remove it.
        let last = self.kept.iter().filter(|kept| self.is_dropped(kept) && kept.path().is_some());
        let last = last.map(|kept| {
            let (fd, described) = kept.described();
            (fd, NamedDescriptor { name: format!("{} (dropped)", kept.name), ..described })
        });
        handed.chain(last).collect()
    }

    /// Returns the addresses of the listeners and datagram sockets.
    pub(super) fn addresses(&self) -> Vec<Address> {
        self.kept.iter().filter(|kept| !kept.is_other()).map(|kept| kept.address().clone()).collect()
    }

    /// Begins to listen on the sockets for which that was put off. Returns the names of those on which it failed.
    pub(super) fn listen_if_put_off(&mut self) -> Vec<(String, io::Error)> {
        let failed = |kept: &mut Kept| kept.listen_if_put_off().err().map(|error| (kept.name.clone(), error));
        self.kept.iter_mut().filter_map(failed).collect()
    }

    pub(super) fn successor_added(&mut self, name: &str, address: &Address, fd: OwnedFd) {
        self.successor.added.push(Kept::of_successor(name, address, fd));
    }

    pub(super) fn successor_dropped(&mut self, name: String) {
        self.successor.dropped.push(name);
    }

    /// Forgets what a successor has said that failed.
    pub(super) fn forget_successor(&mut self) {
        self.successor = Changes::default();
        self.kept.iter().for_each(|kept| kept.set_dropped(false));
    }

    /// Marks what the successor has not kept, at the end of the term.
    pub(super) fn mark_dropped(&self) {
        self.kept.iter().filter(|kept| self.is_dropped(kept)).for_each(|kept| kept.set_dropped(true));
    }

    /// Empties the table, to close everything. Each descriptor comes with whether the successor has dropped it.
    pub(super) fn take_all(&mut self) -> Vec<(Kept, bool)> {
        self.names.clear();
        self.successor.added.clear();
        let kept = std::mem::take(&mut self.kept);
        kept.into_iter()
            .map(|kept| (self.is_dropped(&kept), kept))
            .map(|(dropped, kept)| (kept, dropped))
            .collect()
    }

    fn is_dropped(&self, kept: &Kept) -> bool {
        self.successor.dropped.contains(&kept.name)
    }
}
