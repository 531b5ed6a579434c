//! The channel: the socket between predecessor and successor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};

use crate::sys::{self, Frame, Frames};
use crate::{Message, MessageError};

/// One end of the channel: SOCK_SEQPACKET on Linux, lines over SOCK_STREAM on other systems.
///
/// It is close-on-exec in every process. Only the copy for the successor is not, until the successor adopts it. So an
/// end of file means that the last process that held the other end has closed it or died.
#[derive(Debug)]
pub struct Channel {
    fd: OwnedFd,
    frames: Frames,
    /// The descriptors that came with the last message.
    descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// Creates a channel, by `socketpair(2)`. Both ends are close-on-exec and non-blocking. Both name this process as
    /// their peer.
    ///
    /// # Errors
    /// The errors of `socketpair`: EMFILE, ENFILE, ENOMEM.
    pub fn pair() -> io::Result<(Channel, Channel)> {
        #[cfg(goagain_faults)]
        crate::fault::hit("socketpair")?;
        let (ours, theirs) = sys::pair()?;
        Ok((ours.into(), theirs.into()))
    }

    /// Returns the pid of the process that made the pair, by SO_PEERCRED; `None` on systems without it. After an exec
    /// in place it is the pid of this process, and 0 if the maker is in another pid namespace.
    ///
    /// # Errors
    /// The errors of `getsockopt(2)`.
    pub fn peer_pid(&self) -> io::Result<Option<i32>> {
        sys::peer_pid(self.fd.as_fd())
    }

    /// Sends a message, by `send(2)` with MSG_NOSIGNAL. Retries on EINTR.
    ///
    /// # Errors
    /// - EPIPE: the other end is closed. Messages from it may still be queued. (Linux reports ECONNRESET once if the
    ///   peer died without reading our messages. That is returned as EPIPE too.)
    /// - EAGAIN: the other process has not read for very long, and the buffer is full.
    pub fn send(&self, message: &Message) -> io::Result<()> {
        self.send_with(message, &[])
    }

    /// Sends a message with at most 253 descriptors, by `sendmsg(2)` with SCM_RIGHTS. The other process gets all of
    /// them or none. Close your own copies if they are meant for the other process alone.
    ///
    /// # Errors
    /// - The errors of [`send`](Channel::send).
    /// - EINVAL: too many descriptors.
    /// - ETOOMANYREFS: more descriptors are in transit than this user may have open.
    pub fn send_with(&self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let packet = message.encode();
        #[cfg(goagain_faults)]
        let packet = crate::fault::packet(message).unwrap_or(packet);
        loop {
            match sys::send_frame(self.fd.as_fd(), &packet, descriptors) {
                Err(Errno::EINTR) => {}
                Err(Errno::ECONNRESET) => return Err(Errno::EPIPE.into()),
                answer => return Ok(answer?),
            }
        }
    }

    /// Takes the descriptors that came with the last received message, close-on-exec. Descriptors that are not taken
    /// are closed by the next receive. They can be fewer than were sent, if this process may not open more (EMFILE).
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.descriptors)
    }

    /// Receives one queued message, by `recvmsg(2)`. Never blocks. When the channel is readable, call this until it
    /// returns [`Received::Nothing`] or [`Received::End`].
    ///
    /// Only a read of 0 bytes is the end. ECONNRESET (the peer died without reading our messages) comes *before* the
    /// messages that the peer sent, and is skipped. An empty packet would read as 0 bytes too, but none is ever sent.
    ///
    /// # Errors
    /// The errors of `recvmsg`, except EINTR, EAGAIN and ECONNRESET.
    pub fn receive(&mut self) -> io::Result<Received> {
        self.descriptors.clear();
        Ok(match self.frames.next(self.fd.as_fd())? {
            Frame::Packet(packet, descriptors) => match Message::decode(&packet) {
                Ok(message) => {
                    self.descriptors = descriptors;
                    Received::Message(message)
                }
                Err(error) => Received::Unknown(error),
            },
            Frame::TooLong => Received::Unknown(MessageError::TooLong),
            Frame::Nothing => Received::Nothing,
            Frame::End => Received::End,
        })
    }

    /// Takes the descriptor that came with the last received message, close-on-exec. Further calls return `None`. A
    /// descriptor that is not taken is closed. `None`: no descriptor came, or this process may not open more (EMFILE).
    pub fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.take_descriptors().into_iter().next()
    }
}

