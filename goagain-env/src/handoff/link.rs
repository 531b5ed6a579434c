//! GOAGAIN_CHANNEL: "1 fd=5 attempt=3 generation=2 ready_timeout=60000 predecessor=77". The version comes first. Times
//! are in milliseconds.

use std::collections::HashMap;
use std::fmt::Write;
use std::str::FromStr;
use std::time::Duration;

use super::{CHANNEL, HandoffError, Link, number, shortened};
use crate::Pid;

const VERSION: &str = "1";

/// The two processes of the handoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pids {
    pub(super) predecessor: Pid,
    pub(super) successor: Option<Pid>,
}

/// Encodes the link. `pids` repeats GOAGAIN_PPID and GOAGAIN_PID: a Go process passes this text on, outdated, next to
/// the five variables of its own. So the pids show whether all variables were written together.
pub(super) fn encode(link: &Link, pids: Pids) -> String {
    let mut text = format!(
        "{VERSION} fd={} attempt={} generation={} ready_timeout={}",
        link.fd,
        link.attempt,
        link.generation,
        milliseconds(link.ready_timeout)
    );
    // Writing to a `String` does not fail.
    if let Some(time) = link.release_timeout {
        let _ = write!(text, " release_timeout={}", milliseconds(time));
    }
    if let Some(signals) = link.signals {
        let _ = write!(text, " signals={signals}");
    }
    let _ = write!(text, " predecessor={}", pids.predecessor);
    if let Some(successor) = pids.successor {
        let _ = write!(text, " successor={successor}");
    }
    if link.go {
        text.push_str(" go=1");
    }
    if link.state {
        text.push_str(" state=1");
    }
    if !link.leaving.is_empty() {
        let pids: Vec<_> = link.leaving.iter().map(Pid::to_string).collect();
        let _ = write!(text, " leaving={}", pids.join(","));
    }
    if let Some(draining) = link.draining {
        let _ = write!(text, " draining={draining}");
    }
    if let Some(list) = link.list {
        let _ = write!(text, " list={list}");
    }
    text
}

/// Decodes the link and the pids, which show whether the text is outdated.
///
/// Keys that this version does not know are ignored: a newer version may set them, and then roll back to this one.
pub(super) fn decode(text: &str) -> Result<(Link, Pids), HandoffError> {
    let (version, rest) = text.split_once(' ').unwrap_or((text, ""));
    if version != VERSION {
        let reason = format!(
            "expected version {VERSION}, found `{}`: the predecessor has another version of goagain, \
             so stop and start the service once, or build this image with the same version",
            shortened(version)
        );
        return Err(HandoffError::new(CHANNEL, reason));
    }
    let mut pairs = HashMap::new();
    for pair in rest.split(' ').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| expected("key=value", pair))?;
        if pairs.insert(key, value).is_some() {
            return Err(expected("each key once", pair));
        }
    }
    let pairs = Pairs(pairs);
    let leaving = pairs.0.get("leaving").map_or(Ok(Vec::new()), |pids| {
        let pids = pids.split(',').map(|pid| number(pid).and_then(Pid::new));
        pids.collect::<Option<Vec<Pid>>>().ok_or_else(|| expected("leaving=<process ids>", text))
    })?;
    let link = Link {
        fd: pairs.required("fd")?,
        signals: pairs.optional("signals")?,
        attempt: pairs.required("attempt")?,
        generation: pairs.required("generation")?,
        ready_timeout: Duration::from_millis(pairs.required("ready_timeout")?),
        release_timeout: pairs.optional("release_timeout")?.map(Duration::from_millis),
        go: pairs.optional::<u8>("go")?.is_some_and(|go| go != 0),
        state: pairs.optional::<u8>("state")?.is_some_and(|state| state != 0),
        leaving,
        draining: pairs.optional("draining")?,
        list: pairs.optional("list")?,
    };
    let pid = |key, pid: Option<Pid>| pid.ok_or_else(|| expected(&format!("{key}=<process id>"), text));
    let predecessor = pid("predecessor", Pid::new_or_init(pairs.required("predecessor")?))?;
    let successor = pairs.optional("successor")?.map(|raw| pid("successor", Pid::new(raw))).transpose()?;
    Ok((link, Pids { predecessor, successor }))
}

struct Pairs<'text>(HashMap<&'text str, &'text str>);

impl Pairs<'_> {
    fn optional<T: FromStr>(&self, key: &str) -> Result<Option<T>, HandoffError> {
        let Some(value) = self.0.get(key) else {
            return Ok(None);
        };
        number(value).map(Some).ok_or_else(|| expected(&format!("{key}=<number>"), &format!("{key}={value}")))
    }

    fn required<T: FromStr>(&self, key: &str) -> Result<T, HandoffError> {
        let value = self.optional(key)?;
        value.ok_or_else(|| HandoffError::new(CHANNEL, format!("expected {key}=<number>, found none")))
    }
}

fn expected(what: &str, found: &str) -> HandoffError {
    HandoffError::new(CHANNEL, format!("expected {what}, found `{}`", shortened(found)))
}

/// Converts to milliseconds, rounded up: less than a millisecond must not become none.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_short_and_readable() {
        let link = Link {
            fd: 5,
            signals: Some(6),
            attempt: 3,
            generation: 2,
            ready_timeout: Duration::from_micros(59_999_001),
            release_timeout: Some(Duration::from_secs(1)),
            go: true,
            state: true,
            leaving: vec![Pid::new(12).unwrap(), Pid::new(13).unwrap()],
            draining: Some(7),
            list: Some(8),
        };
        let text = "1 fd=5 attempt=3 generation=2 ready_timeout=60000 release_timeout=1000 signals=6 predecessor=9 successor=12 go=1 state=1 leaving=12,13 draining=7 list=8";
        let pids = Pids { predecessor: Pid::new(9).unwrap(), successor: Pid::new(12) };
        assert_eq!(encode(&link, pids), text);
        let rounded = Link { ready_timeout: Duration::from_secs(60), ..link };
        assert_eq!(decode(text), Ok((rounded.clone(), pids)));
        assert_eq!(decode(&format!("{text} colour=blue")), Ok((rounded, pids)));
    }

    #[test]
    fn an_error_names_the_wrong_part() {
        for (text, reason) in [
            ("", "expected version 1, found ``"),
            ("2 fd=5", "expected version 1, found `2`: the predecessor has another version of goagain"),
            ("1 fd", "expected key=value, found `fd`"),
            ("1 fd=5 fd=6", "expected each key once, found `fd=6`"),
            ("1 fd=-5 attempt=1", "expected fd=<number>, found `fd=-5`"),
            ("1 fd=5", "expected attempt=<number>, found none"),
            ("1 fd=5 attempt=1 generation=2 ready_timeout=1 predecessor=9 leaving=1", "expected leaving=<"),
            ("1 fd=5 attempt=1 generation=2 ready_timeout=1", "expected predecessor=<number>, found none"),
        ] {
            let error = decode(text).unwrap_err();
            assert!(error.reason().starts_with(reason), "{error}");
        }
    }
}
