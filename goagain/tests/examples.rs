//! The examples as a reader would try them: start, send a request, restart, send another one, stop; and their errors for wrong
//! arguments.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// The examples that the features of this build include.
const EXAMPLES: &[&str] = &[
    #[cfg(all(feature = "actix", feature = "single"))]
    "actix",
    #[cfg(all(feature = "axum", feature = "single"))]
    "axum",
    #[cfg(feature = "single")]
    "by_hand",
    "custom",
    #[cfg(feature = "double")]
    "double",
    #[cfg(all(feature = "single", target_os = "linux"))]
    "mio",
    #[cfg(feature = "single")]
    "pool",
    #[cfg(feature = "single")]
    "single",
    #[cfg(all(feature = "single", feature = "tokio"))]
    "tokio",
    #[cfg(all(feature = "single", feature = "tonic"))]
    "tonic",
];

/// The examples that speak another protocol than plain HTTP/1.1. Their drills have clients for it.
const OTHERS: &[&str] = &[
    #[cfg(all(feature = "axum", feature = "single"))]
    "axum_tls",
];

/// Cargo builds the examples with the tests, into a folder next to theirs.
fn program(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("examples").join(example)
}

/// How long a line may take that has to come. It is generous, since a machine may be busy.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running example. Its process may change: every process and image of it writes into the same pipe, and is in the
/// process group of the first one.
struct Running {
    child: Child,
    /// Its lines, and those of the processes that it becomes.
    stderr: Receiver<String>,
    ended: bool,
}

