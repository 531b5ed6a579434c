//! An acceptor in a process that is out of descriptors. A program of its own: the limit is the process's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests, and what they share")]

mod support;

use goagain::{Finish, Listener};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, socket};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
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

/// Takes every descriptor that there is.
fn take_all() -> Vec<File> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
    let taken: Vec<File> = std::iter::repeat_with(|| File::open("/dev/null")).map_while(Result::ok).collect();
    assert!(!taken.is_empty());
    taken
}

/// A client's socket, to be had while there are descriptors.
fn unconnected() -> OwnedFd {
    socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap()
}

fn connected(client: OwnedFd, listener: &Listener) -> TcpStream {
    let SocketAddr::V4(v4) = address(listener) else { panic!("bound to IPv4") };
    connect(client.as_raw_fd(), &SockaddrIn::from(v4)).unwrap();
    let mut client = TcpStream::from(client);
    client.set_read_timeout(Some(SOON)).unwrap();
    client.write_all(b"?").unwrap();
    client
}

#[test]
fn connections_wait_for_a_descriptor_and_the_acceptor_sleeps_meanwhile() {
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
    let first = ask(&http);
    assert_answered(&first);
    let (cpu_before, sleeps_before) = served.recv_timeout(SOON).unwrap();
    // The end of file: its descriptor is free again, and will not be later.
    assert_eq!((&first).read(&mut [0]).unwrap(), 0);

    let begin = Instant::now();
    let (client, another) = (unconnected(), unconnected());
    let taken = take_all();
    let client = connected(client, &http);
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
    assert_eq!((&client).read(&mut [0]).unwrap(), 0);

    // The end of the term is seen without a descriptor too.
    let _taken = take_all();
    let _queued = connected(another, &http);
    again.handle().stop_gracefully();
    soon(move || {
        again.wait().unwrap();
        accepting.join().unwrap();
        assert_eq!(again.finish().unwrap(), Finish::Exit);
    });
    assert!(served.try_recv().is_err(), "it took nothing");
}
