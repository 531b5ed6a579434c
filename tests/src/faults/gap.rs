//! Measures how long nobody accepts when a successor dies and its fallback takes the service back, under load.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde::Serialize;

use crate::config::StrategyKind;
use crate::events::now;
use crate::load::{Load, LoadOptions, losses};
use crate::records::{Kind, Outcome, Record};
use crate::service::{Binaries, DEADLINE, Service, ServiceOptions};
use crate::summary::Spread;

/// New connections a second: an answer is due every 2 ms.
const RATE: u32 = 495;

/// Each successor is killed later in its probation period, and in its predecessor's drain.
const LATER: Duration = Duration::from_millis(10);

/// How long the fallback serves before the next restart: long enough for answers.
const SERVED: Duration = Duration::from_millis(50);

/// Which process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// The successor that was started.
    First,
    /// Double's parent, which has exec'd itself and is the owner again.
    Second,
}

/// The result.
#[derive(Clone, Debug, Serialize)]
pub struct Gap {
    /// The strategy.
    pub strategy: StrategyKind,
    /// Which process died.
    pub half: Half,
    /// How many times.
    pub times: u32,
    /// From SIGKILL to the first answer of the fallback on a new connection.
    pub answered: Spread,
    /// The number of requests.
    pub requests: usize,
    /// The number of requests that were lost. All of them were in flight in a process that was killed.
    pub lost: usize,
}

/// Kills the current owner `times` times in its probation period, and measures how long it takes until its fallback answers.
///
/// # Errors
/// - a roll back does not happen, or a request is lost that was not in flight in a killed process.
pub fn measure(binaries: &Binaries, strategy: StrategyKind, half: Half, times: u32) -> anyhow::Result<Gap> {
    let options = ServiceOptions::new(strategy).config(|config| {
        // In the first half nothing waits for the end of probation. In the second half each exec does.
        config.probation_ms = if half == Half::First { 60_000 } else { 2_000 };
        (config.idle_ms, config.abort_timeout_ms) = (1_000, 1_000);
    });
    let service = Service::start(binaries, options)?;
    let load = LoadOptions { rate: RATE, keepalive: 0, slow: 5, slow_ms: 100, ..LoadOptions::default() };
    let load = Load::start(&binaries.load, &service.address("http")?, &load)?;
    let mut kills = Vec::new();
    for number in 0..times {
        let kill = roll_back(&service, &load, half, LATER * (number % 20))
            .with_context(|| format!("roll back {} of {times}: {}", number + 1, service.story(0)))?;
        kills.push(kill);
    }
    let records = load.finish()?;
    service.end()?;
    summarise(strategy, half, times, &kills, &records)
}

/// A process that was killed: when SIGKILL was sent, when it was seen dead, and which process was its fallback.
struct Kill {
    sent: u64,
    seen: u64,
    fallback: i32,
}

fn roll_back(service: &Service, load: &Load, half: Half, after: Duration) -> anyhow::Result<Kill> {
    let owner = service.owner()?;
    service.mark();
    service.signal(owner, Signal::SIGUSR2)?;
    let owns = |pid: i32, since: u64| {
        service.await_event(|event| event.name == "owner" && event.pid == pid && event.t > since, DEADLINE)
    };
    let successor = service.await_event(|event| event.name == "owner" && event.pid != owner, DEADLINE)?;
    let (killed, fallback) = match half {
        Half::First => (successor.pid, owner),
        Half::Second => (owns(owner, successor.t)?.pid, successor.pid),
    };
    load.run_for(after)?;
    let sent = now();
    service.signal(killed, Signal::SIGKILL)?;
    service.await_gone(killed)?;
    let seen = now();
    owns(fallback, sent).context("the fallback")?;
    load.run_for(SERVED)?;
    service.quiesce()?;
    Ok(Kill { sent, seen, fallback })
}

fn summarise(
    strategy: StrategyKind,
    half: Half,
    times: u32,
    kills: &[Kill],
    records: &[Record],
) -> anyhow::Result<Gap> {
    let mut gaps = Vec::new();
    for kill in kills {
        let answers = records.iter().filter(|record| {
            record.kind == Kind::New && record.outcome == Outcome::Ok && record.pid == kill.fallback
        });
        // A request that the fallback had accepted itself, in its own term, does not count.
        let first = answers.map(Record::end_ns).filter(|end| *end > kill.sent).min();
        gaps.push(first.context("expected an answer of the fallback, found none")? - kill.sent);
    }
    let lost = losses(records);
    let unfair = lost
        .iter()
        .find(|record| !kills.iter().any(|kill| record.due_ns <= kill.seen && record.end_ns() >= kill.sent));
    ensure!(
        unfair.is_none(),
        "requests lost: expected only those in flight in a killed process, found {unfair:?}"
    );
    let answered = Spread::of(gaps).context("expected at least one roll back")?;
    Ok(Gap { strategy, half, times, answered, requests: records.len(), lost: lost.len() })
}
