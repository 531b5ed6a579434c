//! How a connection ends: every request that has come is answered, and every response is complete.
#![cfg(all(feature = "actix", feature = "axum", target_os = "linux", not(goagain_portable)))]
#![allow(clippy::unwrap_used, reason = "tests, and what they share")]
#![allow(clippy::print_stderr, reason = "a test that fails shows for which server")]

mod support;

use actix_web::web;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use goagain::drain::DrainPhase;
use goagain::{Finish, Listener};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::Duration;
use support::{SOON, address, builder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

const FOREVER: Duration = Duration::MAX;
/// Long enough for a client to go on after it has seen a phase begin, even on a busy machine.
const GRACE: Duration = Duration::from_secs(2);
const BIG: usize = 3 << 20;

#[derive(Clone, Copy, Debug)]
enum ServerKind {
    Axum,
    AxumServe,
    Actix,
}

/// A server whose slow requests end when the test says so.
struct Server {
    again: goagain::tokio::Goagain,
    http: Listener,
    slow: Slow,
    begun: mpsc::UnboundedReceiver<()>,
    worker: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Slow {
    begins: mpsc::UnboundedSender<()>,
    may_end: Arc<Semaphore>,
}

impl Slow {
    async fn answer(self) -> &'static str {
        self.begins.send(()).unwrap();
        self.may_end.acquire().await.unwrap().forget();
        "slow"
    }
}

fn big() -> String {
    "0123456789abcdef".repeat(BIG / 16)
}

fn app(slow: Slow) -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/slow", get(|| slow.answer()))
        .route("/big", get(|| async { big() }))
        .route("/unread", post(|| async { "unread" }))
}

fn actix_worker(http: Listener, slow: Slow) {
    let app = actix_web::App::new()
        .route("/", web::get().to(|| async { "hello" }))
        .route("/slow", web::get().to(move || slow.clone().answer()))
        .route("/big", web::get().to(|| async { big() }))
        .route("/unread", web::post().to(|| async { "unread" }));
    let serving = async { goagain::actix::serve(http.to_tokio().unwrap(), app).await };
    actix_web::rt::System::new().block_on(serving).unwrap();
}

async fn serve(kind: ServerKind, idle_grace: Duration) -> Server {
    let builder = builder().idle_grace(idle_grace).drain_timeout(FOREVER).long_lived_timeout(FOREVER);
    let mut again = builder.isolated().unwrap().into_tokio().unwrap();
    let http = again.listen("http", "127.0.0.1:0").unwrap();
    again.ready().await.unwrap();
    let (begins, begun) = mpsc::unbounded_channel();
    let slow = Slow { begins, may_end: Arc::new(Semaphore::new(0)) };
    let app = app(slow.clone());
    let mut worker = None;
    match kind {
        ServerKind::Axum => drop(tokio::spawn(goagain::axum::serve(http.to_tokio().unwrap(), app))),
        ServerKind::AxumServe => {
            let app = app.layer(from_fn_with_state(again.connections(), goagain::axum::drain));
            let app = app.into_make_service_with_connect_info::<goagain::axum::Connection>();
            let closing = goagain::axum::closing(again.connections());
            let serving = axum::serve(http.to_axum().unwrap(), app).with_graceful_shutdown(closing);
            drop(tokio::spawn(serving.into_future()));
        }
        ServerKind::Actix => {
            let (http, slow) = (http.clone(), slow.clone());
            worker = Some(std::thread::spawn(move || actix_worker(http, slow)));
        }
    }
    Server { again, http, slow, begun, worker }
}

impl Server {
    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(address(&self.http)).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        client
    }

    /// Begins to drain.
    async fn stop(&mut self) {
        self.again.handle().stop_gracefully();
        self.again.wait().await.unwrap();
    }

    /// Waits for the phase. Signals and deadlines are handled while `finish` is awaited.
    async fn until(&mut self, phase: DrainPhase) {
        let signal = self.again.connections().shutdown_signal(phase);
        tokio::select! {
            () = signal => {}
            finish = self.again.finish() => panic!("expected {phase:?}, found {finish:?}"),
        }
    }

    async fn finish(mut self) {
        assert_eq!(self.again.finish().await.unwrap(), Finish::Exit);
        if let Some(worker) = self.worker {
            spawn_blocking(|| worker.join().unwrap()).await.unwrap();
        }
    }
}

/// Runs the test for each server.
fn each<F: Future<Output = ()>>(test: impl Fn(ServerKind) -> F) {
    for kind in [ServerKind::Axum, ServerKind::AxumServe, ServerKind::Actix] {
        eprintln!("{kind:?}");
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async { timeout(SOON, test(kind)).await.expect("it does not hang") });
        runtime.shutdown_background();
    }
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// Runs a client on a thread of its own.
async fn client<T: Send + 'static>(does: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(does).await.unwrap()
}

/// Reads everything up to the end, which must not be an error.
fn rest(mut client: impl Read) -> String {
    let mut text = Vec::new();
    client.read_to_end(&mut text).unwrap_or_else(|error| panic!("after {} bytes: {error}", text.len()));
    String::from_utf8(text).unwrap().to_ascii_lowercase()
}

