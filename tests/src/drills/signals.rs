//! Signals at the worst moment: each signal in every state of both processes, and storms of signals.

mod states;
mod storm;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;

use self::states::{Entered, KILLING, Leaves, Restart, State};
use super::{Context, Drill};
use crate::config::StrategyKind;
use crate::image::Image;
use crate::open_request::OpenRequest;
use crate::process::Process;
use crate::service::{DEADLINE, Service};

pub(super) fn all() -> Vec<Drill> {
    let mut drills = vec![
        Drill::both("stop_in_every_state", "INT, TERM and QUIT in every state of either process", stops),
        Drill::both(
            "second_quit_in_every_state",
            "QUIT waits for the request in flight, a second QUIT does not, wherever a process drains",
            second_quits,
        ),
        Drill::both(
            "hup_usr1_usr2_in_every_state",
            "HUP, USR1 and USR2 in every state kill no process, and TERM is handled after them",
            others,
        ),
        Drill::both(
            "restart_requested_in_every_state",
            "USR2 to either process while a restart is in progress leads to one further restart",
            restarts,
        ),
        Drill::both(
            "signals_before_registration",
            "HUP, USR1 and USR2 to an image that has not installed its handlers yet do not kill it",
            unregistered,
        ),
    ];
    drills.extend(storm::all());
    drills
}

/// Runs `case` once for each state of the context's strategy that `wanted` selects.
fn in_every_state(
    context: &Context,
    wanted: impl Fn(&State) -> bool,
    case: impl Fn(&State) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let ours = |state: &&State| state.strategies.contains(&context.strategy) && wanted(state);
    for state in states::all().iter().filter(ours) {
        case(state).with_context(|| format!("to {}", state.name))?;
    }
    Ok(())
}

fn stops(context: &Context) -> anyhow::Result<()> {
    in_every_state(
        context,
        |_| true,
        |state| {
            for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT] {
                let entered = (state.enter)(context, state.probation_ms).context("enter")?;
                entered.service.mark();
                stop(context, state, entered, signal).with_context(|| signal.to_string())?;
            }
            Ok(())
        },
    )
}

/// Stops the target and checks what is left.
fn stop(context: &Context, state: &State, mut entered: Entered, signal: Signal) -> anyhow::Result<()> {
    entered.service.signal(entered.target, signal)?;
    let second = state.name == "a process that stops";
    if entered.is_targets_own() {
        let request = entered.request.take();
        if signal == Signal::SIGQUIT && !second {
            // It is alive: its loop still runs.
            call_back(&entered, Signal::SIGHUP)?;
            request.map(OpenRequest::finish).transpose()?;
        }
        entered.service.await_gone(entered.target)?;
    } else if let Some(request) = entered.request.take() {
        entered.service.await_gone(entered.target)?;
        request.finish().context("of the other process")?;
    }
    entered.service.await_gone(entered.target)?;
    left(context, state, entered)
}

fn left(context: &Context, state: &State, Entered { service, target, .. }: Entered) -> anyhow::Result<()> {
    if (state.leaves)(context.strategy) == Leaves::Everyone {
        for pid in service.pids() {
            service.await_gone(pid)?;
        }
        if state.name != KILLING {
            no_roll_back(&service)?;
        }
        return service.ended();
    }
    let survivor = service.get("/").context("the process that is left")?.pid;
    ensure!(survivor != target, "owner: expected another than {target}");
    service.quiesce()?;
    no_roll_back(&service)?;
    service.signal(survivor, Signal::SIGQUIT)?;
    service.ended()
}

fn no_roll_back(service: &Service) -> anyhow::Result<()> {
    let rolled = service.marked().iter().any(|event| event.name == "rolled_back");
    ensure!(!rolled, "a stop: expected no roll back, found {}", service.story(0));
    Ok(())
}

fn second_quits(context: &Context) -> anyhow::Result<()> {
    let drains =
        |state: &State| ["a predecessor that has released", "a child that hands back"].contains(&state.name);
    in_every_state(context, drains, |state| {
        let mut entered = (state.enter)(context, state.probation_ms).context("enter")?;
        entered.request.as_mut().context("a request in flight")?.linger()?;
        entered.service.mark();
        entered.service.signal(entered.target, Signal::SIGQUIT)?;
        call_back(&entered, Signal::SIGHUP)?;
        entered.service.signal(entered.target, Signal::SIGQUIT)?;
        entered.service.await_gone(entered.target)?;
        left(context, state, entered)
    })
}

