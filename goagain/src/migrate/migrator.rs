//! Sending connections to the successor.

use super::error::MigrateError;
use super::incoming::MAX_BYTES;
use super::outgoing::{Openness, Outgoing};
use crate::drain::latch::Latch;
use crate::drain::{Connections, Guard};
use goagain_env::{Message, StateItem, StateLimits};
use nix::poll::PollFlags;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

/// A message has at most 2 KiB, and escaping makes up to three bytes of each byte of a name.
pub(super) const MAX_NAME: usize = 500;

/// Sends connections of one listener to the successor, from any thread. Returned by [`Listener::migrator`](crate::Listener::migrator).
///
/// If this process or the next one does not call [`Builder::migrate_connections`](crate::Builder::migrate_connections), no
/// connection is ever sent. [`send`](Migrator::send) then always fails with [`MigrateError::NotOpen`], and
/// [`wait`](Migrator::wait) waits like [`Guard::wait_readable`].
#[derive(Clone, Debug)]
pub struct Migrator {
    listener: String,
    outgoing: Option<Outgoing>,
    connections: Connections,
}

/// How [`Migrator::wait`] has ended.
// Exhaustive: a server has to do something else for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    /// There is something to read.
    Readable,
    /// The successor has the connection. Drop yours without `shutdown`, which would end it for the successor too.
    Migrated,
    /// The connection is asked to close.
    Close,
}

impl Migrator {
    pub(crate) fn new(listener: &str, outgoing: Option<Outgoing>, connections: Connections) -> Migrator {
        Migrator { listener: listener.to_owned(), outgoing, connections }
    }

    /// Returns whether the response to be written now may keep its connection open (`Connection: keep-alive`): the connection can
    /// migrate now or soon, or [`Guard::should_close`] returns `false`.
    pub fn should_keep_alive(&self, guard: &Guard, stream: impl AsFd, unread: &[u8]) -> bool {
        self.can_migrate() || !guard.should_close(stream, unread)
    }

    /// Whether a connection can migrate now, or perhaps soon.
    pub(crate) fn can_migrate(&self) -> bool {
        match self.outgoing.as_ref().map(Outgoing::openness) {
            None | Some(Openness::Closed) => false,
            Some(Openness::Pending) => !self.connections.is_closing_idle(),
            Some(Openness::Open) => true,
        }
    }

    /// Sends a connection that waits for a request to the successor (`sendmsg(2)` with SCM_RIGHTS). Never blocks.
    ///
    /// `unread` contains the bytes that were read from the connection and not served. They travel with the connection, and so
    /// do the bytes that are [attached](Guard::attach) to the guard. In the successor, the acceptor of the listener with the
    /// same name yields the connection like a new one, and [`Guard::is_migrated`] returns `true`.
    ///
    /// After `Ok`, drop your connection without `shutdown`, which would end it for the successor too. After an error, the
    /// connection is still yours and unchanged: serve it, or close it as usual.
    ///
    /// # Errors
    /// [`MigrateError`]
    pub fn send(&self, guard: &Guard, connection: impl AsFd, unread: &[u8]) -> Result<(), MigrateError> {
        self.send_with(connection, unread, guard.attached())
    }

