//! The names of the Go package goagain.

use crate::support::{Leaves, observed, server, soon};
use goagain::go::{
    SIGINT, SIGQUIT, SIGTERM, SIGUSR2, await_signals, exec, fork_exec, get_envs, is_err_closing, kill,
    kill_parent, listener, wait,
};
use goagain::signal::Signal;
use goagain::{EventKind, Finish, Goagain, Stop};
use std::io;

#[test]
fn a_life_in_the_words_of_the_go_package() {
    let (builder, reports) = observed();
    let mut again = builder.image("/nonexistent").isolated().unwrap();
    let http = listener(&mut again, "127.0.0.1:0").unwrap();
    assert_eq!(http.name(), "127.0.0.1:0");
    kill(&mut again).unwrap();
    let mut acceptor = http.acceptor().unwrap();
    assert_eq!(fork_exec(&mut again), 1);
    again.handle().stop_gracefully();
    soon(move || {
        assert_eq!(wait(&mut again).unwrap(), Stop::Gracefully);
        assert_eq!(await_signals(&mut again).unwrap(), Stop::Gracefully);
        assert!(acceptor.next().is_none());
        assert_eq!(exec(&mut again).unwrap(), Finish::Exit);
    });
    let reports: Vec<EventKind> = reports.iter().map(|observed| observed.kind).collect();
    assert!(reports.contains(&EventKind::Requested { waits: false }));
}

#[test]
fn kill_parent_is_kill() {
    let mut again = server();
    kill_parent(&mut again).unwrap();
    again.handle().stop_now();
    assert_eq!(wait(&mut again).unwrap(), Stop::Now(None));
}

#[test]
fn wait_before_kill_is_an_error() {
    let mut again = Goagain::builder(Leaves).isolated().unwrap();
    assert!(wait(&mut again).is_err());
    assert!(await_signals(&mut again).is_err());
    assert!(exec(&mut again).is_err());
}

#[test]
fn the_constants_are_the_signals() {
    assert_eq!([SIGINT, SIGQUIT, SIGTERM, SIGUSR2], [Signal::Int, Signal::Quit, Signal::Term, Signal::Usr2]);
}

#[test]
fn without_a_predecessor_there_is_no_handoff() {
    assert_eq!(get_envs(), Ok(None));
}

#[test]
fn a_closed_listener_is_known_by_its_error() {
    let mut again = server();
    let http = listener(&mut again, "127.0.0.1:0").unwrap();
    kill(&mut again).unwrap();
    again.handle().stop_now();
    wait(&mut again).unwrap();
    assert!(is_err_closing(&http.to_std_tcp().unwrap_err()));
    for code in [nix::Error::EBADF, nix::Error::EINVAL, nix::Error::ENOTSOCK] {
        assert!(is_err_closing(&code.into()));
    }
    assert!(!is_err_closing(&io::ErrorKind::WouldBlock.into()));
}
