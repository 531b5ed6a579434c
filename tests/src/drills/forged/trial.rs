//! One start of a program in a forged environment, and its result.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;

use super::Expected;
use crate::client;
use crate::config::{ServerConfig, VARIABLE};
use crate::drills::Context;
use crate::image::{Folder, spawn};
use crate::inbox::Inbox;
use crate::process::Process;
use crate::service::DEADLINE;

/// What a program is started with.
#[derive(Debug, Default)]
pub(super) struct Trial {
    /// Its variables.
    pub(super) variables: Vec<(&'static str, OsString)>,
    /// A descriptor that it gets as number 7.
    pub(super) seventh: Option<OwnedFd>,
    /// Whether a shell starts it and sets GOAGAIN_PPID to its own pid: the handoff of a parent.
    pub(super) by_its_parent: bool,
}

/// This shell stays between the harness and the program, so that the program's parent is not the harness: the
/// variables contain this shell's pid. It passes on the exit status of the program.
const PARENT: &str = r#"
export GOAGAIN_PPID=$$
[ -z "$GOAGAIN_CHANNEL" ] || export GOAGAIN_CHANNEL="$GOAGAIN_CHANNEL predecessor=$$"
"$0" 7<&0 </dev/null & wait $!; exit $?"#;
/// This shell is replaced by the program.
const SEVENTH: &str = r#"exec "$0" 7<&0 </dev/null"#;

impl Trial {
    /// Starts the drill server, and fails unless it does what is expected.
    pub(super) fn run(self, context: &Context, expected: Expected) -> anyhow::Result<()> {
        let folder = Folder::new()?;
        let inbox = Inbox::new(&folder.path().join("events"))?;
        let said = folder.path().join("said");
        let child = self.start(context, inbox.path(), File::create(&said)?)?;
        let mut running = Running::of(child)?;
        let said =
            || fs::read(&said).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
        match expected {
            Expected::Afresh => {
                let owns = |event: &crate::events::Event| event.name == "owner";
                let owner = inbox.wait(0, DEADLINE, |all| all.iter().find(|event| owns(event)).cloned());
                let owner = owner.with_context(|| format!("expected it to serve, found `{}`", said()))?;
                let address = owner.detail["addresses"]["http"].as_str().unwrap_or_default();
                let answered = client::get(&address.parse()?, "/")?.identity().context("an identity")?;
                ensure!(answered.generation == 1, "generation: expected 1, found {}", answered.generation);
                let server = Process::open(owner.pid)?.context("the server")?;
                ensure!(server.signal(Signal::SIGTERM)?, "the server: expected it to be alive");
                ensure!(server.await_death(DEADLINE)?, "the server: expected it to end on TERM");
                running.end()?;
                ensure!(said().is_empty(), "standard error: expected nothing, found `{}`", said());
            }
            Expected::Refused(variable) => {
                let code = running.end().with_context(|| format!("expected `{variable}` to be refused"))?;
                let said = said();
                ensure!(code == Some(2), "exit status: expected 2, found {code:?}: {said}");
                ensure!(said.lines().count() == 1, "standard error: expected one line, found `{said}`");
                ensure!(
                    said.len() < 500,
                    "standard error: expected a short line, found {} bytes",
                    said.len()
                );
                let named = format!("{variable}: ");
                ensure!(said.contains(&named), "standard error: expected `{named}`, found `{said}`");
            }
        }
        Ok(())
    }

    fn start(self, context: &Context, events: &std::path::Path, said: File) -> anyhow::Result<Child> {
        let config = ServerConfig { events: events.to_owned(), ..ServerConfig::default() };
        let mut command = match (self.by_its_parent, &self.seventh) {
            (false, None) => Command::new(&context.binaries.server),
            (by_its_parent, _) => {
                let mut shell = Command::new("/bin/sh");
                shell
                    .args(["-c", if by_its_parent { PARENT } else { SEVENTH }])
                    .arg(&context.binaries.server);
                shell
            }
        };
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GOAGAIN_"))
        {
            command.env_remove(name);
        }
        command.envs(self.variables).env(VARIABLE, config.to_json());
        command.stdin(self.seventh.map_or_else(Stdio::null, Stdio::from)).stdout(Stdio::null()).stderr(said);
        Ok(spawn(&mut command)?)
    }
}

/// The process that was started. Killed and reaped on drop.
struct Running {
    child: Child,
    process: Process,
}

impl Running {
    fn of(child: Child) -> anyhow::Result<Self> {
        let process = Process::open(child.id() as i32)?.context("our child")?;
        Ok(Self { child, process })
    }

    /// Waits for its end; returns its exit status.
    fn end(&mut self) -> anyhow::Result<Option<i32>> {
        if !self.process.await_death(DEADLINE)? {
            bail!("the program: expected it to end within {DEADLINE:?}");
        }
        Ok(self.child.wait()?.code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // This has no effect on a process that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
