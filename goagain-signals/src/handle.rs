//! Requests from other threads.

use crate::Stop;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Asks the loop of this process for something, from any thread.
///
/// A request wakes the loop through a descriptor and returns at once; what becomes of it is told to the observer.
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
    /// Asks for a restart and returns the number of the attempt that will do it. While a restart runs this notes one
    /// more, to be done after it; many such requests are one, and have the same number.
    ///
    /// Where the image's file was replaced since the running attempt was started (`stat(2)` answers another device, inode,
    /// size, mtime or ctime), that attempt ends as by [`abort_attempt`](Handle::abort_attempt), without a grace, and this one
    /// begins as soon as its process is reaped: a fixed image does not wait for a broken one.
    pub fn restart(&self) -> u64 {
        self.ask(Request::Restart) + 1
    }

    /// Ends the attempt that is under way, whose new image is not ready yet, and refuses a restart that was noted meanwhile. The
    /// owner serves on, and reports [`Failed`](crate::EventKind::Failed) with `reason`.
    ///
    /// The new image reads `reason` as that of [its abort], has `grace` to leave, and is killed (SIGKILL) after that. A commit is
    /// final: from then on this does nothing but report [`NotAborted`](crate::EventKind::NotAborted), and so it does where no
    /// attempt is under way.
    ///
    /// Under a strategy that execs in place there is a second half, in which the child owns and waits for the process that
    /// has exec'd. Asked of the child, this gives that process up, as its deadline (`reexec_timeout`) would: the child keeps the
    /// service, and the service's first pid ends.
    ///
    /// [its abort]: goagain_env::Message::Abort
    pub fn abort_attempt(&self, reason: impl Into<String>) {
        self.ask(Request::Abort(reason.into()));
    }

    /// Stops now, without a drain, as INT and TERM do.
    pub fn stop_now(&self) {
        self.ask(Request::Stop(Stop::Now(None)));
    }

    /// Stops gracefully, as QUIT does: the second time, now.
    pub fn stop_gracefully(&self) {
        self.ask(Request::Stop(Stop::Gracefully));
    }

    /// Lets the net go, where the strategy would keep it after probation: in the owner this asks the predecessor to
    /// leave, in the predecessor it does so at once.
    pub fn dismiss(&self) {
        self.ask(Request::Dismiss);
    }

    fn ask(&self, request: Request) -> u64 {
        let mut state = self.state();
        state.requests.push(request);
        let attempt = state.attempt;
        drop(state);
        // A full buffer wakes the loop as well.
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
