//! The handoff: the variables for a new process, encoded as text and decoded. Pure, total, and exact in both
//! directions.

pub(crate) mod descriptors;
mod link;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::RawFd;
use std::str::FromStr;
use std::time::Duration;

pub(crate) use self::descriptors::{escape, unescape};
use self::link::Pids;
use crate::{Address, Pid};

pub(crate) const FD: &str = "GOAGAIN_FD";
const NAME: &str = "GOAGAIN_NAME";
pub(crate) const PID: &str = "GOAGAIN_PID";
pub(crate) const PPID: &str = "GOAGAIN_PPID";
const SIGNAL: &str = "GOAGAIN_SIGNAL";
pub(crate) const CHANNEL: &str = "GOAGAIN_CHANNEL";
pub(crate) const DESCRIPTORS: &str = "GOAGAIN_DESCRIPTORS";

/// All variables of the handoff: the five of the Go package goagain, then those of this library. A helper that a server
/// runs should get none of them.
pub const VARIABLES: &[&str] = &[FD, NAME, PID, PPID, SIGNAL, CHANNEL, DESCRIPTORS];

/// The maximum size of one string of the environment, "NAME=value", in bytes: MAX_ARG_STRLEN of execve(2), less its
/// NUL.
const MAX_STRING_BYTES: usize = 131_071;

/// All that a new process gets through its environment.
// Exhaustive, as `NamedDescriptor` and `Link`: the caller has to set each field, and the compiler finds a forgotten
// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handoff {
    /// All descriptors with their names. The variables GOAGAIN_FD and GOAGAIN_NAME, which the Go package goagain reads,
    /// describe the first TCP or Unix listener among them, if there is one. From a Go process: only that listener, with
    /// its label ("tcp:127.0.0.1:48879") as its name.
    pub descriptors: Vec<NamedDescriptor>,
    /// GOAGAIN_PID. `None` in a process that was spawned. Across an exec in place: the child that serves meanwhile.
    pub successor: Option<Pid>,
    /// GOAGAIN_PPID: the process that spawned the other.
    pub predecessor: Pid,
    /// GOAGAIN_SIGNAL: the signal by which a Go process tells its predecessor that it serves.
    pub signal: GoSignal,
    /// GOAGAIN_CHANNEL. `None` if the predecessor is a Go process, even if that has passed on a value from its own
    /// predecessor.
    pub channel: Option<Link>,
    /// The listener from GOAGAIN_FD and GOAGAIN_NAME. [`decode`](Handoff::decode) sets it. [`encode`](Handoff::encode)
    /// ignores it and uses `descriptors`.
    ///
    /// A Go process between two processes of this library passes on the outdated channel and descriptors of its
    /// predecessor, next to the five current variables of its own. So these must be kept.
    pub go_listener: Option<NamedDescriptor>,
}

/// A descriptor that is handed over, with its name and its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedDescriptor {
    /// Its number, the same in both processes.
    pub fd: RawFd,
    /// The unique name by which the program finds it.
    pub name: String,
    /// The address to which it is bound. A Unix path is the one that clients use, even if the socket was bound to
    /// another path and renamed.
    pub address: Address,
}

/// GOAGAIN_CHANNEL: the channel, and the settings of this attempt on which both processes must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The channel's descriptor.
    pub fd: RawFd,
    /// Across an exec in place: a descriptor with the signals that came before it and are not handled yet.
    pub signals: Option<RawFd>,
    /// The number of the attempt.
    pub attempt: u64,
    /// The generation of the process that reads this.
    pub generation: u64,
    /// How long the new process may take to become ready. Stored in milliseconds, rounded up.
    pub ready_timeout: Duration,
    /// The time after which the predecessor must have released the successor, if it has such a limit. Stored in
    /// milliseconds, rounded up.
    pub release_timeout: Option<Duration>,
    /// Across an exec in place: the other process runs the Go package goagain, and uses only signals.
    pub go: bool,
    /// The predecessor sends its saved state over the channel. The new process has to wait for it before it is ready.
    pub state: bool,
    /// Across an exec in place: children that are about to exit and must be reaped.
    pub leaving: Vec<Pid>,
    /// The file with the locks of the processes that drain: see [`Draining`](crate::Draining).
    pub draining: Option<RawFd>,
    /// A file with the value of GOAGAIN_DESCRIPTORS, which is empty then: a variable is too small for thousands of
    /// descriptors. [`Launch`](crate::Launch) creates the file if it is needed, and [`inherit`](crate::inherit) reads
    /// it.
    pub list: Option<RawFd>,
}

