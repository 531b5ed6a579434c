//! The start of a service's first process.

use std::env;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::{ServiceOptions, ending};
use crate::config::{ServerConfig, VARIABLE};
use crate::floor;
use crate::image::{Folder, no_writers};
use crate::inbox::Inbox;
use crate::process::Process;

/// Starts the deployed image, with its standard error in a file.
pub(super) fn spawn(
    folder: &Folder,
    inbox: &Inbox,
    options: &ServiceOptions,
) -> anyhow::Result<Arc<Process>> {
    let image = folder.image();
    let config = ServerConfig { events: inbox.path().to_owned(), ..options.config.clone() };
    let mut command = match options.script.or(options.without_stdin.then_some(r#"exec "$0" <&-"#)) {
        // The server replaces the shell, so the pid is the same.
        Some(script) => {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", script]).arg(&image);
            shell
        }
        None => Command::new(&image),
    };
    for (name, _) in env::vars_os() {
        // If the harness itself runs under goagain, or is asked for the floor, it must not pass that on.
        if name.to_string_lossy().starts_with("GOAGAIN_") || name == floor::VARIABLE {
            command.env_remove(name);
        }
    }
    // A panic that resolves its backtrace needs hundreds of milliseconds until the process is dead.
    command.env("RUST_BACKTRACE", "0");
    command.env(VARIABLE, config.to_json()).envs(options.variables.clone()).current_dir(folder.path());
    let stdin = options.stdin.as_ref().map(|fd| fd.try_clone()).transpose()?;
    command.stdin(stdin.map_or_else(Stdio::null, Stdio::from)).stdout(Stdio::null());
    command.stderr(File::create(folder.path().join(ending::STDERR)).context("a file for standard error")?);
    if options.own_group {
        command.process_group(0);
    }
    let child = {
        let _quiet = no_writers();
        command.spawn().with_context(|| format!("{}: cannot be started", image.display()))?
    };
    let pid = child.id() as i32;
    // It is our child and not reaped, so it can be opened even if it has died already.
    let Some(process) = Process::open(pid)? else { bail!("{pid}: expected our child, found no process") };
    inbox.follow(process);
    let found = inbox.processes().into_iter().find(|process| process.pid() == pid);
    found.context("the first process")
}