impl Channel {
    /// Shuts down receiving, by `shutdown(2)` with SHUT_RD: from now on, the other process's sends fail with EPIPE.
    /// Messages that are already queued can still be received. The end follows them.
    ///
    /// # Errors
    /// The errors of `shutdown`.
    pub fn shutdown_read(&self) -> io::Result<()> {
        Ok(shutdown(self.fd.as_raw_fd(), Shutdown::Read)?)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Converts the channel to its descriptor, without closing it.
impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> OwnedFd {
        channel.fd
    }
}

/// Takes ownership of one end of a pair. It should be non-blocking; reads do not block in any case.
impl From<OwnedFd> for Channel {
    fn from(fd: OwnedFd) -> Channel {
        Channel { fd, frames: Frames::default(), descriptors: Vec::new() }
    }
}

/// The result of [`Channel::receive`].
// Exhaustive: a loop must handle each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message.
    Message(Message),
    /// A packet that is not a message of this version. The caller aborts an uncommitted peer for it, and ignores it
    /// from a committed one.
    Unknown(MessageError),
    /// No message is queued now.
    Nothing,
    /// The last process that held the other end has closed it or died, and all its messages have been received.
    End,
}

#[cfg(test)]
mod tests {
    use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
    use nix::sys::socket::{MsgFlags, send};

    use super::*;
    use crate::Address;

    #[test]
    fn messages_arrive_one_by_one_and_then_the_end() {
        let (mut one, two) = Channel::pair().unwrap();
        assert_eq!(one.receive().unwrap(), Received::Nothing);
        two.send(&Message::Ready).unwrap();
        two.send(&Message::Failed("no\nport".into())).unwrap();
        drop(two);
        assert_eq!(one.receive().unwrap(), Received::Message(Message::Ready));
        assert_eq!(one.receive().unwrap(), Received::Message(Message::Failed("no port".into())));
        assert_eq!(one.receive().unwrap(), Received::End);
        assert_eq!(one.receive().unwrap(), Received::End);
    }

    #[test]
    fn a_reset_is_not_the_end() {
        let (mut one, two) = Channel::pair().unwrap();
        one.send(&Message::Commit { again: false }).unwrap();
        two.send(&Message::Leaving).unwrap();
        drop(two);
        assert_eq!(one.receive().unwrap(), Received::Message(Message::Leaving));
        assert_eq!(one.receive().unwrap(), Received::End);
    }

    #[test]
    fn a_send_to_a_closed_end_fails_and_hides_no_message() {
        let (mut one, two) = Channel::pair().unwrap();
        one.send(&Message::Commit { again: false }).unwrap();
        two.send(&Message::Leaving).unwrap();
        drop(two);
        for _ in 0..2 {
            assert_eq!(one.send(&Message::Dismiss).unwrap_err().raw_os_error(), Some(libc::EPIPE));
        }
        assert_eq!(one.receive().unwrap(), Received::Message(Message::Leaving));
        assert_eq!(one.receive().unwrap(), Received::End);
    }

    #[test]
    fn a_signal_handler_can_send_leaving() {
        let (mut one, two) = Channel::pair().unwrap();
        send(two.as_raw_fd(), Message::LEAVING, MsgFlags::empty()).unwrap();
        assert_eq!(one.receive().unwrap(), Received::Message(Message::Leaving));
    }

    #[test]
    fn an_unknown_packet_is_reported_and_does_not_hide_the_next() {
        let (mut one, two) = Channel::pair().unwrap();
        sys::send_frame(two.as_fd(), b"goagain/9 WHAT", &[]).unwrap();
        sys::send_frame(two.as_fd(), &[b'x'; 3 * sys::MAX_FRAME_BYTES], &[]).unwrap();
        two.send(&Message::Serving).unwrap();
        assert_eq!(one.receive().unwrap(), Received::Unknown(MessageError::Version("goagain/9".into())));
        assert_eq!(one.receive().unwrap(), Received::Unknown(MessageError::TooLong));
        assert_eq!(one.receive().unwrap(), Received::Message(Message::Serving));
    }

