//! Sending a connection to the successor.

use super::incoming::LONGEST_BYTES;
use crate::drain::latch::Latch;
use crate::drain::{Connections, Guard};
use goagain_env::{Channel, Message, StateItem, StateLimits};
use nix::poll::PollFlags;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{error, fmt};

/// A packet holds 2 KiB, and each byte of a name may be escaped by three.
const LONGEST_NAME: usize = 500;

/// The way to the successor, for all threads.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    way: Way,
    /// Closes when the way opens.
    opening: Arc<Latch>,
}

#[derive(Debug)]
enum Way {
    /// There is no successor, or it takes no connections.
    None,
    /// The successor owns, and does not serve yet: should it die now, what was moved would be lost.
    Awaited(Channel),
    Open(Arc<Channel>),
}

impl Outgoing {
    pub(super) fn new() -> io::Result<Outgoing> {
        Ok(Outgoing(Arc::new(Mutex::new(Shared { way: Way::None, opening: Arc::new(Latch::new()?) }))))
    }

    pub(super) fn await_opening(&self, channel: Channel) {
        self.lock().way = Way::Awaited(channel);
    }

    pub(super) fn open(&self) {
        let mut shared = self.lock();
        shared.way = match std::mem::replace(&mut shared.way, Way::None) {
            Way::Awaited(channel) => Way::Open(Arc::new(channel)),
            way => way,
        };
        if matches!(shared.way, Way::Open(_)) {
            shared.opening.close();
        }
    }

    pub(super) fn close(&self) -> io::Result<()> {
        let mut shared = self.lock();
        shared.way = Way::None;
        if shared.opening.is_closed() {
            shared.opening = Arc::new(Latch::new()?);
        }
        Ok(())
    }

    fn channel(&self) -> Option<Arc<Channel>> {
        match &self.lock().way {
            Way::Open(channel) => Some(Arc::clone(channel)),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Migrations connections of one listener to the successor, from any thread; made by [`Listener::migrator`](crate::Listener::migrator).
///
/// Where [`Builder::migrate_connections`](crate::Builder::migrate_connections) was not called, by this image or by the next, nothing is
/// ever moved, and all else is as without it.
#[derive(Clone, Debug)]
pub struct Migrator {
    listener: String,
    outgoing: Option<Outgoing>,
    connections: Connections,
}

/// What a connection that waited for a request has come to.
// Exhaustive: a server has to do something else for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    /// There is something to read.
    Readable,
    /// The successor has it: drop yours, without `shutdown`.
    Migrated,
    /// It is to be closed.
    Close,
}

impl Migrator {
    pub(crate) fn new(listener: &str, outgoing: Option<Outgoing>, connections: Connections) -> Migrator {
        Migrator { listener: listener.to_owned(), outgoing, connections }
    }

    /// Returns whether the answer to be written now may keep its connection open (`Connection: keep-alive`): the connection can
    /// move, or soon can, or [`Guard::should_close`] says no.
    pub fn should_keep_alive(&self, guard: &Guard, stream: impl AsFd, unread: &[u8]) -> bool {
        self.can_migrate() || !guard.should_close(stream, unread)
    }

    /// Whether a connection can, or may soon, move.
    pub(crate) fn can_migrate(&self) -> bool {
        let Some(outgoing) = &self.outgoing else { return false };
        match outgoing.lock().way {
            Way::None => false,
            Way::Awaited(_) => !self.connections.is_closing_idle(),
            Way::Open(_) => true,
        }
    }

    /// Sends a connection to the successor, by `sendmsg(2)` with SCM_RIGHTS: one that waits for a request, with the bytes of it
    /// that were read and not served, and those that its guard [carries](Guard::carry). Never blocks. The successor's acceptor of
    /// this listener's name yields it as if just accepted; its guard [tells](Guard::is_migrated) that it was not.
    ///
    /// After `Ok` drop yours, without `shutdown`, which would end it for the successor too. After an error it is yours as before:
    /// serve it, or close it the ordinary way.
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
        if self.listener.len() > LONGEST_NAME {
            return Err(MigrateError::Name);
        }
        if unread.len().max(attached.len()) as u64 > LONGEST_BYTES {
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
                // It takes none, or has handed over in its turn, or is dead.
                let mut shared = outgoing.lock();
                if matches!(&shared.way, Way::Open(open) if Arc::ptr_eq(open, &channel)) {
                    shared.way = Way::None;
                }
                Err(MigrateError::NotOpen)
            }
            Err(error) => Err(MigrateError::System(error)),
        }
    }

