//! Servers that are one call of `run`: what reaches the predecessor when they fail, and that they lose nothing when they do not.

use super::{restarts, start, web};
use crate::config::StrategyKind;
use crate::drills::{Context, Drill, nothing_lost};
use crate::service::{DEADLINE, Service};
use anyhow::{Context as _, ensure};

/// What the first process of a restart blocks in the second, as /proc/PID/status shows it: HUP, USR1 and USR2.
const OF_A_CHILD: u64 = 0xa01;
/// The same across an exec in place: INT, QUIT and TERM too.
const OF_AN_EXEC: u64 = 0x4a07;

/// How often a server at an address is restarted: the calls below it have drills of their own.
const RESTARTS: usize = 3;

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "tokio_main",
            "`tokio::run` in `#[tokio::main]`, whose threads are older than the library, with two listeners and reqwest: \
             helpers have the documented signal mask",
            tokio_main,
        ),
        Drill::both("run_threads", "`run` with two listeners, with reqwest", |context| {
            several(context, "run_threads").and_then(Service::end)
        }),
        Drill::both("run_at_threads", "`threads::run` at an address", |context| {
            at(context, "run_at_threads")
        }),
        Drill::both("run_at_axum", "`axum::run` at an address", |context| at(context, "run_at_axum")),
        Drill::both("run_at_hyper", "`hyper::run` at an address", |context| at(context, "run_at_hyper")),
        Drill::both("run_at_tonic", "`tonic::run` at an address", |context| at(context, "run_at_tonic")),
        Drill::both("run_at_actix", "`actix::run` at an address", |context| at(context, "run_at_actix")),
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
fn several(context: &Context, behavior: &str) -> anyhow::Result<Service> {
    let mut service = context.start_with(|config| {
        config.behavior = behavior.to_owned();
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

/// Restarts a server that is one call with an address a few times, under its clients.
fn at(context: &Context, behavior: &str) -> anyhow::Result<()> {
    let mut service = start(context, behavior)?;
    let address = service.address("http")?;
    let clients = web::clients(address.strip_prefix("tcp:").context("expected a TCP address")?)?;
    for number in 1..=RESTARTS {
        service.restart_and_settle().with_context(|| format!("restart {number}"))?;
        clients.await_answers(clients.answered())?;
    }
    clients.finish()?;
    ensure!(
        service.address("http")? == address,
        "address: expected {address}, found {}",
        service.address("http")?
    );
    service.end()
}

fn tokio_main(context: &Context) -> anyhow::Result<()> {
    let service = several(context, "run_tokio")?;
    for event in service.events().iter().filter(|event| event.name == "masks") {
        let mask = |of: &str| {
            let text = event.detail[of].as_str().with_context(|| format!("{of}: found {}", event.detail))?;
            u64::from_str_radix(text, 16).with_context(|| format!("{of}: `{text}`"))
        };
        // `run` has unblocked the signals in the workers of the runtime, which are older.
        for of in ["worker", "helper"] {
            ensure!(mask(of)? == 0, "{of}: expected an empty mask, found {}", event.detail);
        }
        // What has not been unblocked, and what it starts, is as the guide `servers` says.
        let expected: &[u64] = match (event.generation, context.strategy) {
            (1, _) => &[0],
            (_, StrategyKind::Double) => &[OF_A_CHILD, OF_AN_EXEC],
            _ => &[OF_A_CHILD],
        };
        for of in ["thread", "inheriting"] {
            ensure!(expected.contains(&mask(of)?), "{of}: expected {expected:x?}, found {}", event.detail);
        }
    }
    service.end()
}

/// Restarts into a process that does not get ready, for each kind of `run`.
fn fails(context: &Context, fault: &str, expected: &str) -> anyhow::Result<()> {
    for kind in ["run_threads", "run_tokio"] {
        let mut service = start(context, kind)?;
        let (owner, load) = (service.owner()?, context.load(&service)?);
        service.deploy(&service.image().behavior(&format!("{kind} {fault}")))?;
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
            config.behavior = kind.to_owned();
            config.probation_ms = 5_000;
        })?;
        let owner = service.owner()?;
        service.deploy(&service.image().behavior(&format!("{kind} {fault}")))?;
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
