//! Requests to the loop from other threads.

use crate::Stop;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sends requests to the loop of this process, from any thread.
///
/// A request wakes the loop through a descriptor and returns at once. The loop reports what it did as an event.
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
    /// Requests a restart, and returns the number of its attempt. While a restart runs, one more is remembered and done after
    /// it: all requests until then are one, and have the same number.
    ///
    /// If the image file was replaced since the running attempt was started (`stat(2)` returns another device, inode, size,
    /// mtime or ctime), that attempt is aborted as by [`abort_attempt`](Handle::abort_attempt), but with SIGKILL at once. The new
    /// attempt begins as soon as the process of the old one is reaped: a fixed image does not wait for a broken one.
    pub fn restart(&self) -> u64 {
        self.ask(Request::Restart) + 1
    }

    /// Aborts the running attempt, whose new process is not ready yet, and refuses a restart that was requested meanwhile. The
    /// owner keeps serving, and reports [`Failed`](crate::EventKind::Failed) with `reason`.
    ///
    /// The new process receives `reason` as that of [its abort], has `abort_timeout` to exit, and is killed (SIGKILL) after that.
    /// A commit is final: once the new process has taken over, this only reports [`NotAborted`](crate::EventKind::NotAborted). So
    /// it does if no attempt is running.
    ///
    /// A strategy that execs in place has a second half, in which the child serves and waits for the process that has exec'd.
    /// Called in the child, this gives that process up, as the deadline `reexec_timeout` would: the child keeps serving, and the
    /// first pid of the service ends.
    ///
    /// [its abort]: goagain_env::Message::Abort
    pub fn abort_attempt(&self, reason: impl Into<String>) {
        self.ask(Request::Abort(reason.into()));
    }

    /// Stops now, without a drain, as SIGINT and SIGTERM do by default.
    pub fn stop_now(&self) {
        self.ask(Request::Stop(Stop::Now(None)));
    }

    /// Stops gracefully, as SIGQUIT does by default. The second call stops now.
    pub fn stop_gracefully(&self) {
        self.ask(Request::Stop(Stop::Gracefully));
    }

    /// Ends the fallback, where the strategy would keep it after the probation period. In the owner this asks the predecessor to
    /// release; in the predecessor it releases at once.
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
