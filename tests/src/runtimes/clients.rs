//! Fifty clients, each with its own connection, on a thread next to the drill's.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::task::JoinSet;

use crate::service::DEADLINE;

/// The number of clients.
pub(super) const NUMBER: usize = 50;

/// The pause of a client between an answer and its next request.
pub(super) const THINKS: Duration = Duration::from_millis(50);

/// What the clients have done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) requests: usize,
    pub(super) connections: usize,
}

/// The running clients. They stop when this is dropped.
#[derive(Debug)]
pub(super) struct Clients {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<anyhow::Result<Tally>>>,
}

/// One client's handle to the shared progress.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    number: usize,
    progress: Arc<Progress>,
}

#[derive(Debug)]
struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    answers: [usize; NUMBER],
    failed: bool,
    stop: bool,
}

impl Progress {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Counts one more answered request.
    pub(super) fn answered(&self) {
        self.progress.change(|state| state.answers[self.number] += 1);
    }

    /// Returns whether the client has to stop.
    pub(super) fn is_over(&self) -> bool {
        self.progress.lock().stop
    }
}

impl Clients {
    /// Starts the clients, and waits until each has an answer.
    ///
    /// # Errors
    /// - a client has failed, or has no answer within the deadline.
    pub(super) fn start<F>(
        address: &str,
        client: impl Fn(SocketAddr, Seat) -> F + Send + 'static,
    ) -> anyhow::Result<Clients>
    where
        F: Future<Output = anyhow::Result<Tally>> + Send + 'static,
    {
        let address =
            address.parse().with_context(|| format!("address: expected ip:port, found {address}"))?;
        let state = State { answers: [0; NUMBER], failed: false, stop: false };
        let progress = Arc::new(Progress { state: Mutex::new(state), changed: Condvar::new() });
        let shared = Arc::clone(&progress);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let mut clients = JoinSet::new();
                for number in 0..NUMBER {
                    let seat = Seat { number, progress: Arc::clone(&shared) };
                    clients.spawn(client(address, seat));
                }
                let mut sum = Tally::default();
                while let Some(done) = clients.join_next().await {
                    let tally = done.map_err(anyhow::Error::from).and_then(|tally| tally);
                    let tally = tally.inspect_err(|_| shared.change(|state| state.failed = true))?;
                    sum.requests += tally.requests;
                    sum.connections += tally.connections;
                }
                Ok(sum)
            })
        });
        let clients = Clients { progress, thread: Some(thread) };
        clients.await_answers([0; NUMBER])?;
        Ok(clients)
    }

    /// Returns how many answers each client has had.
    pub(super) fn answered(&self) -> [usize; NUMBER] {
        self.progress.lock().answers
    }

    /// Waits until each client has one more answer than in `before`, or one has failed, which [`finish`](Self::finish) reports.
    ///
    /// # Errors
    /// - that does not happen within the deadline.
    pub(super) fn await_answers(&self, before: [usize; NUMBER]) -> anyhow::Result<()> {
        let waits = |state: &mut State| {
            !state.failed && state.answers.iter().zip(before).any(|(now, before)| *now <= before)
        };
        let waited = self.progress.changed.wait_timeout_while(self.progress.lock(), DEADLINE, waits);
        let is_late = waited.unwrap_or_else(PoisonError::into_inner).1.timed_out();
        ensure!(!is_late, "clients: expected an answer for each within {DEADLINE:?}");
        Ok(())
    }

    /// Stops the clients, and returns what they have done.
    ///
    /// # Errors
    /// - a request of one of them failed, or was sent twice.
    pub(super) fn finish(mut self) -> anyhow::Result<Tally> {
        self.progress.change(|state| state.stop = true);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(tally)) => tally,
            _ => bail!("clients: panicked"),
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.progress.change(|state| state.stop = true);
    }
}
