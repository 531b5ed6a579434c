//! One connection in flight.

use super::connections::{CLOSING, CONNECTION, COUNT, Connections, PARTING, WAITING};
use super::list::Entry;
#[cfg(any(feature = "actix", feature = "hyper"))]
use super::list::client;
use super::phase::{DrainPhase, ShutdownSignal};
use crate::drain::peek::has_more;
use goagain_signals::ConnectionKind;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// One connection in flight, or one piece of other work; the drain waits until it is dropped.
///
/// It can say what the connection does: wait for a request ([`Guard::idle`]), be in one ([`Guard::busy`]), or live on
/// ([`Guard::long_lived`]): what a drain does with it depends on that. A guard begins as one that waits.
#[derive(Debug)]
pub struct Guard {
    connections: Connections,
    kind: ConnectionKind,
    /// When in the window it is told to go; drawn when that is first asked.
    moment: OnceLock<Duration>,
    /// Its place in the list, if it is there.
    entry: Option<Arc<Entry>>,
    /// Bytes of the connection were read by another process already, and come first from its stream.
    primed: bool,
    /// It has waited for a request before.
    has_waited: bool,
    /// Not told to go before this: it first waited for a request when the drain had begun already.
    not_before: Option<Instant>,
    /// It came from the predecessor.
    migrated: bool,
    /// What the server wants to know of the connection after it has moved.
    attached: Option<Arc<[u8]>>,
}

impl Guard {
    pub(super) fn new(connections: Connections) -> Guard {
        Guard {
            connections,
            kind: ConnectionKind::Idle,
            moment: OnceLock::new(),
            entry: None,
            primed: false,
            has_waited: false,
            not_before: None,
            migrated: false,
            attached: None,
        }
    }

    /// What it is counted by.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// What the connection does.
    pub fn kind(&self) -> ConnectionKind {
        self.kind
    }

    /// Returns whether this process has stopped accepting. For whether an answer should close its connection, ask
    /// [`Guard::should_close`].
    pub fn is_draining(&self) -> bool {
        self.connections.is_draining()
    }

    /// Returns whether the answer to be written now should be the last one of its connection (`Connection: close`): this process
    /// drains, and the client has sent nothing more. `unread` is what was read of the connection and not served; what waits in
    /// the socket is looked at (`recv` with MSG_PEEK).
    ///
    /// So requests that were sent together are all answered. From [`DrainPhase::ClosingIdle`] on every answer is the last one.
    pub fn should_close(&self, stream: impl AsFd, unread: &[u8]) -> bool {
        self.is_draining() && (self.is_past_closing() || unread.is_empty() && !has_more(stream.as_fd()))
    }

    /// Whether the drain has come to the phase in which the idle are told to go, and to this connection's moment of it.
    pub(crate) fn is_past_closing(&self) -> bool {
        let closing = self.connections.shutdown_signal(DrainPhase::ClosingIdle);
        self.connections.is_closing_idle()
            && self.told_at_after(&closing).is_some_and(|moment| moment <= Instant::now())
    }

    /// Whether this connection is told to go now: to be closed if it waits for a request, to come to an end if it is
    /// long-lived.
    pub fn is_shutdown_requested(&self) -> bool {
        let flag = if self.kind == ConnectionKind::LongLived { PARTING } else { CLOSING };
        self.connections.state() & flag != 0 && self.is_told()
    }

    fn is_told(&self) -> bool {
        self.shutdown_at().is_some_and(|moment| moment <= Instant::now())
    }

    /// The phase of the drain in which a connection of the kind that it is now is told to go. With a
    /// [spread](crate::Builder::spread) it goes at [a moment of its own](Guard::shutdown_at) after it.
    pub fn shutdown_signal(&self) -> ShutdownSignal {
        self.connections.shutdown_signal(match self.kind {
            ConnectionKind::LongLived => DrainPhase::ClosingLongLived,
            ConnectionKind::Idle | ConnectionKind::InRequest => DrainPhase::ClosingIdle,
        })
    }

    /// When this connection goes, which is known once [its phase](Guard::told) has begun: then, or at its own moment within
    /// the [spread](crate::Builder::spread). A connection that first waits for a request in the drain, after a long handshake
    /// for example, has [`idle_grace`](crate::Builder::idle_grace) from then, as a new one has.
    pub fn shutdown_at(&self) -> Option<Instant> {
        self.told_at_after(&self.shutdown_signal())
    }

