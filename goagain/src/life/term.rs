//! A term: serving, draining, and what follows.

use crate::life::{Finish, Goagain};
use crate::server::serving::LAST_CALLS;
use goagain_signals::{EventKind, Input, Server, Stop, Turn};
use std::io;

impl Goagain {
    /// Serves: waits for signals, restarts and the end of the term. Comes back when this process has to stop accepting,
    /// and at once while that is so. The acceptors end by themselves.
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

    /// Why this process stops accepting, if it does.
    pub fn stopping(&self) -> Option<Stop> {
        match self.inner.turn() {
            Turn::Serve if self.serving.missed_the_end() => Some(Stop::HandedOver),
            Turn::Drain(stop) => Some(stop),
            Turn::Exit => self.inner.stopped_by().or(Some(Stop::HandedOver)),
            Turn::Prepare | Turn::Serve => None,
        }
    }

    /// Waits until nothing is in flight, or the deadline of the drain is over, or a stop says now: for last work between
    /// that and [`finish`](Goagain::finish). [`Finish::Resume`]: serve again.
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

    /// One step of [`Goagain::drain`]; `None`: there is more to wait for.
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

    /// Drains, stays the net for as long as the strategy wants, and, under a strategy that execs, execs. Comes back when
    /// this process is to leave, or to serve again.
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

    /// One step of [`Goagain::finish`]; `None`: there is more to wait for.
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

    /// Does whatever can be done without blocking, and says what the application has to do: for programs with a loop of
    /// their own. In it, call [`serves`](Goagain::serves) once you accept, and [`announce_done`](Goagain::announce_done) once you drain
    /// and have no last work left.
    ///
    /// A term whose acceptors have ended is followed by [`Turn::Drain`] before the next [`Turn::Serve`], even if the
    /// successor has died by then.
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
            let kind = EventKind::Callback { callback: "before_exit", error };
            self.inner.report(self.inner.attempt(), kind, &mut self.serving);
        }
    }

    /// Tells the predecessor that this process accepts: what [`wait`](Goagain::wait) does first.
    pub fn announce_serving(&mut self) {
        self.inner.tell(Input::Waiting, &mut self.serving);
    }

    /// Says that the application has no last work left: what [`finish`](Goagain::finish) does first.
    pub fn announce_done(&mut self) {
        self.serving.finishing = true;
        // Where nothing is in flight any longer, no guard will wake the loop.
        self.serving.connections.wake_up();
    }
}

pub(crate) fn before_ready() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not ready yet: call `ready` first")
}
