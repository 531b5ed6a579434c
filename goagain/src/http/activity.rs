//! What a connection does, as whoever serves it tells.

use crate::drain::linger::{QUIET, bytes_unsent};
use crate::drain::{Connections, Guard};
use crate::http::follower::{Http1Follower, Length};
use crate::tokio::guard::shutdown_requested;
use goagain_signals::ConnectionKind;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

/// What a connection does, told to its guard by whoever serves it.
#[derive(Clone, Debug)]
pub(crate) struct Activity(pub(crate) Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    doing: Mutex<Doing>,
    pub(crate) connections: Connections,
    /// It speaks another protocol by now, and its bytes are the application's.
    pub(crate) is_upgraded: AtomicBool,
    /// The present answer closes the connection.
    is_last: AtomicBool,
    /// Something was read or written since this was last looked at.
    pub(crate) is_active: AtomicBool,
    /// Something was to be written, and the client does not take it now.
    pub(crate) is_blocked: AtomicBool,
    /// The kernel was asked, when the runtime last had nothing to read, and had nothing either.
    pub(crate) has_nothing: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct Doing {
    pub(crate) guard: Guard,
    /// HTTP/2 has several at a time.
    requests: usize,
    /// Over HTTP/2 a stream was given to another protocol. Nobody tells when it ends.
    has_tunnel: bool,
    reading: Http1Follower,
    /// Requests are told here.
    follows: bool,
    /// An answer was given to the library while this process drains, and who wants to know.
    has_answered: bool,
    waker: Option<Waker>,
    /// Who waits for the client's end, which is kept back while its last request is answered.
    pub(crate) end: Option<Waker>,
}

impl Activity {
    pub(crate) fn new(guard: Guard) -> Activity {
        Activity::with(guard, true)
    }

    /// For a connection whose requests may never be told here: nothing is made of its bytes until [`Activity::follow`].
    #[cfg(feature = "axum")]
    pub(crate) fn unfollowed(guard: Guard) -> Activity {
        Activity::with(guard, false)
    }

    fn with(mut guard: Guard, follows: bool) -> Activity {
        guard.begin_to_wait();
        let connections = guard.connections().clone();
        let doing = Doing {
            guard,
            requests: 0,
            has_tunnel: false,
            reading: Http1Follower::default(),
            follows,
            has_answered: false,
            waker: None,
            end: None,
        };
        Activity(Arc::new(Shared {
            doing: Mutex::new(doing),
            connections,
            is_upgraded: AtomicBool::new(false),
            is_last: AtomicBool::new(false),
            is_active: AtomicBool::new(false),
            is_blocked: AtomicBool::new(false),
            has_nothing: AtomicBool::new(false),
        }))
    }

    #[cfg(feature = "axum")]
    pub(crate) fn follow(&self) {
        self.lock().follows = true;
    }

    /// What was read of the connection is given to a library anew.
    #[cfg(feature = "hyper")]
    pub(crate) fn read_anew(&self) {
        self.0.is_last.store(false, Ordering::Relaxed);
        let mut doing = self.lock();
        doing.reading = Http1Follower::default();
        doing.settle();
    }

    /// One more request. Of one over HTTP/1.1 its body's length is said.
    pub(crate) fn begin(&self, length: Option<Length>) -> InRequest {
        let mut doing = self.lock();
        doing.requests += 1;
        match length {
            Some(length) => doing.reading.begin(length),
            None => doing.reading.stop(),
        }
        doing.settle();
        // Its body may not have come whole.
        let end = doing.end.take();
        drop(doing);
        end.into_iter().for_each(Waker::wake);
        InRequest(Arc::new(UnderWay(self.clone())))
    }

    /// From now on it speaks another protocol.
    pub(crate) fn upgrade(&self) {
        self.0.is_upgraded.store(true, Ordering::SeqCst);
        let mut doing = self.lock();
        doing.reading.stop();
        doing.guard.long_lived();
    }

    /// From now on a stream of it speaks another protocol (RFC 8441, CONNECT over HTTP/2).
    #[cfg(feature = "hyper")]
    pub(crate) fn give_a_stream(&self) {
        self.lock().has_tunnel = true;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.connections.is_draining()
    }

    /// What the kernel was asked before does not count any longer.
    #[cfg(feature = "actix")]
    pub(crate) fn look_again(&self) {
        self.0.has_nothing.store(false, Ordering::Relaxed);
    }

    /// Whether the answer to be given over HTTP/1.1 is to close its connection: as [`Guard::should_close`]. Nothing is read behind
    /// the request of such an answer.
    pub(crate) fn should_close(&self) -> bool {
        if !self.is_draining() {
            return false;
        }
        let doing = self.lock();
        // What is behind a body that is answered before it has come can wait for ever.
        let has_nothing = doing.reading.is_in_body() || self.0.has_nothing.load(Ordering::Relaxed);
        let is_last = !doing.reading.is_ahead() && has_nothing || doing.guard.is_past_closing();
        self.0.is_last.store(is_last, Ordering::Relaxed);
        is_last
    }

    /// Whether the last request has come, and its answer will close the connection.
    pub(crate) fn reads_no_more(&self) -> bool {
        self.0.is_last.load(Ordering::Relaxed) && self.lock().reading.is_whole()
    }

    /// Whether an answer was given while this process drains; if not, the task of `cx` is woken when one is.
    #[cfg(feature = "hyper")]
    pub(crate) fn has_answered(&self, cx: &Context<'_>) -> bool {
        let mut doing = self.lock();
        doing.waker = Some(cx.waker().clone());
        doing.has_answered
    }

    /// Whether no request is under way, and nothing was upgraded. A part of the next one may have been read.
    #[cfg(feature = "hyper")]
    pub(crate) fn is_between(&self) -> bool {
        let doing = self.lock();
        doing.requests == 0 && doing.guard.kind() != ConnectionKind::LongLived
    }

    /// Whether a part of a request has been read, and nothing else is under way.
    #[cfg(feature = "hyper")]
    pub(crate) fn has_part(&self) -> bool {
        let doing = self.lock();
        doing.requests == 0 && doing.reading.is_ahead()
    }

    /// Whether, over HTTP/1.1, nothing has been read since the last answer, and all of that is written.
    pub(crate) fn is_idle(&self) -> bool {
        let doing = self.lock();
        doing.follows
            && !doing.reading.is_other()
            && doing.guard.kind() == ConnectionKind::Idle
            && !self.0.is_blocked.load(Ordering::Relaxed)
    }

    /// Whether no request is under way, nothing waits to be written, and nothing was read or written since the last time that this
    /// was asked. A request of which only a part has come is not under way.
    pub(crate) fn is_silent(&self) -> bool {
        let is_active = self.0.is_active.swap(false, Ordering::Relaxed);
        let doing = self.lock();
        !is_active
            && doing.follows
            && doing.requests == 0
            && !doing.reading.has_head()
            && doing.guard.kind() != ConnectionKind::LongLived
            && !self.0.is_blocked.load(Ordering::Relaxed)
    }

    /// As [`Guard::give_up_connection`].
    #[cfg(feature = "hyper")]
    pub(crate) fn give_up_connection(&self) {
        self.lock().guard.give_up_connection();
    }

    /// As [`Guard::carried`].
    #[cfg(feature = "hyper")]
    pub(crate) fn attached(&self) -> Vec<u8> {
        self.lock().guard.attached().to_vec()
    }

    /// How much of what was written is still on its way, as far as can be told: by this socket, or by the one that the guard
    /// was given.
    pub(crate) fn bytes_unsent(&self, socket: Option<BorrowedFd<'_>>) -> usize {
        match socket {
            Some(socket) => bytes_unsent(socket),
            None => self.lock().guard.connection().map_or(0, bytes_unsent),
        }
    }

    /// How long a client that was told to go may be silent: to answer a PING, to go on with a request, or to take the end of an
    /// answer, for which it has as long as by [`Linger`](crate::drain::Linger).
    pub(crate) fn patience(&self) -> Duration {
        self.0.connections.idle_grace().max(QUIET)
    }

    pub(crate) async fn shutdown_requested(self) {
        shutdown_requested(|| {
            let guard = &self.lock().guard;
            (guard.shutdown_signal(), guard.shutdown_at())
        })
        .await;
    }

    /// The library has asked for more, and these bytes were there, if any.
    pub(crate) fn read(&self, bytes: &[u8]) {
        let mut doing = self.lock();
        if !doing.follows {
            return;
        }
        if doing.requests == 0 {
            doing.reading.ask_between();
        }
        if !bytes.is_empty() {
            doing.reading.read(bytes);
        }
        doing.settle();
    }

    /// Whether the end of what the client sends is to be kept back from the library: the client may wait for the answer to a
    /// request that has come whole, having shut down its side. Then the task of `cx` is woken when it is answered.
    pub(crate) fn keeps_the_end(&self, cx: &Context<'_>) -> bool {
        let mut doing = self.lock();
        let is_under_way = doing.requests > 0 && doing.reading.is_followed() && doing.reading.is_whole();
        // Its answer has been given, and the client has not taken all of it.
        let is_on_its_way = doing.reading.is_followed() && self.0.is_blocked.load(Ordering::Relaxed);
        let keeps = is_under_way || is_on_its_way;
        if keeps {
            doing.end = Some(cx.waker().clone());
        }
        keeps
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Doing> {
        self.0.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Doing {
    /// Tells the guard what the connection does now. What has read a part of a request is in one.
    fn settle(&mut self) {
        if self.guard.kind() == ConnectionKind::LongLived && !self.has_tunnel {
            return;
        }
        if self.requests > 0 || !self.has_tunnel && self.reading.is_ahead() {
            self.guard.busy();
        } else if self.has_tunnel {
            self.guard.long_lived();
        } else {
            self.guard.idle();
        }
    }
}

/// A request that is under way, until its answer's last byte has been sent.
#[derive(Clone, Debug)]
pub(crate) struct InRequest(Arc<UnderWay>);

#[derive(Debug)]
struct UnderWay(Activity);

impl InRequest {
    /// The request of an answer whose body was given to the library whole.
    #[cfg(any(feature = "actix", feature = "axum"))]
    pub(crate) fn work(&self) -> &Activity {
        &self.0.0
    }

    /// The whole answer was given to the library, which may not have sent all of it.
    pub(crate) fn has_answered(&self) {
        let mut doing = self.0.0.lock();
        if doing.guard.is_draining() {
            doing.has_answered = true;
            let waker = doing.waker.take();
            // Whatever a waker does, it does without our lock.
            drop(doing);
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut doing = self.0.lock();
        doing.requests -= 1;
        doing.settle();
        let waker = if doing.guard.is_draining() { doing.waker.take() } else { None };
        let end = if doing.requests == 0 { doing.end.take() } else { None };
        drop(doing);
        waker.into_iter().chain(end).for_each(Waker::wake);
    }
}
