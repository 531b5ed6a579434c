//! One image's part in the life of a service.

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
    pub(super) inner: Loop,
    pub(super) serving: Serving,
    /// Why the predecessor could not be told what this image has.
    pub(super) untold: Option<io::Error>,
    /// Why the state of the predecessor did not come.
    pub(super) stateless: Option<RestoreError>,
    /// `before_exit` has run.
    pub(super) has_left: bool,
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
        Goagain { inner, serving, untold: None, stateless: None, has_left: false }
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

    /// Tells the predecessor that this image cannot serve, and why. Nothing is lost: the predecessor goes on.
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
        // The end of the channel, which follows, makes another the owner: nothing is accepted here from now on.
        self.serving.stop_accepting();
        self.serving.close_listeners(false);
        self.serving.report_left_over();
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
