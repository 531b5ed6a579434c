//! Which public types may go to another thread, be shared by threads, and be used after a panic that was caught. The compiler
//! finds out by their fields, so that a private field could take it away from users.

use goagain::{Acceptor, Builder, Connections, Event, EventKind, Goagain, Guard, Handle, Listener, Stream};

use goagain::drain::ShutdownSignal;

use goagain::error::{
    HandoffError, InheritError, LaunchError, ListenError, MigrateError, ReadyError, RestoreError, SaveError,
    StartError, StateError,
};

use goagain::migrate::{Incoming, Migrator, SuccessorReady};

use goagain::socket::{Datagrams, Receiver};

use goagain::state::StateItem;
use std::error::Error;
use std::panic::{RefUnwindSafe, UnwindSafe};

fn send<T: Send + 'static>() {}
fn share<T: Send + Sync + 'static>() {}
fn survive<T: UnwindSafe + RefUnwindSafe>() {}
fn error<T: Error + Send + Sync + 'static>() {}

#[test]
fn what_one_thread_has_may_go_to_another() {
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
fn what_threads_share_may_be_shared() {
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

/// What a handler that runs in `catch_unwind` has about it.
#[test]
fn a_handler_that_panics_leaves_them_whole() {
    survive::<Handle>();
    survive::<Listener>();
    survive::<Connections>();
    survive::<Guard>();
    survive::<ShutdownSignal>();
    survive::<Migrator>();
}

#[test]
fn errors_go_into_a_box_of_any() {
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
fn futures_may_be_spawned() {
    fn spawned<F: Future + Send>(_: impl FnOnce() -> F) {}
    send::<goagain::tokio::Goagain>();
    send::<goagain::tokio::Acceptor>();
    send::<goagain::tokio::Stream>();
    // Never run: the compiler is asked.
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
