//! The paths of Unix sockets that are removed when this process leaves.

use crate::socket::path;
use crate::socket::shared::CallsEnded;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Far longer than a thread takes that is woken.
pub(crate) const LAST_CALLS: Duration = Duration::from_secs(1);

/// The paths of Unix sockets that no other process holds.
#[derive(Debug, Default)]
pub(super) struct Unlink(Vec<(PathBuf, Option<CallsEnded>)>);

impl Unlink {
    pub(super) fn add(&mut self, path: PathBuf, calls_ended: Option<CallsEnded>) {
        self.0.push((path, calls_ended));
    }

    /// Removes the paths. A path at which another server listens by now stays.
    ///
    /// Acceptors that wait in other threads have been woken. They have `time` to return from their calls, since the path of a
    /// socket that is still held looks as if a server listened there.
    pub(super) fn remove(&self, time: Duration) {
        let end = Instant::now() + time;
        for (path, calls_ended) in &self.0 {
            if let Some(calls_ended) = calls_ended {
                // Nothing is ever sent: the wait ends with an error when the last sender is dropped.
                let _ = calls_ended.recv_timeout(end.saturating_duration_since(Instant::now()));
            }
            path::remove_if_stale(path);
        }
    }
}