    fn told_at_after(&self, told: &ShutdownSignal) -> Option<Instant> {
        let moment = told.at()? + *self.moment.get_or_init(|| self.connections.0.jitter.draw());
        Some(self.not_before.map_or(moment, |not_before| not_before.max(moment)))
    }

    /// The connection waits for a request, perhaps for the first time. The handshake of TLS may have taken it from before the
    /// drain into its last phase, and what its client sends then is a first request.
    pub(crate) fn begin_to_wait(&mut self) {
        if !std::mem::replace(&mut self.has_waited, true) && self.is_draining() {
            self.not_before = Some(Instant::now() + self.connections.0.idle_grace);
        }
    }

    /// The connection waits for its next request.
    pub fn idle(&mut self) {
        self.become_kind(ConnectionKind::Idle);
    }

    /// A request has begun.
    pub fn busy(&mut self) {
        self.become_kind(ConnectionKind::InRequest);
    }

    /// The connection lives on: it was upgraded, or streams for as long as its client likes. From now on a drain counts it
    /// apart, and tells it last.
    pub fn long_lived(&mut self) {
        self.become_kind(ConnectionKind::LongLived);
    }

    /// One atomic operation, but for what is long-lived, which needs two or three.
    fn become_kind(&mut self, kind: ConnectionKind) {
        let was = std::mem::replace(&mut self.kind, kind);
        if was == kind {
            return;
        }
        let shared = &self.connections.0;
        // What is neither counts as in a request, so that a drain goes no further at that moment.
        match was {
            ConnectionKind::Idle => drop(shared.state.fetch_sub(WAITING, Ordering::SeqCst)),
            ConnectionKind::LongLived => drop(shared.long_lived.fetch_sub(1, Ordering::SeqCst)),
            ConnectionKind::InRequest => {}
        }
        match kind {
            ConnectionKind::Idle => drop(shared.state.fetch_add(WAITING, Ordering::SeqCst)),
            ConnectionKind::LongLived => {
                shared.long_lived.fetch_add(1, Ordering::SeqCst);
                let state = self.connections.state();
                self.connections.fewer(state, state & COUNT);
            }
            ConnectionKind::InRequest => {}
        }
        if let Some(entry) = &self.entry {
            entry.set_kind(kind);
        }
    }

    /// Enters it into the [list](Connections::held) under this name, or changes its name there: the client, the request.
    ///
    /// A guard in the list costs an allocation, a look at the clock and a lock that all such guards share, when it enters
    /// and when it goes; one that is not costs nothing of it.
    pub fn set_name(&mut self, name: impl Into<Cow<'static, str>>) {
        self.entry().set_name(name.into());
    }

    /// Enters it into the [list](Connections::held), and lets the end of a drain [cut](crate::Builder::cut) this
    /// connection, by a duplicate of its descriptor (`fcntl(F_DUPFD_CLOEXEC)`), which is held for as long as the guard. An
    /// acceptor does so by itself where the library is to cut. The first connection that it is given stays.
    ///
    /// # Errors
    /// Those of `fcntl`: most likely EMFILE.
    pub fn set_socket(&mut self, connection: impl AsFd) -> io::Result<()> {
        let connection = connection.as_fd().try_clone_to_owned()?;
        self.entry().set_connection(connection);
        Ok(())
    }

