//! One image's part in the life of a service.

use crate::drain::Connections;
use crate::error::{ListenError, ReadyError};
use crate::life::builder::Builder;
use crate::server::serving::{Kept, LAST_CALLS, Serving};
use crate::socket::Listener;
use crate::socket::bind::Bind;
use goagain_env::Strategy;
use goagain_signals::{EventKind, Input, Loop, Server};
use goagain_signals::{Handle, RestoreError, Stop, Turn};
use std::io;
use std::net::ToSocketAddrs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// One image's part in the life of a service: it gets ready, serves, hands over or stops, drains, and leaves.
///
/// Made by [`Goagain::builder`]. The order of calls is that of the life: listeners, [`ready`](Goagain::ready),
/// [`wait`](Goagain::wait), [`finish`](Goagain::finish), and around again where that answers [`Finish::Resume`].
///
/// Signals, messages and deadlines are acted on in these calls only: this type has no thread. A program with a loop of
/// its own polls the descriptor of this type, on Linux, and calls [`step`](Goagain::step) when it is readable.
///
/// Dropping it before the process is the owner tells the predecessor that this image has failed. Dropping it later is
/// this process's death to the others: acceptors end, the listeners are closed. Either way signals have their default
/// action from then on.
#[derive(Debug)]
#[must_use = "dropping it tells the predecessor that this image has failed"]
pub struct Goagain {
    inner: Loop,
    serving: Serving,
    /// Why the predecessor could not be told what this image has.
    untold: Option<io::Error>,
    /// Why the state of the predecessor did not come.
    stateless: Option<RestoreError>,
}

/// What to do after a drain.
// Exhaustive: a `main` that ignored a third answer would end, or serve, wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Return from `main`.
    Exit,
    /// Serve again: the successor died and this process rolled back, perhaps in mid-drain, or its exec failed.
    Resume,
}

impl Goagain {
    /// Starts choosing; the strategy has no default.
    pub fn builder(strategy: impl Strategy + 'static) -> Builder {
        Builder::new(Box::new(strategy))
    }

    pub(crate) fn from_parts(inner: Loop, serving: Serving) -> Goagain {
        Goagain { inner, serving, untold: None, stateless: None }
    }

    pub(crate) fn serving_mut(&mut self) -> &mut Serving {
        &mut self.serving
    }

    pub(crate) fn parts(&mut self) -> (&mut Loop, &mut Serving) {
        (&mut self.inner, &mut self.serving)
    }

    /// The number of this image in the life of the service, from 1. Where a seed handed over, which does not count, 2.
    pub fn generation(&self) -> u64 {
        self.inner.generation()
    }

    /// Whether a predecessor handed something to this image.
    pub fn is_successor(&self) -> bool {
        self.generation() > 1
    }

    /// A handle to ask for a restart or a stop, from any thread.
    pub fn handle(&self) -> Handle {
        self.inner.handle()
    }

    /// What is in flight.
    pub fn connections(&self) -> Connections {
        self.serving.connections.clone()
    }

    /// The listener of this name: inherited, or bound to `address`, which is like `127.0.0.1:80`, `[::1]:80`,
    /// `unix:/run/http.sock` or `unix:@name`: see [`Bind::listen`].
    ///
    /// # Errors
    /// [`ListenError`]
    pub fn listen(&mut self, name: &str, address: &str) -> Result<Listener, ListenError> {
        self.bind(name).listen(address)
    }

    /// As [`listen`](Goagain::listen), but that where the predecessor has another address or kind under this name, the new one
    /// is bound and the old one dropped: a listener that moves, in one restart.
    ///
    /// # Errors
    /// [`ListenError`], but never [`ListenError::AnotherAddress`].
    pub fn listen_or_rebind(&mut self, name: &str, address: &str) -> Result<Listener, ListenError> {
        self.bind(name).or_rebind().listen(address)
    }

    /// The TCP listener of this name: see [`Bind::tcp`].
    ///
    /// # Errors
    /// [`ListenError`]
    pub fn listen_tcp(&mut self, name: &str, address: impl ToSocketAddrs) -> Result<Listener, ListenError> {
        self.bind(name).tcp(address)
    }

    /// The Unix listener of this name: see [`Bind::unix`].
    ///
    /// # Errors
    /// [`ListenError`]
    pub fn listen_unix(&mut self, name: &str, path: impl AsRef<Path>) -> Result<Listener, ListenError> {
        self.bind(name).unix(path)
    }

    /// A socket of this name, of any kind, with a choice of how it is bound.
    pub fn bind(&mut self, name: &str) -> Bind<'_> {
        Bind::new(self, name)
    }

    /// Takes the descriptor that the predecessor kept under this name, or `None`. It crosses the next restart only if it
    /// is [kept](Goagain::keep) again.
    pub fn kept_fd(&mut self, name: &str) -> Option<OwnedFd> {
        self.serving.inherited.take(name).map(|descriptor| descriptor.fd)
    }

    /// Hands any descriptor to the successors, under this name. Give a duplicate of what you use yourself.
    ///
    /// # Errors
    /// [`ListenError::NameTaken`]
    pub fn keep_fd(&mut self, name: &str, fd: impl Into<OwnedFd>) -> Result<(), ListenError> {
        if self.serving.has(name) {
            return Err(ListenError::NameTaken { name: name.to_owned() });
        }
        self.serving.keep(Kept::other(name, fd.into()));
        Ok(())
    }

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
        let told = self.inner.send_sockets(&self.serving.own(), &dropped);
        for name in unclaimed {
            self.inner.report(attempt, EventKind::Unclaimed { name }, &mut self.serving);
        }
        for name in if self.is_successor() { added } else { Vec::new() } {
            self.inner.report(attempt, EventKind::NotInherited { name }, &mut self.serving);
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
                    let report = EventKind::Unclaimed { name: parcel.name().to_owned() };
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
    fn receive_connections(&mut self) {
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
            turn => turn,
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

    /// Tells the predecessor that this image cannot serve, and why. Nothing is lost: the predecessor goes on.
    pub fn fail(mut self, reason: impl Into<String>) {
        self.inner.tell(Input::Fail(reason.into()), &mut self.serving);
    }
}

pub(crate) fn before_ready() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not ready yet: call `ready` first")
}

