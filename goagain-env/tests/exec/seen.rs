//! What a process sees of itself, as lines of a file.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::os::fd::RawFd;
use std::path::Path;
use std::process::Command;

/// Lines of "key value".
#[derive(Debug, Default)]
pub(crate) struct Seen(pub(crate) BTreeMap<String, String>);

impl Seen {
    pub(crate) fn add(&mut self, key: &str, value: impl Display) -> &mut Seen {
        self.0.insert(key.to_owned(), value.to_string());
        self
    }

    pub(crate) fn write(&self, path: &Path) {
        let lines: Vec<_> = self.0.iter().map(|(key, value)| format!("{key} {value}\n")).collect();
        fs::write(path, lines.concat()).unwrap();
    }

    pub(crate) fn read(path: &Path) -> Seen {
        let text = fs::read_to_string(path).unwrap();
        let pair = |line: &str| {
            let (key, value) = line.split_once(' ').unwrap();
            (key.to_owned(), value.to_owned())
        };
        Seen(text.lines().map(pair).collect())
    }

    #[track_caller]
    pub(crate) fn get(&self, key: &str) -> &str {
        self.0.get(key).unwrap_or_else(|| panic!("no `{key}` in {self:?}"))
    }
}

/// Returns all open descriptors of this process, and whether each is close-on-exec.
pub(crate) fn descriptors() -> BTreeMap<RawFd, bool> {
    let listed: Vec<_> =
        fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let numbers = listed.iter().map(|name| name.to_str().unwrap().parse::<RawFd>().unwrap());
    // The descriptor of the listing itself is already closed.
    numbers.filter_map(|number| is_close_on_exec(number).map(|is| (number, is))).collect()
}

/// Reads the flag from /proc/self/fdinfo. `None`: the descriptor is not open.
pub(crate) fn is_close_on_exec(number: RawFd) -> Option<bool> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    Some(i32::from_str_radix(flags.trim(), 8).unwrap() & libc::O_CLOEXEC != 0)
}

/// Returns the descriptors that a child would inherit.
pub(crate) fn inheritable() -> Vec<RawFd> {
    descriptors()
        .into_iter()
        .filter(|(_, is_close_on_exec)| !is_close_on_exec)
        .map(|(number, _)| number)
        .collect()
}

/// Returns the descriptors of a helper, as a server runs one. The descriptor of the listing is closed when the shell
/// checks each.
pub(crate) fn of_helper() -> Vec<RawFd> {
    let script = "for fd in /proc/$$/fd/*; do [ -e $fd ] && echo ${fd##*/}; done; true";
    let output = Command::new("sh").args(["-c", script]).output().unwrap().stdout;
    let mut numbers: Vec<_> =
        String::from_utf8(output).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

/// Parses a set of signals, as in "SigBlk: 0000000000000a01" of /proc/self/status.
pub(crate) fn signals(status: &str, field: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
}

/// Returns the set of the calling thread.
pub(crate) fn own_signals(field: &str) -> u64 {
    signals(&fs::read_to_string("/proc/thread-self/status").unwrap(), field)
}

pub(crate) fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}
