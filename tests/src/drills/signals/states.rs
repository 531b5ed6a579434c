//! The states that a process of a service can be in. Each is entered by waiting for events about it.

use anyhow::Context as _;
use nix::sys::signal::Signal;

use crate::config::StrategyKind::{self, Double, Single};
use crate::drills::{BOTH, Context, SHORT};
use crate::open_request::OpenRequest;
use crate::procfs;
use crate::service::{DEADLINE, Service};

/// Longer than any case takes: the predecessor stays the fallback.
const LONG: u64 = 10_000;

/// This state soon ends: a roll back may come first.
pub(super) const KILLING: &str = "a predecessor that kills its successor";
/// The heap of an image whose death is to take a while.
const HEAP_MIB: u64 = 512;

/// Which processes exit when the process in question is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaves {
    Everyone,
    Itself,
}

/// A state of one process.
pub(super) struct State {
    pub(super) name: &'static str,
    pub(super) strategies: &'static [StrategyKind],
    pub(super) leaves: fn(StrategyKind) -> Leaves,
    pub(super) enter: fn(&Context, probation_ms: u64) -> anyhow::Result<Entered>,
    /// The probation period for entering the state, if nothing waits for its end.
    pub(super) probation_ms: u64,
    /// What happens to a restart that is requested here.
    pub(super) restart: Restart,
}

/// What happens to a restart that is requested of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    /// It is done in the end: a generation after this one settles, under Single and under Double respectively.
    Done(u64, u64),
    /// It is refused.
    Refused,
    /// The process does not handle requests, and never will.
    Unheard,
    /// The service cannot continue from here, but the process notes it.
    Noted,
}

/// A service with one process in the state.
pub(super) struct Entered {
    pub(super) service: Service,
    pub(super) target: i32,
    /// A request in flight that delays a process.
    pub(super) request: Option<OpenRequest>,
    /// Whether the target's loop runs.
    pub(super) listens: bool,
}

impl Entered {
    /// Returns whether the request in flight is the target's own.
    pub(super) fn is_targets_own(&self) -> bool {
        self.request.as_ref().is_some_and(|request| request.pid == self.target)
    }
}

pub(super) fn all() -> Vec<State> {
    let state = |name, strategies, leaves, enter, probation_ms, restart| State {
        name,
        strategies,
        leaves,
        enter,
        probation_ms,
        restart,
    };
    let everyone: fn(StrategyKind) -> Leaves = |_| Leaves::Everyone;
    let itself: fn(StrategyKind) -> Leaves = |_| Leaves::Itself;
    // Under Double the old pid is the service's.
    let old: fn(StrategyKind) -> Leaves =
        |strategy| if strategy == Double { Leaves::Everyone } else { Leaves::Itself };
    vec![
        state("the first process before it is ready", BOTH, everyone, first, LONG, Restart::Unheard),
        state("an owner whose successor starts", BOTH, everyone, starting, LONG, Restart::Done(1, 1)),
        state("a successor that starts", BOTH, itself, initialising, LONG, Restart::Unheard),
        state("a successor whose predecessor died", BOTH, everyone, orphan, LONG, Restart::Unheard),
        state("a predecessor in probation", BOTH, old, draining, LONG, Restart::Done(2, 3)),
        state(KILLING, BOTH, everyone, killing, LONG, Restart::Done(1, 1)),
        state("an owner with a fallback", BOTH, everyone, with_fallback, LONG, Restart::Done(2, 3)),
        state("a predecessor that has released", &[Single], itself, released, 50, Restart::Refused),
        state("a process that stops", BOTH, everyone, stopping, LONG, Restart::Refused),
        state("a parent that starts its new image", &[Double], everyone, back, LONG, Restart::Unheard),
        state("a child that waits for its parent", &[Double], everyone, awaiting, LONG, Restart::Noted),
        state("a child that hands back", &[Double], itself, handing_back, LONG, Restart::Done(3, 3)),
        state("a parent that is the owner again", &[Double], everyone, owns_again, LONG, Restart::Done(3, 3)),
    ]
}

impl State {
    /// Returns the probation period for a case that waits until a restart is done.
    pub(super) fn short_probation(&self) -> u64 {
        self.probation_ms.min(SHORT)
    }
}

fn start(context: &Context, probation_ms: u64) -> anyhow::Result<Service> {
    context.start_with(|config| config.probation_ms = probation_ms)
}

/// Starts the owner, and a successor that hangs before READY.
fn hanging(context: &Context, probation_ms: u64) -> anyhow::Result<(Service, i32, i32)> {
    let mut service = start(context, probation_ms)?;
    let owner = service.owner()?;
    service.deploy(&service.image().behaviour("hang"))?;
    service.restart()?;
    let started = service.await_event(|event| event.name == "started" && event.pid != owner, DEADLINE)?.pid;
    service.await_event(|event| event.name == "spawned", DEADLINE)?;
    Ok((service, owner, started))
}

fn first(context: &Context, _: u64) -> anyhow::Result<Entered> {
    let service = context.spawn_hanging()?;
    let target = service.await_name("hangs")?.pid;
    Ok(Entered { service, target, request: None, listens: false })
}