impl Drop for Goagain {
    fn drop(&mut self) {
        self.inner.tell(Input::Fail("it gave up before it was ready".into()), &mut self.serving);
        // The end of the channel, which follows, makes another the owner: nothing is accepted here from now on.
        self.serving.stop_accepting();
        self.serving.close_listeners(false);
        self.serving.report_left_over();
        self.inner.report_warnings(&mut self.serving);
        // Who waits for nothing else, as a loop of its own, may hold an acceptor itself.
        self.serving.unlink(Duration::ZERO);
    }
}

/// Readable whenever [`Goagain::step`] has something to do (epoll(7)).
#[cfg(all(target_os = "linux", not(goagain_portable)))]
mod descriptor {
    use super::Goagain;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

    impl AsFd for Goagain {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.inner.as_fd()
        }
    }

    impl AsRawFd for Goagain {
        fn as_raw_fd(&self) -> RawFd {
            self.as_fd().as_raw_fd()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use goagain_env::Address;
    use goagain_env::{Next, View};
    use std::os::unix::net::UnixStream;

    #[derive(Debug)]
    struct Stays;

    impl Strategy for Stays {
        fn name(&self) -> &str {
            "stays"
        }

        fn next(&self, _: View) -> Next {
            Next::Stay
        }
    }

    #[test]
    fn dropping_ends_the_acceptors_and_closes_the_listeners() {
        let mut again = Goagain::builder(Stays).isolated().unwrap();
        let http = again.listen("http", "127.0.0.1:0").unwrap();
        again.ready().unwrap();
        let mut acceptor = http.acceptor().unwrap();
        drop(again);
        assert!(acceptor.next().is_none());
        assert!(http.to_std_tcp().is_err());
    }

    #[test]
    fn the_first_image_finds_no_state_and_what_does_not_move_stays() {
        let mut again = Goagain::builder(Stays).isolated().unwrap();
        assert!(again.restore_state("keys").unwrap().is_none());
        assert!(again.restore_fd("log").unwrap().is_none());
        let http = again.listen("http", "127.0.0.1:0").unwrap();
        assert!(http.incoming_migrations().is_none() && http.migrator().successor_ready().is_none());
        again.ready().unwrap();
        let (guard, (_client, server)) = (again.connections().begin(), UnixStream::pair().unwrap());
        assert!(http.migrator().should_keep_alive(&guard, &server, b""));
        again.handle().stop_gracefully();
        again.step();
        assert!(!http.migrator().should_keep_alive(&guard, &server, b""));
    }

    #[test]
    fn a_term_that_ends_and_comes_back_in_one_step_is_no_secret() {
        let mut again = Goagain::builder(Stays).isolated().unwrap();
        let http = again.listen("http", "127.0.0.1:0").unwrap();
        again.ready().unwrap();
        let mut acceptor = http.acceptor().unwrap();
        // The loop read READY and the successor's death in one step: commit and roll back.
        again.serving.stop_accepting();
        again.serving.accept();
        again.wait().unwrap();
        assert_eq!(again.stopping(), Some(Stop::HandedOver));
        assert!(acceptor.next().is_none(), "the acceptor of the term before has ended");
        assert_eq!(again.finish().unwrap(), Finish::Resume);
        assert_eq!(again.step(), Turn::Serve);
        assert_eq!(again.stopping(), None);
        let mut acceptor = http.acceptor().unwrap();
        let Address::Tcp(address) = http.local_addr() else { panic!("{http:?}") };
        let _client = std::net::TcpStream::connect(address).unwrap();
        assert!(acceptor.next().unwrap().is_ok());
    }

    #[test]
    fn the_queue_of_a_dropped_listener_is_served_and_a_roll_back_opens_it_again() {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
        use std::os::fd::AsRawFd;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http");
        let mut again = Goagain::builder(Stays).isolated().unwrap();
        let http = again.listen_unix("http", &path).unwrap();
        let other = again.listen("other", "127.0.0.1:0").unwrap();
        again.ready().unwrap();
        let (mut acceptor, mut of_other) = (http.acceptor().unwrap(), other.acceptor().unwrap());
        let client = || {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            let client = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
            connect(client.as_raw_fd(), &UnixAddr::new(&path).unwrap()).map(|()| client)
        };
        let clients: Vec<_> = (0..3).map(|_| client().unwrap()).collect();
        let Address::Tcp(address) = other.local_addr() else { panic!("{other:?}") };
        let _queued = std::net::TcpStream::connect(address).unwrap();

        again.serving.successor_dropped("http".into());
        assert!(!http.is_dropped(), "it is not committed");
        again.serving.stop_accepting();
        assert!(http.is_dropped() && !other.is_dropped());
        assert_eq!(acceptor.by_ref().map(Result::unwrap).count(), clients.len());
        assert!(of_other.next().is_none(), "the successor's to serve");
        let _inside = client().unwrap();
        assert_eq!(client().unwrap_err(), nix::Error::EAGAIN, "there is room for no more");

        again.serving.accept();
        assert!(!http.is_dropped());
        let _more: Vec<_> = (0..3).map(|_| client().unwrap()).collect();
        let mut acceptor = http.acceptor().unwrap();
        assert!((0..4).all(|_| acceptor.next().unwrap().is_ok()));
    }
}
