//! What a new image is told: the variables, as text and back. Pure, total, and exact in both directions.

pub(crate) mod described;
mod link;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::RawFd;
use std::str::FromStr;
use std::time::Duration;

pub(crate) use self::described::{escape, unescape};
use self::link::Pids;
use crate::{Address, Pid};

pub(crate) const FD: &str = "GOAGAIN_FD";
const NAME: &str = "GOAGAIN_NAME";
pub(crate) const PID: &str = "GOAGAIN_PID";
pub(crate) const PPID: &str = "GOAGAIN_PPID";
const SIGNAL: &str = "GOAGAIN_SIGNAL";
pub(crate) const CHANNEL: &str = "GOAGAIN_CHANNEL";
pub(crate) const DESCRIPTORS: &str = "GOAGAIN_DESCRIPTORS";

/// Every variable of the handoff: the seed's five, then ours. None of them should reach a helper that a server runs.
pub const VARIABLES: &[&str] = &[FD, NAME, PID, PPID, SIGNAL, CHANNEL, DESCRIPTORS];

/// One string of the environment, "NAME=value", holds at most this many bytes (MAX_ARG_STRLEN of execve(2), less its NUL).
const LONGEST_STRING: usize = 131_071;

/// All that is handed to a new image by its environment.
// Exhaustive, as `Described` and `Link`: whoever hands over has to say each of them, and the compiler that one was forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handoff {
    /// Each descriptor with its name. The seed's GOAGAIN_FD and GOAGAIN_NAME describe the first TCP or Unix listener of them,
    /// if there is one. From a seed: that one, under its label ("tcp:127.0.0.1:48879") for a name.
    pub descriptors: Vec<Described>,
    /// GOAGAIN_PID. `None` in an image that was spawned; the child that serves meanwhile across an own exec.
    pub successor: Option<Pid>,
    /// GOAGAIN_PPID: the process that spawned.
    pub predecessor: Pid,
    /// GOAGAIN_SIGNAL: what a seed sends its predecessor when it serves.
    pub signal: GoSignal,
    /// GOAGAIN_CHANNEL; `None` when the predecessor is a seed, whatever that passed on from a predecessor of its own.
    pub channel: Option<Link>,
    /// What GOAGAIN_FD and GOAGAIN_NAME said. Set by [`decode`](Handoff::decode), ignored by [`encode`](Handoff::encode), which
    /// derives it from `descriptors`.
    ///
    /// A seed between two of ours passes on the channel and descriptors of its own predecessor, stale, beside five fresh
    /// variables of its own. So these must not be lost.
    pub go_listener: Option<Described>,
}

/// A descriptor that is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its number, in both images.
    pub fd: RawFd,
    /// The name that the program knows it by; unique.
    pub name: String,
    /// Where it is bound. A Unix path as clients know it, even where the socket was bound to another and renamed.
    pub address: Address,
}

/// GOAGAIN_CHANNEL: the channel, and what the two sides of this attempt must agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The channel's descriptor.
    pub fd: RawFd,
    /// Across an own exec: a descriptor with signals that came before it and are not served yet.
    pub signals: Option<RawFd>,
    /// The number of the attempt.
    pub attempt: u64,
    /// The generation of the image that reads this.
    pub generation: u64,
    /// How long it may take to be ready. Carried in whole milliseconds, rounded up.
    pub ready_timeout: Duration,
    /// After how long the predecessor is sure to have released, if it is bound to. Likewise.
    pub release_timeout: Option<Duration>,
    /// Across an own exec: the other side is a seed, and speaks by signals only.
    pub go: bool,
    /// The other side has sent its state over the channel, or will, for this image to await before it is ready.
    pub state: bool,
    /// Across an own exec: children that are on their way out, to be reaped.
    pub leaving: Vec<Pid>,
    /// The file with the locks of those that drain: see [`Draining`](crate::Draining).
    pub draining: Option<RawFd>,
    /// A file with the value of GOAGAIN_DESCRIPTORS, which is empty then: thousands of descriptors do not fit a variable.
    /// [`Launch`](crate::Launch) makes it where one is needed, and [`inherit`](crate::inherit) reads it.
    pub list: Option<RawFd>,
}

/// What a seed sends to its predecessor when it serves.
// Exhaustive: the seed will send no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GoSignal {
    /// SIGQUIT: drain and exit (Single, and Double's second half).
    Quit,
    /// SIGUSR2: drain and exec (Double's first half).
    Usr2,
}

impl GoSignal {
    /// The signal's number on this system.
    pub fn number(self) -> i32 {
        match self {
            GoSignal::Quit => libc::SIGQUIT,
            GoSignal::Usr2 => libc::SIGUSR2,
        }
    }
}

