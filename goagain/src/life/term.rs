//! A term, and the drain after it.

use crate::life::{Finish, Goagain};
use crate::server::serving::LAST_CALLS;
use goagain_signals::{EventKind, Input, Server, Stop, Turn};
use std::io;

impl Goagain {
    /// Handles signals, restarts and messages until the [term](crate::guide::restart#words) ends: until this process has to
    /// stop accepting. If it has to stop already, returns at once. The acceptors end by themselves.
    ///
    /// # Errors
    /// - [`io::ErrorKind::InvalidInput`] before [`ready`](Goagain::ready).
    /// - The errors of `epoll_wait` on Linux, and of `poll` elsewhere.
    pub fn wait(&mut self) -> io::Result<()> {
        self.wait_unless(|| None::<()>).map(drop)
    }

    /// [`Goagain::wait`], which returns what `failed` returns as soon as that is something.
    pub(crate) fn wait_unless<T>(&mut self, failed: impl Fn() -> Option<T>) -> io::Result<Option<T>> {
        self.announce_serving();
        loop {
            if let Some(failed) = failed() {
                return Ok(Some(failed));
            }
            match self.step() {
                Turn::Serve => self.inner.wait(&self.serving)?,
                Turn::Prepare => return Err(before_ready()),
                Turn::Drain(_) | Turn::Exit => return Ok(None),
            }
        }
    }

    /// Returns why this process has to stop accepting, or `None` if it does not have to.
    pub fn stopping(&self) -> Option<Stop> {
        match self.inner.turn() {
            Turn::Serve if self.serving.missed_the_end() => Some(Stop::HandedOver),
            Turn::Drain(stop) => Some(stop),
            Turn::Exit => self.inner.stopped_by().or(Some(Stop::HandedOver)),
            Turn::Prepare | Turn::Serve => None,
        }
    }

    /// Waits until nothing is in flight, the drain has timed out, or a stop ends the drain.
    ///
    /// [`finish`](Goagain::finish) drains too, so most programs do not need this call. It is for work that has to be done after
    /// the last connection and before this process exits or execs: do that work between `drain` and `finish`.
    ///
    /// Returns [`Finish::Exit`] when the drain is over, and [`Finish::Resume`] if this process is the owner again and has to
    /// serve.
    ///
    /// # Errors
    /// - [`io::ErrorKind::InvalidInput`] before [`ready`](Goagain::ready).
    /// - The errors of `epoll_wait` on Linux, and of `poll` elsewhere.
    pub fn drain(&mut self) -> io::Result<Finish> {
        loop {
            match self.drained()? {
                Some(finish) => return Ok(finish),
                None => self.inner.wait(&self.serving)?,
            }
        }
    }

    /// Makes one step of [`Goagain::drain`]. `None`: there is more to wait for.
    pub(crate) fn drained(&mut self) -> io::Result<Option<Finish>> {
        Ok(match self.inner.step(&mut self.serving) {
            Turn::Prepare => return Err(before_ready()),
            Turn::Serve => {
                self.serving.begins_to_accept();
                Some(Finish::Resume)
            }
            Turn::Exit => Some(Finish::Exit),
            _ if self.serving.connections.is_empty() || self.inner.is_drained() => Some(Finish::Exit),
            _ => None,
        })
    }

    /// Drains, stays the [fallback](crate::guide::restart#words) for as long as the strategy wants, and then execs if the
    /// strategy says so. Returns when this process has to exit, or has to serve again. Does not return after a successful
    /// `execve(2)`.
    ///
    /// # Errors
    /// - [`io::ErrorKind::InvalidInput`] before [`ready`](Goagain::ready).
    /// - The errors of `epoll_wait` on Linux, and of `poll` elsewhere.
    pub fn finish(&mut self) -> io::Result<Finish> {
        loop {
            match self.finished()? {
                Some(finish) => return Ok(finish),
                None => self.inner.wait(&self.serving)?,
            }
        }
    }

    /// Makes one step of [`Goagain::finish`]. `None`: there is more to wait for.
    pub(crate) fn finished(&mut self) -> io::Result<Option<Finish>> {
        self.serving.finishing = true;
        Ok(match self.step() {
            Turn::Serve => Some(Finish::Resume),
            Turn::Exit => {
                self.serving.unlink(LAST_CALLS);
                Some(Finish::Exit)
            }
            Turn::Prepare => return Err(before_ready()),
            Turn::Drain(_) => None,
        })
    }

    /// Handles everything that has arrived, without blocking, and returns what the application has to do.
    ///
    /// For programs with an event loop of their own. Call [`announce_serving`](Goagain::announce_serving) when the application
    /// accepts. Call [`announce_done`](Goagain::announce_done) when this process drains and the application has no work left
    /// except its connections.
    ///
    /// If the acceptors of a term have ended, this returns [`Turn::Drain`] until [`announce_done`](Goagain::announce_done) is
    /// called, and [`Turn::Serve`] only after that, even if the successor has died in between. So the application does not miss
    /// that it needs new acceptors.
    pub fn step(&mut self) -> Turn {
        match self.inner.step(&mut self.serving) {
            Turn::Serve if self.serving.missed_the_end() && !self.serving.finishing => {
                Turn::Drain(Stop::HandedOver)
            }
            Turn::Serve => {
                self.serving.begins_to_accept();
                self.receive_connections();
                Turn::Serve
            }
            // This process became the owner, and handed over or was stopped, within this one step. The application has to hear of
            // the term: without it, it would take itself for a process that was not needed, and exit while it is the fallback.
            Turn::Drain(_) | Turn::Exit if self.serving.missed_the_first() => {
                self.serving.begins_to_accept();
                // The next step has more to say, and whoever polls is to make it.
                self.serving.connections.wake_up();
                Turn::Serve
            }
            Turn::Exit => {
                self.leave();
                Turn::Exit
            }
            turn => turn,
        }
    }

    /// Runs `before_exit`, once, in a process that has served. Across an exec the loop runs it.
    fn leave(&mut self) {
        if !self.serving.has_served() || std::mem::replace(&mut self.has_left, true) {
            return;
        }
        if let Err(error) = self.serving.before_exit() {
            let kind = EventKind::CallbackFailed { callback: "before_exit", error };
            self.inner.report(self.inner.attempt(), kind, &mut self.serving);
        }
    }

    /// Tells the predecessor that this process accepts connections ([SERVING](crate::guide::restart#words)).
    /// [`wait`](Goagain::wait) does this first.
    pub fn announce_serving(&mut self) {
        self.inner.tell(Input::Waiting, &mut self.serving);
    }

    /// Tells the loop that the application has no work left except its connections. [`finish`](Goagain::finish) does this
    /// first.
    pub fn announce_done(&mut self) {
        self.serving.finishing = true;
        // Where nothing is in flight any longer, no guard will wake the loop.
        self.serving.connections.wake_up();
    }
}

pub(crate) fn before_ready() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not ready yet: call `ready` first")
}
