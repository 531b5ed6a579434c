//! One process of a service.

use crate::drain::Connections;
use crate::error::ListenError;
use crate::life::builder::Builder;
use crate::server::serving::{Kept, Serving};
use crate::socket::Listener;
use crate::socket::bind::Bind;
use goagain_env::Strategy;
use goagain_signals::{Handle, RestoreError};
use goagain_signals::{Input, Loop, Server};
use std::io;
use std::net::ToSocketAddrs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// One process of a service: it prepares itself, serves, hands over or stops, drains, and exits.
///
/// Made by [`Builder::start`]. [`run`](crate::run) makes these calls for you. By hand the order is: listeners and state,
/// [`ready`](Goagain::ready), [`wait`](Goagain::wait), [`finish`](Goagain::finish), and again from `wait` if that returns
/// [`Finish::Resume`].
///
/// Signals, messages and timeouts are handled in these calls only: this type has no thread. On Linux it has one descriptor. A program
/// with an event loop of its own polls it, and calls [`step`](Goagain::step) when it is readable.
///
/// Dropping it before this process is the owner tells the predecessor that this process has failed. Dropping it later looks to the
/// other processes as if this one had died: acceptors end, and the listeners are closed. Either way, signals have their default action
/// from then on.
#[derive(Debug)]
#[must_use = "dropping it tells the predecessor that this process has failed"]
pub struct Goagain {
    pub(super) inner: Loop,
    pub(super) serving: Serving,
    /// Why the predecessor could not be told which sockets this process has.
    pub(super) untold: Option<io::Error>,
    /// Why the state of the predecessor did not arrive.
    pub(super) stateless: Option<RestoreError>,
    /// `before_exit` has run.
    pub(super) has_left: bool,
}

/// What to do after [`Goagain::finish`].
// Exhaustive: a `main` that ignored a third answer would end, or serve, wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Exit: return from `main`.
    Exit,
    /// Serve again. The successor failed and this process is the owner again, perhaps in the middle of its drain; or its exec failed.
    Resume,
}

impl Goagain {
    /// Returns the settings for a server under this strategy, to be changed and [started](Builder::start), or passed to
    /// [`run`](crate::run).
    pub fn builder(strategy: impl Strategy + 'static) -> Builder {
        Builder::new(Box::new(strategy))
    }

    pub(crate) fn from_parts(inner: Loop, serving: Serving) -> Goagain {
        Goagain { inner, serving, untold: None, stateless: None, has_left: false }
    }

    pub(crate) fn serving_mut(&mut self) -> &mut Serving {
        &mut self.serving
    }

    pub(crate) fn parts(&mut self) -> (&mut Loop, &mut Serving) {
        (&mut self.inner, &mut self.serving)
    }

    /// Returns the generation: the number of this process in the life of the service, counted from 1. After a handover from the Go package
    /// goagain, which does not count, it is 2.
    pub fn generation(&self) -> u64 {
        self.inner.generation()
    }

    /// Returns whether a predecessor handed over to this process.
    pub fn is_successor(&self) -> bool {
        self.generation() > 1
    }

    /// Returns a handle to request a restart or a stop from any thread.
    pub fn handle(&self) -> Handle {
        self.inner.handle()
    }

    /// Returns the connections in flight: to count and list them, to hold [guards](crate::Guard), and to wait for the phases of a drain.
    pub fn connections(&self) -> Connections {
        self.serving.connections.clone()
    }

    /// Returns the listener of this name: the inherited one, or one that is bound to `address`, such as `127.0.0.1:80`, `[::1]:80`,
    /// `unix:/run/http.sock` or `unix:@name`. See [`Bind::listen`].
    ///
    /// # Errors
    /// [`ListenError`]
    pub fn listen(&mut self, name: &str, address: &str) -> Result<Listener, ListenError> {
        self.bind(name).listen(address)
    }

    /// Returns the listener of this name, as [`listen`](Goagain::listen) does. If the predecessor has another address or kind under this name,
    /// binds the new address and drops the old one: the listener moves in one restart.
    ///
    /// # Errors
    /// [`ListenError`], but never [`ListenError::AnotherAddress`].
    pub fn listen_or_rebind(&mut self, name: &str, address: &str) -> Result<Listener, ListenError> {
        self.bind(name).or_rebind().listen(address)
    }

    /// Returns the TCP listener of this name. See [`Bind::tcp`].
    ///
    /// # Errors
    /// [`ListenError`]
    pub fn listen_tcp(&mut self, name: &str, address: impl ToSocketAddrs) -> Result<Listener, ListenError> {
        self.bind(name).tcp(address)
    }

    /// Returns the Unix listener of this name. See [`Bind::unix`].
    ///
    /// # Errors
    /// [`ListenError`]
    pub fn listen_unix(&mut self, name: &str, path: impl AsRef<Path>) -> Result<Listener, ListenError> {
        self.bind(name).unix(path)
    }

    /// Begins to bind a socket of this name, of any kind and with options.
    pub fn bind(&mut self, name: &str) -> Bind<'_> {
        Bind::new(self, name)
    }

    /// Takes the descriptor that the predecessor kept under this name by [`keep_fd`](Goagain::keep_fd), or returns `None`. To hand it to
    /// this process's own successor too, keep it again.
    pub fn kept_fd(&mut self, name: &str) -> Option<OwnedFd> {
        self.serving.inherited.take(name).map(|descriptor| descriptor.fd)
    }

    /// Keeps a descriptor for every successor of this process, under this name. A successor takes it by [`kept_fd`](Goagain::kept_fd). Give
    /// a duplicate of what you use yourself.
    ///
    /// A descriptor that only exists at the restart, or changes, is saved by [`save_fd`](Goagain::save_fd).
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

    /// Tells the predecessor that this process cannot serve, and why. The predecessor keeps serving.
    pub fn fail(mut self, reason: impl Into<String>) {
        self.fail_because(reason.into());
    }

    pub(crate) fn fail_because(&mut self, reason: String) {
        self.inner.tell(Input::Fail(reason), &mut self.serving);
    }

    /// Waits until there may be something to do.
    pub(crate) fn block(&self) -> io::Result<()> {
        self.inner.wait(&self.serving)
    }
}

impl Drop for Goagain {
    fn drop(&mut self) {
        self.inner.tell(Input::Fail("it gave up before it was ready".into()), &mut self.serving);
        // The channel ends next, which makes another process the owner. So this one accepts nothing from now on.
        self.serving.stop_accepting();
        self.serving.close_listeners(false);
        self.serving.report_left_over();
        self.inner.report_warnings(&mut self.serving);
        // Does not wait for acceptors: a program with an event loop may hold one in this very thread.
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
