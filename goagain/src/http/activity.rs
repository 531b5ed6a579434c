//! What a connection does, as the code that serves it reports.

use super::request::RequestGuard;
use crate::drain::linger::{QUIET, bytes_unsent};
use crate::drain::{Connections, Guard};
#[cfg(feature = "hyper")]
use crate::drain::{DrainPhase, ShutdownSignal};
use crate::http::follower::{Http1Follower, Length};
use crate::tokio::guard::shutdown_requested;
use goagain_signals::ConnectionKind;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

/// What one connection does: which requests are under way, and what its client has sent.
///
/// It is shared by the tracked connection, which sees the bytes, and the service, which sees the requests. Together they tell the
/// guard whether the connection is idle, in a request, or long-lived.
#[derive(Clone, Debug)]
pub(crate) struct Activity(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<ActivityState>,
    pub(super) connections: Connections,
    /// Whether it speaks another protocol by now, so that its bytes belong to the application.
    pub(super) is_upgraded: AtomicBool,
    /// Whether the present response closes the connection.
    is_last: AtomicBool,
    /// Whether something was read or written since this was last looked at.
    pub(super) is_active: AtomicBool,
    /// Whether there is something to write that the client does not take now.
    pub(super) is_blocked: AtomicBool,
    /// Whether the kernel had nothing to read when it was last asked, which is when the runtime has nothing to read.
    pub(super) is_socket_empty: AtomicBool,
}

#[derive(Debug)]
pub(super) struct ActivityState {
    pub(super) guard: Guard,
    /// How many requests are under way. HTTP/2 has several at a time.
    pub(super) requests: usize,
    /// Whether a stream of an HTTP/2 connection was given to another protocol. Its end is never reported.
    has_tunnel: bool,
    follower: Http1Follower,
    /// Whether requests are reported here.
    follows: bool,
    /// Whether a response was given to the HTTP library while this process drains, and the task that waits for that.
    pub(super) has_answered: bool,
    pub(super) answer_waker: Option<Waker>,
    /// The task that waits for the client's end of the connection, which is held back while the last request is answered.
    pub(super) end_waker: Option<Waker>,
}

impl Activity {
    pub(crate) fn new(guard: Guard) -> Activity {
        Activity::with(guard, true)
    }

    /// Returns the activity of a connection whose requests may never be reported here. Its bytes are ignored until
    /// [`Activity::follow`].
    #[cfg(feature = "axum")]
    pub(crate) fn unfollowed(guard: Guard) -> Activity {
        Activity::with(guard, false)
    }

    fn with(mut guard: Guard, follows: bool) -> Activity {
        guard.begin_to_wait();
        let connections = guard.connections().clone();
        let state = ActivityState {
            guard,
            requests: 0,
            has_tunnel: false,
            follower: Http1Follower::default(),
            follows,
            has_answered: false,
            answer_waker: None,
            end_waker: None,
        };
        Activity(Arc::new(Shared {
            state: Mutex::new(state),
            connections,
            is_upgraded: AtomicBool::new(false),
            is_last: AtomicBool::new(false),
            is_active: AtomicBool::new(false),
            is_blocked: AtomicBool::new(false),
            is_socket_empty: AtomicBool::new(false),
        }))
    }

    #[cfg(feature = "axum")]
    pub(crate) fn follow(&self) {
        self.lock().follows = true;
    }

    /// Notes that a new HTTP library begins to serve the connection, and gets the unserved bytes again.
    #[cfg(feature = "hyper")]
    pub(crate) fn read_anew(&self) {
        self.0.is_last.store(false, Ordering::Relaxed);
        let mut state = self.lock();
        state.follower = Http1Follower::default();
        state.update_guard();
    }

    /// Begins one more request. `length` is the length of its body over HTTP/1.1, and `None` over HTTP/2.
    pub(crate) fn begin(&self, length: Option<Length>) -> RequestGuard {
        let mut state = self.lock();
        state.requests += 1;
        match length {
            Some(length) => state.follower.begin(length),
            None => state.follower.stop(),
        }
        state.update_guard();
        // The body may be incomplete, so the end must not be held back any longer.
        let end_waker = state.end_waker.take();
        drop(state);
        end_waker.into_iter().for_each(Waker::wake);
        RequestGuard::new(self.clone())
    }

    /// Notes that the connection speaks another protocol from now on.
    pub(crate) fn upgrade(&self) {
        self.0.is_upgraded.store(true, Ordering::SeqCst);
        let mut state = self.lock();
        state.follower.stop();
        state.guard.long_lived();
    }

    /// Notes that a stream of the connection speaks another protocol from now on (RFC 8441, CONNECT over HTTP/2).
    #[cfg(feature = "hyper")]
    pub(crate) fn give_a_stream(&self) {
        self.lock().has_tunnel = true;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.connections.is_draining()
    }

    /// Returns the signal for the beginning of the drain.
    #[cfg(feature = "hyper")]
    pub(crate) fn draining(&self) -> ShutdownSignal {
        self.0.connections.shutdown_signal(DrainPhase::Draining)
    }

    /// Forgets what the kernel said last.
    #[cfg(feature = "actix")]
    pub(crate) fn look_again(&self) {
        self.0.is_socket_empty.store(false, Ordering::Relaxed);
    }