    pub(crate) fn send_with(
        &self,
        connection: impl AsFd,
        unread: &[u8],
        attached: &[u8],
    ) -> Result<(), MigrateError> {
        let Some(outgoing) = &self.outgoing else { return Err(MigrateError::NotOpen) };
        let Some(channel) = outgoing.channel() else { return Err(MigrateError::NotOpen) };
        if self.listener.len() > MAX_NAME {
            return Err(MigrateError::Name);
        }
        if unread.len().max(attached.len()) as u64 > MAX_BYTES {
            return Err(MigrateError::TooLong);
        }
        let message = Message::Migrated {
            listener: self.listener.clone(),
            unread: !unread.is_empty(),
            attached: !attached.is_empty(),
        };
        let files: Vec<StateItem> = [unread, attached]
            .into_iter()
            .filter(|bytes| !bytes.is_empty())
            .map(file_of)
            .collect::<io::Result<_>>()
            .map_err(MigrateError::System)?;
        let descriptors: Vec<BorrowedFd<'_>> =
            [connection.as_fd()].into_iter().chain(files.iter().map(AsFd::as_fd)).collect();
        match channel.send_with(&message, &descriptors) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(MigrateError::Full),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                outgoing.close_if(&channel);
                Err(MigrateError::NotOpen)
            }
            Err(error) => Err(MigrateError::System(error)),
        }
    }

    /// Waits for the next request (`poll`) like [`Guard::wait_readable`], and migrates the connection as soon as a successor
    /// serves and takes it. `unread` contains the bytes that were read from the connection and not served.
    ///
    /// For servers with a thread for each connection.
    ///
    /// # Errors
    /// The errors of `poll`, except EINTR.
    pub fn wait(&self, guard: &mut Guard, stream: impl AsFd, unread: &[u8]) -> io::Result<WaitOutcome> {
        let outgoing = match &self.outgoing {
            // Bytes that the predecessor has read are in the stream already, and have to be served first.
            Some(outgoing) if !guard.has_unread() => outgoing,
            _ => {
                let readable = guard.wait_readable(stream)?;
                return Ok(if readable { WaitOutcome::Readable } else { WaitOutcome::Close });
            }
        };
        loop {
            // Taken before the connection is sent, so that a route that opens after that is not missed.
            let opening = outgoing.opening();
            let channel = outgoing.channel();
            let sent = self.send(guard, &stream, unread);
            if sent.is_ok() {
                guard.forget_connection();
                return Ok(WaitOutcome::Migrated);
            }
            let other = match &channel {
                Some(channel) if matches!(sent, Err(MigrateError::Full)) => {
                    Some((channel.as_fd(), PollFlags::POLLOUT))
                }
                None if !opening.is_set() => Some((opening.as_fd(), PollFlags::POLLIN)),
                // It was refused, and would be refused again.
                _ => None,
            };
            match guard.wait_either(stream.as_fd(), other)? {
                Some(true) => return Ok(WaitOutcome::Readable),
                Some(false) => return Ok(WaitOutcome::Close),
                None => {}
            }
        }
    }

    /// [`Migrator::successor_ready`] as a future.
    #[cfg(feature = "hyper")]
    pub(crate) fn opening(&self) -> Option<crate::drain::ShutdownSignal> {
        self.outgoing.as_ref().map(|outgoing| crate::drain::ShutdownSignal::of(outgoing.opening()))
    }

    /// Returns what waits until there is room on the route to the successor. `None` if there is no route, or no descriptor to wait
    /// with.
    #[cfg(feature = "hyper")]
    pub(crate) fn room(&self) -> Option<goagain_env::Watched> {
        goagain_env::Watched::new_writable(&*self.outgoing.as_ref()?.channel()?).ok()
    }

    /// Returns a descriptor that becomes readable, and stays so, once connections can be sent. For code that does not wait with
    /// [`Migrator::wait`].
    ///
    /// It belongs to the current term: call this again after [`Finish::Resume`](crate::Finish::Resume). Returns `None` if
    /// [`Builder::migrate_connections`](crate::Builder::migrate_connections) was not called, so that no connection is ever
    /// sent.
    pub fn successor_ready(&self) -> Option<SuccessorReady> {
        self.outgoing.as_ref().map(|outgoing| SuccessorReady(outgoing.opening()))
    }
}

/// A descriptor that is readable once connections can be sent. Returned by [`Migrator::successor_ready`].
#[derive(Clone, Debug)]
pub struct SuccessorReady(Arc<Latch>);

impl SuccessorReady {
    /// Returns whether it is readable now.
    pub fn is_open(&self) -> bool {
        self.0.is_set()
    }
}

impl AsFd for SuccessorReady {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn file_of(bytes: &[u8]) -> io::Result<StateItem> {
    let limits = StateLimits::new(bytes.len() as u64, Duration::from_secs(60));
    StateItem::pack("", 0, limits, |writer| writer.write_all(bytes).map_err(|error| error.to_string()))
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::Unfinished;
    use goagain_env::{Channel, Received};
    use std::os::unix::net::UnixStream;

