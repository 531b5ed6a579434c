//! Images that start and do not work: before READY the service is not affected, after commit the restart is rolled back.

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;

use super::{Context, Drill, SHORT, restarts_well, serves_as_before, successor_is_gone};
use crate::config::StrategyKind;
use crate::events::Event;
use crate::open_request::OpenRequest;
use crate::service::{DEADLINE, Service};

/// Longer than a drill waits for anything, in milliseconds.
const TOO_LONG: u64 = 120_000;

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "image_that_exits",
            "exit before READY: the old process keeps serving, the child is reaped (Go defects 3, 14)",
            exits,
        ),
        Drill::both(
            "image_that_panics",
            "a panic before READY: the old process keeps serving, the child is reaped",
            panics,
        ),
        Drill::both(
            "image_that_fails",
            "FAILED: the old process keeps serving, and the reason is reported",
            fails,
        ),
        Drill::both(
            "image_that_hangs",
            "not ready in time: killed and reaped, a retry works (Go defect 9)",
            hangs,
        ),
        Drill::both(
            "image_that_hangs_is_replaced",
            "a fixed image, deployed over one that hangs, starts at once, without waiting for ready_timeout",
            hangs_and_is_replaced,
        ),
        Drill::both(
            "image_that_hangs_is_aborted",
            "abort_attempt ends the current attempt; after commit it does nothing and reports that",
            hangs_and_is_aborted,
        ),
        Drill {
            name: "parent_image_that_hangs_is_aborted",
            about: "Double's second exec hangs: a newer image waits for it, abort_attempt abandons it",
            strategies: &[StrategyKind::Double],
            run: parent_hangs_and_is_aborted,
        },
        Drill::both("successor_dies_in_probation", "kill -9 after commit: rolled back", killed_in_probation),
        Drill::both(
            "image_that_aborts_after_commit",
            "abort once it is the owner: rolled back",
            aborts_after_commit,
        ),
        Drill::both(
            "image_that_hangs_after_commit",
            "it never sends SERVING: killed, rolled back",
            hangs_after_commit,
        ),
        Drill {
            name: "parent_image_that_exits",
            about: "Double's second exec runs a bad image: the child keeps serving (Go defect 8)",
            strategies: &[StrategyKind::Double],
            run: parent_exits,
        },
    ]
}

fn exits(context: &Context) -> anyhow::Result<()> {
    bad_before_ready(context.start()?, "exit3").map(drop)
}

fn panics(context: &Context) -> anyhow::Result<()> {
    bad_before_ready(context.start()?, "panic").map(drop)
}

fn fails(context: &Context) -> anyhow::Result<()> {
    let failed = bad_before_ready(context.start()?, "fail")?;
    ensure!(
        failed.reason().contains("no database"),
        "reason: expected `no database`, found {}",
        failed.detail
    );
    Ok(())
}

fn hangs(context: &Context) -> anyhow::Result<()> {
    bad_before_ready(context.start_with(|config| config.ready_ms = SHORT)?, "hang").map(drop)
}

fn hangs_and_is_replaced(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| config.ready_ms = TOO_LONG)?;
    let load = context.load(&service)?;
    service.deploy(&service.image().behavior("hang"))?;
    service.restart()?;
    let hung = service.await_name("hangs")?.pid;
    // A further request for the same image is noted.
    service.restart()?;
    service.await_name("requested")?;
    service.quiesce()?;
    ensure!(service.living().contains(&hung), "{hung}: expected it to be alive");
    service.deploy(&service.image())?;
    service.restart_and_settle()?;
    let failed = service.await_name("failed")?;
    ensure!(failed.reason().contains("newer image"), "reason: found `{}`", failed.reason());
    service.await_gone(hung)?;
    super::nothing_lost(load)?;
    let owner = service.owner()?;
    serves_as_before(&service, owner)?;
    restarts_well(&mut service)?;
    service.end()
}

fn hangs_and_is_aborted(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| {
        (config.ready_ms, config.probation_ms, config.abort_timeout_ms) = (TOO_LONG, 5_000, 200);
        config.behavior = "aborts".into();
    })?;
    let owner = service.owner()?;
    let load = context.load(&service)?;
    service.deploy(&service.image().behavior("hang"))?;
    service.restart()?;
    service.await_name("hangs")?;
    service.signal(owner, Signal::SIGUSR1)?;
    let failed = service.await_name("failed")?;
    ensure!(failed.reason() == "requested by the operator", "reason: found `{}`", failed.reason());
    successor_is_gone(&service, owner)?;
    serves_as_before(&service, owner)?;
    service.mark();
    service.signal(owner, Signal::SIGUSR1)?;
    let idle = service.await_name("not_aborted")?;
    ensure!(idle.reason() == "no restart is running", "reason: found `{}`", idle.reason());
    service.deploy(&service.image())?;
    let restart = service.restart()?;
    service.await_event(|event| event.name == "owner" && event.pid != owner, DEADLINE)?;
    service.signal(owner, Signal::SIGUSR1)?;
    let too_late =
        service.await_event(|event| event.name == "not_aborted" && event.pid == owner, DEADLINE)?;
    ensure!(too_late.reason().contains("a commit is final"), "reason: found `{}`", too_late.reason());
    service.await_settled(restart.generation)?;
    super::nothing_lost(load)?;
    service.end()
}

