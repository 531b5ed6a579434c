//! The states that a process of a service can be in, each entered by waiting for what is said about it.

use anyhow::Context as _;
use nix::sys::signal::Signal;

use crate::config::StrategyKind::{self, Double, Single};
use crate::drills::{BOTH, Context, SHORT};
use crate::held::Held;
use crate::procfs;
use crate::service::{DEADLINE, Service};

/// Longer than any case takes: the predecessor stays the net.
const LONG: u64 = 10_000;

/// It is soon over: a roll back may come first.
pub(super) const KILLING: &str = "a predecessor that kills its successor";
/// What an image holds whose death is to take a while.
const HEAP_MIB: u64 = 512;

/// Who leaves when the process in question is told to stop.
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
    /// The probation to enter with, where nothing waits for its end.
    pub(super) probation_ms: u64,
    /// How a restart that is asked for here comes to be done.
    pub(super) restart: Restart,
}

/// What becomes of a restart that the process is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    /// It is done in the end: a generation after this one settles, under Single and under Double.
    Done(u64, u64),
    /// It is refused.
    Refused,
    /// The process does not listen, and never will.
    Unheard,
    /// The service cannot go on from here, but the process notes it.
    Noted,
}

/// A service, one process of which is in the state.
pub(super) struct Entered {
    pub(super) service: Service,
    pub(super) target: i32,
    /// A request in flight that keeps a process.
    pub(super) held: Option<Held>,
    /// Whether the target's loop runs.
    pub(super) listens: bool,
}

impl Entered {
    /// Whether the request in flight is the target's own.
    pub(super) fn is_held(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.pid == self.target)
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
        state("an owner over a net", BOTH, everyone, over_a_net, LONG, Restart::Done(2, 3)),
        state("a predecessor that has released", &[Single], itself, released, 50, Restart::Refused),
        state("a process that stops", BOTH, everyone, stopping, LONG, Restart::Refused),
        state("a parent that starts anew", &[Double], everyone, back, LONG, Restart::Unheard),
        state("a child that waits for its parent", &[Double], everyone, awaiting, LONG, Restart::Noted),
        state("a child that gives back", &[Double], itself, giving_back, LONG, Restart::Done(3, 3)),
        state("a parent that owns again", &[Double], everyone, owns_again, LONG, Restart::Done(3, 3)),
    ]
}

impl State {
    /// The probation for a case that waits until a restart is done.
    pub(super) fn short_probation(&self) -> u64 {
        self.probation_ms.min(SHORT)
    }
}

fn start(context: &Context, probation_ms: u64) -> anyhow::Result<Service> {
    context.start_with(|config| config.probation_ms = probation_ms)
}

/// The owner, and a successor that hangs before ready.
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
    Ok(Entered { service, target, held: None, listens: false })
}

fn starting(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, target, _) = hanging(context, probation_ms)?;
    Ok(Entered { service, target, held: None, listens: true })
}

fn initialising(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, _, target) = hanging(context, probation_ms)?;
    Ok(Entered { service, target, held: None, listens: false })
}

fn orphan(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, owner, target) = hanging(context, probation_ms)?;
    service.signal(owner, Signal::SIGKILL)?;
    service.await_gone(owner)?;
    Ok(Entered { service, target, held: None, listens: false })
}

/// The predecessor and its successor, which serves.
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
    Ok(Entered { service, target, held: None, listens: true })
}

/// The predecessor, and a successor that never serves and is dying by now: the kernel takes its memory apart.
fn killing(context: &Context, _: u64) -> anyhow::Result<Entered> {
    let mut service = context.start_with(|config| config.serving_ms = SHORT)?;
    let target = service.owner()?;
    service.deploy(&service.image().behaviour("hang_after_ready").with("heap_mib", HEAP_MIB))?;
    service.restart()?;
    let hangs = service.await_event(|event| event.name == "owner" && event.pid != target, DEADLINE)?.pid;
    service.deploy(&service.image().behaviour("exit3"))?;
    procfs::await_unmapped(hangs, DEADLINE)?;
    Ok(Entered { service, target, held: None, listens: true })
}

fn over_a_net(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, _, target) = handed_over(context, probation_ms)?;
    Ok(Entered { service, target, held: None, listens: true })
}

fn released(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let mut service = start(context, probation_ms)?;
    let target = service.owner()?;
    let held = Held::by_owner(&service)?;
    hand_over(&mut service, target)?;
    service.await_event(|event| event.name == "released" && event.pid == target, DEADLINE)?;
    Ok(Entered { service, target, held: Some(held), listens: true })
}

fn stopping(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let service = start(context, probation_ms)?;
    let target = service.owner()?;
    let held = Held::by_owner(&service)?;
    service.signal(target, Signal::SIGQUIT)?;
    service.await_event(|event| event.name == "draining" && event.pid == target, DEADLINE)?;
    Ok(Entered { service, target, held: Some(held), listens: true })
}

/// Double's parent, which does not exec itself before the request that it holds is answered, and the child with this probation.
fn handed_over_and_held(context: &Context, probation_ms: u64) -> anyhow::Result<(Service, i32, i32, Held)> {
    let mut service = context.start_with(|config| {
        config.probation_ms = 50;
        config.in_generation(2, "probation_ms", probation_ms);
    })?;
    let parent = service.owner()?;
    let held = Held::by(&service, parent)?;
    let child = hand_over(&mut service, parent)?;
    Ok((service, parent, child, held))
}

/// Double's parent after its exec, hanging before ready, and the child.
fn coming_back(context: &Context, probation_ms: u64) -> anyhow::Result<(Service, i32, i32)> {
    let (mut service, parent, child, held) = handed_over_and_held(context, probation_ms)?;
    service.deploy(&service.image().behaviour("hang"))?;
    held.finish()?;
    service.await_event(|event| event.name == "started" && event.pid == parent, DEADLINE)?;
    service.await_event(|event| event.name == "released" && event.pid == child, DEADLINE)?;
    Ok((service, parent, child))
}

fn back(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, target, _) = coming_back(context, probation_ms)?;
    Ok(Entered { service, target, held: None, listens: false })
}

fn awaiting(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, _, target) = coming_back(context, probation_ms)?;
    Ok(Entered { service, target, held: None, listens: true })
}

/// Double's parent, owner again, and the child that still has a request.
fn given_back(context: &Context, probation_ms: u64) -> anyhow::Result<(Service, i32, i32, Held)> {
    let (service, parent, child, first) = handed_over_and_held(context, probation_ms)?;
    let held = Held::by(&service, child)?;
    first.finish()?;
    service.await_event(|event| event.name == "owner" && event.pid == parent, DEADLINE).context("back")?;
    service.await_event(|event| event.name == "serving" && event.pid == child, DEADLINE)?;
    Ok((service, parent, child, held))
}

fn giving_back(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, _, target, held) = given_back(context, probation_ms)?;
    Ok(Entered { service, target, held: Some(held), listens: true })
}

fn owns_again(context: &Context, probation_ms: u64) -> anyhow::Result<Entered> {
    let (service, target, _, held) = given_back(context, probation_ms)?;
    Ok(Entered { service, target, held: Some(held), listens: true })
}