/// The signal by which a process that runs the Go package goagain tells its predecessor that it serves.
///
/// The Go package goagain, from which this library descends, has no channel between the two processes of a restart: it
/// uses signals only. The predecessor puts the number of the signal into the variable GOAGAIN_SIGNAL of the new process.
/// The new process sends that signal to its predecessor once it serves, and the signal says what the predecessor does
/// next. A process of this library does the same if a Go process has started it. Between two processes of this library the
/// variable has no effect, because they use the channel.
// Exhaustive: the Go package sends no other signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GoSignal {
    /// SIGQUIT: the predecessor drains and exits. Used by `Single`, and by `Double` for its second half.
    Quit,
    /// SIGUSR2: the predecessor drains and execs the new image. Used by `Double` for its first half.
    Usr2,
}

impl GoSignal {
    /// Returns the signal's number on this system.
    pub fn number(self) -> i32 {
        match self {
            GoSignal::Quit => libc::SIGQUIT,
            GoSignal::Usr2 => libc::SIGUSR2,
        }
    }
}

impl Handoff {
    /// Decodes a handoff. `lookup` returns the value of a variable, as [`std::env::var_os`] does. Returns `None` if
    /// there is no handoff.
    ///
    /// The values are not verified yet: [`inherit`](crate::inherit) checks with the operating system whether the
    /// handoff is meant for this process.
    ///
    /// # Errors
    /// A variable is missing or has an invalid value. The error names it. Without GOAGAIN_FD and without a variable of
    /// this library, there is no handoff, whatever the other variables say.
    pub fn decode(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Option<Handoff>, HandoffError> {
        let (fd, channel, descriptors) = (lookup(FD), lookup(CHANNEL), lookup(DESCRIPTORS));
        let present = match (&fd, &channel, &descriptors) {
            (None, None, None) => return Ok(None),
            (_, Some(_), None) => return Err(missing(DESCRIPTORS, CHANNEL)),
            (_, None, Some(_)) => return Err(missing(CHANNEL, DESCRIPTORS)),
            (_, Some(_), _) => CHANNEL,
            _ => FD,
        };
        let predecessor = lookup(PPID).ok_or_else(|| missing(PPID, present))?;
        let predecessor = number(text(&predecessor)).and_then(Pid::new_or_init);
        let predecessor = predecessor.ok_or_else(|| expected(PPID, "a process id", lookup(PPID)))?;
        let successor = match lookup(PID).filter(|value| !value.is_empty()) {
            None => None,
            Some(value) => {
                let pid = number(text(&value)).and_then(Pid::new);
                Some(pid.ok_or_else(|| expected(PID, "nothing, or a process id above 1", Some(value)))?)
            }
        };
        let signal = match lookup(SIGNAL).filter(|value| !value.is_empty()) {
            None => GoSignal::Quit,
            Some(value) => match number(text(&value)) {
                Some(libc::SIGQUIT) => GoSignal::Quit,
                Some(libc::SIGUSR2) => GoSignal::Usr2,
                _ => {
                    let what = format!("{} (QUIT) or {} (USR2)", libc::SIGQUIT, libc::SIGUSR2);
                    return Err(expected(SIGNAL, &what, Some(value)));
                }
            },
        };
        let go_listener = fd.map(|fd| go_listener(&fd, lookup(NAME))).transpose()?;
        let link = channel.map(|value| link::decode(text(&value))).transpose()?;
        let described = descriptors.map(|value| descriptors::decode(&value)).transpose()?;
        if let (Some(list), Some(false)) =
            (link.as_ref().and_then(|(link, _)| link.list), described.as_ref().map(Vec::is_empty))
        {
            let reason = format!("expected no descriptors, because {CHANNEL} has list={list}, found some");
            return Err(HandoffError::new(DESCRIPTORS, reason));
        }
        // A link that names other processes is outdated: a Go process was in between, and only the five variables are
        // its own.
        let pids = Pids { predecessor, successor };
        let (channel, descriptors) = match (link, described) {
            (Some((link, named)), Some(described)) if named == pids => (Some(link), described),
            _ => (None, go_listener.iter().cloned().collect()),
        };
        let handoff = Handoff { descriptors, successor, predecessor, signal, channel, go_listener };
        handoff.check()?;
        Ok(Some(handoff))
    }

    /// Encodes the handoff as variables with their values. Set them only in the environment of the new process, after
    /// all of [`VARIABLES`] were removed from it. With [`Link::list`], they say that the descriptors are in that file.
    ///
    /// # Errors
    /// - A variable is larger than one string of the environment may be: 131,071 bytes, with its name.
    /// - Two descriptors have the same number or the same name, a name is empty, or a number is negative.
    /// - There is no channel, and the handoff contains more than the Go package goagain can take over.
    pub fn encode(&self) -> Result<Vec<(&'static str, OsString)>, HandoffError> {
        self.encode_with(self.channel.as_ref().and_then(|link| link.list))
    }

    /// Returns the value of GOAGAIN_DESCRIPTORS if it is too long for a variable and must go into a file.
    pub(crate) fn long_list(&self) -> Option<String> {
        let text = self.channel.as_ref().map(|_| descriptors::encode(&self.descriptors))?;
        (DESCRIPTORS.len() + 1 + text.len() > MAX_STRING_BYTES).then_some(text)
    }

    /// Decodes the list of descriptors from the contents of a file.
    pub(crate) fn read_list(&mut self, list: &OsStr) -> Result<(), HandoffError> {
        self.descriptors = descriptors::decode(list)?;
        self.check()
    }

    /// As [`Handoff::encode`], with the list of descriptors in a file.
    pub(crate) fn encode_with(
        &self,
        list: Option<RawFd>,
    ) -> Result<Vec<(&'static str, OsString)>, HandoffError> {
        self.check()?;
        let mut variables = Vec::new();
        let listener = self.descriptors.iter().find(|each| each.address.is_go_listener());
        if let Some(listener) = listener {
            variables.push((FD, listener.fd.to_string().into()));
            variables.push((NAME, listener.address.go_label()));
        }
        variables.push((PID, self.successor.map(|pid| pid.to_string()).unwrap_or_default().into()));
        variables.push((PPID, self.predecessor.to_string().into()));
        variables.push((SIGNAL, self.signal.number().to_string().into()));
        if let Some(link) = &self.channel {
            let pids = Pids { predecessor: self.predecessor, successor: self.successor };
            variables.push((CHANNEL, link::encode(&Link { list, ..link.clone() }, pids).into()));
            let described = list.is_none().then(|| descriptors::encode(&self.descriptors));
            variables.push((DESCRIPTORS, described.unwrap_or_default().into()));
        } else if listener.is_none() || self.descriptors.len() > 1 {
            let count = self.descriptors.len();
            let reason = format!(
                "expected a channel, or only one TCP or Unix listener, found {count} descriptors and no channel"
            );
            return Err(HandoffError::new(CHANNEL, reason));
        }
        for (variable, value) in &variables {
            let size = variable.len() + 1 + value.len();
            if size > MAX_STRING_BYTES {
                let reason = format!(
                    "expected at most {MAX_STRING_BYTES} bytes with its name, found {size}: \
                     hand over fewer descriptors, or give them shorter names"
                );
                return Err(HandoffError::new(variable, reason));
            }
        }
        Ok(variables)
    }

    /// Returns all numbers that must be open in the new process: descriptors, channel, signals, locks, list.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = RawFd> {
        let link =
            self.channel.iter().flat_map(|link| [Some(link.fd), link.signals, link.draining, link.list]);
        self.descriptors.iter().map(|each| each.fd).chain(link.flatten())
    }

