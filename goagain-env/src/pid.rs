//! A process id that can be meant.

use std::fmt;

use nix::unistd::{getpid, getppid};

/// The id of one process.
///
/// Never 0 and never negative, which `kill(2)` takes for whole groups, and never 1 where it came from outside: every
/// orphan has 1 for its parent, so there it says nothing. The one process that may be 1 is our own, in a container.
///
/// An id alone is not enough to signal a process: its number may be another's by now. See [`Process`](crate::Process).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(i32);

impl Pid {
    /// The id of a foreign process, or `None` for 1, 0 and below.
    pub fn new(raw: i32) -> Option<Pid> {
        (raw > 1).then_some(Pid(raw))
    }

    /// This process, by `getpid(2)`. It may be 1.
    pub fn current() -> Pid {
        Pid(getpid().as_raw())
    }

    /// The parent of this process, by `getppid(2)`; `None` where that is init, or in another namespace of pids.
    pub fn parent() -> Option<Pid> {
        Pid::new(getppid().as_raw())
    }

    /// The number.
    pub fn as_raw(self) -> i32 {
        self.0
    }

    /// The predecessor that a handoff names: a server that has pid 1 in its container may be one.
    pub(crate) fn new_or_init(raw: i32) -> Option<Pid> {
        (raw > 0).then_some(Pid(raw))
    }

    /// Whether it is 1: the init of this namespace of pids, whose end is everybody's.
    pub fn is_init(self) -> bool {
        self.0 == 1
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_foreign_process_can_be_meant() {
        for raw in [i32::MIN, -1, 0, 1] {
            assert_eq!(Pid::new(raw), None);
        }
        assert_eq!(Pid::new(2).map(Pid::as_raw), Some(2));
        assert_eq!(Pid::new_or_init(1).map(Pid::as_raw), Some(1));
        assert_eq!(Pid::new_or_init(0), None);
    }

    #[test]
    fn this_process_has_an_id() {
        assert_eq!(Pid::current().to_string(), std::process::id().to_string());
    }
}
