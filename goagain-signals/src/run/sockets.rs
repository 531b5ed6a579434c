//! The successor's changes of the descriptors, which it sends to its predecessor. The state machine does not need them.
//!
//! A handoff goes one way only. So a successor sends the descriptors that it has made itself, since a predecessor that execs
//! would come back without them; and the names of those that it has not kept, since the predecessor is the last process that
//! has them.

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
    /// Sends the predecessor the descriptors that this process has and did not inherit, and the names of those that it inherited
    /// and did not keep. Call it before [`Input::Ready`]. Nothing is sent to a process of the Go package.
    ///
    /// # Errors
    /// - The errors of `sendmsg`, except EPIPE: the end of the channel is read by the loop.
    /// - [`io::ErrorKind::TimedOut`]: the predecessor has not read for as long as this process has until it is ready.
    pub fn send_sockets(
        &self,
        added: &[(BorrowedFd<'_>, NamedDescriptor)],
        dropped: &[String],
    ) -> io::Result<()> {
        for (fd, NamedDescriptor { name, address, .. }) in added {
            self.send_one(&Message::Added { name: name.clone(), address: address.clone() }, Some(*fd))?;
        }
        dropped.iter().try_for_each(|name| self.send_one(&Message::Dropped(name.clone()), None))
    }

    /// The channel does not hold thousands at once: then this waits until the predecessor has read some.
    fn send_one(&self, message: &Message, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
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
                    let message = "the predecessor does not read its channel";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, message));
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Passes a successor's change of the descriptors to the server. Returns an input if the message does not belong here.
    pub(super) fn receive_sockets(
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
        self.sockets_from = Some(attempt);
        match (message, descriptor) {
            // Only a predecessor that execs needs the descriptors of its successor.
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
                    "expected a descriptor with the new `{name}`, found none: this process may have too many open (EMFILE)"
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

    /// Forgets the changes of an attempt that is over.
    pub(super) fn forget_sockets(&mut self, server: &mut dyn Server) {
        let is_known = |attempt| {
            self.machine.successor() == Some(attempt)
                || self.machine.predecessor().is_some_and(|(predecessor, _)| predecessor == attempt)
        };
        if self.sockets_from.is_some_and(|attempt| !is_known(attempt)) {
            self.sockets_from = None;
            server.forget_successor();
        }
    }
}
