//! What survives exec, and what must not: descriptors and variables.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::{Context, Drill, restarts_well};
use crate::config::StrategyKind;
use crate::events::Event;
use crate::image::spawn;
use crate::process::Process;
use crate::service::{DEADLINE, Service};

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "helper_inherits_nothing",
            "a helper run by the server has none of the server's descriptors, and does not take itself for a successor (Go defect 13)",
            helper,
        ),
        Drill::both(
            "successor_inherits_no_more",
            "a successor has the same descriptors as a process without a predecessor",
            successor,
        ),
        Drill {
            name: "stale_environment",
            about: "variables meant for another process: no process is signalled, nothing is adopted (Go defect 11)",
            strategies: &[StrategyKind::Single],
            run: stale,
        },
        Drill::both(
            "supervisor_variables",
            "a supervisor's variables that name the old pid, or descriptors of the old process, are removed",
            supervisor_variables,
        ),
    ]
}

fn helper(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| config.behaviour = "helper".into())?;
    inherited_nothing(context, &service, 1)?;
    let restart = service.restart_and_settle()?;
    // The image after commit has adopted the descriptors, and under Double the second image too.
    let generations = if context.strategy == StrategyKind::Double { 2 } else { 1 };
    inherited_nothing(context, &service, generations)?;
    ensure!(
        service.generation()? > restart.generation,
        "generation: expected more than {}",
        restart.generation
    );
    service.end()
}

fn inherited_nothing(context: &Context, service: &Service, times: usize) -> anyhow::Result<()> {
    // What the harness itself was started with goes to every program. A helper that it starts has only that.
    let mut control = Command::new(&context.binaries.server);
    let control = spawn(control.env("DRILL_HELPER", "1").stdout(Stdio::piped()))?.wait_with_output()?;
    let control: serde_json::Value =
        serde_json::from_slice(&control.stdout).context("the control's answer")?;
    for number in 1..=times {
        let event = service.await_times(number, |event: &Event| event.name == "helper", DEADLINE)?;
        let (found, expected) = (&event.detail["descriptors"], &control["descriptors"]);
        ensure!(found == expected, "helper: expected the descriptors {expected}, found {found}");
        // The variables of its server's own start are in its environment, and mean nothing to the helper.
        let successor = &event.detail["successor"];
        ensure!(*successor == false, "helper: expected no successor, found {successor}");
    }
    Ok(())
}

fn successor(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start()?;
    let kinds = |service: &Service| -> anyhow::Result<Vec<String>> {
        let all = service.descriptors_at_rest()?;
        let mut kinds: Vec<String> = all.into_iter().map(|(_, kind)| kind).collect();
        kinds.sort_unstable();
        Ok(kinds)
    };
    let first = kinds(&service)?;
    restarts_well(&mut service)?;
    let inherited = kinds(&service)?;
    ensure!(first == inherited, "descriptors: expected {first:?}, found {inherited:?}");
    service.end()
}

fn stale(context: &Context) -> anyhow::Result<()> {
    let mut victim = spawn(Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()))?;
    let watched = Process::open(victim.id() as i32)?.context("cat")?;
    let result = (|| {
        let mut options = context.options();
        let pid = victim.id().to_string();
        options.variables = [
            ("GOAGAIN_FD", "99"),
            ("GOAGAIN_NAME", "tcp:127.0.0.1:1->"),
            ("GOAGAIN_PID", ""),
            ("GOAGAIN_PPID", &pid),
            ("GOAGAIN_SIGNAL", "12"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let mut service = context.start_options(options)?;
        restarts_well(&mut service)?;
        ensure!(!watched.is_dead()?, "the forged GOAGAIN_PPID: expected it to be left alone, found it dead");
        service.end()
    })();
    // It is our own child and not reaped yet, so the pid still belongs to it.
    victim.kill()?;
    victim.wait()?;
    result
}

/// Starts the server as systemd does with a socket and a watchdog. The pids are those of the server, which replaces the shell.
const BY_SYSTEMD: &str = r#"
    export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=http WATCHDOG_PID=$$ WATCHDOG_USEC=30000000 SYSTEMD_EXEC_PID=$$
    export NOTIFY_SOCKET=/run/none INVOCATION_ID=0c2d JOURNAL_STREAM=8:4711
    exec "$0""#;
/// What an image in another process must not see. The second list is what it may see in the same process.
const OF_THE_OLD: [&str; 5] =
    ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", "SYSTEMD_EXEC_PID"];
const OF_THE_SAME_PID: [&str; 2] = ["WATCHDOG_PID", "SYSTEMD_EXEC_PID"];
/// What any image must see.
const OF_THE_SERVICE: [&str; 4] = ["NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM", "WATCHDOG_USEC"];

fn supervisor_variables(context: &Context) -> anyhow::Result<()> {
    let mut options = context.options().config(|config| config.behaviour = "environment".into());
    options.script = Some(BY_SYSTEMD);
    let mut service = context.start_options(options)?;
    let first = service.await_name("environment")?;
    for name in OF_THE_OLD {
        ensure!(first.detail[name].is_string(), "{name}: expected it in the first image");
    }
    for _ in 0..2 {
        service.restart_and_settle()?;
        let images = service.marked().into_iter().filter(|event| event.name == "environment");
        let images: Vec<Event> = images.collect();
        // Under Double the child that serves in between, then the process that is the owner again.
        let count = if context.strategy == StrategyKind::Double { 2 } else { 1 };
        ensure!(images.len() == count, "images: expected {count}, found {}", images.len());
        for image in images {
            let is_same_pid = image.pid == service.main_pid();
            for name in OF_THE_OLD {
                let expected = is_same_pid && OF_THE_SAME_PID.contains(&name);
                let found = &image.detail[name];
                ensure!(found.is_string() == expected, "{name} in {}: found {found}", image.pid);
            }
            for name in OF_THE_SERVICE {
                let (expected, found) = (&first.detail[name], &image.detail[name]);
                ensure!(found == expected, "{name}: expected {expected}, found {found}");
            }
        }
    }
    service.end()
}