    /// Waits for the next request (`poll`), as [`Guard::wait_readable`] does, and moves the connection as soon as there is a
    /// successor that serves and takes it. `unread` is what was read of it and not served. For servers with a thread a
    /// connection.
    ///
    /// # Errors
    /// Those of `poll`.
    pub fn wait(&self, guard: &mut Guard, stream: impl AsFd, unread: &[u8]) -> io::Result<WaitOutcome> {
        let Some(outgoing) = &self.outgoing else {
            return Ok(if guard.wait_readable(stream)? { WaitOutcome::Readable } else { WaitOutcome::Close });
        };
        if guard.is_primed() {
            // What was read of it before is its stream's, and comes before all else.
            return Ok(if guard.wait_readable(stream)? { WaitOutcome::Readable } else { WaitOutcome::Close });
        }
        loop {
            // Looked at before the offer, so that nothing that opens after it is missed.
            let opening = Arc::clone(&outgoing.lock().opening);
            let channel = outgoing.channel();
            let offered = self.send(guard, &stream, unread);
            if offered.is_ok() {
                guard.give_up_connection();
                return Ok(WaitOutcome::Migrated);
            }
            let other = match &channel {
                Some(channel) if matches!(offered, Err(MigrateError::Full)) => {
                    Some((channel.as_fd(), PollFlags::POLLOUT))
                }
                None if !opening.is_closed() => Some((opening.as_fd(), PollFlags::POLLIN)),
                // It was refused, and would be again.
                _ => None,
            };
            match guard.wait_either(stream.as_fd(), other)? {
                Some(true) => return Ok(WaitOutcome::Readable),
                Some(false) => return Ok(WaitOutcome::Close),
                None => {}
            }
        }
    }

    /// [`Migrator::opening`] as a future.
    #[cfg(feature = "hyper")]
    pub(crate) fn opened(&self) -> Option<crate::drain::ShutdownSignal> {
        self.outgoing
            .as_ref()
            .map(|outgoing| crate::drain::ShutdownSignal::of(Arc::clone(&outgoing.lock().opening)))
    }

    /// To wait until there is room on the way to the successor; `None` where there is no way, or no descriptor to wait by.
    #[cfg(feature = "hyper")]
    pub(crate) fn room(&self) -> Option<goagain_env::Watched> {
        goagain_env::Watched::new_writable(&*self.outgoing.as_ref()?.channel()?).ok()
    }

    /// Readable, for good, once connections can be moved; for those who wait by other means than [`Migrator::wait`]. It belongs to
    /// the present term: ask anew after [`Finish::Resume`](crate::Finish::Resume). `None`: nothing will ever be moved.
    pub fn successor_ready(&self) -> Option<SuccessorReady> {
        self.outgoing.as_ref().map(|outgoing| SuccessorReady(Arc::clone(&outgoing.lock().opening)))
    }
}

/// Readable once connections can be moved: see [`Migrator::opening`].
#[derive(Clone, Debug)]
pub struct SuccessorReady(Arc<Latch>);

impl SuccessorReady {
    /// Whether it is readable now.
    pub fn is_open(&self) -> bool {
        self.0.is_closed()
    }
}