/// Asserts that there are so many responses, and that the last one and no other closes the connection.
fn assert_last_closes(answers: &str, count: usize) {
    let heads: Vec<_> = answers.split("http/1.1 ").skip(1).collect();
    assert_eq!(heads.len(), count, "{}", &answers[..answers.len().min(2_000)]);
    let closes = |head: &&str| head.contains("\r\nconnection: close\r\n");
    assert_eq!(heads.iter().filter(|head| closes(head)).count(), 1, "one response closes");
    assert!(closes(heads.last().unwrap()), "the last response closes");
}

#[test]
fn requests_after_a_slow_request_are_answered() {
    each(async |kind| {
        let mut server = serve(kind, FOREVER).await;
        let mut stream = server.connect();
        let requests = [request("/slow"), request("/").repeat(3), request("/big")].concat();
        stream.write_all(requests.as_bytes()).unwrap();
        // The last request comes in a packet of its own, while the first is served.
        server.begun.recv().await.unwrap();
        stream.write_all(request("/").as_bytes()).unwrap();
        server.stop().await;
        server.slow.may_end.add_permits(1);
        let answers = client(|| rest(stream)).await;
        assert_last_closes(&answers, 6);
        server.finish().await;
    });
}

#[test]
fn hundreds_of_requests_in_one_write_are_answered() {
    each(async |kind| {
        let mut server = serve(kind, FOREVER).await;
        let mut stream = server.connect();
        stream.write_all([request("/slow"), request("/").repeat(399)].concat().as_bytes()).unwrap();
        server.begun.recv().await.unwrap();
        server.stop().await;
        server.slow.may_end.add_permits(1);
        assert_last_closes(&client(|| rest(stream)).await, 400);
        server.finish().await;
    });
}

#[test]
fn a_response_arrives_complete_while_its_client_goes_on_sending() {
    each(async |kind| {
        let mut server = serve(kind, FOREVER).await;
        let mut stream = server.connect();
        stream.write_all([request("/slow"), request("/big")].concat().as_bytes()).unwrap();
        server.begun.recv().await.unwrap();
        server.stop().await;
        server.slow.may_end.add_permits(1);
        let answers = client(move || {
            let mut begin = vec![0; 64 * 1024];
            stream.read_exact(&mut begin).unwrap();
            // By now the server has written what fits, and closes as soon as it has written the rest.
            let mut chunk = vec![0; 64 * 1024];
            loop {
                // This is not answered. It must not destroy the response before it.
                let _ = stream.write_all(b"PADDING");
                match stream.read(&mut chunk).unwrap_or_else(|error| panic!("after {}: {error}", begin.len()))
                {
                    0 => break,
                    read => begin.extend_from_slice(&chunk[..read]),
                }
            }
            begin
        });
        let text = String::from_utf8(answers.await).unwrap();
        assert!(text.ends_with(&big()[BIG - 100..]), "{} bytes", text.len());
        server.finish().await;
    });
}

#[test]
fn a_response_to_a_body_that_is_not_read_arrives() {
    each(async |kind| {
        let mut server = serve(kind, FOREVER).await;
        let mut stream = server.connect();
        stream.write_all(request("/slow").as_bytes()).unwrap();
        server.begun.recv().await.unwrap();
        let mut sending = stream.try_clone().unwrap();
        let head = format!("POST /unread HTTP/1.1\r\nHost: test\r\nContent-Length: {BIG}\r\n\r\n");
        sending.write_all(head.as_bytes()).unwrap();
        let sending = std::thread::spawn(move || {
            // A server may close before it has read all of it.
            let _ = sending.write_all(&vec![b'x'; BIG]);
        });
        server.stop().await;
        server.slow.may_end.add_permits(1);
        let answers = client(|| rest(stream)).await;
        assert!(answers.contains("unread"), "{answers}");
        sending.join().unwrap();
        server.finish().await;
    });
}

#[test]
fn a_request_that_has_begun_is_not_idle() {
    each(async |kind| {
        let mut server = serve(kind, GRACE).await;
        let (mut first, mut second) = (server.connect(), server.connect());
        let whole = request("/");
        let (half, other) = whole.split_at(20);
        first.write_all(half.as_bytes()).unwrap();
        second.write_all([&whole, half].concat().as_bytes()).unwrap();
        // The complete request was answered, so both connections have been accepted and read.
        let mut second = client(move || {
            let mut answer = Vec::new();
            while !answer.ends_with(b"hello") {
                let mut byte = [0];
                second.read_exact(&mut byte).unwrap();
                answer.push(byte[0]);
            }
            second
        })
        .await;
        server.stop().await;
        server.until(DrainPhase::ClosingIdle).await;
        for stream in [&mut first, &mut second] {
            stream.write_all(other.as_bytes()).unwrap();
        }
        let (first, second) = client(|| (rest(first), rest(second))).await;
        assert_last_closes(&first, 1);
        assert_last_closes(&second, 1);
        server.finish().await;
    });
}

