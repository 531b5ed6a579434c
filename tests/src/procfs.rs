//! What `/proc` contains about processes (`proc(5)`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// An open descriptor: its number, and its kind, such as `socket`, `pipe`, `anon_inode:[eventpoll]` or a path.
pub type Descriptor = (i32, String);

/// The state and the parent of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its pid.
    pub pid: i32,
    /// `R`, `S`, `Z` and so on.
    pub state: char,
    /// Its parent's pid.
    pub parent: i32,
}

/// Returns all open descriptors of a process, sorted by number.
///
/// # Errors
/// - the process is gone.
pub fn descriptors(pid: i32) -> io::Result<Vec<Descriptor>> {
    list_descriptors(&PathBuf::from(format!("/proc/{pid}/fd")))
}

/// Returns the descriptors that this process has open, without the one that reads the list.
///
/// # Errors
/// - `/proc` is not there.
pub fn own_descriptors() -> io::Result<Vec<Descriptor>> {
    let folder = PathBuf::from(format!("/proc/{}/fd", std::process::id()));
    let shown = folder.display().to_string();
    Ok(list_descriptors(&folder)?.into_iter().filter(|(_, kind)| *kind != shown).collect())
}

fn list_descriptors(folder: &Path) -> io::Result<Vec<Descriptor>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It was closed between the listing and this call.
        let Ok(link) = fs::read_link(entry.path()) else { continue };
        let link = link.display().to_string();
        // `socket:[123]`: the number is of the inode.
        let kind = match link.split_once(":[") {
            Some((kind @ ("socket" | "pipe"), _)) => kind.to_owned(),
            _ => link,
        };
        all.push((number, kind));
    }
    all.sort_unstable();
    Ok(all)
}

/// Returns state and parent of a process; `None` if it is gone.
pub fn stat(pid: i32) -> Option<Stat> {
    let (state, parent) = state_and_parent(&PathBuf::from(format!("/proc/{pid}/stat")))?;
    Some(Stat { pid, state, parent })
}

fn state_and_parent(stat: &Path) -> Option<(char, i32)> {
    let text = fs::read_to_string(stat).ok()?;
    // The name is in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

/// Waits until a process has begun to die, or is gone: its memory is released (the first field of `statm` is 0). The
/// kernel does not report that moment, so this polls.
///
/// # Errors
/// - it is still alive after `time`.
pub fn await_unmapped(pid: i32, time: Duration) -> io::Result<()> {
    let end = Instant::now() + time;
    let is_mapped =
        || fs::read_to_string(format!("/proc/{pid}/statm")).is_ok_and(|text| !text.starts_with("0 "));
    while is_mapped() {
        if Instant::now() > end {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{pid}: expected it to die")));
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// Waits until every thread of a process is stopped (`T` in `/proc/pid/task/*/stat`), or it is gone. The kernel reports this
/// to its parent only, so this polls.
///
/// # Errors
/// - it still runs after `time`.
pub fn await_stopped(pid: i32, time: Duration) -> io::Result<()> {
    let end = Instant::now() + time;
    let runs = || {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let mut states = tasks.filter_map(|task| state_and_parent(&task.path().join("stat")));
        states.any(|(state, _)| !['T', 'Z', 'X'].contains(&state))
    };
    while runs() {
        if Instant::now() > end {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{pid}: expected it to stop")));
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// Returns all processes.
pub fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(stat).collect()
}

/// Returns the living processes whose image lies in `folder`, deleted or not.
pub fn running_in(folder: &Path) -> Vec<i32> {
    let runs =
        |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|image| image.starts_with(folder));
    all().into_iter().map(|stat| stat.pid).filter(runs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_described_completely() {
        let me = std::process::id() as i32;
        let stat = stat(me).unwrap();
        assert_eq!((stat.pid, stat.parent), (me, std::os::unix::process::parent_id() as i32));
        let (socket, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&socket);
        assert!(own_descriptors().unwrap().contains(&(number, "socket".to_owned())));
        let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        assert!(running_in(&folder).contains(&me));
    }
}
