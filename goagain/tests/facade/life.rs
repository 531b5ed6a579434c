//! The life of one process: what may be called when.

use crate::support::{Leaves, address, builder, owner, server, soon};
use goagain::error::ReadyError;
use goagain::{Finish, Goagain, Stop, Turn};
use std::io::{self, ErrorKind};
use std::net::TcpStream;

#[test]
fn the_first_process_is_generation_one_and_no_successor() {
    let again = Goagain::builder(Leaves).isolated().unwrap();
    assert_eq!(again.generation(), 1);
    assert!(!again.is_successor());
    assert_eq!(again.stopping(), None);
    assert!(!format!("{again:?}").is_empty());
}

#[test]
fn before_ready_every_other_wait_is_an_error() {
    let mut again = server();
    let is_refused = |error: io::Error| {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "not ready yet: call `ready` first");
    };
    is_refused(again.wait().unwrap_err());
    is_refused(again.drain().unwrap_err());
    is_refused(again.finish().unwrap_err());
    assert_eq!(again.step(), Turn::Prepare);
    // None of these calls has harmed it.
    again.ready().unwrap();
    assert_eq!(again.step(), Turn::Serve);
}

#[test]
fn ready_twice_is_harmless() {
    let (mut again, http) = owner();
    let mut acceptor = http.acceptor().unwrap();
    again.ready().unwrap();
    let _client = TcpStream::connect(address(&http)).unwrap();
    assert!(acceptor.next().unwrap().is_ok());
}

#[test]
fn finish_in_the_middle_of_a_term_keeps_serving() {
    let (mut again, _http) = owner();
    assert_eq!(again.drain().unwrap(), Finish::Resume);
    assert_eq!(again.finish().unwrap(), Finish::Resume);
}

#[test]
fn a_stop_before_ready_is_an_error_of_ready() {
    let mut again = server();
    again.handle().stop_now();
    let error = again.ready().unwrap_err();
    assert!(matches!(error, ReadyError::Stopped(Stop::Now(None))));
    assert_eq!(error.to_string(), "stopped by a call before this process became the owner");
    assert_eq!(again.step(), Turn::Exit);
    assert_eq!(again.finish().unwrap(), Finish::Exit);
}

#[test]
fn wait_returns_at_once_after_the_term() {
    let (mut again, _http) = owner();
    let _guard = again.connections().begin();
    again.handle().stop_gracefully();
    soon(move || {
        again.wait().unwrap();
        again.wait().unwrap();
        assert_eq!(again.stopping(), Some(Stop::Gracefully));
        assert!(matches!(again.ready().unwrap_err(), ReadyError::Stopped(Stop::Gracefully)));
    });
}

#[test]
fn fail_after_ready_is_like_a_drop() {
    let (again, _http) = owner();
    again.fail("too late to say");
}

#[test]
fn isolated_servers_do_not_affect_each_other() {
    let (mut one, _http) = owner();
    let mut other = builder().isolated().unwrap();
    other.ready().unwrap();
    one.handle().stop_now();
    assert_eq!((one.step(), other.step()), (Turn::Exit, Turn::Serve));
}
