//! Counts, phases and the list.

use super::connections::Connections;
use super::*;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

fn connections() -> Connections {
    Connections::new(Duration::ZERO, Unfinished::Leave, Duration::ZERO).unwrap()
}

fn woken(connections: &Connections) -> bool {
    let mut fds = [PollFd::new(connections.wake(), PollFlags::POLLIN)];
    let woken = poll(&mut fds, PollTimeout::ZERO).unwrap() == 1;
    connections.take_wake();
    woken
}

#[test]
fn guards_are_counted_by_kind() {
    let connections = connections();
    assert!(connections.is_empty());
    let mut first = connections.begin();
    let second = connections.begin();
    assert_eq!((connections.len(), connections.waiting()), (2, 2));
    first.busy();
    first.busy();
    assert_eq!((connections.len(), connections.waiting()), (2, 1));
    first.idle();
    assert_eq!((connections.len(), connections.waiting()), (2, 2));
    first.busy();
    drop(first);
    drop(second);
    assert_eq!((connections.len(), connections.waiting()), (0, 0));
}

#[test]
fn every_change_of_kind_is_counted() {
    let connections = connections();
    let kinds = [Guard::idle, Guard::busy, Guard::long_lived];
    let expected = [
        InFlight { idle: 1, ..InFlight::default() },
        InFlight { in_request: 1, ..InFlight::default() },
        InFlight { long_lived: 1, ..InFlight::default() },
    ];
    for (from, first) in kinds.iter().zip(expected) {
        for (to, second) in kinds.iter().zip(expected) {
            let mut guard = connections.begin();
            from(&mut guard);
            assert_eq!(connections.in_flight(), first);
            to(&mut guard);
            assert_eq!(connections.in_flight(), second);
            drop(guard);
            assert_eq!(connections.in_flight(), InFlight::default());
        }
    }
}

#[test]
fn the_last_guard_of_a_drain_wakes_the_loop_and_no_other_does() {
    let connections = connections();
    drop(connections.begin());
    assert!(!woken(&connections), "the loop does not wait while serving");
    let (first, second) = (connections.begin(), connections.begin());
    connections.drain();
    drop(first);
    assert!(!woken(&connections), "one is left");
    drop(second);
    assert!(woken(&connections));
}

#[test]
fn the_loop_is_woken_when_only_long_lived_connections_are_left() {
    let connections = connections();
    let (mut one, mut other, mut third) = (connections.begin(), connections.begin(), connections.begin());
    one.long_lived();
    connections.drain();
    connections.close_idle();
    assert!(!woken(&connections) && !connections.only_long_lived());
    other.busy();
    drop(other);
    assert!(!woken(&connections) && !connections.only_long_lived(), "one waits for a request");
    third.long_lived();
    assert!(woken(&connections) && connections.only_long_lived());
    connections.close_long_lived();
    assert!(!connections.only_long_lived(), "they are asked to close");
    drop(third);
    assert!(!woken(&connections), "one is left");
    drop(one);
    assert!(woken(&connections));
}

/// Whatever the order of the threads, the last of them wakes the loop.
#[test]
fn no_wake_up_is_lost_between_an_upgrade_and_a_drop() {
    for _ in 0..2_000 {
        let connections = connections();
        let mut guards = [connections.begin(), connections.begin(), connections.begin()];
        guards[0].long_lived();
        connections.drain();
        connections.close_idle();
        let [stays, mut upgraded, ended] = guards;
        std::thread::scope(|scope| {
            scope.spawn(|| upgraded.long_lived());
            scope.spawn(|| drop(ended));
        });
        assert!(connections.only_long_lived() && woken(&connections));
        drop(stays);
    }
}

