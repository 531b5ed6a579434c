//! What happened, and in which process: an event for the callback `on_event`, a log or a metric.

use crate::{EventKind, Phase, sentence};
use goagain_env::Pid;
use std::{fmt, time::Duration};

/// Something that happened, with the process that reports it. Passed to the callback `on_event` of `goagain::Builder`.
///
/// Two processes report during a restart, often to the same place. So each event names its process, and
/// [`Display`](fmt::Display) writes one line that begins with it:
///
/// ```
/// use goagain_env::Pid;
/// use goagain_signals::{Event, EventKind, Role};
/// use std::time::Duration;
///
/// let kind = EventKind::Serving { predecessor: Pid::new(4711), fallback: Some(Duration::from_secs(10)) };
/// let pid = Pid::new(4720).unwrap();
/// let event = Event::new(pid, 2, Role::Serving, 1, Duration::from_millis(48), kind);
/// assert_eq!(
///     event.to_string(),
///     "goagain[4720] generation 2: serving; previous process 4711 is the fallback for now"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The process that reports: this one.
    pub pid: Pid,
    /// Its generation: 1 for the first process of a service, one more for each new process or exec.
    pub generation: u64,
    /// The role of this process after the event.
    pub role: Role,
    /// The number of the attempt that this event belongs to: the first restart is 1. It is 0 before the first restart.
    pub attempt: u64,
    /// The time since the restart with this number was requested in this process or, if another process received the request,
    /// since this process began it. In a new process, the time since its start.
    pub elapsed: Duration,
    /// What happened.
    pub kind: EventKind,
}

impl Event {
    /// Returns an event, to test a callback with, or to report one from a server of your own.
    pub fn new(
        pid: Pid,
        generation: u64,
        role: Role,
        attempt: u64,
        elapsed: Duration,
        kind: EventKind,
    ) -> Event {
        Event { pid, generation, role, attempt, elapsed, kind }
    }

    /// Returns what happened as one sentence, without the process that reports it. It is for a log that has fields of its own.
    ///
    /// The sentence has no line break and no other control character. Those of a reason or a name are escaped, as in `\n`.
    pub fn message(&self) -> impl fmt::Display + '_ {
        Message(self)
    }
}

/// One line, as in `goagain[4720] generation 2: process 4733 is ready`, without a line break.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "goagain[{}] generation {}: {}", self.pid, self.generation, self.message())
    }
}

struct Message<'event>(&'event Event);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        sentence::write(&mut sentence::OneLine(f), self.0)
    }
}

/// What a process does in the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// It does not accept yet: it is not ready, or it is ready and waits for the owner to commit.
    Starting,
    /// It is the owner: the process that accepts connections.
    Serving,
    /// It has handed over and keeps its listeners. If its successor dies, it serves again.
    Fallback,
    /// It has closed its listeners, and finishes the connections that it has.
    Draining,
    /// It has nothing more to do, and exits.
    Exiting,
}

impl Role {
    pub(crate) fn of(phase: Phase) -> Role {
        match phase {
            Phase::Init | Phase::Wait => Role::Starting,
            Phase::Owner | Phase::Starting => Role::Serving,
            Phase::Draining | Phase::Killing => Role::Fallback,
            Phase::Released | Phase::Stopping => Role::Draining,
            Phase::Dead => Role::Exiting,
        }
    }
}

/// One lower-case word.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Starting => "starting",
            Role::Serving => "serving",
            Role::Fallback => "fallback",
            Role::Draining => "draining",
            Role::Exiting => "exiting",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_of_the_protocol_has_a_role() {
        use Phase::*;
        let roles = [Init, Wait, Owner, Starting, Draining, Killing, Released, Stopping, Dead].map(Role::of);
        let names = roles.map(|role| role.to_string());
        let expected = [
            "starting", "starting", "serving", "serving", "fallback", "fallback", "draining", "draining",
            "exiting",
        ];
        assert_eq!(names, expected);
    }
}