    #[test]
    fn a_descriptor_comes_with_its_message_and_is_taken_once() {
        let (mut one, two) = Channel::pair().unwrap();
        let (ours, theirs) = sys::pair().unwrap();
        let added = |name: &str| Message::Added { name: name.into(), address: Address::Other };
        two.send(&added("none")).unwrap();
        two.send_with(&added("one"), &[theirs.as_fd()]).unwrap();
        two.send(&Message::Ready).unwrap();
        assert_eq!(one.receive().unwrap(), Received::Message(added("none")));
        // If messages are lines, one read may return several. The descriptor of a later one must not be returned too
        // early.
        if cfg!(all(target_os = "linux", not(goagain_portable))) {
            assert!(one.take_descriptor().is_none());
        }
        assert_eq!(one.receive().unwrap(), Received::Message(added("one")));
        let taken = one.take_descriptor().unwrap();
        assert!(one.take_descriptor().is_none());
        assert_eq!(one.receive().unwrap(), Received::Message(Message::Ready));
        let flags = FdFlag::from_bits_retain(fcntl(&taken, FcntlArg::F_GETFD).unwrap());
        assert!(flags.contains(FdFlag::FD_CLOEXEC));
        drop(theirs);
        nix::unistd::write(&ours, b"?").unwrap();
        assert_eq!(nix::unistd::read(&taken, &mut [0; 2]), Ok(1), "it is the same socket");
    }

    #[test]
    fn descriptors_come_with_their_message_and_others_are_closed() {
        let (mut one, two) = Channel::pair().unwrap();
        let (ended, watched) = std::os::unix::net::UnixStream::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        two.send_with(&Message::Ready, &[ended.as_fd()]).unwrap();
        sys::send_frame(two.as_fd(), b"what is this", &[ended.as_fd(), ended.as_fd()]).unwrap();
        two.send(&Message::Serving).unwrap();
        two.send_with(&Message::State { here: 253, of: 253 }, &[file.as_fd(); 253]).unwrap();
        assert!(two.send_with(&Message::State { here: 254, of: 254 }, &[file.as_fd(); 254]).is_err());
        drop(ended);
        assert_eq!(one.receive().unwrap(), Received::Message(Message::Ready));
        assert!(matches!(one.receive().unwrap(), Received::Unknown(_)));
        assert_eq!(one.receive().unwrap(), Received::Message(Message::Serving));
        assert!(one.take_descriptors().is_empty());
        // All copies were closed although nobody took them, so the other end of the pair has ended.
        let mut byte = [0];
        assert_eq!(std::io::Read::read(&mut &watched, &mut byte).unwrap(), 0);
        assert_eq!(one.receive().unwrap(), Received::Message(Message::State { here: 253, of: 253 }));
        let descriptors = one.take_descriptors();
        assert_eq!(descriptors.len(), 253);
        for descriptor in descriptors {
            let flags = FdFlag::from_bits_retain(fcntl(&descriptor, FcntlArg::F_GETFD).unwrap());
            assert!(flags.contains(FdFlag::FD_CLOEXEC));
        }
        assert_eq!(one.receive().unwrap(), Received::Nothing);
    }

    #[test]
    fn messages_from_before_the_shutdown_are_received() {
        let (mut one, two) = Channel::pair().unwrap();
        two.send(&Message::Ready).unwrap();
        one.shutdown_read().unwrap();
        assert_eq!(two.send(&Message::Serving).unwrap_err().raw_os_error(), Some(libc::EPIPE));
        assert_eq!(one.receive().unwrap(), Received::Message(Message::Ready));
        assert_eq!(one.receive().unwrap(), Received::End);
    }

    #[test]
    fn both_ends_are_close_on_exec_and_non_blocking() {
        let (one, two) = Channel::pair().unwrap();
        for end in [&one, &two] {
            let flags = FdFlag::from_bits_retain(fcntl(end, FcntlArg::F_GETFD).unwrap());
            assert!(flags.contains(FdFlag::FD_CLOEXEC));
            let flags = OFlag::from_bits_retain(fcntl(end, FcntlArg::F_GETFL).unwrap());
            assert!(flags.contains(OFlag::O_NONBLOCK));
        }
    }

    #[test]
    fn the_maker_is_known_on_systems_that_report_it() {
        let (one, two) = Channel::pair().unwrap();
        for end in [&one, &two] {
            let maker = end.peer_pid().unwrap();
            assert!(maker.is_none_or(|pid| pid == crate::Pid::current().as_raw()));
        }
    }
}
