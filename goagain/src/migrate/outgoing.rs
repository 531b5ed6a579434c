//! The route to the successor.

use crate::drain::latch::Latch;
use goagain_env::Channel;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The route on which connections are sent to the successor, for all threads.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    route: Route,
    /// Set when the route opens.
    opening: Arc<Latch>,
}

#[derive(Debug)]
enum Route {
    /// There is no successor, or it takes no connections.
    None,
    /// The successor is the owner and does not serve yet. If it died now, migrated connections would be lost.
    Pending(Channel),
    Open(Arc<Channel>),
}

/// Whether connections can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Openness {
    Closed,
    Pending,
    Open,
}

impl Outgoing {
    pub(super) fn new() -> io::Result<Outgoing> {
        let shared = Shared { route: Route::None, opening: Arc::new(Latch::new()?) };
        Ok(Outgoing(Arc::new(Mutex::new(shared))))
    }

    /// The successor is the owner; the route opens when it serves.
    pub(super) fn set_pending(&self, channel: Channel) {
        self.lock().route = Route::Pending(channel);
    }

    pub(super) fn open(&self) {
        let mut shared = self.lock();
        shared.route = match std::mem::replace(&mut shared.route, Route::None) {
            Route::Pending(channel) => Route::Open(Arc::new(channel)),
            route => route,
        };
        if matches!(shared.route, Route::Open(_)) {
            shared.opening.set();
        }
    }

    pub(super) fn close(&self) -> io::Result<()> {
        let mut shared = self.lock();
        shared.route = Route::None;
        if shared.opening.is_set() {
            shared.opening = Arc::new(Latch::new()?);
        }
        Ok(())
    }

    /// Closes the route if it still is this channel: the successor takes no connections, or has handed over itself, or is dead.
    pub(super) fn close_if(&self, channel: &Arc<Channel>) {
        let mut shared = self.lock();
        if matches!(&shared.route, Route::Open(open) if Arc::ptr_eq(open, channel)) {
            shared.route = Route::None;
        }
    }

    pub(super) fn openness(&self) -> Openness {
        match self.lock().route {
            Route::None => Openness::Closed,
            Route::Pending(_) => Openness::Pending,
            Route::Open(_) => Openness::Open,
        }
    }

    pub(super) fn channel(&self) -> Option<Arc<Channel>> {
        match &self.lock().route {
            Route::Open(channel) => Some(Arc::clone(channel)),
            _ => None,
        }
    }

    /// Returns the latch that is set when the route opens, in the current term.
    pub(super) fn opening(&self) -> Arc<Latch> {
        Arc::clone(&self.lock().opening)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
