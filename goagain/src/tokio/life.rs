//! One process of a service, as futures.

use crate::drain::Connections;
use crate::error::{ListenError, ReadyError};
use crate::life::{Finish, goagain};
use crate::socket::Listener;
use goagain_env::Watched;
use goagain_signals::{Handle, Stop, Turn};
use std::io;

/// [`crate::Goagain`] in a tokio runtime. Made by [`crate::Goagain::into_tokio`].
///
/// Dropping it does what dropping that one does.
#[derive(Debug)]
#[must_use = "dropping it tells the predecessor that this process has failed"]
pub struct Goagain {
    inner: goagain::Goagain,
    /// The descriptor that stands for everything that the loop waits for.
    watched: Watched,
}

impl goagain::Goagain {
    /// Moves this process's loop into the tokio runtime of the caller, which registers its one descriptor (`epoll_ctl`). What was bound,
    /// inherited or kept stays so.
    ///
    /// # Errors
    /// - There is no runtime here.
    /// - Those of `fcntl(F_DUPFD_CLOEXEC)` and `epoll_ctl`.
    ///
    /// An error drops `self`, so the predecessor learns that this process has failed, and keeps serving.
    ///
    /// # Panics
    /// If the runtime was built without `enable_io`.
    pub fn into_tokio(self) -> io::Result<Goagain> {
        let watched = Watched::new(&self)?;
        Ok(Goagain { inner: self, watched })
    }
}

impl Goagain {
    /// Returns the generation. See [`crate::Goagain::generation`].
    pub fn generation(&self) -> u64 {
        self.inner.generation()
    }

    /// Returns whether a predecessor handed over to this process.
    pub fn is_successor(&self) -> bool {
        self.inner.is_successor()
    }

    /// Returns a handle to request a restart or a stop from any thread.
    pub fn handle(&self) -> Handle {
        self.inner.handle()
    }

    /// Returns the connections in flight.
    pub fn connections(&self) -> Connections {
        self.inner.connections()
    }

    /// Returns the listener of this name. See [`crate::Goagain::listen`]. Other sockets, state and descriptors are handled before
    /// [`into_tokio`](crate::Goagain::into_tokio).
    ///
    /// # Errors
    /// [`ListenError`]
    pub fn listen(&mut self, name: &str, address: &str) -> Result<Listener, ListenError> {
        self.inner.listen(name, address)
    }

    /// Says READY, and returns when this process is the owner. See [`crate::Goagain::ready`].
    ///
    /// # Errors
    /// [`ReadyError`]: this process does not serve. Exit. The predecessor keeps serving.
    pub async fn ready(&mut self) -> Result<(), ReadyError> {
        self.inner.announce_ready();
        loop {
            match self.inner.step() {
                Turn::Serve => return Ok(()),
                Turn::Prepare => self.watched.readable().await.map_err(ReadyError::Channel)?,
                Turn::Drain(_) | Turn::Exit => return Err(self.inner.ready_error()),
            }
        }
    }

    /// Handles signals, restarts and messages until the term ends, which is when this process has to stop accepting. The acceptors end by
    /// themselves. See [`crate::Goagain::wait`].
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] before [`ready`](Goagain::ready), and where the runtime is shutting down.
    pub async fn wait(&mut self) -> io::Result<()> {
        self.inner.announce_serving();
        loop {
            match self.inner.step() {
                Turn::Serve => self.watched.readable().await?,
                Turn::Prepare => return Err(crate::life::term::before_ready()),
                Turn::Drain(_) | Turn::Exit => return Ok(()),
            }
        }
    }

    /// Returns why this process stops accepting, or `None` if it does not.
    pub fn stopping(&self) -> Option<Stop> {
        self.inner.stopping()
    }

    /// Waits until nothing is in flight, the drain has timed out, or a stop ends it. Last work between that and
    /// [`finish`](Goagain::finish) goes after it. [`Finish::Resume`]: serve again. See [`crate::Goagain::drain`].
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] before [`ready`](Goagain::ready), and where the runtime is shutting down.
    pub async fn drain(&mut self) -> io::Result<Finish> {
        loop {
            match self.inner.drained()? {
                Some(finish) => return Ok(finish),
                None => self.watched.readable().await?,
            }
        }
    }

    /// Drains, stays the fallback for as long as the strategy wants, and, under a strategy that execs, execs, which ends every task and
    /// thread. Returns when this process has to exit, or to serve again. See [`crate::Goagain::finish`].
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] before [`ready`](Goagain::ready), and where the runtime is shutting down.
    pub async fn finish(&mut self) -> io::Result<Finish> {
        loop {
            match self.inner.finished()? {
                Some(finish) => return Ok(finish),
                None => self.watched.readable().await?,
            }
        }
    }

    /// Tells the predecessor that this process cannot serve, and why.
    pub fn fail(self, reason: impl Into<String>) {
        self.inner.fail(reason);
    }
}
