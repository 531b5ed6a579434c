//! Getting ready: until this process is the owner.

use crate::error::ReadyError;
use crate::life::Goagain;
use goagain_signals::{EventKind, Input, RestoreError, Turn};
use std::io;

impl Goagain {
    /// Says READY, and comes back once this process is the owner. What was inherited and not claimed is closed.
    ///
    /// Everything that can fail should be done before: the listeners bound, the configuration read, the database
    /// reached. From here on nothing of the predecessor's is needed.
    ///
    /// # Errors
    /// [`ReadyError`]: this process is not to serve. Leave; the predecessor goes on.
    pub fn ready(&mut self) -> Result<(), ReadyError> {
        self.announce_ready();
        loop {
            match self.step() {
                Turn::Serve => return Ok(()),
                Turn::Prepare => self.inner.wait(&self.serving).map_err(ReadyError::Channel)?,
                Turn::Drain(_) | Turn::Exit => return Err(self.ready_error()),
            }
        }
    }

    /// Says READY and comes back at once: for programs with a loop of their own, that [`step`](Goagain::step) until it
    /// answers [`Turn::Serve`]. In a process that was exec'd in place it comes back when the owner has made its state, as
    /// [`take`](Goagain::take) does.
    pub fn announce_ready(&mut self) {
        // It may wait, and until signals are read a stop has its default action at once.
        let has_state = self.has_state();
        self.inner.read_signals();
        // An abort that is waiting is to be heard first.
        if self.step() != Turn::Prepare || !has_state {
            return;
        }
        let attempt = self.inner.attempt();
        let unclaimed = self.serving.drop_unclaimed();
        let (added, dropped) = self.serving.changes();
        let told = self.inner.tell_sockets(&self.serving.own(), &dropped);
        for name in unclaimed {
            self.inner.report(attempt, EventKind::Dropped { name }, &mut self.serving);
        }
        for name in if self.is_successor() { added } else { Vec::new() } {
            self.inner.report(attempt, EventKind::Added { name }, &mut self.serving);
        }
        match told {
            Ok(()) => self.inner.tell(Input::Ready, &mut self.serving),
            Err(error) => {
                let reason = format!("cannot tell the predecessor of the listeners: {error}");
                self.inner.tell(Input::Fail(reason), &mut self.serving);
                self.untold = Some(error);
            }
        }
    }

    /// Closes what was not taken of the state, or tells the owner that it did not come.
    fn has_state(&mut self) -> bool {
        let attempt = self.inner.attempt();
        let state = self.inner.state(&mut self.serving).map(|_| ());
        self.receive_connections();
        match state.and_then(|()| self.inner.state(&mut self.serving).map(std::mem::take)) {
            Ok(parcels) => {
                for parcel in parcels {
                    let report = EventKind::Dropped { name: parcel.name().to_owned() };
                    self.inner.report(attempt, report, &mut self.serving);
                }
                true
            }
            Err(error) => {
                self.inner.tell(Input::Fail(error.to_string()), &mut self.serving);
                self.stateless = Some(error);
                false
            }
        }
    }

    /// Takes the socket for moved connections, if one has come. Closing it tells the predecessor that none are taken.
    pub(super) fn receive_connections(&mut self) {
        let came = self.inner.take_connections();
        if let (Some(moves), Some(predecessor)) = (&mut self.serving.moves, came) {
            moves.come_from(predecessor);
        }
    }

    /// Why [`Turn::Exit`] came before [`Turn::Serve`].
    pub fn ready_error(&self) -> ReadyError {
        if let Some(error) = &self.untold {
            return ReadyError::Channel(io::Error::new(error.kind(), error.to_string()));
        }
        if let Some(error) = self.stateless.clone().filter(|error| *error != RestoreError::Aborted) {
            return ReadyError::State(error);
        }
        match (self.inner.aborted_because(), self.inner.stopped_by()) {
            (Some(reason), _) => ReadyError::Aborted(reason.to_owned()),
            (None, Some(stop)) => ReadyError::Stopped(stop),
            (None, None) => ReadyError::Silent(self.inner.ready_timeout()),
        }
    }
}
