//! One connection in flight.

use super::held::Entry;
use super::phase::{DrainPhase, Reached};
use super::{CLOSING, CONNECTION, COUNT, Connections, PARTING, WAITING};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// What a connection does, and so what a drain does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// It waits for a request: in the second phase of a drain it is told to go.
    Idle,
    /// It is in a request, which a drain waits for.
    InRequest,
    /// It lives on (an upgraded connection, a stream, a subscription): in the third phase of a drain, when the others are
    /// gone, it is told to go.
    LongLived,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Idle => "idle",
            Kind::InRequest => "in a request",
            Kind::LongLived => "long-lived",
        })
    }
}

/// One connection in flight, or one piece of other work; the drain waits until it is dropped.
///
/// It can say what the connection does: wait for a request ([`Guard::idle`]), be in one ([`Guard::busy`]), or live on
/// ([`Guard::long_lived`]): what a drain does with it depends on that. A guard begins as one that waits.
#[derive(Debug)]
pub struct Guard {
    connections: Connections,
    kind: Kind,
    /// When in the window it is told to go; drawn when that is first asked.
    moment: OnceLock<Duration>,
    /// Its place in the list, if it is there.
    entry: Option<Arc<Entry>>,
    /// Bytes of the connection were read by another process already, and come first from its stream.
    primed: bool,
}

impl Guard {
    pub(super) fn new(connections: Connections) -> Guard {
        Guard { connections, kind: Kind::Idle, moment: OnceLock::new(), entry: None, primed: false }
    }

    /// What it is counted by.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// What the connection does.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the answer being written should close its connection (`Connection: close`).
    pub fn is_draining(&self) -> bool {
        self.connections.is_draining()
    }

    /// Whether this connection is told to go now: to be closed if it waits for a request, to come to an end if it is
    /// long-lived.
    pub fn is_closing(&self) -> bool {
        let flag = if self.kind == Kind::LongLived { PARTING } else { CLOSING };
        self.connections.state() & flag != 0 && self.is_told()
    }

    fn is_told(&self) -> bool {
        self.told_at().is_some_and(|moment| moment <= Instant::now())
    }

    /// The phase of the drain in which a connection of the kind that it is now is told to go. With a
    /// [spread](crate::Builder::spread) it goes at [a moment of its own](Guard::told_at) after it.
    pub fn told(&self) -> Reached {
        self.connections.reached(match self.kind {
            Kind::LongLived => DrainPhase::Parting,
            Kind::Idle | Kind::InRequest => DrainPhase::Closing,
        })
    }

    /// When this connection goes, which is known once [its phase](Guard::told) has begun: then, or at its own moment within
    /// the [spread](crate::Builder::spread).
    pub fn told_at(&self) -> Option<Instant> {
        self.told_at_after(&self.told())
    }

    fn told_at_after(&self, told: &Reached) -> Option<Instant> {
        told.at().map(|began| began + *self.moment.get_or_init(|| self.connections.0.spread.draw()))
    }

    /// The connection waits for its next request.
    pub fn idle(&mut self) {
        self.become_kind(Kind::Idle);
    }

    /// A request has begun.
    pub fn busy(&mut self) {
        self.become_kind(Kind::InRequest);
    }

    /// The connection lives on: it was upgraded, or streams for as long as its client likes. From now on a drain counts it
    /// apart, and tells it last.
    pub fn long_lived(&mut self) {
        self.become_kind(Kind::LongLived);
    }

    /// One atomic operation, but for what is long-lived, which needs two or three.
    fn become_kind(&mut self, kind: Kind) {
        let was = std::mem::replace(&mut self.kind, kind);
        if was == kind {
            return;
        }
        let shared = &self.connections.0;
        // What is neither counts as in a request, so that a drain goes no further at that moment.
        match was {
            Kind::Idle => drop(shared.state.fetch_sub(WAITING, Ordering::SeqCst)),
            Kind::LongLived => drop(shared.long_lived.fetch_sub(1, Ordering::SeqCst)),
            Kind::InRequest => {}
        }
        match kind {
            Kind::Idle => drop(shared.state.fetch_add(WAITING, Ordering::SeqCst)),
            Kind::LongLived => {
                shared.long_lived.fetch_add(1, Ordering::SeqCst);
                let state = self.connections.state();
                self.connections.fewer(state, state & COUNT);
            }
            Kind::InRequest => {}
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
    pub fn let_cut(&mut self, connection: impl AsFd) -> io::Result<()> {
        let connection = connection.as_fd().try_clone_to_owned()?;
        self.entry().set_connection(connection);
        Ok(())
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
        if self.kind != Kind::LongLived {
            self.idle();
        }
        loop {
            let told = self.told();
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
                if self.kind != Kind::LongLived {
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
fn until(moment: Instant) -> PollTimeout {
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
        if self.kind == Kind::LongLived {
            shared.long_lived.fetch_sub(1, Ordering::SeqCst);
        }
        let gone = if self.kind == Kind::Idle { CONNECTION + WAITING } else { CONNECTION };
        let before = shared.state.fetch_sub(gone, Ordering::SeqCst);
        self.connections.fewer(before, (before & COUNT) - 1);
    }
}
