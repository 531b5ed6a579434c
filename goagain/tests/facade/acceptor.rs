//! Acceptors: they end with the term, and do not change the listener.

use crate::support::{SOON, address, ask, assert_answered, builder, echo, owner, owner_of, server, soon};
use goagain::{Finish, Stream};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::fd::AsFd;

#[test]
fn before_ready_it_is_an_error() {
    let mut again = server();
    let http = again.listen("http", "127.0.0.1:0").unwrap();
    let error = http.acceptor().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "not ready yet: call `ready` before making an acceptor");
    again.ready().unwrap();
    http.acceptor().unwrap();
}

#[test]
fn a_client_that_connects_before_ready_waits_in_the_queue() {
    let mut again = server();
    let http = again.listen("http", "127.0.0.1:0").unwrap();
    let early = ask(&http);
    again.ready().unwrap();
    let served = echo(http.acceptor().unwrap());
    assert_answered(early);
    again.handle().stop_now();
    soon(move || {
        again.wait().unwrap();
        assert_eq!(served.join().unwrap(), 1);
    });
}

#[test]
fn each_of_several_threads_ends_at_the_end_of_the_term() {
    let (mut again, http) = owner();
    let acceptors: Vec<_> = (0..4).map(|_| echo(http.acceptor().unwrap())).collect();
    for _ in 0..20 {
        assert_answered(ask(&http));
    }
    again.handle().stop_gracefully();
    soon(move || {
        again.wait().unwrap();
        let served: usize = acceptors.into_iter().map(|acceptor| acceptor.join().unwrap()).sum();
        assert_eq!(served, 20);
        assert_eq!(again.finish().unwrap(), Finish::Exit);
    });
}

#[test]
fn one_that_is_made_after_the_term_ends_at_once_and_stays_ended() {
    let (mut again, http) = owner();
    again.handle().stop_gracefully();
    let (http, mut again) = soon(move || {
        again.wait().unwrap();
        (http, again)
    });
    let mut acceptor = http.acceptor().unwrap();
    assert!(acceptor.next().is_none());
    assert!(acceptor.next().is_none());
    assert_eq!(again.finish().unwrap(), Finish::Exit);
    assert!(http.acceptor().unwrap().next().is_none());
}

#[test]
fn a_queued_connection_is_not_accepted_after_the_end() {
    let (mut again, http) = owner();
    let mut acceptor = http.acceptor().unwrap();
    let _queued = ask(&http);
    again.handle().stop_gracefully();
    soon(move || {
        again.wait().unwrap();
        assert!(acceptor.next().is_none());
        assert!(again.connections().is_empty());
    });
}

#[test]
fn a_duplicate_still_accepts_when_the_acceptor_has_ended_and_the_library_has_closed_its_own() {
    let (mut again, http) = owner();
    let duplicate = http.to_std_tcp().unwrap();
    let accepting = echo(http.acceptor().unwrap());
    again.handle().stop_gracefully();
    soon(move || {
        again.wait().unwrap();
        assert_eq!(accepting.join().unwrap(), 0);
        assert_eq!(again.finish().unwrap(), Finish::Exit);
        drop(again);
    });
    let client = TcpStream::connect(address(&http)).unwrap();
    assert!(is_readable(&duplicate));
    let (_, peer) = duplicate.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
}

#[test]
fn serving_a_connection_does_not_hold_the_listener() {
    let (mut again, http) = owner();
    let client = ask(&http);
    let mut acceptor = http.acceptor().unwrap();
    let (stream, guard) = acceptor.next().unwrap().unwrap();
    again.handle().stop_gracefully();
    again.wait().unwrap();
    assert!(TcpStream::connect(address(&http)).is_err(), "nothing would ever accept it");
    drop((client, stream, guard));
    assert!(acceptor.next().is_none());
}

#[test]
fn try_accept_never_waits() {
    let (mut again, http) = owner();
    let mut acceptor = http.acceptor().unwrap();
    assert!(acceptor.try_accept().unwrap().is_none());
    let client = ask(&http);
    assert!(is_readable(&acceptor));
    let (stream, _guard) = acceptor.try_accept().unwrap().unwrap();
    stream.set_nonblocking(true).unwrap();
    assert!(acceptor.try_accept().unwrap().is_none());
    again.handle().stop_now();
    again.wait().unwrap();
    assert!(acceptor.try_accept().unwrap().is_none());
    assert!(
        http.acceptor().is_err() || is_readable(&http.acceptor().unwrap()),
        "it is readable since its term is over"
    );
    drop(client);
}

#[test]
fn a_connection_that_was_reset_in_the_queue_does_not_end_the_acceptor() {
    let mut again = server();
    let http = again.listen("http", "127.0.0.1:0").unwrap();
    let reset = ask(&http);
    // Closing it sends RST. Some systems report that at `accept`, as ECONNABORTED.
    setsockopt(&reset, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
    drop(reset);
    again.ready().unwrap();
    let accepting = echo(http.acceptor().unwrap());
    assert_answered(ask(&http));
    again.handle().stop_now();
    soon(move || {
        again.wait().unwrap();
        assert!((1..=2).contains(&accepting.join().unwrap()));
    });
}

#[test]
fn its_streams_block_and_are_counted() {
    let (mut again, http) = owner_of(builder());
    let client = ask(&http);
    let (stream, guard) = http.acceptor().unwrap().next().unwrap().unwrap();
    assert_eq!((again.connections().len(), again.connections().waiting()), (1, 1));
    let Stream::Tcp(stream) = stream else { panic!("a TCP listener yields TCP streams") };
    // The standard library cannot ask for O_NONBLOCK. A read that blocks until its timeout shows it.
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut byte = [0];
    std::io::Read::read_exact(&mut &stream, &mut byte).unwrap();
    drop((stream, guard, client));
    assert!(again.connections().is_empty());
    again.handle().stop_now();
    soon(move || again.wait().unwrap());
}

fn is_readable(fd: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::try_from(SOON).unwrap()).unwrap() == 1
}
