//! An interactive shell: which process has its terminal after a restart.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;

use super::wrapped::Wrapped;
use super::{Context, Drill};
use crate::config::StrategyKind;
use crate::events::Event;
use crate::process::Process;
use crate::service::DEADLINE;

pub(super) fn all() -> Vec<Drill> {
    vec![Drill::both(
        "interactive_shell",
        "in the foreground of a shell: after a restart Ctrl-C reaches Double but not Single, as the README says",
        interactive,
    )]
}

/// What a terminal sends for Ctrl-C.
const INTERRUPT: &[u8] = b"\x03";

fn interactive(context: &Context) -> anyhow::Result<()> {
    let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !is_there("script") || !is_there("bash") {
        context.note("not drilled: `script` and `bash` are not installed");
        return Ok(());
    }
    let mut shell = Wrapped::start(context, |_| {
        let mut command = Command::new("script");
        // With its own terminal, and job control.
        command.args(["-q", "-c", "bash --norc --noprofile -i", "/dev/null"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    })?;
    let mut keys = shell.outer.stdin.take().context("the keyboard")?;
    let image = shell.image();
    let image = image.display();
    writeln!(keys, "{image}")?;
    let first = shell.await_event(0, |event| event.name == "owner")?.pid;
    let server = shell.only_process()?;
    ensure!(server.signal(Signal::SIGUSR2)?, "{first}: expected it to be alive");
    let is_double = context.strategy == StrategyKind::Double;
    let settled =
        shell.await_event(0, |event| event.name == "settled" && (!is_double || event.pid == first))?.pid;
    ensure!((settled == first) == is_double, "pid: expected another under Single, found {first}, {settled}");
    let owner = Process::open(settled)?.context("the owner")?;
    if is_double {
        keys.write_all(INTERRUPT)?;
        ensure!(owner.await_death(DEADLINE)?, "Ctrl-C: expected it to end the server");
    }
    // The shell reads it when it has its terminal back. Then the helper gets the Ctrl-C.
    let helper = format!("DRILL_HELPER=1 {image}");
    // A Ctrl-C that comes just before the shell starts a program is handled when that program ends, so it runs short ones.
    writeln!(keys, "sh -c 'trap \"{helper}; exit\" INT; {helper}; while :; do sleep 0.1; done'")?;
    for (number, what) in [(0, "a line for the shell"), (1, "a Ctrl-C for the program that it runs now")] {
        let ran = |all: &[Event]| all.iter().filter(|event| event.name == "helper").nth(number).map(drop);
        shell.inbox.wait(0, DEADLINE, ran).with_context(|| format!("{what}: expected its event"))?;
        if number == 0 {
            keys.write_all(INTERRUPT)?;
        }
    }
    let lives = !owner.is_dead()?;
    ensure!(lives != is_double, "the server: expected Ctrl-C to miss Single only, found it alive: {lives}");
    if lives {
        ensure!(shell.get()?.0 == settled, "owner: expected {settled}");
        owner.signal(Signal::SIGTERM)?;
        ensure!(owner.await_death(DEADLINE)?, "{settled}: expected it to end");
    }
    writeln!(keys, "exit")?;
    drop(keys);
    shell.outer.wait()?;
    Ok(())
}