#[test]
fn a_silent_client_does_not_hold_the_drain() {
    each(async |kind| {
        let mut server = serve(kind, Duration::from_millis(200)).await;
        let mut begun = server.connect();
        begun.write_all(b"GET / HT").unwrap();
        let mut http2 = server.connect();
        if !matches!(kind, ServerKind::Actix) {
            // The preface and empty settings, and no reply to what the server sends then.
            http2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
        }
        drop(server.connect());
        server.stop().await;
        // The drain has no deadline.
        server.finish().await;
        drop((begun, http2));
    });
}

#[test]
fn a_client_that_has_shut_down_its_side_gets_its_response() {
    each(async |kind| {
        if matches!(kind, ServerKind::AxumServe) {
            // In this server hyper sees the end before the request is reported, and gives up.
            return;
        }
        let mut server = serve(kind, FOREVER).await;
        let mut stream = server.connect();
        stream.write_all(request("/slow").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        server.begun.recv().await.unwrap();
        server.slow.may_end.add_permits(1);
        assert!(client(|| rest(stream)).await.ends_with("slow"));
        let mut stream = server.connect();
        stream.write_all(request("/slow").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        server.begun.recv().await.unwrap();
        server.stop().await;
        server.slow.may_end.add_permits(1);
        assert!(client(|| rest(stream)).await.ends_with("slow"));
        server.finish().await;
    });
}

#[test]
fn a_tunnel_is_long_lived_and_each_direction_ends_by_itself() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let builder = builder().idle_grace(Duration::ZERO).drain_timeout(FOREVER).long_lived_timeout(FOREVER);
        let mut again = builder.isolated().unwrap().into_tokio().unwrap();
        let http = again.listen("http", "127.0.0.1:0").unwrap();
        again.ready().await.unwrap();
        let (sender, mut received) = mpsc::unbounded_channel();
        let service = service_fn(move |request: Request<Incoming>| {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut tunnel = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
                tunnel.write_all(b"all that there is").await.unwrap();
                // The direction from the client stays open.
                tunnel.shutdown().await.unwrap();
                let mut all = String::new();
                tunnel.read_to_string(&mut all).await.unwrap();
                sender.send(all).unwrap();
            });
            std::future::ready(Ok::<_, Infallible>(Response::new(String::new())))
        });
        tokio::spawn(goagain::hyper::serve(http.to_tokio().unwrap(), service));
        let mut stream = TcpStream::connect(address(&http)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(b"CONNECT test:1 HTTP/1.1\r\nHost: test:1\r\n\r\n").unwrap();
        let stream = client(move || {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            assert!(head.starts_with(b"HTTP/1.1 200"));
            stream
        })
        .await;
        assert_eq!(again.connections().in_flight().long_lived, 1);
        again.handle().stop_gracefully();
        again.wait().await.unwrap();
        // It is asked to close last, by its handler. Until then it stays open.
        let signal = again.connections().shutdown_signal(DrainPhase::ClosingLongLived);
        tokio::select! {
            () = signal => {}
            finish = again.finish() => panic!("expected ClosingLongLived, found {finish:?}"),
        }
        client(move || {
            let mut stream = stream;
            let mut all = String::new();
            stream.read_to_string(&mut all).unwrap();
            assert_eq!(all, "all that there is");
            stream.write_all(b"through the tunnel").unwrap();
        })
        .await;
        assert_eq!(received.recv().await.unwrap(), "through the tunnel");
        assert_eq!(again.finish().await.unwrap(), Finish::Exit);
    });
    runtime.shutdown_background();
}

#[test]
fn a_client_that_goes_on_sending_does_not_hold_a_drain_beyond_its_deadline() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let builder = builder().drain_timeout(Duration::from_secs(1));
        let mut again = builder.isolated().unwrap().into_tokio().unwrap();
        let http = again.listen("http", "127.0.0.1:0").unwrap();
        again.ready().await.unwrap();
        tokio::spawn(goagain::axum::serve(
            http.to_tokio().unwrap(),
            Router::new().route("/", get(|| async { "hello" })),
        ));
        let mut stream = TcpStream::connect(address(&http)).unwrap();
        stream.write_all(request("/").replace("Host", "Connection: close\r\nHost").as_bytes()).unwrap();
        let mut stream = client(move || {
            // The end has come: the server has shut down its side.
            assert!(rest(&stream).ends_with("hello"));
            stream
        })
        .await;
        let (told, is_over) = std::sync::mpsc::channel::<()>();
        let sending = std::thread::spawn(move || {
            // As long as the drain lasts, and more often than every two seconds.
            while is_over.recv_timeout(Duration::from_millis(50)) == Err(RecvTimeoutError::Timeout) {
                if stream.write_all(b"more").is_err() {
                    break;
                }
            }
        });
        again.handle().stop_gracefully();
        again.wait().await.unwrap();
        let finished = timeout(SOON / 2, again.finish()).await.expect("the deadline ends it");
        assert_eq!(finished.unwrap(), Finish::Exit);
        drop(told);
        sending.join().unwrap();
    });
    runtime.shutdown_background();
}