fn parent_hangs_and_is_aborted(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| {
        (config.reexec_ms, config.probation_ms, config.abort_timeout_ms) = (TOO_LONG, 2_000, 200);
        config.behavior = "aborts".into();
    })?;
    let parent = service.owner()?;
    let load = context.load(&service)?;
    service.restart()?;
    let child = service.await_event(|event| event.name == "owner" && event.pid != parent, DEADLINE)?.pid;
    // Before probation ends, so before the parent execs itself.
    service.deploy(&service.image().behavior("hang"))?;
    service.await_event(|event| event.name == "hangs" && event.pid == parent, DEADLINE)?;
    service.deploy(&service.image())?;
    service.signal(child, Signal::SIGUSR2)?;
    service.await_event(|event| event.name == "requested" && event.pid == child, DEADLINE)?;
    service.quiesce()?;
    ensure!(service.living().contains(&parent), "{parent}: expected it to be alive");
    service.signal(child, Signal::SIGUSR1)?;
    let failed = service.await_name("failed")?;
    ensure!(failed.reason() == "requested by the operator", "reason: found `{}`", failed.reason());
    service.await_name("refused")?;
    service.await_gone(parent)?;
    super::nothing_lost(load)?;
    serves_as_before(&service, child)?;
    service.end()
}

/// Restarts into `behavior`, which fails, and then into a good image, which works.
fn bad_before_ready(mut service: Service, behavior: &str) -> anyhow::Result<Event> {
    let owner = service.owner()?;
    service.deploy(&service.image().behavior(behavior))?;
    service.restart()?;
    let failed = service.await_name("failed")?;
    successor_is_gone(&service, owner)?;
    serves_as_before(&service, owner)?;
    service.deploy(&service.image())?;
    restarts_well(&mut service)?;
    service.end()?;
    Ok(failed)
}

fn killed_in_probation(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start_with(|config| config.probation_ms = 10_000)?;
    let owner = service.owner()?;
    let load = context.load(&service)?;
    service.restart()?;
    let successor = service.await_event(|event| event.name == "owner" && event.pid != owner, DEADLINE)?;
    service.signal(successor.pid, Signal::SIGKILL)?;
    rolled_back(&service, owner)?;
    // What the killed process had accepted is lost with it. That cannot be prevented, and is not checked.
    load.finish()?;
    service.end()
}

fn aborts_after_commit(context: &Context) -> anyhow::Result<()> {
    // It never sends SERVING, and the end of probation alone does not release the predecessor.
    bad_after_commit(context.start()?, "die_after_ready")
}

fn hangs_after_commit(context: &Context) -> anyhow::Result<()> {
    bad_after_commit(context.start_with(|config| config.serving_ms = SHORT)?, "hang_after_ready")
}

/// Restarts into `behavior`, which is rolled back, and then into a good image, which works.
fn bad_after_commit(mut service: Service, behavior: &str) -> anyhow::Result<()> {
    let owner = service.owner()?;
    service.deploy(&service.image().behavior(behavior))?;
    service.restart()?;
    rolled_back(&service, owner)?;
    service.deploy(&service.image())?;
    restarts_well(&mut service)?;
    service.end()
}

/// Waits until the old owner has taken over again, and no other process is left.
fn rolled_back(service: &Service, owner: i32) -> anyhow::Result<()> {
    let rolled = service.await_event(|event| event.name == "rolled_back" && event.pid == owner, DEADLINE)?;
    ensure!(!rolled.reason().is_empty(), "reason: expected one, found none");
    service
        .await_event(|event| event.name == "owner" && event.pid == owner, DEADLINE)
        .context("owner again")?;
    successor_is_gone(service, owner)?;
    serves_as_before(service, owner)
}

fn parent_exits(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start()?;
    let parent = service.owner()?;
    // The parent does not exec itself until the request is answered.
    let request = OpenRequest::by(&service, parent)?;
    let load = context.load(&service)?;
    service.restart()?;
    let child = service.await_event(|event| event.name == "owner" && event.pid != parent, DEADLINE)?.pid;
    service.deploy(&service.image().behavior("exit3"))?;
    request.finish()?;
    service.await_gone(parent)?;
    let answered = service.get("/")?;
    ensure!(answered.pid == child, "owner: expected {child}, found {}", answered.pid);
    super::nothing_lost(load)?;
    serves_as_before(&service, child)?;
    service.end()
}
