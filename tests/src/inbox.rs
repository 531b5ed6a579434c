//! The harness's end of the datagram socket. It keeps every event, in the order of arrival, for as long as the service
//! is under test.

use std::collections::BTreeMap;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::socket::{setsockopt, sockopt};

use crate::events::{Event, LONGEST};
use crate::process::Process;

/// Collects events. A thread reads them, so that no server ever waits for the harness.
#[derive(Debug)]
pub struct Inbox {
    path: PathBuf,
    socket: UnixDatagram,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
    /// This end's own socket for sending.
    own: UnixDatagram,
    flushes: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Seen {
    events: Vec<Event>,
    processes: BTreeMap<i32, Arc<Process>>,
    /// The number of the last flush that was received.
    flushed: u64,
}

/// The first byte of a datagram that is not an event but a flush. Its number follows.
const FLUSH: u8 = 0;

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    /// Binds a datagram socket at `path`.
    ///
    /// # Errors
    /// - the path is taken or too long.
    pub fn new(path: &Path) -> anyhow::Result<Self> {
        let socket = UnixDatagram::bind(path).with_context(|| format!("{}: events", path.display()))?;
        setsockopt(&socket, sockopt::RcvBuf, &(4 << 20))?;
        let shared = Arc::new(Shared::default());
        let (reading, sharing) = (socket.try_clone()?, Arc::clone(&shared));
        let reader = thread::spawn(move || read(&reading, &sharing));
        let own = UnixDatagram::unbound()?;
        own.connect(path)?;
        let flushes = AtomicU64::new(0);
        Ok(Self { path: path.to_owned(), socket, shared, reader: Some(reader), own, flushes })
    }

    /// Returns the path that servers send to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what has arrived, including everything that was sent before this call, such as the last event of a dead process.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        let number = self.flushes.fetch_add(1, Ordering::SeqCst) + 1;
        let mut packet = vec![FLUSH];
        packet.extend(number.to_ne_bytes());
        let sent = self.own.send(&packet).is_ok();
        let mut seen = self.shared.seen();
        while sent && seen.flushed < number {
            seen = self.shared.changed.wait(seen).unwrap_or_else(PoisonError::into_inner);
        }
        seen
    }

    /// Returns how many events have arrived.
    pub fn len(&self) -> usize {
        self.seen().events.len()
    }

    /// Returns whether no event has arrived.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all events from number `from` on.
    pub fn events(&self, from: usize) -> Vec<Event> {
        self.seen().events[from..].to_vec()
    }

    /// Returns every process that has sent an event while it lived.
    pub fn processes(&self) -> Vec<Arc<Process>> {
        self.seen().processes.values().cloned().collect()
    }

    /// Follows a process that has not sent an event yet.
    pub fn follow(&self, process: Process) {
        self.shared.seen().processes.entry(process.pid()).or_insert_with(|| Arc::new(process));
    }

    /// Waits until `wanted` accepts the events from number `from` on, and returns its result; `None` if that does
    /// not happen within `time`.
    pub fn wait<T>(&self, from: usize, time: Duration, wanted: impl Fn(&[Event]) -> Option<T>) -> Option<T> {
        let end = Instant::now() + time;
        let mut seen = self.seen();
        loop {
            if let Some(found) = wanted(&seen.events[from..]) {
                return Some(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let woken = self.shared.changed.wait_timeout(seen, left);
            seen = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // Wakes the reader with an empty read.
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Reads until the socket is shut down. An empty datagram is not an event, so a read of 0 bytes is the end.
fn read(socket: &UnixDatagram, shared: &Shared) {
    let mut packet = vec![0; LONGEST];
    loop {
        let length = match socket.recv(&mut packet) {
            Ok(0) => return,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        if let [FLUSH, number @ ..] = &packet[..length] {
            let number = number.try_into().map_or(u64::MAX, u64::from_ne_bytes);
            let mut seen = shared.seen();
            seen.flushed = seen.flushed.max(number);
            shared.changed.notify_all();
            continue;
        }
        // Only drill servers know the path. Anything else is reported as an event, so that a drill fails on it.
        let event = serde_json::from_slice(&packet[..length]).unwrap_or_else(|error| {
            Event::new(0, "unreadable").detail(serde_json::json!({"reason": error.to_string()}))
        });
        follow(&mut shared.seen(), event);
        shared.changed.notify_all();
    }
}

fn follow(seen: &mut Seen, event: Event) {
    let known = seen.processes.get(&event.pid);
    if known.is_none_or(|process| process.is_dead().unwrap_or(false)) {
        if let Ok(Some(process)) = Process::open(event.pid) {
            seen.processes.insert(event.pid, Arc::new(process));
        }
    }
    seen.events.push(event);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Emitter;

    #[test]
    fn events_are_kept_in_order_and_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = Inbox::new(&folder.path().join("events")).unwrap();
        let emitter = Emitter::new(inbox.path());
        for generation in 1..=1000 {
            emitter.emit(&Event::new(generation, "started"));
        }
        let last =
            inbox.wait(0, Duration::from_secs(10), |all| (all.len() == 1000).then(|| all[999].clone()));
        assert_eq!(last.unwrap().generation, 1000);
        assert!(inbox.events(0).iter().map(|event| event.generation).eq(1..=1000));
        assert_eq!(inbox.wait(1000, Duration::ZERO, |all| all.first().cloned()), None);
        assert_eq!(inbox.processes().len(), 1);
    }
}