#[test]
fn closing_ends_a_wait_unless_a_request_has_arrived() {
    let connections = connections();
    let (client, server) = UnixStream::pair().unwrap();
    let mut guard = connections.begin();
    connections.drain();
    let waits = connections.clone();
    let waiting = std::thread::spawn(move || {
        let first = guard.wait_readable(&server).unwrap();
        let waiting = waits.waiting();
        (first, waiting, guard, server)
    });
    connections.close_idle();
    let (first, waiting, mut guard, server) = waiting.join().unwrap();
    assert!(!first, "an idle connection is asked to close");
    assert_eq!(waiting, 1);
    (&client).write_all(b"GET").unwrap();
    assert!(guard.wait_readable(&server).unwrap(), "a request that has arrived is served");
    assert_eq!(connections.waiting(), 0);
}

#[test]
fn long_lived_connections_are_asked_to_close_last() {
    let connections = connections();
    let (client, server) = UnixStream::pair().unwrap();
    let mut guard = connections.begin();
    guard.long_lived();
    connections.drain();
    connections.close_idle();
    assert!(guard.is_draining() && !guard.is_shutdown_requested());
    (&client).write_all(b"ping").unwrap();
    assert!(guard.wait_readable(&server).unwrap());
    assert_eq!(guard.kind(), ConnectionKind::LongLived);
    (&server).read_exact(&mut [0; 4]).unwrap();
    let waiting =
        std::thread::spawn(move || (guard.wait_readable(&server).unwrap(), guard.is_shutdown_requested()));
    connections.close_long_lived();
    assert_eq!(waiting.join().unwrap(), (false, true));
}

#[test]
fn with_jitter_each_connection_is_asked_to_close_at_a_moment_of_its_own() {
    let window = Duration::from_millis(200);
    let connections = Connections::new(window, Unfinished::Leave, Duration::ZERO).unwrap();
    let guards: Vec<Guard> = (0..8).map(|_| connections.begin()).collect();
    assert!(guards.iter().all(|guard| guard.shutdown_at().is_none()));
    connections.drain();
    connections.close_idle();
    let began = connections.shutdown_signal(DrainPhase::ClosingIdle).at().unwrap();
    let mut moments: Vec<_> = guards.iter().map(|guard| guard.shutdown_at().unwrap()).collect();
    assert!(
        guards.iter().zip(&moments).all(|(guard, &moment)| guard.shutdown_at() == Some(moment)),
        "the moment does not change"
    );
    assert!(moments.iter().all(|&moment| (began..began + window).contains(&moment)));
    moments.sort();
    moments.dedup();
    assert_eq!(moments.len(), guards.len());
    // No wait ends before its moment.
    let waits = guards.into_iter().map(|mut guard| {
        std::thread::spawn(move || {
            let (_client, server) = UnixStream::pair().unwrap();
            let moment = guard.shutdown_at().unwrap();
            assert!(!guard.wait_readable(&server).unwrap());
            assert!(guard.is_shutdown_requested() && std::time::Instant::now() >= moment);
        })
    });
    waits.collect::<Vec<_>>().into_iter().for_each(|wait| wait.join().unwrap());
}

#[test]
fn a_rollback_within_the_jitter_keeps_the_connection() {
    let connections = Connections::new(Duration::from_secs(3600), Unfinished::Leave, Duration::ZERO).unwrap();
    let (_client, server) = UnixStream::pair().unwrap();
    let mut guard = connections.begin();
    connections.drain();
    connections.close_idle();
    assert!(guard.shutdown_at().is_some() && !guard.is_shutdown_requested());
    connections.serve().unwrap();
    assert!(guard.shutdown_at().is_none());
    let waiting = std::thread::spawn(move || guard.wait_readable(&server).unwrap());
    drop(_client);
    assert!(waiting.join().unwrap(), "the client's end is something to read");
}

#[test]
fn a_new_term_serves_again() {
    let connections = connections();
    let guard = connections.begin();
    connections.drain();
    connections.close_idle();
    connections.close_long_lived();
    assert!(guard.is_draining() && guard.is_shutdown_requested() && connections.is_closing_long_lived());
    connections.serve().unwrap();
    assert!(!guard.is_draining() && !guard.is_shutdown_requested() && !connections.is_closing_long_lived());
    for phase in [DrainPhase::Draining, DrainPhase::ClosingIdle, DrainPhase::ClosingLongLived] {
        assert!(!connections.shutdown_signal(phase).is_requested());
    }
}

