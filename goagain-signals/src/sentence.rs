//! The sentence of each event: what an operator reads, on whichever side of a restart.

use crate::{Event, EventKind, InFlight, Role, Stop, connection_info};
use goagain_env::{Address, Pid};
use std::fmt::{self, Write};
use std::time::Duration;

/// Writes on one line: control characters are escaped, and so are the two line separators of Unicode that are none.
pub(crate) struct OneLine<'out, W>(pub(crate) &'out mut W);

impl<W: Write> Write for OneLine<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let breaks = |each: char| each.is_control() || matches!(each, '\u{2028}' | '\u{2029}');
        let mut rest = text;
        while let Some(index) = rest.find(breaks) {
            let (plain, from) = rest.split_at(index);
            self.0.write_str(plain)?;
            let mut each = from.chars();
            each.next().map_or(Ok(()), |escaped| write!(self.0, "{}", escaped.escape_default()))?;
            rest = each.as_str();
        }
        self.0.write_str(rest)
    }
}

pub(crate) fn write(out: &mut impl Write, event: &Event) -> fmt::Result {
    let Event { role, attempt, elapsed, kind, .. } = event;
    let attempt = *attempt;
    match kind {
        EventKind::Requested { waits: false } => write!(out, "restart {attempt} requested"),
        EventKind::Requested { waits: true } => match attempt {
            0 | 1 => write!(out, "restart {attempt} requested; it begins when this process serves"),
            _ => write!(out, "restart {attempt} requested; it begins when restart {} is over", attempt - 1),
        },
        EventKind::Refused { reason } => {
            write!(out, "restart {attempt} refused: {reason}")?;
            keeps_serving(out, *role)
        }
        EventKind::NotAborted { reason } => write!(out, "no restart aborted: {reason}"),
        EventKind::Spawned { pid, generation } => {
            write!(out, "restart {attempt}: started process {pid} (generation {generation})")
        }
        EventKind::Failed { pid, reason } => {
            write!(out, "restart {attempt} ")?;
            if let Some(pid) = pid {
                write!(out, "(process {pid}) ")?;
            }
            write!(out, "failed after {}: {reason}", Elapsed(*elapsed))?;
            keeps_serving(out, *role)
        }
        EventKind::SuccessorReady { pid } => write!(out, "{} is ready", New(*pid)),
        EventKind::HandedOver { pid, generation, fallback } => {
            write!(out, "{}", New(*pid))?;
            if let Some(generation) = generation {
                write!(out, " (generation {generation})")?;
            }
            write!(out, " takes over, {} after the restart began", Elapsed(*elapsed))?;
            match fallback {
                Some(time) => {
                    write!(out, "; this process stays as the fallback for at least {}", Time(*time))
                }
                None => Ok(()),
            }
        }
        EventKind::Accepting { addresses } => accepting(out, addresses),
        EventKind::SuccessorServing { pid } => write!(out, "{} is serving", New(*pid)),
        EventKind::RolledBack { pid, reason } => {
            write!(out, "{} {reason}; this process takes over again and is serving", New(*pid))
        }
        EventKind::Released { pid, exec: true } => {
            write!(out, "{} serves on its own; this process executes the new image in place", New(*pid))
        }
        EventKind::Released { pid, exec: false } => {
            write!(out, "{} serves on its own; this process is no longer the fallback", New(*pid))?;
            out.write_str(match role {
                Role::Exiting => ", and exits",
                _ => ", and exits when its connections are finished",
            })
        }
        EventKind::ExecFailed { pid, reason } => {
            write!(out, "cannot execute the new image in place: {reason}; ")?;
            write!(out, "this process asks {} for the service", New(*pid))
        }
        EventKind::Serving { predecessor, fallback } => {
            write!(out, "serving; {} is the fallback ", Previous(*predecessor))?;
            out.write_str(if fallback.is_some() { "for now" } else { "until it is dismissed" })
        }
        EventKind::PredecessorReleased { pid, exec } => {
            write!(out, "{} is no longer the fallback", Previous(*pid))?;
            out.write_str(match exec {
                true => ", and executes the new image in place; it takes the service back when it is ready",
                false => ", and exits when its connections are finished",
            })
        }
        EventKind::ReexecFailed { pid, reason } => {
            write!(out, "{} did not come back after its exec: {reason}", Previous(*pid))?;
            keeps_serving(out, *role)
        }
        EventKind::PredecessorDied { pid, reason, was_serving } => {
            write!(out, "{} {reason}; ", Previous(*pid))?;
            out.write_str(match (was_serving, role) {
                (true, Role::Starting) => "this process takes over when it is ready",
                (true, _) => "this process takes over and is serving",
                (false, _) => "it was the fallback, and this process keeps serving",
            })
        }
        EventKind::PredecessorExited { pid: Some(pid) } => {
            write!(out, "previous process {pid} has exited; restart {attempt} is complete")
        }
        EventKind::PredecessorExited { pid: None } => {
            write!(out, "all previous processes have exited; restart {attempt} is complete")
        }
        EventKind::Draining { stop, in_flight } => draining(out, *stop, *in_flight),
        EventKind::StillDraining { in_flight, connections } => {
            out.write_str("long-lived connections are asked to close; still in flight: ")?;
            connection_info::write(out, in_flight, connections)
        }
        EventKind::Unfinished { in_flight, connections } => {
            out.write_str("the drain ends with connections unfinished: ")?;
            connection_info::write(out, in_flight, connections)
        }
        EventKind::CallbackFailed { callback, error } => write!(out, "callback `{callback}` failed: {error}"),
        EventKind::Unclaimed { name } => {
            write!(
                out,
                "closed `{name}`: the previous process handed it over, and this process did not claim it"
            )
        }
        EventKind::NotInherited { name } => {
            write!(out, "`{name}` is new: the previous process did not hand it over")
        }
        EventKind::StateNotSaved { name, error } => not_saved(out, name, error),
        EventKind::Warning { text } => write!(out, "warning: {text}"),
        EventKind::SignalReceived { signal } => write!(out, "received {signal}"),
    }
}

