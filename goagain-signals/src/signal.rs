//! The six control signals and what each means.

use std::fmt;

/// A control signal, as `kill(1)` sends it.
// Exhaustive: `Signals` is a table of these six, which the seed has too.
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
    /// Every signal that can be given a meaning.
    pub const ALL: [Signal; 6] =
        [Signal::Hup, Signal::Int, Signal::Quit, Signal::Term, Signal::Usr1, Signal::Usr2];

    /// The signal's number on this platform (signal(7)).
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

/// What the loop does when a signal comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignalAction {
    /// Run the `on_hup` callback, by custom "reload the configuration", and go on.
    Reload,
    /// Run the `on_usr1` callback, by custom "reopen the logs", and go on.
    Reopen,
    /// Start a restart, or note it where one is running.
    Restart,
    /// Stop now, without a drain.
    StopNow,
    /// Stop gracefully: accept nothing, drain, leave. A second one stops now.
    StopGracefully,
}

/// Which signal means what. [`Default`] is the seed's table: HUP reloads, USR1 reopens, USR2 restarts, INT and
/// TERM stop now, QUIT stops gracefully.
///
/// ```
/// use goagain_signals::{SignalAction, Signal, Signals};
/// // Under a supervisor that stops with TERM and means "gracefully":
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
    /// No signal means anything: every one keeps the disposition that the process has for it.
    pub fn none() -> Signals {
        Signals([None; 6])
    }

    /// Gives `signal` this meaning.
    pub fn set(mut self, signal: Signal, meaning: SignalAction) -> Signals {
        self.0[signal as usize] = Some(meaning);
        self
    }

    /// Leaves `signal` alone: no handler is installed for it.
    pub fn off(mut self, signal: Signal) -> Signals {
        self.0[signal as usize] = None;
        self
    }

    /// What `signal` means, or `None` if it is left alone.
    pub fn meaning(&self, signal: Signal) -> Option<SignalAction> {
        self.0[signal as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_seeds_table() {
        let signals = Signals::default();
        let table = Signal::ALL.map(|signal| signals.meaning(signal).unwrap());
        use SignalAction::*;
        assert_eq!(table, [Reload, StopNow, StopGracefully, StopNow, Reopen, Restart]);
    }

    #[test]
    fn a_number_names_its_signal() {
        for signal in Signal::ALL {
            assert_eq!(Signal::from_number(signal.number()), Some(signal));
        }
        assert_eq!(Signal::from_number(libc::SIGCHLD), None);
    }
}