impl AsFd for SuccessorReady {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn file_of(bytes: &[u8]) -> io::Result<StateItem> {
    let allowance = StateLimits::new(bytes.len() as u64, Duration::from_secs(60));
    StateItem::pack("", 0, allowance, |writer| writer.write_all(bytes).map_err(|error| error.to_string()))
        .map_err(io::Error::other)
}

/// Why a connection was not moved: it is the caller's as before.
#[derive(Debug)]
#[non_exhaustive]
pub enum MigrateError {
    /// There is no successor that serves, or it takes no connections: not before SERVING, nor after it has handed over in its
    /// turn.
    NotOpen,
    /// The successor has not taken those that were sent before; the socket's buffer is full.
    Full,
    /// The name of the listener is longer than 500 bytes.
    Name,
    /// More than 16 MiB were read of it and not served, or it carries more than that.
    TooLong,
    /// A system call failed.
    System(io::Error),
}

impl fmt::Display for MigrateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MigrateError::NotOpen => f.write_str("no successor takes connections now"),
            MigrateError::Full => f.write_str("the successor has not taken the connections sent before"),
            MigrateError::Name => write!(f, "expected a listener's name of at most {LONGEST_NAME} bytes"),
            MigrateError::TooLong => {
                write!(
                    f,
                    "expected at most {LONGEST_BYTES} bytes that were read, or are attached, of a connection"
                )
            }
            MigrateError::System(error) => write!(f, "cannot move the connection: {error}"),
        }
    }
}

impl error::Error for MigrateError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            // What it says is said by this error already.
            MigrateError::System(error) => error.source(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::Unfinished;
    use goagain_env::Received;
    use std::os::unix::net::UnixStream;

    fn migrator() -> (Migrator, Outgoing, Connections) {
        let (outgoing, connections) = (
            Outgoing::new().unwrap(),
            Connections::new(Duration::ZERO, Unfinished::Leave, Duration::ZERO).unwrap(),
        );
        (Migrator::new("http", Some(outgoing.clone()), connections.clone()), outgoing, connections)
    }

    #[test]
    fn nothing_moves_before_the_successor_serves_or_after_it_is_gone() {
        let (migrator, outgoing, connections) = migrator();
        let (ours, mut theirs) = Channel::pair().unwrap();
        let (client, server) = UnixStream::pair().unwrap();
        let mut guard = connections.begin();
        guard.attach(&b"PROXY"[..]);
        assert!(matches!(migrator.send(&guard, &server, b""), Err(MigrateError::NotOpen)));
        outgoing.await_opening(ours);
        connections.drain();
        assert!(migrator.should_keep_alive(&guard, &server, b""), "it may move soon");
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
    fn what_does_not_fit_is_given_back_and_moves_when_it_does() {
        let (migrator, outgoing, connections) = migrator();
        let (ours, mut theirs) = Channel::pair().unwrap();
        let (_client, server) = UnixStream::pair().unwrap();
        outgoing.await_opening(ours);
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
        let name = "x".repeat(LONGEST_NAME + 1);
        let long = Migrator::new(&name, Some(outgoing), connections.clone());
        assert!(matches!(long.send(&connections.begin(), &_client, b""), Err(MigrateError::Name)));
    }

    #[test]
    fn a_wait_ends_by_a_request_by_the_way_that_opens_or_by_the_drain() {
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
        let (_client, moved) = wait(&migrator);
        outgoing.await_opening(ours);
        outgoing.open();
        assert_eq!(moved.join().unwrap(), WaitOutcome::Migrated);
        outgoing.close().unwrap();
        let (_client, closed) = wait(&migrator);
        let (_other, closed_too) = wait(&Migrator::new("http", None, connections.clone()));
        connections.drain();
        connections.close_idle();
        assert_eq!(closed.join().unwrap(), WaitOutcome::Close);
        assert_eq!(closed_too.join().unwrap(), WaitOutcome::Close);
    }
}