fn starting(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, target, _) = hanging(context, probation_ms)?;
    Ok(Entered { service, target, request: None, listens: true })
}

fn initialising(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, _, target) = hanging(context, probation_ms)?;
    Ok(Entered { service, target, request: None, listens: false })
}

fn orphan(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, owner, target) = hanging(context, probation_ms)?;
    service.signal(owner, Signal::SIGKILL)?;
    service.await_gone(owner)?;
    Ok(Entered { service, target, request: None, listens: false })
}

/// Starts the predecessor and its successor, which serves.
fn handed_over(context: &Context, probation_ms: u64) -> anyhow::Result<(Service, i32, i32)> {
    let mut service = start(context, probation_ms)?;
    let old = service.owner()?;
    let new = hand_over(&mut service, old)?;
    Ok((service, old, new))
}

fn hand_over(service: &mut Service, old: i32) -> anyhow::Result<i32> {
    service.restart()?;
    service.await_event(|event| event.name == "serving" && event.pid == old, DEADLINE)?;
    service.await_event(|event| event.name == "owner" && event.pid != old, DEADLINE).map(|event| event.pid)
}

fn draining(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, target, _) = handed_over(context, probation_ms)?;
    Ok(Entered { service, target, request: None, listens: true })
}

/// Starts the predecessor, and a successor that never serves and is dying: the kernel releases its memory.
fn killing(context: &Context, _: u64) -> anyhow::Result<Entered> {
    let mut service = context.start_with(|config| config.serving_ms = SHORT)?;
    let target = service.owner()?;
    service.deploy(&service.image().behaviour("hang_after_ready").with("heap_mib", HEAP_MIB))?;
    service.restart()?;
    let hangs = service.await_event(|event| event.name == "owner" && event.pid != target, DEADLINE)?.pid;
    service.deploy(&service.image().behaviour("exit3"))?;
    procfs::await_unmapped(hangs, DEADLINE)?;
    Ok(Entered { service, target, request: None, listens: true })
}

fn with_fallback(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, _, target) = handed_over(context, probation_ms)?;
    Ok(Entered { service, target, request: None, listens: true })
}

fn released(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let mut service = start(context, probation_ms)?;
    let target = service.owner()?;
    let request = OpenRequest::by_owner(&service)?;
    hand_over(&mut service, target)?;
    service.await_event(|event| event.name == "released" && event.pid == target, DEADLINE)?;
    Ok(Entered { service, target, request: Some(request), listens: true })
}

fn stopping(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let service = start(context, probation_ms)?;
    let target = service.owner()?;
    let request = OpenRequest::by_owner(&service)?;
    service.signal(target, Signal::SIGQUIT)?;
    service.await_event(|event| event.name == "draining" && event.pid == target, DEADLINE)?;
    Ok(Entered { service, target, request: Some(request), listens: true })
}

/// Starts Double's parent, which does not exec itself before its open request is answered, and the child with this probation
/// period.
fn handed_over_with_request(
    context: &Context,
    probation_ms: u64,
) -> anyhow::Result<(Service, i32, i32, OpenRequest)> {
    let mut service = context.start_with(|config| {
        config.probation_ms = 50;
        config.in_generation(2, "probation_ms", probation_ms);
    })?;
    let parent = service.owner()?;
    let request = OpenRequest::by(&service, parent)?;
    let child = hand_over(&mut service, parent)?;
    Ok((service, parent, child, request))
}

/// Starts Double's parent, which hangs before READY after its exec, and the child.
fn coming_back(context: &Context, probation_ms: u64) -> anyhow::Result<(Service, i32, i32)> {
    let (mut service, parent, child, request) = handed_over_with_request(context, probation_ms)?;
    service.deploy(&service.image().behaviour("hang"))?;
    request.finish()?;
    service.await_event(|event| event.name == "started" && event.pid == parent, DEADLINE)?;
    service.await_event(|event| event.name == "released" && event.pid == child, DEADLINE)?;
    Ok((service, parent, child))
}

fn back(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, target, _) = coming_back(context, probation_ms)?;
    Ok(Entered { service, target, request: None, listens: false })
}

fn awaiting(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, _, target) = coming_back(context, probation_ms)?;
    Ok(Entered { service, target, request: None, listens: true })
}

/// Starts Double's parent as the owner again, and the child with a request in flight.
fn handed_back(context: &Context, probation_ms: u64) -> anyhow::Result<(Service, i32, i32, OpenRequest)> {
    let (service, parent, child, first) = handed_over_with_request(context, probation_ms)?;
    let request = OpenRequest::by(&service, child)?;
    first.finish()?;
    service
        .await_event(|event| event.name == "owner" && event.pid == parent, DEADLINE)
        .context("the parent as the owner")?;
    service.await_event(|event| event.name == "serving" && event.pid == child, DEADLINE)?;
    Ok((service, parent, child, request))
}

fn handing_back(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, _, target, request) = handed_back(context, probation_ms)?;
    Ok(Entered { service, target, request: Some(request), listens: true })
}

fn owns_again(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, target, _, request) = handed_back(context, probation_ms)?;
    Ok(Entered { service, target, request: Some(request), listens: true })
}