impl Drop for Running {
    /// A failing test leaves no server behind, which would keep the test's output open.
    fn drop(&mut self) {
        if !self.ended {
            let group = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
            let _ = killpg(group, Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

impl Running {
    fn start(example: &str, address: &str) -> Running {
        let mut command = Command::new(program(example));
        command.arg(address).stdin(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        let (lines, stderr) = channel();
        let written = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            written.lines().map_while(Result::ok).try_for_each(|line| lines.send(line))
        });
        Running { child, stderr, ended: false }
    }

    /// Reads until an image reports that it serves. Returns its pid and its address.
    fn serves(&mut self) -> (i32, String) {
        loop {
            let line = self.stderr.recv_timeout(DEADLINE).expect("a process that accepts");
            // As in `goagain[4711] generation 1: accepting on tcp:127.0.0.1:48879`.
            let line = line.trim().strip_prefix("goagain[").and_then(|line| line.split_once(']'));
            if let Some((pid, (_, address))) =
                line.and_then(|(pid, rest)| Some((pid, rest.split_once(": accepting on ")?)))
            {
                return (pid.parse().unwrap(), address.to_owned());
            }
        }
    }

    /// Stops the owner, and waits until no image is left: then the pipe has no writer.
    fn stop(mut self, owner: i32) {
        kill(Pid::from_raw(owner), Signal::SIGQUIT).unwrap();
        while self.stderr.recv_timeout(DEADLINE) != Err(RecvTimeoutError::Disconnected) {}
        self.child.wait().unwrap();
        self.ended = true;
    }
}

trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

/// Sends one request on a connection of its own. Returns the body.
fn get(address: &str, path: &str) -> String {
    let mut stream: Box<dyn Connection> = match address.split_once(':').unwrap() {
        ("tcp", address) => {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            Box::new(stream)
        }
        (_, path) => {
            let stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            Box::new(stream)
        }
    };
    write!(stream, "GET {path} HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn restarts(example: &str, address: &str) {
    let mut server = Running::start(example, address);
    let (first, address) = server.serves();
    let body = get(&address, "/");
    assert!(body.starts_with(&format!("pid={first} boot=")) && body.ends_with(" generation=1\n"), "{body}");
    kill(Pid::from_raw(first), Signal::SIGUSR2).unwrap();
    let (mut owner, same_address) = server.serves();
    assert_eq!(same_address, address, "the address is the same");
    if example == "double" {
        assert_ne!(owner, first);
        owner = server.serves().0;
        assert_eq!(owner, first, "the pid has not changed");
    }
    // At commit both accept for a moment, so that the old image may still answer a few requests.
    let old = body.split_once(" boot=").unwrap().1;
    let is_new = |answer: &String| {
        let (pid, boot) = answer.split_once(" boot=").unwrap();
        pid == format!("pid={owner}") && boot != old
    };
    let mut answers = (0..1000).map(|_| get(&address, "/slow?ms=20"));
    assert!(answers.any(|answer| is_new(&answer)), "{example}: the new image never answered");
    server.stop(owner);
}

#[test]
fn each_restarts_over_tcp() {
    for example in EXAMPLES {
        restarts(example, "127.0.0.1:0");
    }
}

/// A client that keeps its connection for as long as the server does, until it is stopped. Returns how many requests were
/// answered, or an error if an answer was wrong.
fn keep_asking(address: &str, on: &AtomicBool) -> Result<usize, String> {
    let mut answered = 0;
    while on.load(Ordering::SeqCst) {
        let stream = TcpStream::connect(address).map_err(|error| format!("connect: {error}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut reader = BufReader::new(&stream);
        let mut kept = true;
        while kept && on.load(Ordering::SeqCst) {
            // One request of three is slow, so that some are in flight during a restart.
            let path = if answered % 3 == 0 { "/slow?ms=20" } else { "/" };
            write!(&stream, "GET {path} HTTP/1.1\r\nHost: example\r\n\r\n")
                .map_err(|error| format!("write after {answered}: {error}"))?;
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                let read = reader.read_line(&mut head).map_err(|error| format!("read: {error}"))?;
                if read == 0 {
                    return Err(format!("closed in mid-request, after {answered}"));
                }
            }
            // hyper writes its headers in lower case.
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).map_err(|error| format!("body: {error}"))?;
            if !head.starts_with("http/1.1 200 ok\r\n") {
                return Err(head);
            }
            kept = !head.contains("connection: close");
            answered += 1;
        }
    }
    Ok(answered)
}

/// Stops the clients, also when a test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[test]
fn each_loses_nothing_under_load() {
    for example in EXAMPLES.iter().filter(|example| **example != "custom") {
        let mut server = Running::start(example, "127.0.0.1:0");
        let (mut owner, address) = server.serves();
        let address = address.strip_prefix("tcp:").unwrap().to_owned();
        let on = AtomicBool::new(true);
        std::thread::scope(|scope| {
            let ends = Ends(&on);
            let clients: Vec<_> = (0..8).map(|_| scope.spawn(|| keep_asking(&address, &on))).collect();
            for _ in 0..3 {
                kill(Pid::from_raw(owner), Signal::SIGUSR2).unwrap();
                owner = server.serves().0;
                if *example == "double" {
                    owner = server.serves().0;
                }
            }
            drop(ends);
            for client in clients {
                let answered = client.join().unwrap();
                assert!(answered.as_ref().is_ok_and(|answered| *answered > 0), "{example}: {answered:?}");
            }
        });
        server.stop(owner);
    }
}

#[test]
fn each_restarts_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    for example in EXAMPLES {
        let path = folder.path().join(example);
        restarts(example, &format!("unix:{}", path.display()));
        assert!(!path.exists(), "{example}: the path goes with the last owner");
    }
}

/// Sends one datagram. Returns the body of its answer.
fn ask(address: &str, client: &Path) -> String {
    let mut answer = [0; 1500];
    let length = match address.split_once(':').unwrap() {
        ("udp", address) => {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            socket.send_to(b"?", address).unwrap();
            socket.recv(&mut answer).unwrap()
        }
        (_, path) => {
            let socket = UnixDatagram::bind(client).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            socket.send_to(b"?", path).unwrap();
            let length = socket.recv(&mut answer).unwrap();
            std::fs::remove_file(client).unwrap();
            length
        }
    };
    String::from_utf8(answer[..length].to_vec()).unwrap()
}

#[test]
fn datagrams_restart() {
    if !cfg!(feature = "single") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, client) = (folder.path().join("udp"), folder.path().join("client"));
    for address in ["127.0.0.1:0".to_owned(), format!("unix:{}", path.display())] {
        let mut server = Running::start("udp", &address);
        let (first, address) = server.serves();
        assert!(ask(&address, &client).ends_with(" generation=1\n"));
        kill(Pid::from_raw(first), Signal::SIGUSR2).unwrap();
        let (owner, same_address) = server.serves();
        assert_eq!(same_address, address, "the address is the same");
        let mut answers = (0..1000).map(|_| ask(&address, &client));
        assert!(answers.any(|answer| answer.starts_with(&format!("pid={owner} "))));
        server.stop(owner);
    }
    assert!(!path.exists(), "the path goes with the last owner");
}

#[test]
fn they_say_how_to_be_started() {
    for example in EXAMPLES.iter().chain(OTHERS) {
        let said = |flag| {
            let output = Command::new(program(example)).arg(flag).output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{example} {flag}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let help = said("--help");
        assert!(help.contains(&format!("Usage: {example} [ADDR]\n")), "{help}");
        assert!(help.contains("[default: 127.0.0.1:48879]"), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
        assert_eq!(said("--version"), format!("{example} {}\n", env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn usage_errors_exit_with_2_and_failures_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for example in EXAMPLES.iter().chain(OTHERS) {
        for (args, expected, is_usage) in [
            (vec!["--help-me"], "error: unexpected argument '--help-me' found", true),
            (vec!["nonsense"], "found `nonsense`", false),
            (vec![taken.as_str()], "ddress already in use", false),
            (vec!["127.0.0.1:0", "more"], "error: unexpected argument 'more' found", true),
        ] {
            let output = Command::new(program(example)).args(&args).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            let code = if is_usage { 2 } else { 1 };
            assert_eq!(output.status.code(), Some(code), "{example} {args:?}: {stderr}");
            assert!(is_usage || stderr.lines().count() == 1, "{example} {args:?}: {stderr}");
            assert!(stderr.contains(expected), "{example} {args:?}: {stderr}");
        }
    }
}
