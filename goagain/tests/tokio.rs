//! The life of a process as futures, in both flavors of runtime.
#![cfg(all(feature = "tokio", target_os = "linux", not(goagain_portable)))]
#![allow(clippy::unwrap_used, reason = "tests, and what they share")]

mod support;

use goagain::drain::DrainPhase;
use goagain::tokio::{Goagain, Stream};
use goagain::{Finish, Listener, Stop};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::thread;
use support::{SOON, address, ask, assert_answered, builder, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Runs the test in each flavor.
fn in_both<F: Future<Output = ()>>(test: impl Fn() -> F) {
    let flavors: [Runtime; 2] = [
        Builder::new_current_thread().enable_all().build().unwrap(),
        Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
    ];
    for runtime in flavors {
        runtime.block_on(async { timeout(SOON, test()).await.expect("it does not hang") });
    }
}

async fn owner_of(builder: goagain::Builder) -> (Goagain, Listener) {
    let mut again = builder.isolated().unwrap().into_tokio().unwrap();
    let http = again.listen("http", "127.0.0.1:0").unwrap();
    again.ready().await.unwrap();
    (again, http)
}

/// Echoes the bytes of each connection until it is asked to close, and counts the connections.
fn echo(listener: &Listener) -> JoinHandle<usize> {
    let mut acceptor = listener.to_tokio().unwrap();
    tokio::spawn(async move {
        let mut count = 0;
        while let Some(accepted) = acceptor.accept().await {
            let (mut stream, mut guard) = accepted.unwrap();
            count += 1;
            tokio::spawn(async move {
                let mut byte = [0];
                while guard.readable(&stream).await.unwrap() {
                    if stream.read(&mut byte).await.unwrap() == 0 {
                        break;
                    }
                    stream.write_all(&byte).await.unwrap();
                }
            });
        }
        count
    })
}

/// Runs a client on a thread, so that it does not block the runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[test]
fn a_whole_life() {
    in_both(|| async {
        let (mut again, http) = owner_of(builder()).await;
        assert_eq!((again.generation(), again.is_successor(), again.stopping()), (1, false, None));
        let accepting = echo(&http);
        blocking(move || assert_answered(ask(&http))).await;
        let handle = again.handle();
        thread::spawn(move || handle.stop_gracefully());
        again.wait().await.unwrap();
        assert_eq!(again.stopping(), Some(Stop::Gracefully));
        assert_eq!(accepting.await.unwrap(), 1);
        assert_eq!(again.drain().await.unwrap(), Finish::Exit);
        assert_eq!(again.finish().await.unwrap(), Finish::Exit);
    });
}

#[test]
fn a_wait_can_be_dropped_and_returns_at_once_after_the_term() {
    in_both(|| async {
        let (mut again, _http) = owner_of(builder()).await;
        for _ in 0..3 {
            let mut wait = pin!(again.wait());
            tokio::select! {
                biased;
                _ = &mut wait => panic!("nothing has happened"),
                () = tokio::task::yield_now() => {}
            }
        }
        again.handle().stop_gracefully();
        for _ in 0..2 {
            again.wait().await.unwrap();
        }
        assert_eq!(again.finish().await.unwrap(), Finish::Exit);
    });
}

#[test]
fn the_drain_waits_for_what_is_in_flight() {
    in_both(|| async {
        let (mut again, _http) = owner_of(builder()).await;
        let guard = again.connections().begin();
        again.handle().stop_gracefully();
        again.wait().await.unwrap();
        let mut finish = pin!(again.finish());
        tokio::select! {
            biased;
            _ = &mut finish => panic!("a connection is in flight"),
            () = tokio::task::yield_now() => {}
        }
        thread::spawn(move || drop(guard));
        assert_eq!(finish.await.unwrap(), Finish::Exit);
    });
}

#[test]
fn tasks_can_wait_for_the_phases() {
    in_both(|| async {
        let (mut again, _http) = owner_of(builder().idle_grace(std::time::Duration::ZERO)).await;
        let connections = again.connections();
        let guard = connections.begin();
        let waiting = tokio::spawn(async move {
            connections.shutdown_signal(DrainPhase::Draining).await;
            connections.shutdown_signal(DrainPhase::ClosingIdle).await;
            drop(guard);
        });
        again.handle().stop_gracefully();
        again.wait().await.unwrap();
        assert_eq!(again.finish().await.unwrap(), Finish::Exit);
        waiting.await.unwrap();
    });
}

#[test]
fn an_idle_connection_is_asked_to_close_and_a_request_that_has_arrived_is_served() {
    in_both(|| async {
        let (mut again, http) = owner_of(builder().idle_grace(std::time::Duration::ZERO)).await;
        let accepting = echo(&http);
        let mut client = blocking(move || {
            let mut client = ask(&http);
            assert_answered(&mut client);
            client
        })
        .await;
        let (mut there, gone) = UnixStream::pair().unwrap();
        gone.set_nonblocking(true).unwrap();
        let idle = Stream::Unix(tokio::net::UnixStream::from_std(gone).unwrap());
        let mut guard = again.connections().begin();
        again.handle().stop_gracefully();
        again.wait().await.unwrap();
        accepting.await.unwrap();
        let closing = again.connections().shutdown_signal(DrainPhase::ClosingIdle);
        let (finish, ()) = tokio::join!(again.finish(), async {
            closing.await;
            // It is asked to close, but there is a byte, of which this runtime does not know yet.
            there.write_all(b"!").unwrap();
            assert!(guard.readable(&idle).await.unwrap());
            drop(guard);
        });
        assert_eq!(finish.unwrap(), Finish::Exit);
        assert_eq!(blocking(move || client.read(&mut [0])).await.unwrap(), 0, "it was closed");
    });
}

#[test]
fn listeners_are_non_blocking_and_of_the_right_kind() {
    in_both(|| async {
        let folder = tempfile::tempdir().unwrap();
        let mut again = server().into_tokio().unwrap();
        let tcp = again.listen("tcp", "127.0.0.1:0").unwrap();
        let unix = again.listen("unix", &format!("unix:{}", folder.path().join("s").display())).unwrap();
        assert_eq!(tcp.to_tokio().unwrap_err().kind(), ErrorKind::InvalidInput, "not ready yet");
        assert!(tcp.to_tokio_unix().is_err() && unix.to_tokio_tcp().is_err());
        again.ready().await.unwrap();
        let address = address(&tcp);
        let listener = tcp.to_tokio_tcp().unwrap();
        // A blocking listener would hang the runtime, since no client connects yet.
        tokio::select! {
            biased;
            _ = listener.accept() => panic!("no client connects"),
            () = tokio::task::yield_now() => {}
        }
        let _client = TcpStream::connect(address).unwrap();
        listener.accept().await.unwrap();
        let mut acceptor = unix.to_tokio().unwrap();
        let _client = UnixStream::connect(folder.path().join("s")).unwrap();
        let (stream, _guard) = acceptor.accept().await.unwrap().unwrap();
        assert!(matches!(stream, Stream::Unix(_)), "{stream:?}");
    });
}

#[test]
fn an_acceptor_ends_with_its_term() {
    in_both(|| async {
        let (again, http) = owner_of(builder()).await;
        let mut acceptor = http.to_tokio().unwrap();
        let waiting = tokio::spawn(async move { acceptor.accept().await.is_none() });
        tokio::task::yield_now().await;
        drop(again);
        assert!(waiting.await.unwrap());
        assert!(http.to_tokio_tcp().is_err(), "the listener is closed");
        assert!(http.to_tokio().unwrap().accept().await.is_none());
    });
}

#[test]
fn without_a_runtime_it_is_an_error() {
    let mut again = server();
    let http = again.listen("http", "127.0.0.1:0").unwrap();
    again.ready().unwrap();
    assert!(http.to_tokio().is_err() && http.to_tokio_tcp().is_err());
    assert!(again.into_tokio().is_err());
}
