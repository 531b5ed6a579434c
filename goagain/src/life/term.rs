//! A term, and the drain after it.

use crate::life::{Finish, Goagain};
use crate::server::serving::LAST_CALLS;
use goagain_signals::{EventKind, Input, Server, Stop, Turn};
use std::io;

impl Goagain {
    /// Handles signals, restarts and messages until the term ends, which is when this process has to stop accepting. Returns at once while that
    /// is so. The acceptors end by themselves.
    ///
    /// # Errors
    /// Those of `epoll_wait`, and [`io::ErrorKind::InvalidInput`] before [`ready`](Goagain::ready).
    pub fn wait(&mut self) -> io::Result<()> {
        self.inner.tell(Input::Waiting, &mut self.serving);
        loop {
            match self.step() {
                Turn::Serve => self.inner.wait(&self.serving)?,
                Turn::Prepare => return Err(before_ready()),
                Turn::Drain(_) | Turn::Exit => return Ok(()),
            }
        }
    }

    /// Returns why this process stops accepting, or `None` if it does not.
    pub fn stopping(&self) -> Option<Stop> {
        match self.inner.turn() {
            Turn::Serve if self.serving.missed_the_end() => Some(Stop::HandedOver),
            Turn::Drain(stop) => Some(stop),
            Turn::Exit => self.inner.stopped_by().or(Some(Stop::HandedOver)),
            Turn::Prepare | Turn::Serve => None,
        }
    }

    /// Waits until nothing is in flight, the drain has timed out, or a stop ends it. Last work between that and
    /// [`finish`](Goagain::finish) goes after it. [`Finish::Resume`]: serve again.
    ///
    /// # Errors
    /// Those of `epoll_wait`, and [`io::ErrorKind::InvalidInput`] before [`ready`](Goagain::ready).
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

    /// Drains, stays the fallback for as long as the strategy wants, and, under a strategy that execs, execs. Returns when this process
    /// has to exit, or to serve again.
    ///
    /// # Errors
    /// Those of `epoll_wait`, and [`io::ErrorKind::InvalidInput`] before [`ready`](Goagain::ready).
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

    /// Does what can be done without blocking, and returns what the application has to do: for a program with an event loop of its own. Call
    /// [`announce_serving`](Goagain::announce_serving) when you accept, and [`announce_done`](Goagain::announce_done) when you drain and have no
    /// last work left.
    ///
    /// A term whose acceptors have ended is followed by [`Turn::Drain`] before the next [`Turn::Serve`], even if the successor has died in
    /// between.
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

    /// Tells the predecessor that this process accepts. [`wait`](Goagain::wait) does this first.
    pub fn announce_serving(&mut self) {
        self.inner.tell(Input::Waiting, &mut self.serving);
    }

    /// Says that the application has no work left but its connections. [`finish`](Goagain::finish) does this first.
    pub fn announce_done(&mut self) {
        self.serving.finishing = true;
        // Where nothing is in flight any longer, no guard will wake the loop.
        self.serving.connections.wake_up();
    }
}

pub(crate) fn before_ready() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not ready yet: call `ready` first")
}
