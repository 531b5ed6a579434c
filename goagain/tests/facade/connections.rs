//! Connections and their guards, through a drain.

use crate::support::{SOON, builder, owner, owner_of, soon};
use goagain::{Finish, Stop};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

#[test]
fn guards_count_from_begin_to_drop() {
    let (again, _http) = owner();
    let connections = again.connections();
    assert!(connections.is_empty());
    let mut guard = connections.begin();
    let other = connections.clone().begin();
    assert_eq!((connections.len(), connections.waiting()), (2, 2));
    guard.busy();
    assert_eq!((connections.len(), connections.waiting()), (2, 1));
    guard.idle();
    assert_eq!((connections.len(), connections.waiting()), (2, 2));
    drop((guard, other));
    assert_eq!((connections.len(), connections.waiting()), (0, 0));
}

#[test]
fn finish_waits_until_the_last_guard_is_dropped() {
    let (mut again, _http) = owner();
    let guards = [again.connections().begin(), again.connections().begin()];
    assert!(!guards[0].is_draining() && !guards[0].is_shutdown_requested());
    again.handle().stop_gracefully();
    let (sender, draining) = channel();
    let dropped = Arc::new(AtomicBool::new(false));
    let dropping = {
        let dropped = Arc::clone(&dropped);
        thread::spawn(move || {
            draining.recv_timeout(SOON).unwrap();
            assert!(guards[0].is_draining());
            dropped.store(true, Ordering::SeqCst);
            drop(guards);
        })
    };
    soon(move || {
        again.wait().unwrap();
        assert_eq!(again.stopping(), Some(Stop::Gracefully));
        assert!(again.connections().is_draining());
        sender.send(()).unwrap();
        assert_eq!(again.finish().unwrap(), Finish::Exit);
        assert!(dropped.load(Ordering::SeqCst));
    });
    dropping.join().unwrap();
}

#[test]
fn drain_waits_for_the_guards_and_finish_for_later_ones() {
    let (mut again, http) = owner();
    let guard = again.connections().begin();
    again.handle().stop_gracefully();
    let dropped = Arc::new(AtomicBool::new(false));
    let (sender, draining) = channel();
    let dropping = {
        let dropped = Arc::clone(&dropped);
        thread::spawn(move || {
            draining.recv_timeout(SOON).unwrap();
            dropped.store(true, Ordering::SeqCst);
            drop(guard);
        })
    };
    soon(move || {
        again.wait().unwrap();
        sender.send(()).unwrap();
        assert_eq!(again.drain().unwrap(), Finish::Exit);
        assert!(dropped.load(Ordering::SeqCst));
        // Work after the drain can have a guard too, and `finish` waits for it.
        let last_work = again.connections().begin();
        thread::spawn(move || drop(last_work));
        assert_eq!(again.finish().unwrap(), Finish::Exit);
        assert!(again.connections().is_empty());
        drop(http);
    });
    dropping.join().unwrap();
}

#[test]
fn drain_timeout_ends_a_drain_with_open_guards() {
    let (mut again, _http) = owner_of(builder().drain_timeout(Duration::from_millis(1)));
    let guard = again.connections().begin();
    again.handle().stop_gracefully();
    soon(move || {
        again.wait().unwrap();
        assert_eq!(again.drain().unwrap(), Finish::Exit);
        assert_eq!(again.finish().unwrap(), Finish::Exit);
    });
    assert!(guard.is_draining());
}

#[test]
fn after_idle_grace_idle_connections_are_asked_to_close() {
    let (mut again, _http) =
        owner_of(builder().idle_grace(Duration::from_millis(1)).drain_timeout(Duration::MAX));
    let mut guard = again.connections().begin();
    let (_client, server) = UnixStream::pair().unwrap();
    let idle = thread::spawn(move || {
        let readable = guard.wait_readable(&server).unwrap();
        (readable, guard.is_shutdown_requested())
    });
    again.handle().stop_gracefully();
    soon(move || {
        again.wait().unwrap();
        // Only the idle connection is waited for.
        assert_eq!(again.finish().unwrap(), Finish::Exit);
        assert!(again.connections().is_closing_idle());
    });
    assert_eq!(idle.join().unwrap(), (false, true));
}

#[test]
fn a_request_that_has_arrived_is_served_even_while_closing() {
    let (mut again, _http) = owner_of(builder().idle_grace(Duration::ZERO));
    let connections = again.connections();
    let mut guard = connections.begin();
    let (mut client, server) = UnixStream::pair().unwrap();
    again.handle().stop_gracefully();
    soon(move || {
        again.wait().unwrap();
        std::io::Write::write_all(&mut client, b"?").unwrap();
        let serving = thread::spawn(move || {
            // Asked to close only when there is nothing to read.
            let readable = guard.wait_readable(&server).unwrap();
            (readable, connections.waiting())
        });
        assert_eq!(again.finish().unwrap(), Finish::Exit);
        assert_eq!(serving.join().unwrap(), (true, 0));
    });
}
