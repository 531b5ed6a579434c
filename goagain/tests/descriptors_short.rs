//! An acceptor in a process that is out of descriptors. A program of its own: the limit is the process's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests, and what they share")]

mod support;

use goagain::Finish;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, socket};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};
use support::{SOON, address, ask, assert_answered, owner, soon};

/// What the calling thread has used, and how often it went to sleep.
fn used() -> (Duration, i64) {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    let cpu = [usage.user_time(), usage.system_time()];
    let micros: i64 = cpu.iter().map(|time| time.tv_sec() * 1_000_000 + time.tv_usec()).sum();
    (Duration::from_micros(micros.try_into().unwrap()), usage.voluntary_context_switches())
}

#[test]
fn a_connection_waits_for_a_descriptor_and_the_acceptor_sleeps_meanwhile() {
    let (mut again, http) = owner();
    let acceptor = http.acceptor().unwrap();
    let (sender, served) = channel();
    let accepting = thread::spawn(move || {
        for accepted in acceptor {
            let (mut stream, _guard) = accepted.unwrap();
            let usage = used();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            // Told before the answer, so that the other side of the answer finds it.
            sender.send(usage).unwrap();
            stream.write_all(&byte).unwrap();
        }
    });
    assert_answered(ask(&http));
    let (cpu_before, sleeps_before) = served.recv_timeout(SOON).unwrap();

    // A client's socket, while there are descriptors; and then there are none.
    let client = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
    let taken: Vec<File> = std::iter::repeat_with(|| File::open("/dev/null")).map_while(Result::ok).collect();
    assert!(!taken.is_empty());

    let begin = Instant::now();
    let SocketAddr::V4(v4) = address(&http) else { panic!("bound to IPv4") };
    connect(client.as_raw_fd(), &SockaddrIn::from(v4)).unwrap();
    let mut client = TcpStream::from(client);
    client.set_read_timeout(Some(SOON)).unwrap();
    client.write_all(b"?").unwrap();
    // No event tells that an acceptor does nothing. That no answer comes in this time is sure, however long it is.
    let mut fds = [PollFd::new(client.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::from(500_u16)), Ok(0), "no answer without a descriptor");
    assert!(!accepting.is_finished());

    drop(taken);
    assert_answered(&client);
    let (cpu, sleeps) = served.recv_timeout(SOON).unwrap();
    let (cpu, sleeps, elapsed) = (cpu - cpu_before, sleeps - sleeps_before, begin.elapsed());
    assert!(cpu < elapsed / 5, "it spun: {cpu:?} of processor time in {elapsed:?}");
    assert!(sleeps >= 2, "it slept {sleeps} times");

    assert_answered(ask(&http));
    again.handle().stop_gracefully();
    soon(move || {
        again.wait().unwrap();
        accepting.join().unwrap();
        assert_eq!(again.finish().unwrap(), Finish::Exit);
    });
}

#[test]
fn the_end_of_the_term_is_seen_without_a_descriptor_too() {
    // As the other test, but for its end; the two share the limit, and so run in processes of their own.
    let name = "GOAGAIN_TEST_ALONE";
    if std::env::var_os(name).is_none() {
        let myself = std::env::current_exe().unwrap();
        let test = "the_end_of_the_term_is_seen_without_a_descriptor_too";
        let status =
            std::process::Command::new(myself).args(["--exact", test]).env(name, "1").status().unwrap();
        assert!(status.success());
        return;
    }
    let (mut again, http) = owner();
    let mut acceptor = http.acceptor().unwrap();
    let client = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
    let _taken: Vec<File> =
        std::iter::repeat_with(|| File::open("/dev/null")).map_while(Result::ok).collect();
    let SocketAddr::V4(v4) = address(&http) else { panic!("bound to IPv4") };
    connect(client.as_raw_fd(), &SockaddrIn::from(v4)).unwrap();
    let accepting = thread::spawn(move || acceptor.next().is_none());
    again.handle().stop_now();
    soon(move || {
        again.wait().unwrap();
        assert!(accepting.join().unwrap(), "it ended and took nothing");
    });
}
