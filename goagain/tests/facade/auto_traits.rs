//! Which public types can be sent to another thread, shared by threads, and used after a caught panic. The compiler derives this from
//! their fields, so a change of a private field could take it away from users.

use goagain::drain::ShutdownSignal;
use goagain::error::{
    HandoffError, InheritError, LaunchError, ListenError, MigrateError, ReadyError, RestoreError, SaveError,
    StartError, StateError,
};
use goagain::migrate::{Incoming, Migrator, SuccessorReady};
use goagain::socket::{Datagrams, Receiver};
use goagain::state::StateItem;
use goagain::{Acceptor, Builder, Connections, Event, EventKind, Goagain, Guard, Handle, Listener, Stream};
use std::error::Error;
use std::panic::{RefUnwindSafe, UnwindSafe};

fn send<T: Send + 'static>() {}
fn share<T: Send + Sync + 'static>() {}
fn survive<T: UnwindSafe + RefUnwindSafe>() {}
fn error<T: Error + Send + Sync + 'static>() {}

#[test]
fn types_that_can_be_sent() {
    send::<Goagain>();
    send::<Builder>();
    send::<Acceptor>();
    send::<Receiver>();
    send::<Guard>();
    send::<Stream>();
    send::<Incoming>();
    send::<StateItem>();
}

#[test]
fn types_that_can_be_shared() {
    share::<Handle>();
    share::<Listener>();
    share::<Acceptor>();
    share::<Datagrams>();
    share::<Connections>();
    share::<Guard>();
    share::<ShutdownSignal>();
    share::<Migrator>();
    share::<SuccessorReady>();
    share::<Event>();
    share::<EventKind>();
}

/// Types that a handler uses that runs in `catch_unwind`.
#[test]
fn types_that_survive_a_panic() {
    survive::<Handle>();
    survive::<Listener>();
    survive::<Connections>();
    survive::<Guard>();
    survive::<ShutdownSignal>();
    survive::<Migrator>();
}

#[test]
fn errors_convert_to_a_boxed_error() {
    error::<HandoffError>();
    error::<InheritError>();
    error::<LaunchError>();
    error::<ListenError>();
    error::<MigrateError>();
    error::<SaveError>();
    error::<ReadyError>();
    error::<StartError>();
    error::<StateError>();
    error::<RestoreError>();
}

#[cfg(all(feature = "tokio", target_os = "linux", not(goagain_portable)))]
#[test]
fn futures_can_be_spawned() {
    fn spawned<F: Future + Send>(_: impl FnOnce() -> F) {}
    send::<goagain::tokio::Goagain>();
    send::<goagain::tokio::Acceptor>();
    send::<goagain::tokio::Stream>();
    // Compiled, but never run.
    if false {
        let unreachable = || -> (goagain::tokio::Goagain, goagain::tokio::Acceptor) { unreachable!() };
        spawned(|| async move {
            let (mut again, mut acceptor) = unreachable();
            let _ = again.ready().await;
            let _ = again.wait().await;
            let _ = acceptor.accept().await;
            let _ = again.finish().await;
        });
    }
}