impl Handoff {
    /// Reads a handoff through a look-up of variables, such as [`std::env::var_os`]. `None`: there is none.
    ///
    /// Believes nothing yet: [`inherit`](crate::inherit) asks the system whether it is meant for this process.
    ///
    /// # Errors
    /// A variable is missing beside another, or does not say what it should: the error names it. Where there is neither
    /// GOAGAIN_FD nor a variable of ours, nothing was handed over, whatever the others say.
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
        let described = descriptors.map(|value| described::decode(&value)).transpose()?;
        if let (Some(list), Some(false)) =
            (link.as_ref().and_then(|(link, _)| link.list), described.as_ref().map(Vec::is_empty))
        {
            let reason = format!("expected nothing beside list={list} in {CHANNEL}, found descriptors");
            return Err(HandoffError::new(DESCRIPTORS, reason));
        }
        // A link that names other processes is stale: a seed was in between, and only the five are its own.
        let pids = Pids { predecessor, successor };
        let (channel, descriptors) = match (link, described) {
            (Some((link, named)), Some(described)) if named == pids => (Some(link), described),
            _ => (None, go_listener.iter().cloned().collect()),
        };
        let handoff = Handoff { descriptors, successor, predecessor, signal, channel, go_listener };
        handoff.check()?;
        Ok(Some(handoff))
    }

    /// The variables, each with its value, that make an image of these. To be set in the environment of the new image
    /// alone, after all of [`VARIABLES`] were removed from it. With [`Link::list`] they say that the descriptors are in
    /// that file.
    ///
    /// # Errors
    /// - A variable would not fit into one string of the environment, 131,071 bytes with its name.
    /// - Two descriptors have one number or one name, a name is empty, or a number is negative.
    /// - There is no channel, and more to hand over than a seed can take.
    pub fn encode(&self) -> Result<Vec<(&'static str, OsString)>, HandoffError> {
        self.encode_with(self.channel.as_ref().and_then(|link| link.list))
    }

    /// The value of GOAGAIN_DESCRIPTORS, where that is too long for a variable and has to go into a file.
    pub(crate) fn long_list(&self) -> Option<String> {
        let text = self.channel.as_ref().map(|_| described::encode(&self.descriptors))?;
        (DESCRIPTORS.len() + 1 + text.len() > LONGEST_STRING).then_some(text)
    }

    /// Reads the list of descriptors that was in a file.
    pub(crate) fn read_list(&mut self, list: &OsStr) -> Result<(), HandoffError> {
        self.descriptors = described::decode(list)?;
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
            let described = list.is_none().then(|| described::encode(&self.descriptors));
            variables.push((DESCRIPTORS, described.unwrap_or_default().into()));
        } else if listener.is_none() || self.descriptors.len() > 1 {
            let count = self.descriptors.len();
            let reason = format!(
                "expected a channel, or one TCP or Unix listener; found {count} descriptors without one"
            );
            return Err(HandoffError::new(CHANNEL, reason));
        }
        for (variable, value) in &variables {
            let size = variable.len() + 1 + value.len();
            if size > LONGEST_STRING {
                let reason = format!(
                    "expected at most {LONGEST_STRING} bytes with its name, found {size}: \
                     hand over fewer descriptors, or give them shorter names"
                );
                return Err(HandoffError::new(variable, reason));
            }
        }
        Ok(variables)
    }

    /// All numbers that must be open in the new image: descriptors, channel, signals, locks, list.
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
        for Described { fd, name, .. } in &self.descriptors {
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

/// GOAGAIN_FD and GOAGAIN_NAME, under the label for a name.
fn go_listener(fd: &OsStr, name: Option<OsString>) -> Result<Described, HandoffError> {
    let number = number(text(fd)).ok_or_else(|| expected(FD, "a descriptor number", Some(fd.to_owned())))?;
    let label = name.ok_or_else(|| missing(NAME, FD))?;
    let address = Address::parse_go_label(&label);
    let address = address.map_err(|error| HandoffError::new(NAME, error.to_string()))?;
    Ok(Described { fd: number, name: address.to_string(), address })
}

/// Decimal digits and nothing else: no sign, no space, no prefix, and not more than fit.
pub(crate) fn number<T: FromStr>(text: &str) -> Option<T> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_decimal { text.parse().ok() } else { None }
}

/// What is not text is none of the things that are looked for in text: the empty one is neither.
fn text(value: &OsStr) -> &str {
    value.to_str().unwrap_or_default()
}

fn missing(variable: &'static str, beside: &str) -> HandoffError {
    let reason =
        format!("expected it beside {beside}, found it missing: set both, or unset {beside} to start afresh");
    HandoffError::new(variable, reason)
}

fn expected(variable: &'static str, what: &str, found: Option<OsString>) -> HandoffError {
    let found = found.unwrap_or_default();
    HandoffError::new(variable, format!("expected {what}, found `{}`", shortened(&found.to_string_lossy())))
}

/// A value may be as long as a variable; an error is read by people.
pub(crate) fn shortened(text: &str) -> String {
    let mut chars = text.chars().map(|each| if each.is_control() { ' ' } else { each });
    let mut short: String = chars.by_ref().take(80).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

/// Why variables are no handoff, or a handoff makes no variables: "GOAGAIN_FD: expected a descriptor number, found `x`".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoffError {
    variable: &'static str,
    reason: String,
}

impl HandoffError {
    fn new(variable: &'static str, reason: impl Into<String>) -> HandoffError {
        HandoffError { variable, reason: reason.into() }
    }

    /// The variable that is wrong, or missing.
    pub fn variable(&self) -> &'static str {
        self.variable
    }

    /// What was expected, and what was found.
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
