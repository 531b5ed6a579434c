//! Which public types may go to another thread, be shared by threads, and be used after a panic that was caught. The compiler
//! finds out by their fields, so that a private field could take it away from users.

use goagain::{
    Acceptor, Arrivals, Builder, Connections, Datagrams, Goagain, Guard, Handle, HandoffError, InheritError,
    LaunchError, ListenError, Listener, MoveError, Mover, Observed, OfferError, Opening, Parcel, Reached,
    ReadyError, Receiver, Report, StartError, StateError, Stream, TakeError,
};
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
    send::<Arrivals>();
    send::<Parcel>();
}

#[test]
fn what_threads_share_may_be_shared() {
    share::<Handle>();
    share::<Listener>();
    share::<Acceptor>();
    share::<Datagrams>();
    share::<Connections>();
    share::<Guard>();
    share::<Reached>();
    share::<Mover>();
    share::<Opening>();
    share::<Observed>();
    share::<Report>();
}

/// What a handler that runs in `catch_unwind` has about it.
#[test]
fn a_handler_that_panics_leaves_them_whole() {
    survive::<Handle>();
    survive::<Listener>();
    survive::<Connections>();
    survive::<Guard>();
    survive::<Reached>();
    survive::<Mover>();
}

#[test]
fn errors_go_into_a_box_of_any() {
    error::<HandoffError>();
    error::<InheritError>();
    error::<LaunchError>();
    error::<ListenError>();
    error::<MoveError>();
    error::<OfferError>();
    error::<ReadyError>();
    error::<StartError>();
    error::<StateError>();
    error::<TakeError>();
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
