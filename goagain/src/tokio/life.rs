//! The life of an image, as futures.

use crate::drain::Connections;
use crate::error::{ListenError, ReadyError};
use crate::life::{Finish, goagain};
use crate::socket::Listener;
use goagain_env::Watched;
use goagain_signals::{Handle, Stop, Turn};
use std::io;

/// [`crate::Goagain`] in a tokio runtime; made by [`crate::Goagain::into_tokio`].
///
/// Dropping it does what dropping the other does.
#[derive(Debug)]
#[must_use = "dropping it tells the predecessor that this image has failed"]
pub struct Goagain {
    inner: goagain::Goagain,
    /// The descriptor that stands for everything that the loop waits for.
    watched: Watched,
}

impl goagain::Goagain {
    /// The same in the tokio runtime of the caller, which is told of its one descriptor (`epoll_ctl`). Nothing of the
    /// handoff is lost: what was bound, inherited or kept stays so.
    ///
    /// # Errors
    /// - There is no runtime here.
    /// - Those of `fcntl(F_DUPFD_CLOEXEC)` and `epoll_ctl`.
    ///
    /// As this drops `self`, the predecessor is told that this image has failed, and goes on.
    ///
    /// # Panics
    /// If the runtime was built without `enable_io`.
    pub fn into_tokio(self) -> io::Result<Goagain> {
        let watched = Watched::new(&self)?;
        Ok(Goagain { inner: self, watched })
    }
}

impl Goagain {
    /// As [`crate::Goagain::generation`].
    pub fn generation(&self) -> u64 {
        self.inner.generation()
    }

    /// As [`crate::Goagain::is_successor`].
    pub fn is_successor(&self) -> bool {
        self.inner.is_successor()
    }

    /// As [`crate::Goagain::handle`].
    pub fn handle(&self) -> Handle {
        self.inner.handle()
    }

    /// As [`crate::Goagain::connections`].
    pub fn connections(&self) -> Connections {
        self.inner.connections()
    }

    /// As [`crate::Goagain::listen`].
    ///
    /// # Errors
    /// [`ListenError`]
    pub fn listen(&mut self, name: &str, address: &str) -> Result<Listener, ListenError> {
        self.inner.listen(name, address)
    }

    /// Says READY, and is done once this process is the owner. As [`crate::Goagain::ready`].
    ///
    /// # Errors
    /// [`ReadyError`]: this process is not to serve. Leave; the predecessor goes on.
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

    /// Serves: is done when this process has to stop accepting, and at once while that is so. The acceptors end by
    /// themselves. As [`crate::Goagain::wait`].
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

    /// Why this process stops accepting, if it does.
    pub fn stopping(&self) -> Option<Stop> {
        self.inner.stopping()
    }

    /// Is done when nothing is in flight, or the deadline of the drain is over, or a stop says now: for last work between
    /// that and [`finish`](Goagain::finish). [`Finish::Resume`]: serve again. As [`crate::Goagain::drain`].
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

    /// Drains, stays the net for as long as the strategy wants, and, under a strategy that execs, execs, which ends every
    /// task and thread. Is done when this process is to leave, or to serve again. As [`crate::Goagain::finish`].
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

    /// As [`crate::Goagain::fail`].
    pub fn fail(self, reason: impl Into<String>) {
        self.inner.fail(reason);
    }
}
