//! How a drill server reports to the harness what happens: each event is one datagram of JSON.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest datagram that is sent or read, in bytes.
pub const LONGEST: usize = 64 * 1024;

/// Nanoseconds of CLOCK_MONOTONIC (`clock_gettime(2)`), which all processes of a machine share.
///
/// # Panics
/// If the OS has no CLOCK_MONOTONIC, which does not happen.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC");
    Duration::from(now).as_nanos() as u64
}

/// Something that happened in a drill server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened, in nanoseconds of CLOCK_MONOTONIC.
    pub t: u64,
    /// The process.
    pub pid: i32,
    /// Its generation; 0 if it is not known yet.
    #[serde(default)]
    pub generation: u64,
    /// What happened: `started`, `ready`, `owner`, a report of the library in lower case, or `leaving`.
    pub name: String,
    /// The attempt that it belongs to; 0 for none.
    #[serde(default)]
    pub attempt: u64,
    /// What else is known, such as `reason` or `addresses`.
    #[serde(default)]
    pub detail: Value,
}

impl Event {
    /// Creates an event of this process, with the current time.
    pub fn new(generation: u64, name: impl Into<String>) -> Self {
        Self {
            t: now(),
            pid: process::id() as i32,
            generation,
            name: name.into(),
            attempt: 0,
            detail: Value::Null,
        }
    }

    /// Returns the event as one of attempt `number`.
    #[must_use]
    pub fn attempt(self, number: u64) -> Self {
        Self { attempt: number, ..self }
    }

    /// Returns the event with `detail`.
    #[must_use]
    pub fn detail(self, detail: Value) -> Self {
        Self { detail, ..self }
    }

    /// Returns the field `reason` of the detail, or an empty string.
    pub fn reason(&self) -> &str {
        self.detail["reason"].as_str().unwrap_or_default()
    }
}

/// A server's end of the harness's datagram socket, close-on-exec. Clone it by `try_clone`.
#[derive(Debug)]
pub struct Emitter {
    socket: Option<UnixDatagram>,
}

impl Emitter {
    /// Connects to the harness's socket at `path`. A harness that cannot be reached is ignored: it may be gone, or
    /// may never have existed.
    pub fn new(path: &Path) -> Self {
        Self { socket: connect(path).ok() }
    }

    /// Sends `event`. A harness that is gone is ignored. A slow harness is waited for, but not without limit.
    pub fn emit(&self, event: &Event) {
        let (Some(socket), Ok(packet)) = (&self.socket, serde_json::to_vec(event)) else { return };
        while let Err(error) = socket.send(&packet) {
            if error.kind() != io::ErrorKind::Interrupted {
                return;
            }
        }
    }

    /// Returns the socket, if the harness was reached.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Returns a second handle to the same socket (`fcntl(F_DUPFD_CLOEXEC)`).
    ///
    /// # Errors
    /// - no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        let socket = self.socket.as_ref().map(UnixDatagram::try_clone).transpose()?;
        Ok(Self { socket })
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(Duration::from_secs(5)))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_arrives_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let harness = UnixDatagram::bind(&path).unwrap();
        let event = Event::new(2, "failed").attempt(3).detail(json!({"reason": "no database"}));
        Emitter::new(&path).emit(&event);
        let mut packet = vec![0; LONGEST];
        let length = harness.recv(&mut packet).unwrap();
        let read: Event = serde_json::from_slice(&packet[..length]).unwrap();
        assert_eq!(read, event);
        assert_eq!(read.reason(), "no database");
    }

    #[test]
    fn a_harness_that_is_not_there_is_ignored() {
        Emitter::new(Path::new("/nowhere/at/all")).emit(&Event::new(1, "started"));
    }
}