#[test]
fn the_phases_come_in_order() {
    let connections = connections();
    let mut guard = connections.begin();
    guard.long_lived();
    connections.drain();
    assert!(!connections.only_long_lived(), "idle connections are asked first, even if there are none");
    connections.close_long_lived();
    assert!(
        connections.is_closing_idle() && connections.shutdown_signal(DrainPhase::ClosingIdle).is_requested()
    );
}

#[test]
fn the_list_has_the_guards_with_a_name_the_oldest_first() {
    let connections = connections();
    let (mut first, mut second, _unnamed) = (connections.begin(), connections.begin(), connections.begin());
    first.set_name("a download");
    second.busy();
    second.set_name(format!("request {}", 7));
    first.long_lived();
    let list = connections.list();
    let names: Vec<_> = list.iter().map(|info| (info.name.as_str(), info.kind)).collect();
    assert_eq!(names, [("a download", ConnectionKind::LongLived), ("request 7", ConnectionKind::InRequest)]);
    assert!(list[0].age >= list[1].age);
    second.set_name("request 8");
    drop(first);
    assert_eq!(connections.list()[0].name, "request 8");
    drop(second);
    assert_eq!(connections.list(), []);
}

#[test]
fn unfinished_connections_are_left_closed_or_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for how in [Unfinished::Leave, Unfinished::Close, Unfinished::Reset] {
        let connections = Connections::new(Duration::ZERO, how, Duration::ZERO).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let mut guard = connections.begin();
        guard.set_socket(&server).unwrap();
        assert_eq!(connections.list()[0].name, client.local_addr().unwrap().to_string());
        connections.close_unfinished();
        match how {
            Unfinished::Leave => {
                (&server).write_all(b"!").unwrap();
                assert_eq!(client.read(&mut [0]).unwrap(), 1);
            }
            Unfinished::Close => assert_eq!(client.read(&mut [0]).unwrap(), 0),
            Unfinished::Reset if cfg!(target_os = "linux") => {
                assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
            }
            Unfinished::Reset => assert!(!matches!(client.read(&mut [0]), Ok(1..))),
        }
    }
    // A Unix socket cannot be reset, and its client has no address for a name.
    let connections = Connections::new(Duration::ZERO, Unfinished::Reset, Duration::ZERO).unwrap();
    let (mut client, server) = UnixStream::pair().unwrap();
    let mut guard = connections.begin();
    guard.set_socket(&server).unwrap();
    assert_eq!(connections.list()[0].name, "without a name");
    connections.close_unfinished();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_connection_that_first_waits_in_a_drain_has_the_grace_period_of_a_new_one() {
    let connections = Connections::new(Duration::ZERO, Unfinished::Leave, Duration::from_secs(3600)).unwrap();
    let (_client, server) = UnixStream::pair().unwrap();
    // One has waited before; the other was in its handshake until now.
    let (mut known, mut new) = (connections.begin(), connections.begin());
    known.begin_to_wait();
    connections.drain();
    connections.close_idle();
    assert!(!known.wait_readable(&server).unwrap());
    new.begin_to_wait();
    assert!(!new.is_shutdown_requested() && new.shutdown_at().unwrap() > std::time::Instant::now());
    (&_client).write_all(b"GET").unwrap();
    assert!(new.wait_readable(&server).unwrap());
    assert!(!new.should_close(&server, b""), "its request is not read yet");
}

#[test]
fn a_connection_has_the_bytes_that_were_attached_to_it() {
    let connections = connections();
    let mut guard = connections.begin();
    assert!(!guard.is_migrated() && guard.attached().is_empty());
    guard.attach(&b"one"[..]);
    guard.attach(&b"other"[..]);
    assert_eq!(guard.attached(), b"other");
    let mut migrated = connections.begin();
    migrated.set_migrated(b"PROXY TCP4".to_vec());
    assert!(migrated.is_migrated());
    assert_eq!(migrated.attached(), b"PROXY TCP4");
}
