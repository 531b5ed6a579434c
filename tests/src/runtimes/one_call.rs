//! Servers that are one call of `run`: what reaches the predecessor when they fail, and that they lose nothing when they do not.

use super::{restarts, start, web};
use crate::drills::{Context, Drill, nothing_lost};
use crate::service::{DEADLINE, Service};
use anyhow::{Context as _, ensure};

/// HUP, USR1 and USR2, as /proc/PID/status shows them.
const BLOCKED: u64 = 1 << (libc::SIGHUP - 1) | 1 << (libc::SIGUSR1 - 1) | 1 << (libc::SIGUSR2 - 1);

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "tokio_main",
            "`tokio::run` in `#[tokio::main]`, whose threads are older than the library, with two listeners and reqwest: \
             helpers have an empty signal mask",
            tokio_main,
        ),
        Drill::both("run_threads", "`run` with two listeners, with reqwest", |context| {
            several(context, "run_threads").and_then(Service::end)
        }),
        Drill::both(
            "run_prepare_fails",
            "the predecessor reads the error of `prepare` with its causes, and stderr has it once",
            |context| fails(context, "prepare_fails", "cannot reach the database: connection refused"),
        ),
        Drill::both(
            "run_prepare_panics",
            "the predecessor reads the text of a panic in `prepare`, and stderr has it once",
            |context| fails(context, "prepare_panics", "the configuration is upside down"),
        ),
        Drill::both(
            "run_serving_fails",
            "an error of serving is like a crash: the predecessor takes over again",
            |context| rolls_back(context, "serving_fails", "the disk is gone"),
        ),
        Drill::both(
            "run_serving_panics",
            "a panic of serving is like a crash: the predecessor takes over again",
            |context| rolls_back(context, "serving_panics", "the disk is upside down"),
        ),
    ]
}

/// Restarts a server with two listeners under its clients.
fn several(context: &Context, behaviour: &str) -> anyhow::Result<Service> {
    let mut service = context.start_with(|config| {
        config.behaviour = behaviour.to_owned();
        config.idle_ms = 10_000;
        config.listen.push(("admin".into(), "127.0.0.1:0".into()));
    })?;
    let load = context.load(&service)?;
    restarts(context, &mut service, web::clients)?;
    nothing_lost(load)?;
    let (http, admin) = (service.get("/")?, service.get_from("admin", "/")?);
    ensure!(http == admin, "admin: expected {http:?}, found {admin:?}");
    Ok(service)
}

fn tokio_main(context: &Context) -> anyhow::Result<()> {
    let service = several(context, "run_tokio")?;
    for event in service.events().iter().filter(|event| event.name == "masks") {
        let mask = |of: &str| {
            let text = event.detail[of].as_str().with_context(|| format!("{of}: found {}", event.detail))?;
            u64::from_str_radix(text, 16).with_context(|| format!("{of}: `{text}`"))
        };
        ensure!(mask("helper")? == 0, "a helper's mask: expected 0, found {}", event.detail);
        // As the documentation says of threads that are older.
        let thread = mask("thread")? & BLOCKED;
        let expected = if event.generation == 1 { 0 } else { BLOCKED };
        ensure!(thread == expected, "an older thread's mask: expected {expected:x}, found {}", event.detail);
    }
    service.end()
}

/// Restarts into a process that does not get ready, for each kind of `run`.
fn fails(context: &Context, fault: &str, expected: &str) -> anyhow::Result<()> {
    for kind in ["run_threads", "run_tokio"] {
        let mut service = start(context, kind)?;
        let (owner, load) = (service.owner()?, context.load(&service)?);
        service.deploy(&service.image().behaviour(&format!("{kind} {fault}")))?;
        service.restart()?;
        let failed = service.await_name("failed")?;
        ensure!(failed.reason().contains(expected), "{kind}: expected `{expected}`, found {}", failed.detail);
        service.deploy(&service.image())?;
        service.quiesce()?;
        let times = service.stderr().matches(expected).count();
        ensure!(times == 1, "{kind}: expected `{expected}` once on stderr, found it {times} times");
        ensure!(service.get("/")?.pid == owner, "{kind}: expected the old process to serve");
        nothing_lost(load)?;
        service.restart_and_settle()?;
        service.end()?;
    }
    Ok(())
}

/// Restarts into a process that fails when it serves, for each kind of `run`.
fn rolls_back(context: &Context, fault: &str, expected: &str) -> anyhow::Result<()> {
    for kind in ["run_threads", "run_tokio"] {
        let mut service = context.start_with(|config| {
            config.behaviour = kind.to_owned();
            config.probation_ms = 5_000;
        })?;
        let owner = service.owner()?;
        service.deploy(&service.image().behaviour(&format!("{kind} {fault}")))?;
        service.restart()?;
        service.await_event(|event| event.name == "rolled_back" && event.pid == owner, DEADLINE)?;
        service.deploy(&service.image())?;
        service.quiesce()?;
        let stderr = service.stderr();
        ensure!(stderr.contains(expected), "{kind}: expected `{expected}` on stderr, found `{stderr}`");
        ensure!(service.get("/")?.pid == owner, "{kind}: expected the old process to serve");
        service.restart_and_settle()?;
        service.end()?;
    }
    Ok(())
}
