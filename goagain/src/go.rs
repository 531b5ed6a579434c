//! The functions of the Go package goagain of 2014 under their Go names, for those who know that package.
//!
//! | Go | Rust | difference |
//! |---|---|---|
//! | `AwaitSignals(l)`, `Wait(l)` | [`wait`] | takes no listener, since the library keeps them all. Does not return on USR2, which restarts. Returns on INT, TERM, QUIT and after a handover |
//! | `Exec(l)` | [`exec`] | drains, and execs if the strategy does. Returns if the process should exit or serve again |
//! | `ForkExec(l)` | [`fork_exec`] | `posix_spawn`, done by the next `wait`. Returns the number of the attempt, whose result is reported to [`Builder::on_event`](crate::Builder::on_event) |
//! | `GetEnvs()` | [`get_envs`] | changes nothing. Returns all variables, parsed, or a typed error that names the bad one |
//! | `IsErrClosing(err)` | [`is_err_closing`] | for listeners of your own. An acceptor does not need it, since it ends with `None` |
//! | `Kill()` | [`kill`] | sends READY and waits for the answer. A Go process is sent GOAGAIN_SIGNAL, if it really is the parent or a child of this process |
//! | `KillParent(ppid)` | [`kill_parent`] | the same as [`kill`]. The pid is not taken from the caller |
//! | `Listener()` | [`listener`] | any number of them, by name or address. Inherited, or else bound |
//! | `Single`, `Double` | `goagain::Single`, `goagain::Double` | types instead of constants. Each needs its feature |
//! | `SIGINT`, `SIGQUIT`, `SIGTERM`, `SIGUSR2` | [`SIGINT`], [`SIGQUIT`], [`SIGTERM`], [`SIGUSR2`] | values of [`Signal`] |
//! | `OnSIGHUP`, `OnSIGUSR1` | [`Builder::on_hup`](crate::Builder::on_hup), [`Builder::on_usr1`](crate::Builder::on_usr1) | given to the builder. Their errors and panics are reported |
//! | `Strategy` | [`Goagain::builder`](crate::Goagain::builder) | given to the builder. There is no default |

use crate::error::{ListenError, ReadyError};
use crate::life::{Finish, Goagain};
use crate::socket::Listener;
use goagain_env::HandoffError;
use goagain_signals::{Signal, Stop};
use std::ffi::OsString;
use std::io;

/// `SIGINT`: stops now.
pub const SIGINT: Signal = Signal::Int;
/// `SIGQUIT`: stops gracefully.
pub const SIGQUIT: Signal = Signal::Quit;
/// `SIGTERM`: stops now.
pub const SIGTERM: Signal = Signal::Term;
/// `SIGUSR2`: restarts.
pub const SIGUSR2: Signal = Signal::Usr2;

/// The handoff that [`get_envs`] returns.
pub use goagain_env::Handoff;

/// Serves until this process has to stop accepting, and returns why. Calls [`Goagain::wait`].
///
/// # Errors
/// The errors of [`Goagain::wait`].
pub fn wait(again: &mut Goagain) -> io::Result<Stop> {
    again.wait()?;
    Ok(again.stopping().unwrap_or(Stop::HandedOver))
}

/// Does what [`wait`] does, under its older name.
///
/// # Errors
/// The errors of [`Goagain::wait`].
pub fn await_signals(again: &mut Goagain) -> io::Result<Stop> {
    wait(again)
}

/// Drains, and execs (`execve`) if the strategy says so. Calls [`Goagain::finish`].
///
/// # Errors
/// The errors of [`Goagain::finish`].
pub fn exec(again: &mut Goagain) -> io::Result<Finish> {
    again.finish()
}

/// Requests a restart, and returns the number of the attempt. Calls [`Handle::restart`](crate::Handle::restart).
pub fn fork_exec(again: &mut Goagain) -> u64 {
    again.handle().restart()
}

/// Returns the handoff that the environment variables describe, not verified. Calls [`Handoff::decode`].
///
/// # Errors
/// [`HandoffError`]: a variable is wrong. The error names the variable, its value, and what was expected.
pub fn get_envs() -> Result<Option<Handoff>, HandoffError> {
    get_envs_from(|name| std::env::var_os(name))
}

fn get_envs_from(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Option<Handoff>, HandoffError> {
    Handoff::decode(lookup)
}

/// Returns whether an error means that a listener is closed or is not a listener (EBADF, EINVAL, ENOTSOCK), as Go's `errClosing` does.
pub fn is_err_closing(error: &io::Error) -> bool {
    let closed = [nix::Error::EBADF, nix::Error::EINVAL, nix::Error::ENOTSOCK];
    error.raw_os_error().is_some_and(|code| closed.contains(&nix::Error::from_raw(code)))
        || error.kind() == io::ErrorKind::NotConnected
}

/// Takes over the service. Calls [`Goagain::ready`].
///
/// # Errors
/// [`ReadyError`]
pub fn kill(again: &mut Goagain) -> Result<(), ReadyError> {
    again.ready()
}

/// Does what [`kill`] does. The process that is told is known and verified.
///
/// # Errors
/// [`ReadyError`]
pub fn kill_parent(again: &mut Goagain) -> Result<(), ReadyError> {
    again.ready()
}

/// Returns the listener at `address`, inherited or bound. Its name is the address. Calls [`Goagain::listen`].
///
/// # Errors
/// [`ListenError`]
pub fn listener(again: &mut Goagain, address: &str) -> Result<Listener, ListenError> {
    again.listen(address, address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_err_closing_knows_a_closed_listener_from_others() {
        assert!(is_err_closing(&io::Error::from_raw_os_error(nix::Error::EBADF as i32)));
        assert!(!is_err_closing(&io::Error::from_raw_os_error(nix::Error::EMFILE as i32)));
        assert!(!is_err_closing(&io::Error::other("not an OS error")));
    }

    #[test]
    fn get_envs_reads_what_a_go_process_wrote() {
        let variables = |name: &str| {
            Some(OsString::from(match name {
                "GOAGAIN_FD" => "3",
                "GOAGAIN_NAME" => "tcp:127.0.0.1:48879->",
                "GOAGAIN_PID" => "",
                "GOAGAIN_PPID" => "77",
                "GOAGAIN_SIGNAL" => "3",
                _ => return None,
            }))
        };
        let handoff = get_envs_from(variables).unwrap().unwrap();
        assert_eq!(handoff.predecessor.as_raw(), 77);
        assert_eq!(handoff.successor, None);
    }
}
