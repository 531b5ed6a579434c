//! The list of the guards that have a name or a socket.

use super::unfinished::{Unfinished, close};
use goagain_signals::{ConnectionInfo, ConnectionKind};
use nix::sys::socket::{SockaddrLike, SockaddrStorage, getpeername};
use std::borrow::Cow;
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// The entry of one guard in the list.
#[derive(Debug)]
pub(super) struct Entry {
    since: Instant,
    kind: AtomicU8,
    name: Mutex<Option<Cow<'static, str>>>,
    connection: OnceLock<OwnedFd>,
}

impl Entry {
    pub(super) fn set_kind(&self, kind: ConnectionKind) {
        self.kind.store(kind as u8, Ordering::Relaxed);
    }

    pub(super) fn set_name(&self, name: Cow<'static, str>) {
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
    }

    /// Sets the connection. If there is one already, that one stays.
    pub(super) fn set_connection(&self, connection: OwnedFd) {
        let _ = self.connection.set(connection);
    }

    fn info(&self, now: Instant) -> ConnectionInfo {
        let name = self.name.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let kind = match self.kind.load(Ordering::Relaxed) {
            0 => ConnectionKind::Idle,
            1 => ConnectionKind::InRequest,
            _ => ConnectionKind::LongLived,
        };
        let name = name.map(Cow::into_owned).or_else(|| client(self.connection.get()?.as_fd()));
        let name = name.unwrap_or_else(|| "without a name".to_owned());
        ConnectionInfo::new(name, kind, now.saturating_duration_since(self.since))
    }

    #[cfg(any(feature = "actix", feature = "hyper"))]
    pub(super) fn connection(&self) -> Option<BorrowedFd<'_>> {
        self.connection.get().map(AsFd::as_fd)
    }
}

/// Returns the address of a connection's client (`getpeername`). A client of a Unix socket has none.
pub(super) fn client(connection: BorrowedFd<'_>) -> Option<String> {
    let address: SockaddrStorage = getpeername(connection.as_raw_fd()).ok()?;
    address.family().filter(|_| address.as_unix_addr().is_none()).map(|_| address.to_string())
}

/// All entries, by their address in memory.
#[derive(Debug, Default)]
pub(super) struct List(Mutex<HashMap<usize, Arc<Entry>>>);

impl List {
    pub(super) fn add(&self, kind: ConnectionKind) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            since: Instant::now(),
            kind: AtomicU8::new(kind as u8),
            name: Mutex::default(),
            connection: OnceLock::new(),
        });
        self.lock().insert(key(&entry), Arc::clone(&entry));
        entry
    }

    pub(super) fn remove(&self, entry: &Arc<Entry>) {
        let removed = self.lock().remove(&key(entry));
        // This closes a descriptor, which is done without the lock.
        drop(removed);
    }

    pub(super) fn list(&self) -> Vec<ConnectionInfo> {
        let now = Instant::now();
        let mut list: Vec<ConnectionInfo> = self.entries().iter().map(|entry| entry.info(now)).collect();
        list.sort_by_key(|info| std::cmp::Reverse(info.age));
        list
    }

    pub(super) fn close(&self, how: Unfinished) {
        for entry in self.entries() {
            if let Some(connection) = entry.connection.get() {
                close(connection.as_fd(), how);
            }
        }
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(entry: &Arc<Entry>) -> usize {
    Arc::as_ptr(entry) as usize
}
