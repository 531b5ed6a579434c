//! Real signals, to a server that was really started. A program of its own with one test: a process has one server, and
//! one table of signal handlers.
#![allow(clippy::unwrap_used, reason = "tests, and what they share")]

mod support;

use goagain::error::StartError;
use goagain::signal::{Signal, SignalAction, Signals};
use goagain::{EventKind, Finish, Goagain, Stop};
use nix::sys::signal::{Signal as Raw, kill};
use nix::unistd::Pid;
use std::panic::resume_unwind;
use std::thread;
use support::{Leaves, ask, assert_answered, echo, expect, observed, soon};

#[test]
fn callbacks_and_stops_by_signal() {
    let (builder, reports) = observed();
    let signals = Signals::default().set(Signal::Term, SignalAction::StopGracefully);
    let mut reloads = 0;
    let mut again = builder
        .image("/nonexistent")
        .signals(signals)
        .on_hup(move || {
            reloads += 1;
            if reloads == 1 { resume_unwind(Box::new("no configuration")) } else { Err("still none") }
        })
        .on_usr1(|| Ok::<(), String>(()))
        .start()
        .unwrap();
    assert_eq!(again.generation(), 1);
    let second = Goagain::builder(Leaves).start().unwrap_err();
    assert!(matches!(second, StartError::AlreadyStarted));
    assert_eq!(
        second.to_string(),
        "this process has started goagain already: start it once, and share its handle"
    );
    // An isolated one beside it is none of that.
    let mut isolated = Goagain::builder(Leaves).isolated().unwrap();
    isolated.ready().unwrap();

    let http = again.listen("http", "127.0.0.1:0").unwrap();
    again.ready().unwrap();
    let accepting = echo(http.acceptor().unwrap());
    let waiting = thread::spawn(move || {
        again.wait().unwrap();
        let stop = again.stopping();
        (stop, again.finish().unwrap(), again)
    });
    let send = |signal| kill(Pid::this(), signal).unwrap();
    let signalled = |signal| {
        expect(&reports, |report| matches!(report, EventKind::SignalReceived { .. })).kind
            == EventKind::SignalReceived { signal }
    };
    let callback = |error: &str| EventKind::CallbackFailed { callback: "on_hup", error: error.into() };

    send(Raw::SIGHUP);
    assert!(signalled(Signal::Hup));
    let panicked = expect(&reports, |report| matches!(report, EventKind::CallbackFailed { .. }));
    assert_eq!(panicked.kind, callback("panicked: no configuration"));
    send(Raw::SIGHUP);
    assert!(signalled(Signal::Hup));
    let failed = expect(&reports, |report| matches!(report, EventKind::CallbackFailed { .. }));
    assert_eq!(failed.kind, callback("still none"));
    send(Raw::SIGUSR1);
    assert!(signalled(Signal::Usr1));
    send(Raw::SIGUSR2);
    assert_eq!(expect(&reports, |kind| matches!(kind, EventKind::Requested { .. })).attempt, 1);
    expect(&reports, |report| matches!(report, EventKind::Failed { .. }));
    assert_answered(ask(&http));

    send(Raw::SIGTERM);
    let draining = expect(&reports, |report| matches!(report, EventKind::Draining { .. }));
    assert!(matches!(draining.kind, EventKind::Draining { stop: Stop::Gracefully, .. }));
    let (stop, finish, again) = soon(move || waiting.join().unwrap());
    assert_eq!((stop, finish), (Some(Stop::Gracefully), Finish::Exit));
    assert_eq!(accepting.join().unwrap(), 1);

    // Once in the life of a process.
    drop(again);
    assert!(matches!(Goagain::builder(Leaves).start().unwrap_err(), StartError::AlreadyStarted));
}
