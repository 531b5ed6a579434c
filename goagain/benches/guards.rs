//! What a guard costs, and what it costs to be in the list: `cargo bench -p goagain --bench guards` prints it.
//!
//! Nanoseconds a connection, from begin to drop, with one request in between; by one thread, and by two that share the
//! counters. The least of several runs counts: what is above it is the machine's.
#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use goagain::strategy::{Next, View};
use goagain::{Connections, Goagain, Guard, Strategy};
use std::hint::black_box;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Instant;

const RUNS: usize = 7;
const CONNECTIONS: u32 = 300_000;

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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let again = Goagain::builder(Stays).isolated()?;
    let connections = again.connections();
    let (stream, _other) = UnixStream::pair()?;
    println!("{:44} {:>10} {:>10}", "nanoseconds a connection", "1 thread", "2 threads");
    let show = |what: &str, work: &(dyn Fn(&mut Guard) + Sync)| {
        let [one, two] = [1, 2].map(|threads| least(&connections, threads, work));
        println!("{what:44} {one:10.0} {two:10.0}");
    };
    show("counted", &|guard| request(guard));
    show("counted, long-lived", &|guard| guard.long_lived());
    show("with a name that is there (&'static str)", &|guard| {
        guard.set_name("a request");
        request(guard);
    });
    show("with a name that is made (String)", &|guard| {
        guard.set_name(format!("request {}", black_box(7)));
        request(guard);
    });
    show("with a connection to cut (dup, close)", &|guard| {
        guard.set_socket(&stream).expect("there are descriptors left");
        request(guard);
    });
    let held: Vec<Guard> = (0..10_000)
        .map(|_| {
            let mut guard = connections.begin();
            guard.set_name("a request");
            guard
        })
        .collect();
    let begin = Instant::now();
    let listed = connections.list().len();
    println!("a list of {listed}: {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
    println!("a guard: {} bytes", size_of::<Guard>());
    drop(held);
    Ok(())
}

fn request(guard: &mut Guard) {
    guard.busy();
    guard.idle();
}

/// The least that one connection takes each of these threads.
fn least(connections: &Connections, threads: usize, work: &(dyn Fn(&mut Guard) + Sync)) -> f64 {
    let run = || {
        let begin = Instant::now();
        for _ in 0..CONNECTIONS {
            let mut guard = connections.begin();
            work(&mut guard);
            black_box(&guard);
        }
        begin.elapsed().as_nanos() as f64 / f64::from(CONNECTIONS)
    };
    let together = || {
        thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            let times = running.into_iter().map(|thread| thread.join().expect("it does not panic"));
            times.fold(0.0, f64::max)
        })
    };
    (0..RUNS).map(|_| together()).fold(f64::INFINITY, f64::min)
}
