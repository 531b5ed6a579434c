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

/// One process of a service, from its start to its exit. Returned by [`Builder::start`].
///
/// [`run`](crate::run) makes all calls for you. If you make them yourself, their order is:
///
/// 1. Bind the listeners ([`listen`](Goagain::listen)), restore state, and prepare everything else.
/// 2. Call [`ready`](Goagain::ready). When it returns `Ok`, this process is the owner.
/// 3. Serve in other threads, and call [`wait`](Goagain::wait). It returns when this process has to stop accepting.
/// 4. Call [`finish`](Goagain::finish). If it returns [`Finish::Exit`], exit. If it returns [`Finish::Resume`], continue with
///    step 3.
///
/// Signals, messages and deadlines are handled only during these calls: this type has no thread. On Linux it has one descriptor
/// (`AsFd`). A program with an event loop of its own polls this descriptor, and calls [`step`](Goagain::step) when it is
/// readable.
///
/// If it is dropped before this process is the owner, the predecessor learns that this process has failed. If it is dropped
/// later, the other processes see this process as dead: its acceptors end, and its listeners are closed. In both cases, signals
/// have their default action from then on.
#[derive(Debug)]
#[must_use = "dropping it tells the predecessor that this process has failed"]
pub struct Goagain {
    pub(super) inner: Loop,
    pub(super) serving: Serving,
    /// Why the predecessor could not be told which sockets this process has.
    pub(super) send_error: Option<io::Error>,
    /// Why the state of the predecessor did not arrive.
    pub(super) state_error: Option<RestoreError>,
    /// `before_exit` has run.
    pub(super) has_left: bool,
}

/// What to do after [`Goagain::finish`] or [`Goagain::drain`].
// Exhaustive: a `main` that ignored a third answer would end, or serve, wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Exit: return from `main`. After [`Goagain::drain`]: the drain is over, so do the last work and call [`Goagain::finish`].
    Exit,
    /// Serve again, because this process is the owner again. Its successor failed, perhaps while this process still drained, or
    /// its own exec failed.
    Resume,
}

impl Goagain {
    /// Returns a [`Builder`] with this strategy and the default settings. Change the settings, and then [start](Builder::start)
    /// it or pass it to [`run`](crate::run).
    pub fn builder(strategy: impl Strategy + 'static) -> Builder {
        Builder::new(Box::new(strategy))
    }

    pub(crate) fn from_parts(inner: Loop, serving: Serving) -> Goagain {
        Goagain { inner, serving, send_error: None, state_error: None, has_left: false }
    }

    pub(crate) fn serving_mut(&mut self) -> &mut Serving {
        &mut self.serving
    }

    pub(crate) fn parts(&mut self) -> (&mut Loop, &mut Serving) {
        (&mut self.inner, &mut self.serving)
    }

    /// Returns the generation of this process, counted from 1. It counts the starts of an image in the life of the service, so
    /// a restart under `Double` adds two. The Go package goagain does not count: after a handover from it, the generation is 2.
    pub fn generation(&self) -> u64 {
        self.inner.generation()
    }

    /// Returns whether a restart has started this process or its image. If not, this is the first process of the service.
    pub fn is_successor(&self) -> bool {
        self.generation() > 1
    }

    /// Returns a handle that requests a restart or a stop from any thread.
    pub fn handle(&self) -> Handle {
        self.inner.handle()
    }

    /// Returns the connections in flight. Use them to count and list connections, to make [guards](Connections::begin) for
    /// other work, and to wait for a phase of a drain.
    pub fn connections(&self) -> Connections {
        self.serving.connections.clone()
    }

    /// Returns the listener of this name: the inherited one, or a new one that is bound to `address`.
    ///
    /// The address is text: `127.0.0.1:80`, `[::1]:80`, `unix:/run/http.sock` or `unix:@name`. See [`Bind::listen`].
    ///
    /// # Errors
    /// [`ListenError`]
    pub fn listen(&mut self, name: &str, address: &str) -> Result<Listener, ListenError> {
        self.bind(name).listen(address)
    }

    /// Returns the listener of this name, like [`listen`](Goagain::listen). If the predecessor has a socket of another address
    /// or kind under this name, binds the new address and drops the old socket. So one restart changes the address.
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

    /// Returns a builder for a socket of this name, of any kind and with options.
    pub fn bind(&mut self, name: &str) -> Bind<'_> {
        Bind::new(self, name)
    }

    /// Returns the descriptor that the predecessor kept under this name with [`keep_fd`](Goagain::keep_fd), or `None` if there
    /// is none. It can be taken once. To hand it to the successor of this process too, keep it again.
    pub fn kept_fd(&mut self, name: &str) -> Option<OwnedFd> {
        self.serving.inherited.take(name).map(|descriptor| descriptor.fd)
    }

    /// Keeps a descriptor for every successor of this process. A successor gets it with [`kept_fd`](Goagain::kept_fd) under the
    /// same name. The library owns `fd` from then on, so pass a duplicate of a descriptor that you use yourself.
    ///
    /// For a descriptor that exists only at the moment of the restart, or that changes, use [`save_fd`](Goagain::save_fd).
    ///
    /// # Errors
    /// [`ListenError::NameTaken`]: this process already has a socket or a descriptor of this name.
    pub fn keep_fd(&mut self, name: &str, fd: impl Into<OwnedFd>) -> Result<(), ListenError> {
        if self.serving.has(name) {
            return Err(ListenError::NameTaken { name: name.to_owned() });
        }
        self.serving.keep(Kept::other(name, fd.into()));
        Ok(())
    }

    /// Tells the predecessor that this process cannot serve, and why. The predecessor keeps serving and reports the reason
    /// ([`EventKind::Failed`](crate::EventKind::Failed)). Exit after this call.
    pub fn fail(mut self, reason: impl Into<String>) {
        self.fail_because(reason.into());
    }

    pub(crate) fn fail_because(&mut self, reason: String) {
        self.inner.tell(Input::Fail(reason), &mut self.serving);
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
