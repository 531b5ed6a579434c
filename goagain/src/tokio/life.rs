//! One process of a service, as futures.

use crate::drain::Connections;
use crate::error::{ListenError, ReadyError};
use crate::life::{Finish, goagain};
use crate::socket::Listener;
use goagain_env::Watched;
use goagain_signals::{Handle, Stop, Turn};
use std::io;

/// [`crate::Goagain`] in a tokio runtime. Returned by [`crate::Goagain::into_tokio`].
///
/// Dropping it has the same effect as dropping a [`crate::Goagain`].
#[derive(Debug)]
#[must_use = "dropping it tells the predecessor that this process has failed"]
pub struct Goagain {
    inner: goagain::Goagain,
    /// The descriptor that stands for everything that the loop waits for.
    watched: Watched,
}

impl goagain::Goagain {
    /// Moves the signal loop of this process into the tokio runtime of the caller, which watches its descriptor (`epoll_ctl`).
    /// Listeners, descriptors and state stay as they are.
    ///
    /// # Errors
    /// - The caller is not in a runtime.
    /// - The errors of `fcntl(F_DUPFD_CLOEXEC)` and `epoll_ctl`.
    ///
    /// An error drops `self`. So the predecessor learns that this process has failed, and keeps serving.
    ///
    /// # Panics
    /// If the runtime was built without `enable_io`.
    pub fn into_tokio(mut self) -> io::Result<Goagain> {
        match Watched::new(&self) {
            Ok(watched) => Ok(Goagain { inner: self, watched }),
            Err(error) => {
                self.fail_because(format!("cannot use the tokio runtime: {error}"));
                Err(error)
            }
        }
    }
}

impl Goagain {
    /// Returns the generation of this process. See [`crate::Goagain::generation`].
    pub fn generation(&self) -> u64 {
        self.inner.generation()
    }

    /// Returns whether a restart has started this process or its image. See [`crate::Goagain::is_successor`].
    pub fn is_successor(&self) -> bool {
        self.inner.is_successor()
    }

    /// Returns a handle that requests a restart or a stop from any thread.
    pub fn handle(&self) -> Handle {
        self.inner.handle()
    }

    /// Returns the connections in flight. See [`crate::Goagain::connections`].
    pub fn connections(&self) -> Connections {
        self.inner.connections()
    }

    /// Returns the listener of this name. See [`crate::Goagain::listen`]. For other sockets, state and descriptors, make the
    /// calls before [`into_tokio`](crate::Goagain::into_tokio).
    ///
    /// # Errors
    /// [`ListenError`]
    pub fn listen(&mut self, name: &str, address: &str) -> Result<Listener, ListenError> {
        self.inner.listen(name, address)
    }

    /// Sends READY, and returns when this process is the owner. See [`crate::Goagain::ready`].
    ///
    /// # Errors
    /// [`ReadyError`]: this process did not become the owner, and should exit. The predecessor keeps serving.
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

    /// Handles signals, restarts and messages until this process has to stop accepting. The acceptors end by themselves. See
    /// [`crate::Goagain::wait`].
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] before [`ready`](Goagain::ready). Another error if the runtime is shutting down.
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

    /// Returns why this process has to stop accepting, or `None` if it does not have to.
    pub fn stopping(&self) -> Option<Stop> {
        self.inner.stopping()
    }

    /// Waits until nothing is in flight, the drain has timed out, or a stop ends the drain. Returns [`Finish::Exit`] when the
    /// drain is over, and [`Finish::Resume`] if this process is the owner again and has to serve.
    ///
    /// [`finish`](Goagain::finish) drains too. Use this call for work that has to be done between the two. See
    /// [`crate::Goagain::drain`].
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] before [`ready`](Goagain::ready). Another error if the runtime is shutting down.
    pub async fn drain(&mut self) -> io::Result<Finish> {
        loop {
            match self.inner.drained()? {
                Some(finish) => return Ok(finish),
                None => self.watched.readable().await?,
            }
        }
    }

    /// Drains, stays the fallback for as long as the strategy wants, and then execs if the strategy says so. The exec ends
    /// every task and thread. Returns when this process has to exit, or has to serve again. See [`crate::Goagain::finish`].
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] before [`ready`](Goagain::ready). Another error if the runtime is shutting down.
    pub async fn finish(&mut self) -> io::Result<Finish> {
        loop {
            match self.inner.finished()? {
                Some(finish) => return Ok(finish),
                None => self.watched.readable().await?,
            }
        }
    }

    /// Tells the predecessor that this process cannot serve, and why. See [`crate::Goagain::fail`].
    pub fn fail(self, reason: impl Into<String>) {
        self.inner.fail(reason);
    }
}
