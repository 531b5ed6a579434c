//! The state: made and sent to a new image, awaited and kept in one.
//!
//! It decides nothing about who owns, so the machine does not know of it. To the machine an image that is not ready for want
//! of its state is one that is not ready.

use super::Loop;
use crate::{EventKind, RestoreError, Server, Turn, sentence};
use goagain_env::{Channel, LaunchError, Message, State, StateContents, StateItem};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// What this image has of its predecessor's state.
#[derive(Debug)]
pub(super) enum Legacy {
    /// It is to come, and may have come in part.
    Awaited(State),
    /// What has not been taken yet.
    Here(Vec<StateItem>),
    /// It will not come.
    Failed(RestoreError),
}

impl Loop {
    /// What the predecessor handed over and was not taken yet. Waits for it (`poll`) for as long as this image may take until
    /// it is ready; nearly always it is there. Empty if there is no predecessor, or if it died before it had sent any.
    ///
    /// # Errors
    /// [`RestoreError`]
    pub fn state(&mut self, server: &mut dyn Server) -> Result<&mut Vec<StateItem>, RestoreError> {
        while matches!(self.legacy, Legacy::Awaited(_)) {
            self.await_state(server);
        }
        match &mut self.legacy {
            Legacy::Here(parcels) => Ok(parcels),
            Legacy::Failed(error) => Err(error.clone()),
            Legacy::Awaited(_) => Err(RestoreError::Aborted),
        }
    }

    /// The socket for moved connections that has come with the state, if one has: without waiting.
    pub fn take_connections(&mut self) -> Option<Channel> {
        let Legacy::Here(parcels) = &mut self.legacy else { return None };
        let index = parcels.iter().position(|parcel| parcel.contents() == StateContents::Connections)?;
        Some(OwnedFd::from(parcels.remove(index)).into())
    }

    fn await_state(&mut self, server: &mut dyn Server) {
        let predecessor = self.machine.predecessor().map(|(attempt, _)| attempt);
        if let Some(attempt) = predecessor {
            self.read_channel(attempt, server);
        }
        if !matches!(self.legacy, Legacy::Awaited(_)) {
            return;
        }
        if self.turn() == Turn::Exit {
            self.legacy = Legacy::Failed(RestoreError::Aborted);
            return;
        }
        let peer = self.peers.iter().find(|peer| predecessor == Some(peer.attempt));
        let Some(channel) = peer.and_then(|peer| peer.channel.as_ref()) else {
            // A crash takes its state with it, as ever; the service matters more.
            self.warnings.push("the owner died before it had handed over its state".into());
            self.legacy = Legacy::Here(Vec::new());
            return;
        };
        let left = (self.started + self.ready_timeout).saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.legacy = Legacy::Failed(RestoreError::Silent(self.ready_timeout));
            return;
        }
        // Rounded up, so as not to come back before the time is over.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        if let Err(error) = poll(&mut [PollFd::new(channel.as_fd(), PollFlags::POLLIN)], timeout) {
            if error != nix::Error::EINTR {
                self.legacy = Legacy::Failed(RestoreError::NotMade(error.to_string()));
            }
        }
    }

    /// Takes what a peer said if it is of the state, and if this peer is the one to say it.
    pub(super) fn take_state(&mut self, attempt: u64, message: &Message) -> bool {
        let from_predecessor = self.machine.predecessor().is_some_and(|(of, _)| of == attempt);
        let Legacy::Awaited(state) = &mut self.legacy else { return false };
        let channel =
            self.peers.iter_mut().find(|peer| peer.attempt == attempt).and_then(|peer| peer.channel.as_mut());
        let (true, Some(channel)) = (from_predecessor, channel) else { return false };
        match message {
            Message::State { here, of } => match state.take(*here, *of, channel.take_descriptors()) {
                Ok(None) => {}
                Ok(Some(parcels)) => self.legacy = Legacy::Here(parcels),
                Err(error) => self.legacy = Legacy::Failed(RestoreError::Torn(error)),
            },
            Message::NoState(reason) => self.legacy = Legacy::Failed(RestoreError::NotMade(reason.clone())),
            _ => return false,
        }
        true
    }

    /// The parcels for the new image of an attempt. An image that was busy is started again with the ones made before.
    pub(super) fn parcels(
        &mut self,
        attempt: u64,
        server: &mut dyn Server,
    ) -> Result<Vec<StateItem>, LaunchError> {
        match self.packed.take() {
            Some((of, parcels)) if of == attempt => Ok(parcels),
            _ => self.make_state(attempt, server).map_err(LaunchError::refused),
        }
    }

    /// The predecessor execs in place, and what it knew is old by now: the new image there gets the state of this process.
    pub(super) fn hand_back_state(&mut self, attempt: u64, server: &mut dyn Server) {
        let made = self.make_state(attempt, server);
        let channel = self.peer(attempt).and_then(|peer| peer.channel.as_mut());
        let Some(channel) = channel else { return };
        let sent = made.and_then(|parcels| send(channel, &parcels));
        if let Err(reason) = sent {
            // If this cannot be sent either, the end of the channel is read.
            let _ = channel.send(&Message::NoState(reason));
        }
    }

    fn make_state(&mut self, attempt: u64, server: &mut dyn Server) -> Result<Vec<StateItem>, String> {
        server.state().map_err(|(name, error)| {
            let mut reason = String::new();
            // Writing to a string does not fail.
            let _ = sentence::not_saved(&mut reason, &name, &error);
            self.report(attempt, EventKind::StateNotSaved { name, error }, server);
            reason
        })
    }
}

/// Sends the state, or says why it cannot be sent.
pub(super) fn send(channel: &Channel, parcels: &[StateItem]) -> Result<(), String> {
    channel.send_state(parcels).map_err(|error| format!("the state cannot be sent: {error}"))
}
