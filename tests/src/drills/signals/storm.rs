//! Storms: a thousand signals at random moments, to one process and to the whole group, and TERM at the moment of exec.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;

use crate::config::StrategyKind;
use crate::drills::{Context, Drill, SHORT};
use crate::events::Event;
use crate::process::Process;
use crate::service::{DEADLINE, Service};

/// The number of signals in a storm.
const SIGNALS: usize = 1_000;
/// The longest time between two signals, in milliseconds.
const GAP_MS: u64 = 4;
/// The variable that repeats a storm. Its value is the random seed that a failed storm has printed.
const SEED: &str = "DRILL_SEED";

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "storm_to_one_process",
            "1,000 HUP, USR1 and USR2 at random moments to the service's pid: one restart at a time, then QUIT",
            to_one,
        ),
        Drill::both(
            "storm_to_the_group",
            "the same to the whole process group, so to both processes of a restart",
            to_the_group,
        ),
        Drill::both(
            "usr2_to_the_group_is_one_restart",
            "USR2 to the group of one process, and of two, starts one restart",
            group_is_one,
        ),
        Drill {
            name: "stop_at_exec",
            about: "a stop around the exec of Double, between RELEASED and the new image's term: all processes exit",
            strategies: &[StrategyKind::Double],
            run: at_exec,
        },
    ]
}

/// Marsaglia's xorshift64: random enough, and repeatable.
struct Random(u64);

