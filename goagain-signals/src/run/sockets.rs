//! What the two sides tell each other of their descriptors, beside the machine: it decides nothing.
//!
//! A handoff goes one way. So a successor says what it has bound itself, with the descriptor, for a predecessor that execs
//! and would come back without it; and what it has not kept, for the predecessor is the last to have that.

use super::Loop;
use crate::machine::Phase;
use crate::{Input, Server};
use goagain_env::{Message, NamedDescriptor, Process, Relation};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

impl Loop {
    /// Tells the predecessor what this image has that it was not handed, and the names of what it was handed and has not
    /// kept. To be called before [`Input::Ready`]; a seed's process is not told.
    ///
    /// # Errors
    /// - Those of `sendmsg`, but that the predecessor is gone: that is read from the channel.
    /// - [`io::ErrorKind::TimedOut`]: the predecessor has not read for as long as this image may take.
    pub fn tell_sockets(
        &self,
        added: &[(BorrowedFd<'_>, NamedDescriptor)],
        dropped: &[String],
    ) -> io::Result<()> {
        for (fd, NamedDescriptor { name, address, .. }) in added {
            self.tell_of_one(&Message::Added { name: name.clone(), address: address.clone() }, Some(*fd))?;
        }
        dropped.iter().try_for_each(|name| self.tell_of_one(&Message::Dropped(name.clone()), None))
    }

    /// Thousands do not fit the channel at once: then it waits until the predecessor has read.
    fn tell_of_one(&self, message: &Message, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let predecessor = self.machine.predecessor().map(|(attempt, _)| attempt);
        let peer = self.peers.iter().find(|peer| Some(peer.attempt) == predecessor);
        let Some(channel) = peer.and_then(|peer| peer.channel.as_ref()) else { return Ok(()) };
        let end = Instant::now() + self.ready_timeout;
        loop {
            let sent = match descriptor {
                Some(descriptor) => channel.send_with(message, &[descriptor]),
                None => channel.send(message),
            };
            match sent.as_ref().map_err(|error| error.raw_os_error().map(Errno::from_raw)) {
                Ok(()) | Err(Some(Errno::EPIPE)) => return Ok(()),
                Err(Some(Errno::EAGAIN)) => {}
                Err(_) => return sent,
            }
            let left = end.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(channel.as_fd(), PollFlags::POLLOUT)];
            match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
                Ok(0) if left.is_zero() => {
                    let message = "the predecessor does not read what it is told";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, message));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Tells the server what a successor said of its descriptors. The event says that it made no sense.
    pub(super) fn hear_of_sockets(
        &mut self,
        attempt: u64,
        message: Message,
        descriptor: Option<OwnedFd>,
        server: &mut dyn Server,
    ) -> Option<Input> {
        let starts = self.machine.phase() == Phase::Starting && self.machine.successor() == Some(attempt);
        if !starts && self.machine.predecessor() != Some((attempt, true)) {
            return Some(Input::Unknown(attempt, format!("unexpected message {message:?}")));
        }
        self.told_by = Some(attempt);
        match (message, descriptor) {
            // Only a process that execs comes back as another image.
            (Message::Added { name, address }, Some(fd)) => {
                let peer = self.peers.iter().find(|peer| peer.attempt == attempt);
                let relation =
                    peer.and_then(|peer| peer.process.as_ref()).map_or(Relation::Child, Process::relation);
                if self.machine.decisions().may_exec(relation) {
                    server.successor_added(name, address, fd);
                }
                None
            }
            (Message::Added { name, .. }, None) => {
                let text = format!(
                    "expected a descriptor with the new `{name}`, found none: this process may have no room for it"
                );
                Some(Input::Unknown(attempt, text))
            }
            (Message::Dropped(name), _) => {
                server.successor_dropped(name);
                None
            }
            (message, _) => Some(Input::Message(attempt, message)),
        }
    }

    /// An attempt that is over has told nothing.
    pub(super) fn forget_sockets(&mut self, server: &mut dyn Server) {
        let is_known = |attempt| {
            self.machine.successor() == Some(attempt)
                || self.machine.predecessor().is_some_and(|(predecessor, _)| predecessor == attempt)
        };
        if self.told_by.is_some_and(|attempt| !is_known(attempt)) {
            self.told_by = None;
            server.forget_successor();
        }
    }
}
