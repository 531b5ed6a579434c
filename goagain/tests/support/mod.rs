//! What the tests share: servers, clients, and waits with a deadline.
#![allow(dead_code, reason = "each test program uses a part")]

use goagain::strategy::{Next, View};
use goagain::{Acceptor, Address, Builder, Event, EventKind, Goagain, Listener, Strategy};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Far longer than anything here takes. It fails a test that would hang, and measures nothing.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The simplest strategy, so that the tests need no feature.
#[derive(Debug)]
pub(crate) struct Leaves;

impl Strategy for Leaves {
    fn name(&self) -> &str {
        "leaves"
    }

    fn next(&self, view: View) -> Next {
        if view.probation_over { Next::Exit } else { Next::Stay }
    }
}

pub(crate) fn builder() -> Builder {
    Goagain::builder(Leaves)
}

/// A server before `ready`.
pub(crate) fn server() -> Goagain {
    builder().isolated().unwrap()
}

/// A server after `ready`, with one listener.
pub(crate) fn owner() -> (Goagain, Listener) {
    owner_of(builder())
}

pub(crate) fn owner_of(builder: Builder) -> (Goagain, Listener) {
    let mut again = builder.isolated().unwrap();
    let http = again.listen("http", "127.0.0.1:0").unwrap();
    again.ready().unwrap();
    (again, http)
}

/// A builder, and the events of its server.
pub(crate) fn observed() -> (Builder, Receiver<Event>) {
    let (sender, reports) = channel();
    // The receiver may be dropped already.
    (builder().on_event(move |observed| drop(sender.send(observed.clone()))), reports)
}

/// Returns the next event that `wanted` accepts, and skips those before it.
pub(crate) fn expect(reports: &Receiver<Event>, wanted: impl Fn(&EventKind) -> bool) -> Event {
    loop {
        let observed = reports.recv_timeout(SOON).expect("the report comes");
        if wanted(&observed.kind) {
            return observed;
        }
    }
}

/// Does the work, and fails the test if it does not return.
pub(crate) fn soon<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, done) = channel();
    let working = thread::spawn(move || drop(sender.send(work())));
    match done.recv_timeout(SOON) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("it did not return within {SOON:?}"),
        Err(RecvTimeoutError::Disconnected) => std::panic::resume_unwind(working.join().unwrap_err()),
    }
}

/// Answers the first byte of each connection with the same byte, and returns the number of connections.
pub(crate) fn echo(acceptor: Acceptor) -> JoinHandle<usize> {
    thread::spawn(move || {
        let served = acceptor.map(|accepted| {
            let (mut stream, mut guard) = accepted.unwrap();
            guard.busy();
            let mut byte = [0];
            // The client may have closed already.
            let _ = stream.read_exact(&mut byte).and_then(|()| stream.write_all(&byte));
        });
        served.count()
    })
}

pub(crate) fn address(listener: &Listener) -> SocketAddr {
    match listener.local_addr() {
        Address::Tcp(address) => *address,
        other => panic!("expected a TCP address, found {other}"),
    }
}

/// Returns a client that has sent its byte.
pub(crate) fn ask(listener: &Listener) -> TcpStream {
    let mut client = TcpStream::connect(address(listener)).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    client.write_all(b"?").unwrap();
    client
}

/// Asserts that the byte comes back.
pub(crate) fn assert_answered(mut client: impl Read) {
    let mut byte = [0];
    client.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"?");
}
