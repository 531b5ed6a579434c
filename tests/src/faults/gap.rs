//! How long nobody accepts when a successor dies and its net takes the service back, under load.

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

/// New connections a second: an answer falls due every 2 ms.
const RATE: u32 = 495;

/// A successor is killed later in its probation, and in its predecessor's drain, each time.
const LATER: Duration = Duration::from_millis(10);

/// For how long the net serves before the next restart: long enough for answers.
const SERVED: Duration = Duration::from_millis(50);

/// Who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// The successor that was started.
    First,
    /// Double's parent, which has exec'd itself and is the owner again.
    Second,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Gap {
    /// The strategy.
    pub strategy: StrategyKind,
    /// Who died.
    pub half: Half,
    /// How often.
    pub times: u32,
    /// From SIGKILL to the first answer of the net on a new connection.
    pub answered: Spread,
    /// Requests, and how many of them were in flight in a process that was killed.
    pub requests: usize,
    /// Those lost.
    pub lost: usize,
}

/// Kills the owner of now `times` times in its probation, and sees how long it takes until its net answers.
///
/// # Errors
/// - a roll back does not come, or a request is lost that was not in flight in what was killed.
pub fn measure(binaries: &Binaries, strategy: StrategyKind, half: Half, times: u32) -> anyhow::Result<Gap> {
    let options = ServiceOptions::new(strategy).config(|config| {
        // In the first half nobody waits for its end, in the second each exec does.
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

/// A process that was killed: when it was sent SIGKILL, when it was seen dead, and who was its net.
struct Kill {
    sent: u64,
    seen: u64,
    net: i32,
}

fn roll_back(service: &Service, load: &Load, half: Half, after: Duration) -> anyhow::Result<Kill> {
    let owner = service.owner()?;
    service.mark();
    service.signal(owner, Signal::SIGUSR2)?;
    let owns = |pid: i32, since: u64| {
        service.await_event(|event| event.name == "owner" && event.pid == pid && event.t > since, DEADLINE)
    };
    let successor = service.await_event(|event| event.name == "owner" && event.pid != owner, DEADLINE)?;
    let (killed, net) = match half {
        Half::First => (successor.pid, owner),
        Half::Second => (owns(owner, successor.t)?.pid, successor.pid),
    };
    load.run_for(after)?;
    let sent = now();
    service.signal(killed, Signal::SIGKILL)?;
    service.await_gone(killed)?;
    let seen = now();
    owns(net, sent).context("the net")?;
    load.run_for(SERVED)?;
    service.quiesce()?;
    Ok(Kill { sent, seen, net })
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
            record.kind == Kind::New && record.outcome == Outcome::Ok && record.pid == kill.net
        });
        // One that the net had accepted itself, in its own term, is no answer to this.
        let first = answers.map(Record::end_ns).filter(|end| *end > kill.sent).min();
        gaps.push(first.context("expected an answer of the net, found none")? - kill.sent);
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
