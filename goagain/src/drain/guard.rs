//! One connection in flight.

use super::connections::{COUNT, Connections, ONE, ONE_IDLE};
use super::list::Entry;
#[cfg(any(feature = "actix", feature = "hyper"))]
use super::list::client;
use super::shutdown::ShutdownTime;
use crate::drain::peek::has_more;
use goagain_signals::ConnectionKind;
use std::borrow::Cow;
use std::io;
use std::os::fd::AsFd;
#[cfg(any(feature = "actix", feature = "hyper"))]
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A guard for one connection, or for other work, that is in flight. A drain waits until it is dropped.
///
/// An [`Acceptor`](crate::Acceptor) yields one with each connection, and [`Connections::begin`] makes one for other work. Keep it
/// as long as the connection, and drop it after the connection.
///
/// The guard knows what the connection does, since a drain treats the three kinds differently:
///
/// | kind | set by | what a drain does |
/// |---|---|---|
/// | idle: it waits for a request | [`Guard::idle`]; a new guard is idle | asks the connection to close after [`Builder::idle_grace`](crate::Builder::idle_grace) |
/// | in a request | [`Guard::busy`] | waits for the response |
/// | long-lived: a WebSocket, a tunnel, a subscription of a protocol of your own | [`Guard::long_lived`] | asks the connection to close last, when only long-lived connections are left |
///
/// A server with a thread for each connection needs three calls:
///
/// - [`Guard::wait_readable`] before it reads a request. It sets the kind, and returns `false` when the connection should close.
/// - [`Guard::should_close`] before it writes a response, to know whether this is the last one.
/// - [`Stream::close`](crate::Stream::close) at the end, so that the last response arrives.
///
/// "Asked to close" is only a request, which the server sees in [`wait_readable`](Guard::wait_readable),
/// [`is_shutdown_requested`](Guard::is_shutdown_requested) or [`shutdown_signal`](Guard::shutdown_signal). The library closes no
/// connection by itself, except those that are left at the deadline of the drain, if
/// [`Builder::unfinished`](crate::Builder::unfinished) says so.
#[derive(Debug)]
pub struct Guard {
    pub(super) connections: Connections,
    pub(super) kind: ConnectionKind,
    pub(super) shutdown: ShutdownTime,
    /// Its entry in the list, if it has one.
    entry: Option<Arc<Entry>>,
    pub(super) migration: Migration,
}

/// What has to do with a connection's migration from one process to the next.
#[derive(Debug, Default)]
pub(super) struct Migration {
    /// Whether it came from the predecessor.
    is_migrated: bool,
    /// Whether the predecessor has read bytes of it, which come first from its stream.
    pub(super) has_unread: bool,
    /// What the server wants to know of the connection after it has migrated.
    attached: Option<Arc<[u8]>>,
}

impl Guard {
    pub(super) fn new(connections: Connections) -> Guard {
        Guard {
            connections,
            kind: ConnectionKind::Idle,
            shutdown: ShutdownTime::default(),
            entry: None,
            migration: Migration::default(),
        }
    }

    /// Returns the [`Connections`] that this guard belongs to.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Returns what the connection does.
    pub fn kind(&self) -> ConnectionKind {
        self.kind
    }

    /// Returns whether this process has stopped accepting. To know whether a response should close its connection, use
    /// [`Guard::should_close`].
    pub fn is_draining(&self) -> bool {
        self.connections.is_draining()
    }

    /// Returns whether the response to be written now should be the last one of its connection (`Connection: close`): this process
    /// drains, and the client has sent nothing more.
    ///
    /// `unread` contains the bytes that the server has read from the connection and not served yet. The call also looks at what
    /// waits in the socket (`recv` with MSG_PEEK). So all requests that a client has sent together get a response. From
    /// [`DrainPhase::ClosingIdle`](crate::drain::DrainPhase::ClosingIdle) on, every response is the last one.
    pub fn should_close(&self, stream: impl AsFd, unread: &[u8]) -> bool {
        self.is_draining() && (self.is_past_closing_idle() || unread.is_empty() && !has_more(stream.as_fd()))
    }

    /// Marks the connection as idle: it waits for its next request.
    pub fn idle(&mut self) {
        self.set_kind(ConnectionKind::Idle);
    }

    /// Marks the connection as busy: it serves a request.
    pub fn busy(&mut self) {
        self.set_kind(ConnectionKind::InRequest);
    }

    /// Marks the connection as long-lived: it was upgraded, or it serves a subscription of a protocol of your own. A drain asks
    /// it to close last. A streamed HTTP response is a request instead: see [`busy`](Guard::busy).
    pub fn long_lived(&mut self) {
        self.set_kind(ConnectionKind::LongLived);
    }

