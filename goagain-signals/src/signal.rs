//! The six control signals, and what the loop does for each.

use std::fmt;

/// A control signal, as `kill(1)` sends it.
// Exhaustive: `Signals` is a table of these six, as in the Go package goagain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// `SIGHUP`
    Hup,
    /// `SIGINT`
    Int,
    /// `SIGQUIT`
    Quit,
    /// `SIGTERM`
    Term,
    /// `SIGUSR1`
    Usr1,
    /// `SIGUSR2`
    Usr2,
}

impl Signal {
    /// All signals that can be given an action.
    pub const ALL: [Signal; 6] =
        [Signal::Hup, Signal::Int, Signal::Quit, Signal::Term, Signal::Usr1, Signal::Usr2];

    /// Returns the signal's number on this platform (signal(7)).
    pub fn number(self) -> i32 {
        match self {
            Signal::Hup => libc::SIGHUP,
            Signal::Int => libc::SIGINT,
            Signal::Quit => libc::SIGQUIT,
            Signal::Term => libc::SIGTERM,
            Signal::Usr1 => libc::SIGUSR1,
            Signal::Usr2 => libc::SIGUSR2,
        }
    }

    pub(crate) fn from_number(number: i32) -> Option<Signal> {
        Signal::ALL.into_iter().find(|signal| signal.number() == number)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Hup => "SIGHUP",
            Signal::Int => "SIGINT",
            Signal::Quit => "SIGQUIT",
            Signal::Term => "SIGTERM",
            Signal::Usr1 => "SIGUSR1",
            Signal::Usr2 => "SIGUSR2",
        })
    }
}

/// What the loop does when it receives a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignalAction {
    /// Calls the callback `on_hup`, which usually reloads the configuration.
    Reload,
    /// Calls the callback `on_usr1`, which usually reopens the logs.
    Reopen,
    /// Restarts. If a restart is running, remembers one more and does it after the running one.
    Restart,
    /// Stops at once, without a drain.
    StopNow,
    /// Stops gracefully: stops accepting, drains, and exits. A second such signal stops at once.
    StopGracefully,
}

/// Which signal does what. Defaults to the table of the Go package goagain: HUP reloads, USR1 reopens, USR2 restarts, INT and
/// TERM stop at once, QUIT stops gracefully.
///
/// ```
/// use goagain_signals::{SignalAction, Signal, Signals};
/// // For a supervisor that sends TERM and expects a graceful stop:
/// let signals = Signals::default().set(Signal::Term, SignalAction::StopGracefully).off(Signal::Usr1);
/// assert_eq!(signals.meaning(Signal::Term), Some(SignalAction::StopGracefully));
/// assert_eq!(signals.meaning(Signal::Usr1), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signals([Option<SignalAction>; 6]);

impl Default for Signals {
    fn default() -> Signals {
        Signals(Signal::ALL.map(|signal| {
            Some(match signal {
                Signal::Hup => SignalAction::Reload,
                Signal::Int | Signal::Term => SignalAction::StopNow,
                Signal::Quit => SignalAction::StopGracefully,
                Signal::Usr1 => SignalAction::Reopen,
                Signal::Usr2 => SignalAction::Restart,
            })
        }))
    }
}

impl Signals {
    /// Returns a table without actions. No handler is installed: every signal keeps the disposition that it has in the process
    /// (signal(7)).
    pub fn none() -> Signals {
        Signals([None; 6])
    }

    /// Sets the action of `signal`.
    pub fn set(mut self, signal: Signal, action: SignalAction) -> Signals {
        self.0[signal as usize] = Some(action);
        self
    }

    /// Removes the action of `signal`. No handler is installed for it, so it keeps its disposition (signal(7)).
    pub fn off(mut self, signal: Signal) -> Signals {
        self.0[signal as usize] = None;
        self
    }

    /// Returns the action of `signal`, or `None` if it has none.
    pub fn meaning(&self, signal: Signal) -> Option<SignalAction> {
        self.0[signal as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_table_of_the_go_package() {
        let signals = Signals::default();
        let table = Signal::ALL.map(|signal| signals.meaning(signal).unwrap());
        use SignalAction::*;
        assert_eq!(table, [Reload, StopNow, StopGracefully, StopNow, Reopen, Restart]);
    }

    #[test]
    fn a_signal_is_found_by_its_number() {
        for signal in Signal::ALL {
            assert_eq!(Signal::from_number(signal.number()), Some(signal));
        }
        assert_eq!(Signal::from_number(libc::SIGCHLD), None);
    }
}
