//! The names of the Go package goagain of 2014, for who comes from there.
//!
//! | Go | Rust | difference |
//! |---|---|---|
//! | `AwaitSignals(l)`, `Wait(l)` | [`wait`] | takes no listener: the library keeps them all. USR2 restarts and is no reason to return; INT, TERM, QUIT and a hand-over are |
//! | `Exec(l)` | [`exec`] | drains, and execs if the strategy does; comes back if the process is to leave or to serve again |
//! | `ForkExec(l)` | [`fork_exec`] | `posix_spawn`, done by the next `wait`; gives the attempt's number, and the observer is told what becomes of it |
//! | `GetEnvs()` | [`get_envs`] | pure: all variables, parsed, or a typed error that names the bad one |
//! | `IsErrClosing(err)` | [`is_err_closing`] | an acceptor ends with `None`, and so needs it not; it is for listeners of your own |
//! | `Kill()` | [`kill`] | says READY, and waits for the answer; a seed's process is sent GOAGAIN_SIGNAL, if it is our parent or child indeed |
//! | `KillParent(ppid)` | [`kill_parent`] | the same: no pid is taken from the caller |
//! | `Listener()` | [`listener`] | by name or address, any number of them; bound where none is inherited |
//! | `Single`, `Double` | `goagain::Single`, `goagain::Double` | types, by feature, in place of constants |
//! | `SIGINT`, `SIGQUIT`, `SIGTERM`, `SIGUSR2` | [`SIGINT`], [`SIGQUIT`], [`SIGTERM`], [`SIGUSR2`] | values of [`Signal`] |
//! | `OnSIGHUP`, `OnSIGUSR1` | [`Builder::on_hup`](crate::Builder::on_hup), [`Builder::on_usr1`](crate::Builder::on_usr1) | given to the builder; their errors and panics are reported |
//! | `Strategy` | [`Goagain::builder`](crate::Goagain::builder) | given to the builder, without a default |

use crate::error::{ListenError, ReadyError};
use crate::life::{Finish, Goagain};
use crate::socket::Listener;
use goagain_env::HandoffError;
use goagain_signals::{Signal, Stop};
use std::ffi::OsString;
use std::io;

/// `SIGINT`: stop now.
pub const SIGINT: Signal = Signal::Int;
/// `SIGQUIT`: stop gracefully.
pub const SIGQUIT: Signal = Signal::Quit;
/// `SIGTERM`: stop now.
pub const SIGTERM: Signal = Signal::Term;
/// `SIGUSR2`: restart.
pub const SIGUSR2: Signal = Signal::Usr2;

/// What `GetEnvs` reads: see [`get_envs`].
pub use goagain_env::Handoff;

/// Serves until this process has to stop accepting, and says why: [`Goagain::wait`].
///
/// # Errors
/// Those of [`Goagain::wait`].
pub fn wait(again: &mut Goagain) -> io::Result<Stop> {
    again.wait()?;
    Ok(again.stopping().unwrap_or(Stop::HandedOver))
}

/// The older name of [`wait`].
///
/// # Errors
/// Those of [`Goagain::wait`].
pub fn await_signals(again: &mut Goagain) -> io::Result<Stop> {
    wait(again)
}

/// Drains and, where the strategy says so, execs (`execve`): [`Goagain::finish`].
///
/// # Errors
/// Those of [`Goagain::finish`].
pub fn exec(again: &mut Goagain) -> io::Result<Finish> {
    again.finish()
}

/// Asks for a restart, and gives the number of the attempt: [`Handle::restart`](crate::Handle::restart).
pub fn fork_exec(again: &mut Goagain) -> u64 {
    again.handle().restart()
}

/// The handoff that the environment describes, which nobody has verified: [`Handoff::decode`].
///
/// # Errors
/// [`HandoffError`] names the variable, the value, and what was expected.
pub fn get_envs() -> Result<Option<Handoff>, HandoffError> {
    get_envs_from(|name| std::env::var_os(name))
}

fn get_envs_from(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Option<Handoff>, HandoffError> {
    Handoff::decode(lookup)
}

/// Whether an error says that the listener is closed or is none (EBADF, EINVAL, ENOTSOCK), as Go's `errClosing` does.
pub fn is_err_closing(error: &io::Error) -> bool {
    let closed = [nix::Error::EBADF, nix::Error::EINVAL, nix::Error::ENOTSOCK];
    error.raw_os_error().is_some_and(|code| closed.contains(&nix::Error::from_raw(code)))
        || error.kind() == io::ErrorKind::NotConnected
}

/// Takes the service over: [`Goagain::ready`].
///
/// # Errors
/// [`ReadyError`]
pub fn kill(again: &mut Goagain) -> Result<(), ReadyError> {
    again.ready()
}

/// The same as [`kill`]: whom to tell is known, and verified.
///
/// # Errors
/// [`ReadyError`]
pub fn kill_parent(again: &mut Goagain) -> Result<(), ReadyError> {
    again.ready()
}

/// The listener at `address`, inherited or bound, under the address as its name: [`Goagain::listen`].
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
        assert!(!is_err_closing(&io::Error::other("no system error at all")));
    }

    #[test]
    fn get_envs_reads_what_a_seed_wrote() {
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
