//! Getting ready: from the preparation until this process is the owner.

use crate::error::ReadyError;
use crate::life::Goagain;
use goagain_signals::{EventKind, Input, RestoreError, Turn};
use std::io;

impl Goagain {
    /// Sends [READY](crate::guide::restart#words), and returns when this process is the owner. Without a predecessor it returns
    /// at once.
    ///
    /// It first closes the sockets, descriptors and state that were inherited and not asked for, and reports each as
    /// [`EventKind::Unclaimed`].
    ///
    /// Before this call, do everything that can fail: bind the listeners, read the configuration, connect to the database.
    /// After this call, this process needs nothing from its predecessor.
    ///
    /// # Errors
    /// [`ReadyError`]: this process did not become the owner, and should exit. The predecessor keeps serving.
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

    /// Sends [READY](crate::guide::restart#words) and returns at once. Otherwise like [`ready`](Goagain::ready).
    ///
    /// For programs with an event loop of their own. After this call, call [`step`](Goagain::step) until it returns
    /// [`Turn::Serve`]. In a process that was exec'd in place, this call waits until the owner has saved its state, as
    /// [`restore_state`](Goagain::restore_state) does.
    pub fn announce_ready(&mut self) {
        // This may wait. Until signals are read, a stop signal has its default action at once.
        let has_state = self.has_state();
        self.inner.read_signals();
        // An abort may have arrived already.
        if self.step() != Turn::Prepare || !has_state {
            return;
        }
        let attempt = self.inner.attempt();
        let unclaimed = self.serving.drop_unclaimed();
        let (added, dropped) = self.serving.changes();
        let sent = self.inner.send_sockets(&self.serving.own(), &dropped);
        for name in unclaimed {
            self.inner.report(attempt, EventKind::Unclaimed { name }, &mut self.serving);
        }
        for name in if self.is_successor() { added } else { Vec::new() } {
            self.inner.report(attempt, EventKind::NotInherited { name }, &mut self.serving);
        }
        match sent {
            Ok(()) => self.inner.tell(Input::Ready, &mut self.serving),
            Err(error) => {
                let reason = format!("cannot tell the predecessor of the listeners: {error}");
                self.inner.tell(Input::Fail(reason), &mut self.serving);
                self.send_error = Some(error);
            }
        }
    }

    /// Closes the state that was not taken, or tells the owner that the state did not arrive.
    fn has_state(&mut self) -> bool {
        let attempt = self.inner.attempt();
        let state = self.inner.state(&mut self.serving).map(|_| ());
        self.receive_connections();
        match state.and_then(|()| self.inner.state(&mut self.serving).map(std::mem::take)) {
            Ok(items) => {
                for item in items {
                    let report = EventKind::Unclaimed { name: item.name().to_owned() };
                    self.inner.report(attempt, report, &mut self.serving);
                }
                true
            }
            Err(error) => {
                self.inner.tell(Input::Fail(error.to_string()), &mut self.serving);
                self.state_error = Some(error);
                false
            }
        }
    }

    /// Takes the socket for migrated connections, if there is one. Closing it tells the predecessor that none are taken.
    pub(super) fn receive_connections(&mut self) {
        let came = self.inner.take_connections();
        if let (Some(migrations), Some(predecessor)) = (&mut self.serving.migrations, came) {
            migrations.come_from(predecessor);
        }
    }

    /// Returns why this process did not become the owner. Call it when [`step`](Goagain::step) returns [`Turn::Exit`] or
    /// [`Turn::Drain`] before it has returned [`Turn::Serve`].
    pub fn ready_error(&self) -> ReadyError {
        if let Some(error) = &self.send_error {
            return ReadyError::Channel(io::Error::new(error.kind(), error.to_string()));
        }
        if let Some(error) = self.state_error.clone().filter(|error| *error != RestoreError::Aborted) {
            return ReadyError::State(error);
        }
        match (self.inner.aborted_because(), self.inner.stopped_by()) {
            (Some(reason), _) => ReadyError::Aborted(reason.to_owned()),
            (None, Some(stop)) => ReadyError::Stopped(stop),
            (None, None) => ReadyError::Silent(self.inner.ready_timeout()),
        }
    }
}
