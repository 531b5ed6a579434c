//! The Go package's `Kill`, `ForkExec`, `Exec` and `Wait`, with its variables and signals.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context as _;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, execve};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use crate::listener::Listener;

/// The signals that [`wait`] waits for.
pub(crate) const WAITED_FOR: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// The environment of this process with the changes that `os.Setenv` would have made, for the programs that it executes.
///
/// Everything in it is passed on, including the variables of another goagain and stale ones.
#[derive(Debug)]
pub(crate) struct Environment(BTreeMap<OsString, OsString>);

/// What the Go package keeps in global variables.
#[derive(Debug)]
pub(crate) struct GoProcess {
    pub(crate) environment: Environment,
    double: bool,
}

impl Environment {
    pub(crate) fn new() -> Environment {
        Environment(env::vars_os().collect())
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.insert(name.into(), value.into());
    }

    /// Returns the number in a variable; `None` if it is absent, empty or something else.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.0.get(OsStr::new(name))?.to_str()?.parse().ok()
    }

    /// Returns the strings `NAME=value` for exec.
    fn strings(&self) -> anyhow::Result<Vec<CString>> {
        let joined = self.0.iter().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
        Ok(joined.map(CString::new).collect::<Result<_, _>>()?)
    }
}

impl GoProcess {
    pub(crate) fn new(environment: Environment, double: bool) -> GoProcess {
        GoProcess { environment, double }
    }

    /// `Kill`: signals the other process, which GOAGAIN_PID or, if that is empty, GOAGAIN_PPID names. Under Double QUIT
    /// goes to the child, which is reaped in the background.
    pub(crate) fn kill(&self) -> anyhow::Result<(Pid, Signal)> {
        let pid = self.environment.number("GOAGAIN_PID").or_else(|| self.environment.number("GOAGAIN_PPID"));
        let pid =
            pid.filter(|pid| *pid > 1).map(Pid::from_raw).context("GOAGAIN_PPID: expected a pid above 1")?;
        let number = self.environment.number::<i32>("GOAGAIN_SIGNAL");
        let signal = number.and_then(|number| Signal::try_from(number).ok()).unwrap_or(Signal::SIGQUIT);
        if self.double && signal == Signal::SIGQUIT {
            std::thread::spawn(move || waitpid(pid, None));
        }
        kill(pid, signal).with_context(|| format!("cannot send {signal} to {pid}"))?;
        Ok((pid, signal))
    }

    /// `ForkExec`: executes the image again with the listener. From then on this process's GOAGAIN_PID is the child's.
    fn fork_exec(&mut self, listener: &Listener) -> anyhow::Result<Pid> {
        let (image, arguments) = command()?;
        self.describe(listener)?;
        let signal = if self.double { Signal::SIGUSR2 } else { Signal::SIGQUIT };
        self.environment.set("GOAGAIN_PID", "");
        self.environment.set("GOAGAIN_PPID", Pid::this().to_string());
        self.environment.set("GOAGAIN_SIGNAL", (signal as i32).to_string());
        let mut actions = PosixSpawnFileActions::init()?;
        // In the child Go closes the descriptors between standard error and the listener, and keeps those above it.
        for number in 3..listener.as_fd().as_raw_fd() {
            actions.add_close(number)?;
        }
        let attributes = PosixSpawnAttr::init()?;
        let child =
            posix_spawn(image.as_c_str(), &actions, &attributes, &arguments, &self.environment.strings()?)
                .with_context(|| format!("{image:?}: cannot be spawned"))?;
        self.environment.set("GOAGAIN_PID", child.to_string());
        Ok(child)
    }

    /// `Exec`: executes the image again in this process, with the listener and the same pid. Returns only if that fails.
    pub(crate) fn exec(mut self, listener: &Listener) -> anyhow::Result<()> {
        let (image, arguments) = command()?;
        self.describe(listener)?;
        self.environment.set("GOAGAIN_SIGNAL", (Signal::SIGQUIT as i32).to_string());
        let Err(error) = execve(&image, &arguments, &self.environment.strings()?);
        Err(error).with_context(|| format!("{image:?}: cannot be executed"))
    }

    fn describe(&mut self, listener: &Listener) -> anyhow::Result<()> {
        listener.clear_close_on_exec()?;
        self.environment.set("GOAGAIN_FD", listener.as_fd().as_raw_fd().to_string());
        self.environment.set("GOAGAIN_NAME", format!("{}->", listener.label()?));
        Ok(())
    }
}

/// `Wait`: the first USR2 forks, the other five and any later USR2 return.
pub(crate) fn wait(
    mut signals: Signals,
    process: &mut GoProcess,
    listener: &Listener,
    spawned: impl Fn(Pid),
) -> anyhow::Result<Signal> {
    // Go delivers a signal that it was asked to wait for, even if a predecessor had blocked it.
    WAITED_FOR.into_iter().map(Signal::try_from).collect::<nix::Result<SigSet>>()?.thread_unblock()?;
    let mut forked = false;
    for number in signals.forever() {
        match Signal::try_from(number)? {
            // OnSIGHUP and OnSIGUSR1 are not set.
            Signal::SIGHUP | Signal::SIGUSR1 => {}
            Signal::SIGUSR2 if !forked => {
                forked = true;
                spawned(process.fork_exec(listener)?);
            }
            signal => return Ok(signal),
        }
    }
    anyhow::bail!("signals: expected one, found the end")
}

/// Returns the path and the arguments to execute. They are looked up each time, since a deployment may have replaced the file.
fn command() -> anyhow::Result<(CString, Vec<CString>)> {
    let arguments: Vec<OsString> = env::args_os().collect();
    let name = arguments.first().context("argv[0]: expected a name, found none")?;
    let image = if name.as_bytes().contains(&b'/') {
        PathBuf::from(name)
    } else {
        let path = env::var_os("PATH").unwrap_or_default();
        let mut candidates = env::split_paths(&path).map(|folder| folder.join(name));
        let executable =
            |path: &PathBuf| path.metadata().is_ok_and(|file| file.permissions().mode() & 0o111 != 0);
        candidates.find(executable).with_context(|| format!("{name:?}: expected it on PATH"))?
    };
    let arguments = arguments.into_iter().map(|argument| CString::new(argument.into_vec()));
    Ok((CString::new(image.into_os_string().into_vec())?, arguments.collect::<Result<_, _>>()?))
}