impl Random {
    fn seeded() -> anyhow::Result<Self> {
        let seed = match std::env::var(SEED) {
            Ok(text) => text.parse().with_context(|| format!("{SEED}: expected a number, found `{text}`"))?,
            Err(_) => SystemTime::UNIX_EPOCH.elapsed()?.as_nanos() as u64,
        };
        Ok(Self(seed.max(1)))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn to_one(context: &Context) -> anyhow::Result<()> {
    storm(context, |service, signal| {
        // Under Single the owner may have handed over and exited since it was looked up.
        while service.signal(operated(service)?, signal).is_err() {}
        Ok(())
    })
}

/// Returns the pid that an operator sends signals to.
fn operated(service: &Service) -> anyhow::Result<i32> {
    match service.strategy() {
        StrategyKind::Double => Ok(service.main_pid()),
        StrategyKind::Single | StrategyKind::Standby => service.owner(),
    }
}

fn to_the_group(context: &Context) -> anyhow::Result<()> {
    storm(context, |service, signal| service.signal_group(signal))
}

fn storm(context: &Context, send: impl Fn(&Service, Signal) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut random = Random::seeded()?;
    let seed = random.0;
    let mut options = context.options().config(|config| {
        config.idle_ms = 50;
        config.probation_ms = 200;
    });
    options.own_group = true;
    let service = context.start_options(options)?;
    rage(context, service, &mut random, send).with_context(|| format!("{SEED}={seed}"))
}

fn rage(
    context: &Context,
    service: Service,
    random: &mut Random,
    send: impl Fn(&Service, Signal) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let me = Process::open(std::process::id() as i32)?.context("this process")?;
    for _ in 0..SIGNALS {
        let signal = [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2][random.below(3) as usize];
        send(&service, signal)?;
        // This waits for nothing: the moment is random.
        me.await_death(Duration::from_millis(random.below(GAP_MS)))?;
    }
    service.await_rest()?;
    service.mark();
    send(&service, Signal::SIGUSR2)?;
    service.await_name("requested")?;
    service.await_name("settled").context("after the last USR2")?;
    service.await_rest()?;
    let answered = service.get("/")?;
    ensure!(answered.pid == service.owner()?, "owner: expected {}, found {answered:?}", service.owner()?);
    service.signal(service.owner()?, Signal::SIGQUIT)?;
    for pid in service.pids() {
        service.await_gone(pid)?;
    }
    let events = service.events();
    one_at_a_time(&events).with_context(|| service.story(0))?;
    nobody_died(&events).with_context(|| service.story(0))?;
    let count = |name: &str| events.iter().filter(|event| event.name == name).count();
    context.note(format!(
        "{} restarts, {} callbacks, {} requests noted, {} refused",
        count("spawned"),
        count("callback"),
        count("requested"),
        count("refused")
    ));
    service.ended()
}

/// Checks that an owner starts an attempt only after its own predecessor has released, and while it has no other attempt, and
/// that each attempt is started once.
fn one_at_a_time(events: &[Event]) -> anyhow::Result<()> {
    let mut released = BTreeSet::new();
    let mut under_way = BTreeMap::new();
    let mut attempts = BTreeSet::new();
    for event in events {
        match event.name.as_str() {
            "released" => {
                released.insert((event.pid, event.generation));
            }
            "spawned" => {
                let who = (event.pid, event.generation);
                let free = event.generation == 1 || released.contains(&who);
                ensure!(free, "attempt {}: expected it after RELEASED", event.attempt);
                let other = under_way.insert(who, event.attempt);
                ensure!(
                    other.is_none(),
                    "attempt {}: expected none under way, found {other:?}",
                    event.attempt
                );
                ensure!(attempts.insert(event.attempt), "attempt {}: expected it once", event.attempt);
            }
            "failed" | "rolled_back" => bail!("expected no attempt to fail, found {event:?}"),
            _ => {}
        }
    }
    Ok(())
}

/// Checks that every owner has exited by returning from main, or, in the middle of Double, by exec.
fn nobody_died(events: &[Event]) -> anyhow::Result<()> {
    let pids = |name: &str| -> BTreeSet<i32> {
        events.iter().filter(|event| event.name == name).map(|event| event.pid).collect()
    };
    let (owners, left) = (pids("owner"), pids("leaving"));
    ensure!(owners == left, "owners: expected all of {owners:?} to exit by themselves, found {left:?}");
    Ok(())
}

fn group_is_one(context: &Context) -> anyhow::Result<()> {
    let mut options = context.options().config(|config| config.probation_ms = SHORT);
    options.own_group = true;
    let service = context.start_options(options)?;
    let old = service.owner()?;
    let spawned = || service.events().iter().filter(|event| event.name == "spawned").count();
    service.signal_group(Signal::SIGUSR2)?;
    service.await_event(|event| event.name == "serving" && event.pid == old, DEADLINE)?;
    let new = service.owner()?;
    ensure!(spawned() == 1, "USR2 to one: expected 1 restart, found {}", spawned());
    // Both note it, and it leads to one restart.
    service.mark();
    service.signal_group(Signal::SIGUSR2)?;
    for pid in [old, new] {
        service.await_event(|event| event.name == "requested" && event.pid == pid, DEADLINE)?;
    }
    service.await_name("spawned")?;
    service.await_rest()?;
    ensure!(spawned() == 2, "USR2 to two: expected 2 restarts in all, found {}", service.story(0));
    service.end()
}

/// The moments around the exec: the event and its process.
const MOMENTS: [(&str, Who); 6] = [
    ("serving", Who::Parent),
    ("released", Who::Parent),
    ("released", Who::Child),
    ("started", Who::Parent),
    ("ready", Who::Parent),
    ("owner", Who::Parent),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Parent,
    Child,
}

fn at_exec(context: &Context) -> anyhow::Result<()> {
    for (name, who) in MOMENTS {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
            let context_of = || format!("{signal} to the parent at `{name}` of the {who:?}");
            let mut service = context.start_with(|config| config.probation_ms = 50)?;
            let parent = service.owner()?;
            // Marked here, since the events of the first image come before.
            service.restart()?;
            service
                .await_event(
                    |event| event.name == name && (event.pid == parent) == (who == Who::Parent),
                    DEADLINE,
                )
                .with_context(context_of)?;
            service.signal(parent, signal).with_context(context_of)?;
            for pid in service.pids() {
                service.await_gone(pid).with_context(|| format!("{}: {}", context_of(), service.story(0)))?;
            }
            let wrong = service
                .marked()
                .into_iter()
                .find(|event| ["rolled_back", "failed"].contains(&event.name.as_str()));
            ensure!(wrong.is_none(), "{}: expected no failure, found {}", context_of(), service.story(0));
            service.ended().with_context(context_of)?;
        }
    }
    Ok(())
}