    /// Whether the response to be given over HTTP/1.1 should close its connection, as [`Guard::should_close`]. If so, nothing is
    /// read after the request of that response.
    pub(crate) fn should_close(&self) -> bool {
        if !self.is_draining() {
            return false;
        }
        let state = self.lock();
        // If a request is answered before its body has come, the rest of the body, and what follows it, may never come.
        let nothing_follows = state.follower.is_in_body() || self.0.is_socket_empty.load(Ordering::Relaxed);
        let is_last = !state.follower.is_ahead() && nothing_follows || state.guard.is_past_closing_idle();
        self.0.is_last.store(is_last, Ordering::Relaxed);
        is_last
    }

    /// Whether the last request has come completely, and its response will close the connection.
    pub(crate) fn reads_no_more(&self) -> bool {
        self.0.is_last.load(Ordering::Relaxed) && self.lock().follower.is_whole()
    }

    /// Whether a response was given while this process drains. If not, the task of `cx` is woken when one is.
    #[cfg(feature = "hyper")]
    pub(crate) fn has_answered(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        state.answer_waker = Some(cx.waker().clone());
        state.has_answered
    }

    /// Whether no request is under way, and nothing was upgraded. A part of the next request may have been read.
    #[cfg(feature = "hyper")]
    pub(crate) fn is_between_requests(&self) -> bool {
        let state = self.lock();
        state.requests == 0 && state.guard.kind() != ConnectionKind::LongLived
    }

    /// Whether a part of a request has been read, and no other request is under way.
    #[cfg(feature = "hyper")]
    pub(crate) fn has_partial_request(&self) -> bool {
        let state = self.lock();
        state.requests == 0 && state.follower.is_ahead()
    }

    /// Whether, over HTTP/1.1, nothing has been read since the last response, and that response is written completely.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.follows
            && !state.follower.is_other()
            && state.guard.kind() == ConnectionKind::Idle
            && !self.0.is_blocked.load(Ordering::Relaxed)
    }

    /// Whether no request is under way, nothing waits to be written, and nothing was read or written since the last call of this
    /// method. A request of which only a part has come is not under way.
    pub(crate) fn is_silent(&self) -> bool {
        let is_active = self.0.is_active.swap(false, Ordering::Relaxed);
        let state = self.lock();
        !is_active
            && state.follows
            && state.requests == 0
            && !state.follower.has_head()
            && state.guard.kind() != ConnectionKind::LongLived
            && !self.0.is_blocked.load(Ordering::Relaxed)
    }

    /// As [`Guard::forget_connection`].
    #[cfg(feature = "hyper")]
    pub(crate) fn forget_connection(&self) {
        self.lock().guard.forget_connection();
    }

    /// As [`Guard::attached`].
    #[cfg(feature = "hyper")]
    pub(crate) fn attached(&self) -> Vec<u8> {
        self.lock().guard.attached().to_vec()
    }

    /// Returns how many of the written bytes the client has not acknowledged, as far as known: of this socket, or else of the
    /// socket that the guard has.
    pub(crate) fn bytes_unsent(&self, socket: Option<BorrowedFd<'_>>) -> usize {
        match socket {
            Some(socket) => bytes_unsent(socket),
            None => self.lock().guard.connection().map_or(0, bytes_unsent),
        }
    }

    /// Returns how long a client may be silent whose connection is asked to close: to answer a PING, to go on with a request, or to
    /// take the end of a response, for which [`Linger`](crate::drain::Linger) gives it as long.
    pub(crate) fn silence_limit(&self) -> Duration {
        self.0.connections.idle_grace().max(QUIET)
    }

    pub(crate) async fn shutdown_requested(self) {
        shutdown_requested(|| {
            let guard = &self.lock().guard;
            (guard.shutdown_signal(), guard.shutdown_at())
        })
        .await;
    }

    /// Notes that the HTTP library has asked for more, and got these bytes, if any.
    pub(crate) fn read(&self, bytes: &[u8]) {
        let mut state = self.lock();
        if !state.follows {
            return;
        }
        if state.requests == 0 {
            state.follower.ask_between();
        }
        if !bytes.is_empty() {
            state.follower.read(bytes);
        }
        state.update_guard();
    }

    /// Whether the client's end of the connection should be held back from the HTTP library. The client may have shut down its
    /// writing side after a complete request, and wait for the response, which the library would not give after the end. If so,
    /// the task of `cx` is woken when the request is answered.
    pub(crate) fn holds_back_end(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        let is_under_way = state.requests > 0 && state.follower.is_followed() && state.follower.is_whole();
        // The response was given to the library, and the client has not taken all of it.
        let is_being_sent = state.follower.is_followed() && self.0.is_blocked.load(Ordering::Relaxed);
        let holds_back = is_under_way || is_being_sent;
        if holds_back {
            state.end_waker = Some(cx.waker().clone());
        }
        holds_back
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ActivityState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ActivityState {
    /// Tells the guard what the connection does now. A connection that has read a part of a request is in that request.
    pub(super) fn update_guard(&mut self) {
        if self.guard.kind() == ConnectionKind::LongLived && !self.has_tunnel {
            return;
        }
        if self.requests > 0 || !self.has_tunnel && self.follower.is_ahead() {
            self.guard.busy();
        } else if self.has_tunnel {
            self.guard.long_lived();
        } else {
            self.guard.idle();
        }
    }
}
