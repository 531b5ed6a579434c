//! The life in one process.

use super::{Finish, Goagain};
use goagain_env::Address;
use goagain_env::{Next, Strategy, View};
use goagain_signals::{Server, Stop, Turn};
use std::os::unix::net::UnixStream;

#[derive(Debug)]
struct Stays;

impl Strategy for Stays {
    fn name(&self) -> &str {
        "stays"
    }

    fn next(&self, _: View) -> Next {
        Next::Stay
    }
}

#[test]
fn dropping_ends_the_acceptors_and_closes_the_listeners() {
    let mut again = Goagain::builder(Stays).isolated().unwrap();
    let http = again.listen("http", "127.0.0.1:0").unwrap();
    again.ready().unwrap();
    let mut acceptor = http.acceptor().unwrap();
    drop(again);
    assert!(acceptor.next().is_none());
    assert!(http.to_std_tcp().is_err());
}

#[test]
fn the_first_image_finds_no_state_and_what_does_not_move_stays() {
    let mut again = Goagain::builder(Stays).isolated().unwrap();
    assert!(again.restore_state("keys").unwrap().is_none());
    assert!(again.restore_fd("log").unwrap().is_none());
    let http = again.listen("http", "127.0.0.1:0").unwrap();
    assert!(http.incoming_migrations().is_none() && http.migrator().successor_ready().is_none());
    again.ready().unwrap();
    let (guard, (_client, server)) = (again.connections().begin(), UnixStream::pair().unwrap());
    assert!(http.migrator().should_keep_alive(&guard, &server, b""));
    again.handle().stop_gracefully();
    again.step();
    assert!(!http.migrator().should_keep_alive(&guard, &server, b""));
}

#[test]
fn a_term_that_ends_and_comes_back_in_one_step_is_no_secret() {
    let mut again = Goagain::builder(Stays).isolated().unwrap();
    let http = again.listen("http", "127.0.0.1:0").unwrap();
    again.ready().unwrap();
    let mut acceptor = http.acceptor().unwrap();
    // The loop read READY and the successor's death in one step: commit and roll back.
    again.serving.stop_accepting();
    again.serving.accept();
    again.wait().unwrap();
    assert_eq!(again.stopping(), Some(Stop::HandedOver));
    assert!(acceptor.next().is_none(), "the acceptor of the term before has ended");
    assert_eq!(again.finish().unwrap(), Finish::Resume);
    assert_eq!(again.step(), Turn::Serve);
    assert_eq!(again.stopping(), None);
    let mut acceptor = http.acceptor().unwrap();
    let Address::Tcp(address) = http.local_addr() else { panic!("{http:?}") };
    let _client = std::net::TcpStream::connect(address).unwrap();
    assert!(acceptor.next().unwrap().is_ok());
}

#[test]
fn the_queue_of_a_dropped_listener_is_served_and_a_roll_back_opens_it_again() {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    use std::os::fd::AsRawFd;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http");
    let mut again = Goagain::builder(Stays).isolated().unwrap();
    let http = again.listen_unix("http", &path).unwrap();
    let other = again.listen("other", "127.0.0.1:0").unwrap();
    again.ready().unwrap();
    let (mut acceptor, mut of_other) = (http.acceptor().unwrap(), other.acceptor().unwrap());
    let client = || {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let client = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
        connect(client.as_raw_fd(), &UnixAddr::new(&path).unwrap()).map(|()| client)
    };
    let clients: Vec<_> = (0..3).map(|_| client().unwrap()).collect();
    let Address::Tcp(address) = other.local_addr() else { panic!("{other:?}") };
    let _queued = std::net::TcpStream::connect(address).unwrap();

    again.serving.successor_dropped("http".into());
    assert!(!http.is_dropped(), "it is not committed");
    again.serving.stop_accepting();
    assert!(http.is_dropped() && !other.is_dropped());
    assert_eq!(acceptor.by_ref().map(Result::unwrap).count(), clients.len());
    assert!(of_other.next().is_none(), "the successor's to serve");
    let _inside = client().unwrap();
    assert_eq!(client().unwrap_err(), nix::Error::EAGAIN, "there is room for no more");

    again.serving.accept();
    assert!(!http.is_dropped());
    let _more: Vec<_> = (0..3).map(|_| client().unwrap()).collect();
    let mut acceptor = http.acceptor().unwrap();
    assert!((0..4).all(|_| acceptor.next().unwrap().is_ok()));
}

#[test]
fn before_exit_runs_once_and_only_after_serving() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    for serves in [true, false] {
        let runs = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&runs);
        let builder = Goagain::builder(Stays).before_exit(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Err("is reported")
        });
        let mut again = builder.isolated().unwrap();
        if serves {
            again.ready().unwrap();
        }
        again.handle().stop_now();
        if serves {
            again.wait().unwrap();
            assert_eq!(again.finish().unwrap(), Finish::Exit);
        }
        assert_eq!(again.step(), Turn::Exit);
        assert_eq!(runs.load(Ordering::SeqCst), usize::from(serves));
    }
}

#[test]
fn a_term_that_is_over_before_the_application_sees_it_is_served_and_drained() {
    // The loop read READY's answer and the end of the term in one step: a restart that was requested at once, and was quick.
    let mut again = Goagain::builder(Stays).isolated().unwrap();
    let http = again.listen("http", "127.0.0.1:0").unwrap();
    again.announce_ready();
    again.handle().stop_gracefully();
    assert_eq!(again.step(), Turn::Serve);
    assert!(http.acceptor().unwrap().next().is_none(), "the term is over");
    again.wait().unwrap();
    assert_eq!(again.finish().unwrap(), Finish::Exit);
}