    fn check(&self) -> Result<(), HandoffError> {
        let of_channel = self.channel.is_some();
        let variable = if of_channel { DESCRIPTORS } else { FD };
        let (mut numbers, mut names) = (HashSet::new(), HashSet::new());
        for fd in self.numbers() {
            if fd < 0 {
                return Err(HandoffError::new(
                    variable,
                    format!("expected a descriptor number, found `{fd}`"),
                ));
            }
            if !numbers.insert(fd) {
                let reason =
                    format!("expected each descriptor once, found {fd} twice: give each a number of its own");
                return Err(HandoffError::new(variable, reason));
            }
        }
        for NamedDescriptor { fd, name, .. } in &self.descriptors {
            if name.is_empty() {
                let reason = format!("expected a name, found none for descriptor {fd}: give it one");
                return Err(HandoffError::new(variable, reason));
            }
            if !names.insert(name) {
                let name = shortened(name);
                let reason =
                    format!("expected each name once, found `{name}` twice: give each a name of its own");
                return Err(HandoffError::new(variable, reason));
            }
        }
        Ok(())
    }
}

/// Decodes GOAGAIN_FD and GOAGAIN_NAME. The label becomes the name.
fn go_listener(fd: &OsStr, name: Option<OsString>) -> Result<NamedDescriptor, HandoffError> {
    let number = number(text(fd)).ok_or_else(|| expected(FD, "a descriptor number", Some(fd.to_owned())))?;
    let label = name.ok_or_else(|| missing(NAME, FD))?;
    let address = Address::parse_go_label(&label);
    let address = address.map_err(|error| HandoffError::new(NAME, error.to_string()))?;
    Ok(NamedDescriptor { fd: number, name: address.to_string(), address })
}

