//! What each listener adds to the time of a handover: shown, not checked.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::resource::{Resource, getrlimit};

use super::{Context, Drill};
use crate::service::Service;
use crate::soak::raise_descriptor_limit;
use crate::summary::{Spread, commit_ns};

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "thousand_listeners",
            "1,000 listeners carried over: what each adds to the time from signal to commit",
            drill,
        ),
        Drill::both(
            "more_than_a_variable",
            "10,000 listeners, whose list is too long for a variable: carried over three times",
            more_than_a_variable,
        ),
    ]
}

const MORE: usize = 1_000;
/// How many times each is measured.
const TIMES: usize = 9;

fn drill(context: &Context) -> anyhow::Result<()> {
    raise_descriptor_limit()?;
    let extra = |number| (format!("extra {number}"), "127.0.0.1:0".to_owned());
    let mut few = context.start()?;
    let mut many = context.start_with(|config| config.listen.extend((0..MORE).map(extra)))?;
    let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
    // Alternating, so that the machine is in the same state for both.
    for _ in 0..TIMES {
        of_few.push(commit(&mut few)?);
        of_many.push(commit(&mut many)?);
    }
    let count = |service: &Service| anyhow::Ok(service.descriptors_at_rest()?.len());
    let (open_few, open_many) = (count(&few)?, count(&many)?);
    ensure!(
        open_many == open_few + MORE,
        "descriptors: expected {MORE} more than {open_few}, found {open_many}"
    );
    let [of_few, of_many] = [of_few, of_many].map(|times| Spread::of(times).context("commits"));
    let (of_few, of_many) = (of_few?.median_ns, of_many?.median_ns);
    let each = Duration::from_nanos(of_many.saturating_sub(of_few) / MORE as u64);
    let [one, all] = [of_few, of_many].map(Duration::from_nanos);
    context.note(format!("signal → commit: 1 listener {one:.2?}, {} {all:.2?}: {each:.2?} each", MORE + 1));
    few.end()?;
    many.end()
}

fn more_than_a_variable(context: &Context) -> anyhow::Result<()> {
    raise_descriptor_limit()?;
    // Each listener needs two descriptors for a moment, when the state of a socket is made.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let extra = usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(500).min(10_000);
    let mut service = context.start_with(|config| config.extra = extra)?;
    service.quiesce()?;
    let before = service.descriptors(service.owner()?)?.len();
    ensure!(before > extra, "descriptors: expected more than {extra}, found {before}");
    let mut times = Vec::new();
    for _ in 0..3 {
        times.push(commit(&mut service)?);
    }
    service.quiesce()?;
    let after = service.descriptors(service.owner()?)?.len();
    ensure!(after == before, "descriptors: expected {before}, found {after}");
    let median = Spread::of(times).context("commits")?.median_ns;
    context.note(format!(
        "signal → commit with {} listeners: {:.2?}",
        extra + 1,
        Duration::from_nanos(median)
    ));
    service.end()
}

fn commit(service: &mut Service) -> anyhow::Result<u64> {
    let restart = service.restart_and_settle()?;
    commit_ns(&service.marked(), &restart).context("commit: expected an event `committed`")
}
