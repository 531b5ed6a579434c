//! The floor: the time from a bare `posix_spawn(3)` to the new program's first message. No restart can be faster.
//!
//! The program is the drill server itself, so that it has the same size and is mapped and linked the same way. If
//! [`VARIABLE`] is set, it sends READY at the start of `main` and exits.

use std::ffi::CString;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socketpair};
use nix::sys::wait::{WaitStatus, waitpid};
use serde::{Deserialize, Serialize};

/// Makes a drill server send READY on its standard output and exit.
pub const VARIABLE: &str = "DRILL_FLOOR";

/// How long one program may take to send READY.
const DEADLINE: Duration = Duration::from_secs(10);

/// What [`measure`] found, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// The median time from before `posix_spawn` until READY was read.
    pub median_ns: u64,
    /// The longest time.
    pub worst_ns: u64,
}

impl Floor {
    /// Returns the median as a duration.
    pub fn median(&self) -> Duration {
        Duration::from_nanos(self.median_ns)
    }

    /// Returns the longest time as a duration.
    pub fn worst(&self) -> Duration {
        Duration::from_nanos(self.worst_ns)
    }
}

/// Sends READY on standard output and exits, if [`VARIABLE`] is set. Must be called first in a drill server's `main`.
pub fn child_if_asked() {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    let mut output = io::stdout();
    let said = output.write_all(b"READY\n").and_then(|()| output.flush());
    process::exit(i32::from(said.is_err()))
}

/// Spawns `image` `times` times, one after the other, and measures from before `posix_spawn(3)` until READY was read
/// from a SOCK_SEQPACKET socketpair. Each child is reaped before the next one is spawned.
///
/// # Errors
/// - `times` is 0;
/// - `image` cannot be spawned, sends something else, or sends nothing within 10 seconds.
pub fn measure(image: &Path, times: usize) -> anyhow::Result<Floor> {
    ensure!(times > 0, "times: expected at least 1, found `0`");
    let mut all = (0..times)
        .map(|_| once(image).with_context(|| format!("{}: floor", image.display())))
        .collect::<anyhow::Result<Vec<_>>>()?;
    all.sort_unstable();
    Ok(Floor { median_ns: all[all.len() / 2], worst_ns: all[all.len() - 1] })
}

/// Measures one spawn, in nanoseconds.
fn once(image: &Path) -> anyhow::Result<u64> {
    let path = CString::new(image.as_os_str().as_bytes())?;
    let asked = CString::new(format!("{VARIABLE}=1"))?;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let mut actions = PosixSpawnFileActions::init()?;
    actions.add_dup2(theirs.as_raw_fd(), 1)?;
    let attributes = PosixSpawnAttr::init()?;

    let begin = Instant::now();
    let pid = posix_spawn(path.as_c_str(), &actions, &attributes, &[path.as_c_str()], &[asked.as_c_str()])?;
    drop(theirs);
    let word = read_word(&ours);
    let time = begin.elapsed().as_nanos() as u64;

    if word.is_err() {
        // It is our own child and not reaped yet, so the pid still belongs to it.
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL)?;
    }
    let status = waitpid(pid, None)?;
    ensure!(word? == b"READY\n", "expected READY, found something else");
    ensure!(matches!(status, WaitStatus::Exited(_, 0)), "expected exit status 0, found {status:?}");
    Ok(time)
}

/// Reads one packet within the deadline.
fn read_word(socket: &OwnedFd) -> anyhow::Result<Vec<u8>> {
    let end = Instant::now() + DEADLINE;
    loop {
        let left = PollTimeout::try_from(end.saturating_duration_since(Instant::now()))?;
        match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) => bail!("no READY within {DEADLINE:?}"),
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut packet = [0; 16];
    let length = recv(socket.as_raw_fd(), &mut packet, MsgFlags::empty())?;
    Ok(packet[..length].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_sends_nothing_is_an_error() {
        let error = measure(Path::new("/bin/true"), 1).unwrap_err();
        assert!(format!("{error:#}").contains("expected READY"), "{error:#}");
    }
}
