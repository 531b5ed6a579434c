//! Requests through a handle, and what is reported of them.

use crate::support::{ask, assert_answered, echo, expect, observed, owner, owner_of, soon};
use goagain::{Connections, EventKind, Finish, Goagain, Guard, Handle, Listener, Stop, Turn};
use std::thread;

#[test]
fn types_can_be_sent_and_shared() {
    fn sendable<T: Send>() {}
    fn shareable<T: Clone + Send + Sync>() {}
    sendable::<Goagain>();
    sendable::<goagain::Builder>();
    sendable::<goagain::Acceptor>();
    sendable::<Guard>();
    shareable::<Handle>();
    shareable::<Listener>();
    shareable::<Connections>();
}

#[test]
fn stop_now_ends_at_once_with_open_guards() {
    let (mut again, _http) = owner();
    let guard = again.connections().begin();
    again.handle().stop_now();
    soon(move || {
        again.wait().unwrap();
        assert_eq!(again.stopping(), Some(Stop::Now(None)));
        assert_eq!(again.drain().unwrap(), Finish::Exit);
        assert_eq!(again.finish().unwrap(), Finish::Exit);
    });
    drop(guard);
}

#[test]
fn a_second_graceful_stop_ends_with_open_guards() {
    let (mut again, _http) = owner();
    let guard = again.connections().begin();
    let handle = again.handle();
    handle.stop_gracefully();
    soon(move || {
        again.wait().unwrap();
        assert_eq!(again.stopping(), Some(Stop::Gracefully));
        thread::spawn(move || handle.stop_gracefully());
        assert_eq!(again.finish().unwrap(), Finish::Exit);
    });
    drop(guard);
}

#[test]
fn stop_now_ends_a_graceful_one() {
    let (mut again, _http) = owner();
    let guard = again.connections().begin();
    let handle = again.handle();
    handle.stop_gracefully();
    soon(move || {
        again.wait().unwrap();
        thread::spawn(move || handle.stop_now());
        assert_eq!(again.finish().unwrap(), Finish::Exit);
    });
    drop(guard);
}

#[test]
fn a_missing_image_fails_each_attempt_with_a_hint_and_the_server_keeps_serving() {
    let (builder, reports) = observed();
    let (mut again, http) = owner_of(builder.image("/nonexistent"));
    let accepting = echo(http.acceptor().unwrap());
    let handle = again.handle();
    let waiting = thread::spawn(move || {
        again.wait().unwrap();
        again.finish().unwrap()
    });
    for attempt in [1, 2] {
        assert_eq!(handle.clone().restart(), attempt);
        let requested = expect(&reports, |kind| matches!(kind, EventKind::Requested { .. }));
        let failed = expect(&reports, |report| matches!(report, EventKind::Failed { .. }));
        assert_eq!((requested.attempt, failed.attempt), (attempt, attempt));
        let reason = "cannot spawn /nonexistent: No such file or directory (os error 2): \
                      deploy the file, and the interpreter or loader that it names";
        assert_eq!(failed.kind, EventKind::Failed { pid: None, reason: reason.into() });
        assert_answered(ask(&http));
    }
    handle.stop_gracefully();
    let draining = expect(&reports, |report| matches!(report, EventKind::Draining { .. }));
    assert!(matches!(draining.kind, EventKind::Draining { stop: Stop::Gracefully, .. }));
    assert_eq!(soon(move || waiting.join().unwrap()), Finish::Exit);
    assert_eq!(accepting.join().unwrap(), 2);
}

#[test]
fn a_server_that_stops_refuses_a_restart() {
    let (builder, reports) = observed();
    let (mut again, _http) = owner_of(builder);
    let _guard = again.connections().begin();
    again.handle().stop_gracefully();
    again.handle().restart();
    assert_eq!(again.step(), Turn::Drain(Stop::Gracefully));
    let refused = expect(&reports, |report| matches!(report, EventKind::Refused { .. }));
    assert_eq!(refused.attempt, 1);
    assert_eq!(refused.kind, EventKind::Refused { reason: "this process is stopping".into() });
    assert_eq!(
        refused.to_string().split_once(": ").unwrap().1,
        "restart 1 refused: this process is stopping"
    );
}

#[test]
fn dismiss_does_nothing_without_a_fallback() {
    let (mut again, _http) = owner();
    again.handle().dismiss();
    assert_eq!(again.step(), Turn::Serve);
}

#[test]
fn a_handle_outlives_its_server() {
    let (again, _http) = owner();
    let handle = again.handle();
    drop(again);
    assert_eq!(handle.restart(), 1);
    handle.stop_now();
    handle.stop_gracefully();
    handle.dismiss();
}
