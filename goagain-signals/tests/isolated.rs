//! Loops without signals: what wakes them, and what they call in the server.
#![allow(clippy::unwrap_used, reason = "tests, and what they share")]

mod support;

use goagain_env::{Next, Pid, Strategy, View};
use goagain_signals::{EventKind, Input, Loop, Role, Server as _, StartError, Stop, Turn};
use std::thread;
use std::time::Duration;
use support::{Exits, Remembers, settings, soon};

fn owner() -> (Loop, Remembers) {
    let (mut inner, mut server) =
        (Loop::isolated(settings(), Box::new(Exits)).unwrap(), Remembers::default());
    assert_eq!(inner.step(&mut server), Turn::Prepare);
    inner.tell(Input::Ready, &mut server);
    assert_eq!(inner.turn(), Turn::Serve);
    (inner, server)
}

/// Waits and steps until the turn is another.
fn turned(inner: &mut Loop, server: &mut Remembers) -> Turn {
    let before = inner.turn();
    loop {
        inner.wait(server).unwrap();
        let turn = inner.step(server);
        if turn != before {
            return turn;
        }
    }
}

#[test]
fn a_handle_wakes_the_loop_from_another_thread() {
    let (mut inner, mut server) = owner();
    let handle = inner.handle();
    thread::spawn(move || handle.stop_now());
    soon(move || {
        assert_eq!(turned(&mut inner, &mut server), Turn::Exit);
        assert_eq!(inner.stopped_by(), Some(Stop::Now(None)));
        assert_eq!(server.asked, ["accept", "stop accepting", "close and unlink", "close unfinished"]);
    });
}

#[test]
fn a_request_before_the_wait_is_not_missed() {
    let (mut inner, mut server) = owner();
    inner.handle().stop_now();
    soon(move || assert_eq!(turned(&mut inner, &mut server), Turn::Exit));
}

#[test]
fn deadlines_wake_the_loop() {
    let mut settings = settings();
    (settings.idle_grace, settings.drain_timeout) = (Duration::ZERO, Duration::from_millis(20));
    let mut inner = Loop::isolated(settings, Box::new(Exits)).unwrap();
    let mut server = Remembers::default();
    inner.tell(Input::Ready, &mut server);
    inner.handle().stop_gracefully();
    soon(move || {
        assert_eq!(inner.step(&mut server), Turn::Drain(Stop::Gracefully));
        assert_eq!(turned(&mut inner, &mut server), Turn::Exit);
        assert!(inner.is_drained());
        let asked = [
            "accept",
            "stop accepting",
            "close and unlink",
            "close idle",
            "close long-lived",
            "close unfinished",
        ];
        assert_eq!(server.asked, asked);
    });
}

#[test]
fn long_lived_connections_are_asked_to_close_once_and_the_rest_is_counted() {
    let mut settings = settings();
    settings.long_lived_timeout = Duration::from_millis(20);
    let mut inner = Loop::isolated(settings, Box::new(Exits)).unwrap();
    let mut server = Remembers::default();
    inner.tell(Input::Ready, &mut server);
    inner.handle().stop_gracefully();
    soon(move || {
        assert_eq!(inner.step(&mut server), Turn::Drain(Stop::Gracefully));
        (server.only_long_lived, server.in_flight.long_lived) = (true, 2);
        assert_eq!(inner.step(&mut server), Turn::Drain(Stop::Gracefully));
        assert_eq!(turned(&mut inner, &mut server), Turn::Exit);
        assert_eq!(
            server.asked,
            ["accept", "stop accepting", "close and unlink", "close long-lived", "close unfinished"]
        );
        let (in_flight, connections) = server.waits_for();
        let still = EventKind::StillDraining { in_flight, connections: connections.clone() };
        assert!(server.reports.contains(&still), "{:?}", server.reports);
        assert_eq!(server.reports.last(), Some(&EventKind::Unfinished { in_flight, connections }));
    });
}

#[test]
fn a_drained_server_exits() {
    let (mut inner, mut server) = owner();
    inner.handle().stop_gracefully();
    assert_eq!(inner.step(&mut server), Turn::Drain(Stop::Gracefully));
    server.drained = true;
    assert_eq!(inner.step(&mut server), Turn::Exit);
}

#[test]
fn an_image_that_cannot_be_started_fails_attempt_after_attempt() {
    let (mut inner, mut server) = owner();
    for attempt in [1, 2, 3] {
        assert_eq!(inner.handle().restart(), attempt);
        assert_eq!(inner.step(&mut server), Turn::Serve);
        assert_eq!(inner.attempt(), attempt);
        let reports = std::mem::take(&mut server.reports);
        assert!(
            matches!(&reports[..], [EventKind::Requested { waits: false }, EventKind::Failed { .. }]),
            "{reports:?}"
        );
    }
    assert_eq!(server.asked, ["accept"]);
}

#[test]
fn an_event_names_its_process_and_the_role_that_it_leads_to() {
    let (mut inner, mut server) = owner();
    inner.handle().restart();
    inner.step(&mut server);
    inner.handle().stop_gracefully();
    inner.step(&mut server);
    let own = Pid::current();
    assert!(
        server.events.iter().all(|event| event.pid == own && event.generation == 1),
        "{:?}",
        server.events
    );
    let roles: Vec<_> = server.events.iter().map(|event| (event.attempt, event.role)).collect();
    assert_eq!(roles, [(1, Role::Serving), (1, Role::Serving), (1, Role::Draining)]);
}

#[test]
fn a_warning_of_the_server_is_reported_by_the_loop() {
    let (mut inner, mut server) = owner();
    server.warnings.push("the disk is full".into());
    inner.step(&mut server);
    assert_eq!(server.reports, [EventKind::Warning { text: "the disk is full".into() }]);
    assert_eq!(server.events[0].role, Role::Serving);
}

#[test]
fn any_number_of_isolated_loops_run_at_once() {
    let (mut one, mut server) = owner();
    let (mut other, mut others) = owner();
    assert_eq!((one.generation(), other.generation()), (1, 1));
    assert!(!one.has_fallback());
    one.handle().stop_now();
    assert_eq!((one.step(&mut server), other.step(&mut others)), (Turn::Exit, Turn::Serve));
}

#[test]
fn a_strategy_that_panics_is_an_error_of_the_start() {
    #[derive(Debug)]
    struct Panics;
    impl Strategy for Panics {
        fn name(&self) -> &str {
            "panics"
        }

        fn next(&self, _: View) -> Next {
            std::panic::resume_unwind(Box::new(()))
        }
    }
    let error = Loop::isolated(settings(), Box::new(Panics)).unwrap_err();
    assert!(matches!(error, StartError::Strategy(name) if name == "panics"));
}

/// One descriptor is readable for everything that the loop waits for.
#[cfg(all(target_os = "linux", not(goagain_portable)))]
#[test]
fn the_descriptor_is_readable_when_there_is_something_to_do_and_only_then() {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let (mut inner, mut server) = owner();
    let readable = |inner: &Loop| {
        let mut fds = [PollFd::new(inner.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
    };
    inner.step(&mut server);
    assert!(!readable(&inner));
    inner.handle().dismiss();
    assert!(readable(&inner));
    inner.step(&mut server);
    assert!(!readable(&inner));
}