    /// One atomic operation, or two or three if one of the kinds is long-lived.
    fn set_kind(&mut self, kind: ConnectionKind) {
        let before = std::mem::replace(&mut self.kind, kind);
        if before == kind {
            return;
        }
        let shared = &self.connections.0;
        // Between the two operations it counts as in a request, so that a drain does not enter its next phase at that moment.
        match before {
            ConnectionKind::Idle => drop(shared.state.fetch_sub(ONE_IDLE, Ordering::SeqCst)),
            ConnectionKind::LongLived => drop(shared.long_lived.fetch_sub(1, Ordering::SeqCst)),
            ConnectionKind::InRequest => {}
        }
        match kind {
            ConnectionKind::Idle => drop(shared.state.fetch_add(ONE_IDLE, Ordering::SeqCst)),
            ConnectionKind::LongLived => {
                shared.long_lived.fetch_add(1, Ordering::SeqCst);
                let state = self.connections.state();
                self.connections.wake_if_drained(state, state & COUNT);
            }
            ConnectionKind::InRequest => {}
        }
        if let Some(entry) = &self.entry {
            entry.set_kind(kind);
        }
    }

    /// Adds the guard to the [list](Connections::list) under this name, or changes its name there. Good names are the client and
    /// the request.
    ///
    /// A guard in the list costs one allocation and one look at the clock. It also costs a lock that all guards in the list
    /// share, once when it is added and once when it is dropped. A guard that is not in the list costs nothing of this.
    pub fn set_name(&mut self, name: impl Into<Cow<'static, str>>) {
        self.entry().set_name(name.into());
    }

    /// Adds the guard to the [list](Connections::list), and lets the library close this connection if it is left at the deadline of
    /// a drain, as [`Builder::unfinished`](crate::Builder::unfinished) says.
    ///
    /// The guard holds a duplicate of the descriptor (`fcntl(F_DUPFD_CLOEXEC)`). An acceptor calls this by itself unless
    /// `unfinished` is [`Unfinished::Leave`](crate::drain::Unfinished::Leave). Later calls change nothing: the first connection stays.
    ///
    /// # Errors
    /// The errors of `fcntl`, most likely EMFILE.
    pub fn set_socket(&mut self, connection: impl AsFd) -> io::Result<()> {
        let connection = connection.as_fd().try_clone_to_owned()?;
        self.entry().set_connection(connection);
        Ok(())
    }

    /// Returns the connection that the library can close, if it has one.
    #[cfg(any(feature = "actix", feature = "hyper"))]
    pub(crate) fn connection(&self) -> Option<BorrowedFd<'_>> {
        self.entry.as_ref().and_then(|entry| entry.connection())
    }

    /// Adds the guard to the list under the address of its client, if it is not in the list.
    #[cfg(any(feature = "actix", feature = "hyper"))]
    pub(crate) fn name_by_client(&mut self, connection: BorrowedFd<'_>) {
        if self.entry.is_none() {
            self.set_name(client(connection).unwrap_or_else(|| "a client of a Unix socket".to_owned()));
        }
    }

    fn entry(&mut self) -> &Entry {
        let (list, kind) = (&self.connections.0.list, self.kind);
        self.entry.get_or_insert_with(|| list.add(kind))
    }

    /// Removes the guard from the list: the connection belongs to another process now, so nothing here may close it.
    pub(crate) fn forget_connection(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.connections.0.list.remove(&entry);
        }
    }

    /// Returns whether the predecessor has [migrated](crate::Builder::migrate_connections) this connection to this process.
    pub fn is_migrated(&self) -> bool {
        self.migration.is_migrated
    }

    /// Attaches bytes to the connection that travel with it when it [migrates](crate::Builder::migrate_connections), at most 16
    /// MiB. Replaces what was attached before.
    ///
    /// An example is the line of the PROXY protocol. A client sends it only once, so the successor can learn only from these
    /// bytes what it said.
    pub fn attach(&mut self, bytes: impl Into<Arc<[u8]>>) {
        self.migration.attached = Some(bytes.into());
    }

    /// Returns the bytes that are [attached](Guard::attach) to the connection, by this process or by the predecessor. Returns
    /// an empty slice if there are none.
    pub fn attached(&self) -> &[u8] {
        self.migration.attached.as_deref().unwrap_or_default()
    }

    /// Sets that it came from the predecessor, with these attached bytes.
    pub(crate) fn set_migrated(&mut self, attached: Vec<u8>) {
        self.migration.is_migrated = true;
        if !attached.is_empty() {
            self.attach(attached);
        }
    }

    /// Sets that the predecessor has read bytes of the connection, which come first from its stream.
    pub(crate) fn set_has_unread(&mut self) {
        self.migration.has_unread = true;
    }

    pub(crate) fn has_unread(&self) -> bool {
        self.migration.has_unread
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let shared = &self.connections.0;
        if let Some(entry) = self.entry.take() {
            shared.list.remove(&entry);
        }
        if self.kind == ConnectionKind::LongLived {
            shared.long_lived.fetch_sub(1, Ordering::SeqCst);
        }
        let own = if self.kind == ConnectionKind::Idle { ONE + ONE_IDLE } else { ONE };
        let before = shared.state.fetch_sub(own, Ordering::SeqCst);
        self.connections.wake_if_drained(before, (before & COUNT) - 1);
    }
}
