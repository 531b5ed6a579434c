//! A process id that names exactly one process.

use std::fmt;

use nix::unistd::{getpid, getppid};

/// The id of one process.
///
/// It is never 0 or negative, which `kill(2)` takes for a process group. An id from outside is never 1: every orphan
/// has the parent 1, so that id proves nothing. Only this process itself can be 1, in a container.
///
/// An id alone is not enough to signal a process, because the number may belong to another process by now. See
/// [`Process`](crate::Process).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid(i32);

impl Pid {
    /// Returns the id of another process. `None` for 1, 0 and negative numbers.
    pub fn new(raw: i32) -> Option<Pid> {
        (raw > 1).then_some(Pid(raw))
    }

    /// Returns the id of this process, by `getpid(2)`. It can be 1.
    pub fn current() -> Pid {
        Pid(getpid().as_raw())
    }

    /// Returns the parent of this process, by `getppid(2)`. `None` if the parent is init or in another pid namespace.
    pub fn parent() -> Option<Pid> {
        Pid::new(getppid().as_raw())
    }

    /// Returns the number.
    pub fn as_raw(self) -> i32 {
        self.0
    }

    /// Returns the predecessor that a handoff names. A server can have pid 1 in its container.
    pub(crate) fn new_or_init(raw: i32) -> Option<Pid> {
        (raw > 0).then_some(Pid(raw))
    }

    /// Returns whether the id is 1: the init of this pid namespace. When it ends, all processes of the namespace end.
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
    fn a_pid_names_one_other_process() {
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
