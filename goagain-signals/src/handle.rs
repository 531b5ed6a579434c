//! Requests to the loop from other threads.

use crate::Stop;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sends requests to the signal loop of this process, from any thread. Returned by `goagain::Goagain::handle`.
///
/// A request wakes the loop through a descriptor and returns at once. The loop reports what it did as an
/// [`Event`](crate::Event).
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: UnixStream,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<Request>,
    attempt: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Restart,
    Abort(String),
    Stop(Stop),
    Dismiss,
}

impl Handle {
    /// Requests a restart, as SIGUSR2 does by default. Returns the number of its attempt.
    ///
    /// If a restart is running, the loop remembers one more, and does it after the running one. All requests until then are the
    /// same restart and have the same number.
    ///
    /// If the image file was replaced after the running attempt was started, and its new process is not ready yet, that attempt
    /// is aborted instead: a fixed image does not wait for a broken one. Its process is killed at once (SIGKILL), and the new
    /// attempt begins as soon as that process is reaped. The file counts as replaced if `stat(2)` returns another device,
    /// inode, size, mtime or ctime.
    pub fn restart(&self) -> u64 {
        self.ask(Request::Restart) + 1
    }

    /// Aborts the running attempt, if its new process has not taken over yet. Also refuses a restart that was requested
    /// meanwhile. The owner keeps serving, and reports [`Failed`](crate::EventKind::Failed) with `reason`.
    ///
    /// The new process receives `reason` with [the message ABORT]. It is killed (SIGKILL) if it has not exited after
    /// `abort_timeout`. A commit is final: after the new process has taken over, this call only reports
    /// [`NotAborted`](crate::EventKind::NotAborted). It reports the same if no attempt is running.
    ///
    /// Under a strategy that execs in place, the child serves in the second half of a restart, and waits for the old process to
    /// become ready again. If this method is called in the child then, it aborts the old process, as the timeout
    /// `reexec_timeout` would. The child keeps serving, and the first pid of the service ends.
    ///
    /// [the message ABORT]: goagain_env::Message::Abort
    pub fn abort_attempt(&self, reason: impl Into<String>) {
        self.ask(Request::Abort(reason.into()));
    }

    /// Requests a stop at once, without a drain, as SIGINT and SIGTERM do by default.
    pub fn stop_now(&self) {
        self.ask(Request::Stop(Stop::Now(None)));
    }

    /// Requests a graceful stop, as SIGQUIT does by default: the process stops accepting, drains and exits. The second call
    /// stops at once.
    pub fn stop_gracefully(&self) {
        self.ask(Request::Stop(Stop::Gracefully));
    }

    /// Says that the fallback is no longer needed. It is for a strategy that keeps the fallback after the probation period.
    ///
    /// The owner asks its predecessor to release it (DISMISS). The predecessor asks its strategy again, with
    /// [`View::dismissed`](goagain_env::View::dismissed), when the probation period is over and the owner has said SERVING. In
    /// the predecessor, this call does the same without the message. It does not shorten the probation period.
    pub fn dismiss(&self) {
        self.ask(Request::Dismiss);
    }

    fn ask(&self, request: Request) -> u64 {
        let mut state = self.state();
        state.requests.push(request);
        let attempt = state.attempt;
        drop(state);
        // If the buffer is full, the loop is woken anyway.
        let _ = (&self.0.wake).write(&[0]);
        attempt
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop's side of the handles.
#[derive(Debug)]
pub(crate) struct Requests {
    handle: Handle,
    woken: UnixStream,
}

impl Requests {
    pub(crate) fn new() -> io::Result<Requests> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        Ok(Requests { handle: Handle(Arc::new(Shared { state: Mutex::default(), wake })), woken })
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub(crate) fn set_attempt(&self, attempt: u64) {
        self.handle.state().attempt = attempt;
    }

    pub(crate) fn take(&self) -> Vec<Request> {
        let mut buffer = [0; 64];
        while matches!((&self.woken).read(&mut buffer), Ok(64)) {}
        std::mem::take(&mut self.handle.state().requests)
    }
}

impl AsFd for Requests {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_taken_in_order_and_carry_the_next_attempt() {
        let requests = Requests::new().unwrap();
        let handle = requests.handle();
        requests.set_attempt(6);
        assert_eq!(handle.restart(), 7);
        assert_eq!(handle.restart(), 7);
        handle.abort_attempt("a typo");
        handle.stop_gracefully();
        handle.dismiss();
        handle.stop_now();
        use Request::*;
        let expected = [Restart, Restart, Abort("a typo".into()), Stop(Gracefully), Dismiss, Stop(Now(None))];
        use crate::Stop::*;
        assert_eq!(requests.take(), expected);
        assert_eq!(requests.take(), []);
    }
}
