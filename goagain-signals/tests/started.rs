//! A loop with signals. A program of its own with one test: a process has one such loop.
#![allow(clippy::unwrap_used, reason = "tests, and what they share")]

mod support;

use goagain_signals::{EventKind, Input, Loop, Signal, StartError, Stop, Turn};
use nix::sys::signal::{Signal as Raw, kill};
use nix::unistd::Pid;
use support::{Exits, Remembers, settings, soon};

#[test]
fn signals_do_their_actions_and_a_process_starts_once() {
    let (mut inner, inherited) = Loop::start(settings(), Box::new(Exits)).unwrap();
    assert_eq!(inherited.names().count(), 0);
    let second = Loop::start(settings(), Box::new(Exits)).unwrap_err();
    assert!(matches!(second, StartError::AlreadyStarted));
    Loop::isolated(settings(), Box::new(Exits)).unwrap();

    let mut server = Remembers::default();
    inner.read_signals();
    inner.tell(Input::Ready, &mut server);
    let inner = soon(move || {
        let mut seen = |raw, inner: &mut Loop| {
            kill(Pid::this(), raw).unwrap();
            let (asked, reported) = (server.asked.len(), server.reports.len());
            while (server.asked.len(), server.reports.len()) == (asked, reported) {
                inner.wait(&server).unwrap();
                inner.step(&mut server);
            }
            (server.asked.last().copied().unwrap(), server.reports[reported..].to_vec())
        };
        let callback = EventKind::CallbackFailed { callback: "on_hup", error: "no configuration".into() };
        assert_eq!(
            seen(Raw::SIGHUP, &mut inner),
            ("reload", vec![EventKind::SignalReceived { signal: Signal::Hup }, callback])
        );
        assert_eq!(
            seen(Raw::SIGUSR1, &mut inner),
            ("reopen", vec![EventKind::SignalReceived { signal: Signal::Usr1 }])
        );
        let (_, restart) = seen(Raw::SIGUSR2, &mut inner);
        assert!(
            matches!(&restart[..], [EventKind::Requested { waits: false }, EventKind::Failed { .. }]),
            "{restart:?}"
        );
        assert_eq!(inner.turn(), Turn::Serve);
        let (asked, _) = seen(Raw::SIGTERM, &mut inner);
        assert_eq!(asked, "close unfinished");
        assert_eq!(inner.turn(), Turn::Exit);
        assert_eq!(inner.stopped_by(), Some(Stop::Now(Some(Signal::Term))));
        inner
    });
    drop(inner);
    let third = Loop::start(settings(), Box::new(Exits)).unwrap_err();
    assert!(matches!(third, StartError::AlreadyStarted));
}