/// Parses decimal digits only: no sign, no space, no prefix, and no overflow.
pub(crate) fn number<T: FromStr>(text: &str) -> Option<T> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_decimal { text.parse().ok() } else { None }
}

/// Returns the text of a value. A value that is not UTF-8 becomes the empty text, which is as invalid in every place.
fn text(value: &OsStr) -> &str {
    value.to_str().unwrap_or_default()
}

fn missing(variable: &'static str, other: &str) -> HandoffError {
    let reason = format!(
        "expected a value, because {other} is set, found none: set both, or unset {other} to start without a handoff"
    );
    HandoffError::new(variable, reason)
}

fn expected(variable: &'static str, what: &str, found: Option<OsString>) -> HandoffError {
    let found = found.unwrap_or_default();
    HandoffError::new(variable, format!("expected {what}, found `{}`", shortened(&found.to_string_lossy())))
}

/// Shortens a value for an error message, since it may be as long as a variable.
pub(crate) fn shortened(text: &str) -> String {
    let mut chars = text.chars().map(|each| if each.is_control() { ' ' } else { each });
    let mut short: String = chars.by_ref().take(80).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

/// Why variables are not a valid handoff, or why a handoff cannot be encoded: "GOAGAIN_FD: expected a descriptor
/// number, found `x`".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoffError {
    variable: &'static str,
    reason: String,
}

impl HandoffError {
    fn new(variable: &'static str, reason: impl Into<String>) -> HandoffError {
        HandoffError { variable, reason: reason.into() }
    }

    /// Returns the variable that is invalid or missing.
    pub fn variable(&self) -> &'static str {
        self.variable
    }

    /// Returns what was expected and what was found.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for HandoffError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.reason)
    }
}

impl std::error::Error for HandoffError {}

#[cfg(test)]
mod tests;
