//! A program with an event loop of its own: one descriptor to poll, and steps that never block.
#![cfg(all(target_os = "linux", not(goagain_portable)))]

use crate::support::{SOON, ask, assert_answered, builder, echo, owner_of, server};
use goagain::{Goagain, Stop, Turn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::Duration;

/// Polls and steps, as an event loop does, and returns the next turn that differs.
fn turned(again: &mut Goagain, before: Turn) -> Turn {
    loop {
        let mut fds = [PollFd::new(again.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::try_from(SOON).unwrap()), Ok(1), "the descriptor is readable");
        let turn = again.step();
        if turn != before {
            return turn;
        }
    }
}

fn is_quiet(again: &Goagain) -> bool {
    let mut fds = [PollFd::new(again.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO) == Ok(0)
}

#[test]
fn a_whole_life_in_steps() {
    let mut again = server();
    assert_eq!(again.as_raw_fd(), again.as_fd().as_raw_fd());
    let http = again.listen("http", "127.0.0.1:0").unwrap();
    assert_eq!(again.step(), Turn::Prepare);
    again.announce_ready();
    assert_eq!(again.step(), Turn::Serve);
    let accepting = echo(http.acceptor().unwrap());
    again.announce_serving();
    assert_answered(ask(&http));
    assert_eq!(again.step(), Turn::Serve);
    assert!(is_quiet(&again));

    let guard = again.connections().begin();
    let handle = again.handle();
    thread::spawn(move || handle.stop_gracefully());
    assert_eq!(turned(&mut again, Turn::Serve), Turn::Drain(Stop::Gracefully));
    assert_eq!(accepting.join().unwrap(), 1);
    again.announce_done();
    assert_eq!(again.step(), Turn::Drain(Stop::Gracefully));
    assert!(is_quiet(&again));
    thread::spawn(move || drop(guard));
    assert_eq!(turned(&mut again, Turn::Drain(Stop::Gracefully)), Turn::Exit);
}

#[test]
fn without_announce_done_the_drain_is_not_over() {
    // No deadline wakes it.
    let (mut again, _http) = owner_of(builder().idle_grace(Duration::MAX).drain_timeout(Duration::MAX));
    again.handle().stop_gracefully();
    assert_eq!(again.step(), Turn::Drain(Stop::Gracefully));
    assert_eq!(again.step(), Turn::Drain(Stop::Gracefully));
    assert!(is_quiet(&again));
    // Nothing is in flight, so this is all that the drain waits for.
    again.announce_done();
    assert_eq!(turned(&mut again, Turn::Drain(Stop::Gracefully)), Turn::Exit);
}

#[test]
fn announce_ready_sees_a_stop_first() {
    let mut again = server();
    again.handle().stop_gracefully();
    again.announce_ready();
    assert_eq!(again.step(), Turn::Exit);
    assert_eq!(again.ready_error().to_string(), "stopping gracefully before this process became the owner");
}
