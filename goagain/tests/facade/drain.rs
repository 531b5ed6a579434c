//! Waiting for the phases of a drain, and its end.

use crate::support::{SOON, address, builder, expect, observed, owner_of, soon};
use goagain::drain::{ConnectionKind, DrainPhase, InFlight, Unfinished};
use goagain::{Connections, EventKind, Finish, Goagain};
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

/// The smallest executor: a thread that parks.
fn block_on(future: impl Future) {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(std::sync::Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    while future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        thread::park();
    }
}

/// Waits for each phase in a task and in a thread, and sends what is true then.
fn watch(connections: &Connections, seen: &std::sync::mpsc::Sender<(DrainPhase, [bool; 3])>) {
    for phase in [DrainPhase::Draining, DrainPhase::ClosingIdle, DrainPhase::ClosingLongLived] {
        for waits in [true, false] {
            let (connections, seen) = (connections.clone(), seen.clone());
            let signal = connections.shutdown_signal(phase);
            assert!(!signal.is_requested() && signal.at().is_none());
            thread::spawn(move || {
                if waits {
                    signal.wait().unwrap()
                } else {
                    block_on(signal)
                }
                let now = [
                    connections.is_draining(),
                    connections.is_closing_idle(),
                    connections.is_closing_long_lived(),
                ];
                seen.send((phase, now)).unwrap();
            });
        }
    }
}

/// Drains to the end.
fn drained(mut again: Goagain) {
    soon(move || {
        again.wait().unwrap();
        assert_eq!(again.finish().unwrap(), Finish::Exit);
    });
}

#[test]
fn each_phase_wakes_tasks_and_threads_in_its_turn() {
    let (again, _http) = owner_of(builder().idle_grace(Duration::from_millis(1)));
    let connections = again.connections();
    let (sender, seen) = channel();
    watch(&connections, &sender);
    let mut streams = connections.begin();
    streams.long_lived();
    let goes = thread::spawn(move || {
        block_on(streams.shutdown_signal());
        assert!(streams.is_shutdown_requested() && streams.shutdown_at().is_some());
    });
    again.handle().stop_gracefully();
    drained(again);
    goes.join().unwrap();
    for _ in 0..6 {
        let (phase, [draining, closing_idle, closing_long_lived]) = seen.recv_timeout(SOON).unwrap();
        assert!(draining);
        assert!(closing_idle || phase < DrainPhase::ClosingIdle);
        assert!(closing_long_lived || phase < DrainPhase::ClosingLongLived);
    }
}

#[test]
fn long_lived_connections_are_asked_to_close_in_time_beside_a_request_that_does_not_end() {
    let (again, _http) =
        owner_of(builder().drain_timeout(Duration::from_millis(200)).idle_grace(Duration::ZERO));
    let (mut request, mut stream) = (again.connections().begin(), again.connections().begin());
    request.busy();
    stream.long_lived();
    let goes = thread::spawn(move || block_on(stream.shutdown_signal()));
    again.handle().stop_gracefully();
    let connections = again.connections();
    drained(again);
    goes.join().unwrap();
    assert_eq!(connections.len(), 1);
    assert_eq!(request.kind(), ConnectionKind::InRequest);
}

#[test]
fn the_deadline_of_a_drain_reports_the_unfinished_connections_and_resets_them() {
    let (sender, list) = channel();
    let (builder, reports) = observed();
    let builder = builder.drain_timeout(Duration::from_millis(1)).unfinished(Unfinished::Reset);
    let (again, http) = owner_of(builder.on_unfinished(move |connections| {
        sender.send(connections.to_vec()).unwrap();
        Err("it is seen")
    }));
    let mut acceptor = http.acceptor().unwrap();
    let mut client = TcpStream::connect(address(&http)).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    let (_stream, mut guard) = acceptor.next().unwrap().unwrap();
    guard.busy();
    let _unnamed = again.connections().begin();
    again.handle().stop_gracefully();
    drained(again);
    let connections = list.recv_timeout(SOON).unwrap();
    assert_eq!(connections.len(), 1, "{connections:?}");
    assert_eq!(connections[0].name, client.local_addr().unwrap().to_string());
    assert_eq!(connections[0].kind, ConnectionKind::InRequest);
    let text = connections[0].to_string();
    assert!(text.starts_with(&connections[0].name) && text.contains("in a request"), "{text}");
    let failed = expect(&reports, |report| matches!(report, EventKind::CallbackFailed { .. }));
    assert!(failed.to_string().ends_with("callback `on_unfinished` failed: it is seen"), "{failed}");
    let in_flight = InFlight { idle: 1, in_request: 1, long_lived: 0 };
    let unfinished = expect(&reports, |report| matches!(report, EventKind::Unfinished { .. }));
    assert_eq!(unfinished.kind, EventKind::Unfinished { in_flight, connections });
    let read = client.read(&mut [0]);
    match read {
        Err(error) if cfg!(target_os = "linux") => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        read => assert!(cfg!(not(target_os = "linux")) && !matches!(read, Ok(1..)), "{read:?}"),
    }
}

#[test]
fn a_drain_without_unfinished_connections_closes_none_and_calls_no_callback() {
    let (builder, reports) = observed();
    let (again, _http) = owner_of(builder.on_unfinished(|_| -> () { panic!("no connection is left") }));
    drop(again.connections().begin());
    again.handle().stop_gracefully();
    drained(again);
    assert!(!reports.iter().any(|observed| {
        matches!(observed.kind, EventKind::Unfinished { .. } | EventKind::CallbackFailed { .. })
    }));
}

#[test]
fn a_stop_now_and_a_second_stop_count_the_unfinished_connections() {
    for second in [false, true] {
        let (builder, reports) = observed();
        let (mut again, _http) = owner_of(builder);
        let mut guard = again.connections().begin();
        guard.busy();
        let handle = again.handle();
        if second {
            handle.stop_gracefully();
            again.wait().unwrap();
            handle.stop_gracefully();
        } else {
            handle.stop_now();
        }
        drained(again);
        let in_flight = InFlight { in_request: 1, ..InFlight::default() };
        expect(&reports, |report| *report == EventKind::Unfinished { in_flight, connections: Vec::new() });
    }
}
