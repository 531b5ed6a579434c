//! The application's state: saved and sent by the owner, received and kept by the new process.
//!
//! It does not decide which process is the owner, so the state machine does not know it. A process that waits for its state
//! is not ready, and that is all that the machine sees.

use super::Loop;
use crate::{EventKind, RestoreError, Server, Turn, sentence};
use goagain_env::{Channel, LaunchError, Message, State, StateContents, StateItem};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// The state of the predecessor, as far as this process has it.
#[derive(Debug)]
pub(super) enum InheritedState {
    /// It has not arrived, or only a part of it has.
    Awaited(State),
    /// It has arrived: these items have not been restored yet.
    Received(Vec<StateItem>),
    /// It will not arrive.
    Failed(RestoreError),
}

impl Loop {
    /// Returns the state of the predecessor that has not been restored yet. Waits for it (`poll`) for as long as this process has
    /// until it is ready; nearly always it has arrived. It is empty if there is no predecessor, or if the predecessor died before
    /// it had sent any.
    ///
    /// # Errors
    /// [`RestoreError`]
    pub fn state(&mut self, server: &mut dyn Server) -> Result<&mut Vec<StateItem>, RestoreError> {
        while matches!(self.inherited_state, InheritedState::Awaited(_)) {
            self.await_state(server);
        }
        match &mut self.inherited_state {
            InheritedState::Received(items) => Ok(items),
            InheritedState::Failed(error) => Err(error.clone()),
            InheritedState::Awaited(_) => Err(RestoreError::Aborted),
        }
    }

    /// Returns the socket for migrated connections, if one has arrived with the state. It does not wait.
    pub fn take_connections(&mut self) -> Option<Channel> {
        let InheritedState::Received(items) = &mut self.inherited_state else { return None };
        let index = items.iter().position(|item| item.contents() == StateContents::Connections)?;
        Some(OwnedFd::from(items.remove(index)).into())
    }

    fn await_state(&mut self, server: &mut dyn Server) {
        let predecessor = self.machine.predecessor().map(|(attempt, _)| attempt);
        if let Some(attempt) = predecessor {
            self.read_channel(attempt, server);
        }
        if !matches!(self.inherited_state, InheritedState::Awaited(_)) {
            return;
        }
        if self.turn() == Turn::Exit {
            self.inherited_state = InheritedState::Failed(RestoreError::Aborted);
            return;
        }
        let peer = self.peers.iter().find(|peer| predecessor == Some(peer.attempt));
        let Some(channel) = peer.and_then(|peer| peer.channel.as_ref()) else {
            // The state is lost with a crash, as always. The service matters more.
            self.warnings.push("the previous process died before it had handed over its state".into());
            self.inherited_state = InheritedState::Received(Vec::new());
            return;
        };
        let left = (self.started + self.ready_timeout).saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.inherited_state = InheritedState::Failed(RestoreError::Silent(self.ready_timeout));
            return;
        }
        // Rounded up, so that `poll` does not return before the deadline.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        if let Err(error) = poll(&mut [PollFd::new(channel.as_fd(), PollFlags::POLLIN)], timeout) {
            if error != nix::Error::EINTR {
                self.inherited_state = InheritedState::Failed(RestoreError::NotMade(error.to_string()));
            }
        }
    }

    /// Takes a message if it is a part of the state, and if the peer is the predecessor. Returns whether it was one.
    pub(super) fn take_state(&mut self, attempt: u64, message: &Message) -> bool {
        let from_predecessor = self.machine.predecessor().is_some_and(|(of, _)| of == attempt);
        let InheritedState::Awaited(state) = &mut self.inherited_state else { return false };
        let channel =
            self.peers.iter_mut().find(|peer| peer.attempt == attempt).and_then(|peer| peer.channel.as_mut());
        let (true, Some(channel)) = (from_predecessor, channel) else { return false };
        match message {
            Message::State { here, of } => match state.take(*here, *of, channel.take_descriptors()) {
                Ok(None) => {}
                Ok(Some(items)) => self.inherited_state = InheritedState::Received(items),
                Err(error) => self.inherited_state = InheritedState::Failed(RestoreError::Torn(error)),
            },
            Message::NoState(reason) => {
                self.inherited_state = InheritedState::Failed(RestoreError::NotMade(reason.clone()))
            }
            _ => return false,
        }
        true
    }

    /// Returns the state for the process of an attempt. If its image file was being written at the first try, this is the state
    /// that was saved then.
    pub(super) fn state_items(
        &mut self,
        attempt: u64,
        server: &mut dyn Server,
    ) -> Result<Vec<StateItem>, LaunchError> {
        match self.saved_state.take() {
            Some((of, items)) if of == attempt => Ok(items),
            _ => self.save_state(attempt, server).map_err(LaunchError::refused),
        }
    }

    /// The predecessor execs in place, and its own state is out of date: the new image gets the state of this process.
    pub(super) fn hand_back_state(&mut self, attempt: u64, server: &mut dyn Server) {
        let made = self.save_state(attempt, server);
        let channel = self.peer(attempt).and_then(|peer| peer.channel.as_mut());
        let Some(channel) = channel else { return };
        let sent = made.and_then(|items| send(channel, &items));
        if let Err(reason) = sent {
            // If this cannot be sent either, the loop reads the end of the channel.
            let _ = channel.send(&Message::NoState(reason));
        }
    }

    fn save_state(&mut self, attempt: u64, server: &mut dyn Server) -> Result<Vec<StateItem>, String> {
        server.state().map_err(|(name, error)| {
            let mut reason = String::new();
            // Writing to a string does not fail.
            let _ = sentence::not_saved(&mut reason, &name, &error);
            self.report(attempt, EventKind::StateNotSaved { name, error }, server);
            reason
        })
    }
}

/// Sends the state, or returns why it cannot be sent.
pub(super) fn send(channel: &Channel, items: &[StateItem]) -> Result<(), String> {
    channel.send_state(items).map_err(|error| format!("the state cannot be sent: {error}"))
}