/// Writes the sentence that is also the reason of the failed restart, and of NOSTATE to a process that waits for the state.
pub(crate) fn not_saved(out: &mut impl Write, name: &str, error: &goagain_env::SaveError) -> fmt::Result {
    write!(out, "cannot save the state `{name}`: {error}")
}

/// The number of addresses that a sentence has at most. The event has them all.
const MOST_ADDRESSES: usize = 10;

fn accepting(out: &mut impl Write, addresses: &[Address]) -> fmt::Result {
    out.write_str("accepting on ")?;
    for (index, address) in addresses.iter().take(MOST_ADDRESSES).enumerate() {
        write!(out, "{}{address}", if index == 0 { "" } else { ", " })?;
    }
    match addresses.len().saturating_sub(MOST_ADDRESSES) {
        0 => Ok(()),
        more => write!(out, ", and {more} more"),
    }
}

fn keeps_serving(out: &mut impl Write, role: Role) -> fmt::Result {
    match role {
        Role::Serving => out.write_str("; this process keeps serving"),
        _ => Ok(()),
    }
}

fn draining(out: &mut impl Write, stop: Stop, in_flight: InFlight) -> fmt::Result {
    let count = in_flight.total();
    let connections = if count == 1 { "connection" } else { "connections" };
    match stop {
        Stop::Now(Some(signal)) => write!(out, "this process stops now, because of {signal}; ")?,
        Stop::Now(None) => out.write_str("this process stops now, because of a call; ")?,
        Stop::Gracefully => out.write_str("graceful stop: ")?,
        Stop::HandedOver => {}
    }
    match (stop, count) {
        (Stop::Now(_), 0) => out.write_str("no connection is open"),
        (Stop::Now(_), 1) => out.write_str("1 connection is open"),
        (Stop::Now(_), _) => write!(out, "{count} connections are open"),
        (_, 0) => out.write_str("this process stops accepting; no connection is open"),
        _ => write!(out, "this process stops accepting and finishes {count} {connections}"),
    }
}

/// The process that a restart starts, or brings back by exec.
struct New(Option<Pid>);

impl fmt::Display for New {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("the new process"),
        }
    }
}

struct Previous(Option<Pid>);

impl fmt::Display for Previous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "previous process {pid}"),
            None => f.write_str("the previous process"),
        }
    }
}

/// A time that was set: exact, in seconds.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}

/// A time that was measured.
struct Elapsed(Duration);

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs_f64() {
            seconds @ ..1.0 => write!(f, "{:.1} ms", seconds * 1e3),
            seconds => write!(f, "{seconds:.1} s"),
        }
    }
}

#[cfg(test)]
mod tests;