    /// The connection that it can cut, if it was given one.
    #[cfg(any(feature = "actix", feature = "hyper"))]
    pub(crate) fn connection(&self) -> Option<BorrowedFd<'_>> {
        self.entry.as_ref().and_then(|entry| entry.connection())
    }

    /// Enters it into the list under the address of its client, if it is not there.
    #[cfg(any(feature = "actix", feature = "hyper"))]
    pub(crate) fn name_by_client(&mut self, connection: BorrowedFd<'_>) {
        if self.entry.is_none() {
            self.set_name(client(connection).unwrap_or_else(|| "a client of a Unix socket".to_owned()));
        }
    }

    fn entry(&mut self) -> &Entry {
        let (register, kind) = (&self.connections.0.register, self.kind);
        self.entry.get_or_insert_with(|| register.enter(kind))
    }

    /// Waits for the next request on `stream` (`poll`): `true` when there is something to read, `false` when a drain tells
    /// the idle to go and there is nothing. The guard is idle meanwhile, and busy after `true`.
    ///
    /// A long-lived one stays so, and is told when the long-lived are: say goodbye as the protocol has it, and read on
    /// without this wait.
    ///
    /// For servers with a thread a connection. It is a wait that a blocking `read` would do as well, but for the drain.
    ///
    /// # Errors
    /// Those of `poll`.
    pub fn wait_readable(&mut self, stream: impl AsFd) -> io::Result<bool> {
        loop {
            if let Some(readable) = self.wait_either(stream.as_fd(), None)? {
                return Ok(readable);
            }
        }
    }

    /// Returns whether the predecessor had this connection, and [moved](crate::Builder::migrate_connections) it here.
    pub fn is_migrated(&self) -> bool {
        self.migrated
    }

    /// Gives the connection bytes of the server's own that travel with it when it [moves](crate::Builder::migrate_connections): what
    /// a line of the PROXY protocol said, for example, since a client sends it once. At most 16 MiB; replaces what was there.
    pub fn attach(&mut self, bytes: impl Into<Arc<[u8]>>) {
        self.attached = Some(bytes.into());
    }

    /// Returns what the connection [carries](Guard::carry): what the predecessor gave it, or this process.
    pub fn attached(&self) -> &[u8] {
        self.attached.as_deref().unwrap_or_default()
    }

    /// It came from the predecessor with this.
    pub(crate) fn set_migrated(&mut self, carried: Vec<u8>) {
        self.migrated = true;
        if !carried.is_empty() {
            self.attach(carried);
        }
    }

    pub(crate) fn prime(&mut self) {
        self.primed = true;
    }

    pub(crate) fn is_primed(&self) -> bool {
        self.primed
    }

    /// The connection is another process's by now: nothing here ends it any more.
    pub(crate) fn give_up_connection(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.connections.0.register.leave(&entry);
        }
    }

    /// As [`Guard::wait_readable`], and `None` as soon as `other` is ready.
    pub(crate) fn wait_either(
        &mut self,
        stream: BorrowedFd<'_>,
        other: Option<(BorrowedFd<'_>, PollFlags)>,
    ) -> io::Result<Option<bool>> {
        if std::mem::take(&mut self.primed) {
            self.busy();
            return Ok(Some(true));
        }
        self.begin_to_wait();
        if self.kind != ConnectionKind::LongLived {
            self.idle();
        }
        loop {
            let told = self.shutdown_signal();
            let moment = self.told_at_after(&told);
            // Without another the stream stands in, which is looked at anyway.
            let (second, flags) = other.unwrap_or((stream, PollFlags::empty()));
            let mut fds = [
                PollFd::new(stream, PollFlags::POLLIN),
                PollFd::new(second, flags),
                PollFd::new(told.as_fd(), PollFlags::POLLIN),
            ];
            let polled = match moment {
                None => poll(&mut fds, PollTimeout::NONE),
                Some(moment) => poll(&mut fds[..2], until(moment)),
            };
            match polled {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            // A request that is there is served, whatever else is said.
            if fds[0].any() == Some(true) {
                if self.kind != ConnectionKind::LongLived {
                    self.busy();
                }
                return Ok(Some(true));
            }
            // Where the drain was rolled back meanwhile it waits on.
            if self.is_told() {
                return Ok(Some(false));
            }
            if other.is_some() && fds[1].any() == Some(true) {
                return Ok(None);
            }
        }
    }
}

/// Rounded up: waking before the moment would only mean waiting again.
pub(crate) fn until(moment: Instant) -> PollTimeout {
    let left = moment.saturating_duration_since(Instant::now());
    let milliseconds = left.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
}

impl Drop for Guard {
    fn drop(&mut self) {
        let shared = &self.connections.0;
        if let Some(entry) = self.entry.take() {
            shared.register.leave(&entry);
        }
        if self.kind == ConnectionKind::LongLived {
            shared.long_lived.fetch_sub(1, Ordering::SeqCst);
        }
        let gone = if self.kind == ConnectionKind::Idle { CONNECTION + WAITING } else { CONNECTION };
        let before = shared.state.fetch_sub(gone, Ordering::SeqCst);
        self.connections.fewer(before, (before & COUNT) - 1);
    }
}
