//! A client for any kind of socket. It asks at a fixed pace from a separate thread and counts what is not answered.
//!
//! It is for all other kinds of sockets what the [`load`](crate::load) is for TCP and Unix streams.

mod asker;
mod sender;

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// The result.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many times it asked.
    pub asked: usize,
    /// What was not answered, and why.
    pub lost: Vec<String>,
    /// The generations that answered.
    pub generations: BTreeSet<u64>,
}

/// A running client. It ends when this is dropped.
#[derive(Debug)]
pub struct Paced {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<anyhow::Result<Tally>>>,
}

impl Paced {
    /// Asks at `address`, as a server reports it. For `tcp:`, `unix:` and `unixpacket:` it sends one request after another, each
    /// on a connection of its own. For `udp:` and `unixgram:` it sends a datagram at each beat, whether the previous ones are
    /// answered or not.
    ///
    /// # Errors
    /// - the first request is not answered: then the server is not there at all.
    pub fn start(address: &str, beat: Duration) -> anyhow::Result<Self> {
        let (stop, stopped) = channel();
        let (began, begins) = channel();
        let clock = Beat { next: Instant::now(), every: beat, stopped };
        let address = address.to_owned();
        let thread = thread::spawn(move || match address.split_once(':') {
            Some(("udp" | "unixgram", _)) => sender::run(&address, clock, &began),
            _ => asker::run(&address, clock, &began),
        });
        let paced = Self { stop: Some(stop), thread: Some(thread) };
        match begins.recv_timeout(DEADLINE) {
            Ok(()) => Ok(paced),
            Err(_) => paced.finish().and_then(|_| Err(anyhow::anyhow!("expected an answer, found none"))),
        }
    }

    /// Stops asking, waits for the answers that are due, and returns the result.
    ///
    /// # Errors
    /// - the client itself failed.
    pub fn finish(mut self) -> anyhow::Result<Tally> {
        drop(self.stop.take());
        let thread = self.thread.take().context("finished before")?;
        thread.join().map_err(|_| anyhow::anyhow!("the client panicked"))?
    }

    /// Calls [`finish`](Self::finish), and fails if anything was lost, or if fewer than `generations` answered.
    ///
    /// # Errors
    /// - as described above.
    pub fn nothing_lost(self, generations: usize) -> anyhow::Result<Tally> {
        let tally = self.finish()?;
        ensure!(tally.lost.is_empty(), "lost: expected none of {}, found {:#?}", tally.asked, tally.lost);
        let answered = tally.generations.len();
        ensure!(
            answered >= generations,
            "generations that answered: expected {generations}, found {answered} in {}",
            tally.asked
        );
        Ok(tally)
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A drill that fails reports another error.
            let _ = thread.join();
        }
    }
}

/// The pace: a beat at a fixed interval, until it is stopped.
struct Beat {
    next: Instant,
    every: Duration,
    stopped: Receiver<()>,
}

impl Beat {
    /// Returns how long it is until the next beat.
    fn left(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Waits for the next beat; returns `false` when there are no more. A missed beat is not made up for.
    fn wait(&mut self) -> bool {
        let on = self.stopped.recv_timeout(self.left()) == Err(RecvTimeoutError::Timeout);
        self.next = (self.next + self.every).max(Instant::now());
        on
    }
}