/// Sends the target a signal that runs a callback, and waits for the callback.
fn call_back(entered: &Entered, signal: Signal) -> anyhow::Result<()> {
    let (service, target) = (&entered.service, entered.target);
    let called = |event: &crate::events::Event| event.name == "callback" && event.pid == target;
    let before = service.marked().iter().filter(|event| called(event)).count();
    service.signal(target, signal)?;
    service.await_times(before + 1, called, DEADLINE).with_context(|| format!("{signal}: its callback"))?;
    Ok(())
}

fn others(context: &Context) -> anyhow::Result<()> {
    in_every_state(
        context,
        |_| true,
        |state| {
            let entered = (state.enter)(context, state.probation_ms).context("enter")?;
            let (service, target) = (&entered.service, entered.target);
            service.mark();
            if entered.listens {
                call_back(&entered, Signal::SIGHUP)?;
                call_back(&entered, Signal::SIGUSR1)?;
            } else {
                service.signal(target, Signal::SIGHUP)?;
                service.signal(target, Signal::SIGUSR1)?;
            }
            // A process that exits alone would pass the request on, and then the other processes are not at rest.
            let alone = (state.leaves)(context.strategy) == Leaves::Itself;
            if !alone || !matches!(state.restart, Restart::Done(..)) {
                service.signal(target, Signal::SIGUSR2)?;
                let answer = match state.restart {
                    Restart::Done(..) | Restart::Noted => "requested",
                    Restart::Refused => "refused",
                    Restart::Unheard => "",
                };
                if entered.listens {
                    service.await_event(|event| event.name == answer && event.pid == target, DEADLINE)?;
                }
            }
            let died_of = (state.name == "a successor that starts").then_some("SIGTERM");
            if let Some(signal) = died_of {
                service.signal(target, Signal::SIGTERM)?;
                let failed = service.await_name("failed")?;
                ensure!(
                    failed.reason().contains(signal),
                    "reason: expected {signal}, found {}",
                    failed.reason()
                );
                service.await_gone(target)?;
                return left(context, state, entered);
            }
            stop(context, state, entered, Signal::SIGTERM)
        },
    )
}

fn restarts(context: &Context) -> anyhow::Result<()> {
    let done = |state: &State| matches!(state.restart, Restart::Done(..));
    in_every_state(context, done, |state| {
        let Restart::Done(single, double) = state.restart else { return Ok(()) };
        let mut entered = (state.enter)(context, state.short_probation()).context("enter")?;
        let service = &mut entered.service;
        service.mark();
        service.deploy(&service.image())?;
        service.signal(entered.target, Signal::SIGUSR2)?;
        service.await_event(|event| event.name == "requested" && event.pid == entered.target, DEADLINE)?;
        if state.name == "an owner whose successor starts" {
            let started =
                |event: &&crate::events::Event| event.name == "started" && event.pid != entered.target;
            let hangs = service.events().iter().find(started).map(|event| event.pid).context("started")?;
            service.signal(hangs, Signal::SIGTERM)?;
        }
        if let Some(request) = entered.request.take() {
            request.finish()?;
        }
        let generation = if context.strategy == StrategyKind::Double { double } else { single };
        service.await_settled(generation)?;
        service.await_rest()?;
        let settled = service.generation()?;
        let one = generation + if context.strategy == StrategyKind::Double { 2 } else { 1 };
        ensure!(settled == one, "generation: expected {one}, found {settled}: {}", service.story(0));
        entered.service.end()
    })
}

fn unregistered(context: &Context) -> anyhow::Result<()> {
    let mut service = context.start()?;
    let owner = service.owner()?;
    // It does not use the library, and waits until it is killed.
    service.deploy(&Image::bytes("#!/bin/sh\nexec tail -f /dev/null\n"))?;
    service.restart()?;
    let spawned = service.await_name("spawned")?;
    let pid = spawned.detail["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).context("a pid")?;
    // A child of the owner, which reaps it only after it has reported the failure.
    let image = Process::open(pid)?.context("the image")?;
    for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGTERM] {
        image.signal(signal)?;
    }
    let failed = service.await_name("failed")?;
    ensure!(failed.reason().contains("SIGTERM"), "reason: expected SIGTERM, found {}", failed.reason());
    super::serves_as_before(&service, owner)?;
    service.end()
}