    fn migrator() -> (Migrator, Outgoing, Connections) {
        let (outgoing, connections) = (
            Outgoing::new().unwrap(),
            Connections::new(Duration::ZERO, Unfinished::Leave, Duration::ZERO).unwrap(),
        );
        (Migrator::new("http", Some(outgoing.clone()), connections.clone()), outgoing, connections)
    }

    #[test]
    fn nothing_migrates_before_the_successor_serves_or_after_it_is_gone() {
        let (migrator, outgoing, connections) = migrator();
        let (ours, mut theirs) = Channel::pair().unwrap();
        let (client, server) = UnixStream::pair().unwrap();
        let mut guard = connections.begin();
        guard.attach(&b"PROXY"[..]);
        assert!(matches!(migrator.send(&guard, &server, b""), Err(MigrateError::NotOpen)));
        outgoing.set_pending(ours);
        connections.drain();
        assert!(migrator.should_keep_alive(&guard, &server, b""), "it may migrate soon");
        assert!(matches!(migrator.send(&guard, &server, b""), Err(MigrateError::NotOpen)));
        let opening = migrator.successor_ready().unwrap();
        assert!(!opening.is_open());
        outgoing.open();
        assert!(opening.is_open());
        migrator.send(&guard, &server, b"GET").unwrap();
        let expected = Message::Migrated { listener: "http".into(), unread: true, attached: true };
        assert_eq!(theirs.receive().unwrap(), Received::Message(expected));
        assert_eq!(theirs.take_descriptors().len(), 3);
        drop(theirs);
        assert!(matches!(migrator.send(&guard, &client, b""), Err(MigrateError::NotOpen)));
        assert!(!migrator.should_keep_alive(&guard, &client, b""));
    }

    #[test]
    fn a_connection_that_does_not_fit_is_returned_and_migrates_when_there_is_room() {
        let (migrator, outgoing, connections) = migrator();
        let (ours, mut theirs) = Channel::pair().unwrap();
        let (_client, server) = UnixStream::pair().unwrap();
        outgoing.set_pending(ours);
        outgoing.open();
        let mut guard = connections.begin();
        while migrator.send(&guard, &server, b"").is_ok() {}
        assert!(matches!(migrator.send(&guard, &server, b""), Err(MigrateError::Full)));
        let waits = migrator.clone();
        let waiting = std::thread::spawn(move || waits.wait(&mut guard, &server, b"").unwrap());
        while !waiting.is_finished() {
            theirs.receive().unwrap();
        }
        assert_eq!(waiting.join().unwrap(), WaitOutcome::Migrated);
        let name = "x".repeat(MAX_NAME + 1);
        let long = Migrator::new(&name, Some(outgoing), connections.clone());
        assert!(matches!(long.send(&connections.begin(), &_client, b""), Err(MigrateError::Name)));
    }

    #[test]
    fn a_wait_ends_with_a_request_with_the_route_or_with_the_drain() {
        let (migrator, outgoing, connections) = migrator();
        let (ours, _theirs) = Channel::pair().unwrap();
        let wait = |migrator: &Migrator| {
            let (client, server) = UnixStream::pair().unwrap();
            let (migrator, mut guard) = (migrator.clone(), connections.begin());
            let waiting =
                std::thread::spawn(move || (migrator.wait(&mut guard, &server, b"").unwrap(), server).0);
            (client, waiting)
        };
        let (client, readable) = wait(&migrator);
        (&client).write_all(b"GET").unwrap();
        assert_eq!(readable.join().unwrap(), WaitOutcome::Readable);
        let (_client, migrated) = wait(&migrator);
        outgoing.set_pending(ours);
        outgoing.open();
        assert_eq!(migrated.join().unwrap(), WaitOutcome::Migrated);
        outgoing.close().unwrap();
        let (_client, closed) = wait(&migrator);
        let (_other, closed_too) = wait(&Migrator::new("http", None, connections.clone()));
        connections.drain();
        connections.close_idle();
        assert_eq!(closed.join().unwrap(), WaitOutcome::Close);
        assert_eq!(closed_too.join().unwrap(), WaitOutcome::Close);
    }
}
