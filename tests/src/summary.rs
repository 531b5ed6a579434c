//! The result of a run: what was lost, how long each restart took, and the clients' latencies meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::events::Event;
use crate::records::{Kind, Outcome, Record};
use crate::service::Restart;

/// The median and the maximum of several times, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The upper median.
    pub median_ns: u64,
    /// The longest.
    pub worst_ns: u64,
}

impl Spread {
    /// Computes them; returns `None` if there are no times.
    pub fn of(mut times: Vec<u64>) -> Option<Self> {
        times.sort_unstable();
        Some(Self { median_ns: *times.get(times.len() / 2)?, worst_ns: *times.last()? })
    }
}

/// Latencies from the due time, in nanoseconds, with three significant digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// The number of requests.
    pub requests: u64,
    /// The median.
    pub p50_ns: u64,
    /// The 99th percentile.
    pub p99_ns: u64,
    /// The 99.9th percentile.
    pub p999_ns: u64,
    /// The maximum.
    pub max_ns: u64,
}

/// One hour. Anything longer is counted as one hour.
const HIGHEST_NS: u64 = 3_600_000_000_000;

impl Latency {
    fn of(times: impl Iterator<Item = u64>) -> Self {
        let Ok(mut histogram) = Histogram::<u64>::new_with_max(HIGHEST_NS, 3) else { return Self::default() };
        times.for_each(|time| histogram.saturating_record(time));
        Self {
            requests: histogram.len(),
            p50_ns: histogram.value_at_quantile(0.5),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            max_ns: histogram.max(),
        }
    }
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Requests that were due, of all kinds.
    pub requests: u64,
    /// The same by kind.
    pub requests_by_kind: BTreeMap<Kind, u64>,
    /// Requests that were lost.
    pub lost: u64,
    /// The same by kind and by outcome.
    pub lost_by_kind: BTreeMap<Kind, BTreeMap<Outcome, u64>>,
    /// Kept connections that the server closed while idle, after an answer. These are no losses.
    pub closed_idle: u64,
    /// The number of generations that answered.
    pub generations: u64,
    /// Restarts that were requested.
    pub restarts: u64,
    /// From the signal to commit.
    pub commit: Option<Spread>,
    /// From the signal to the first answer of the new image.
    pub first_answer: Option<Spread>,
    /// From the signal to the event `settled`.
    pub settled: Option<Spread>,
    /// Latency of requests on new and kept connections while no restart was in progress.
    pub quiet: Latency,
    /// The same while a restart was in progress.
    pub restarting: Latency,
    /// The 99th percentile of the load's own delay, which is part of every latency.
    pub load_late_p99_ns: u64,
}

impl Summary {
    /// Summarizes a run's records, its events in the order of arrival, and its restarts in order.
    pub fn of(records: &[Record], events: &[Event], restarts: &[Restart]) -> Self {
        let requests: Vec<&Record> = records.iter().filter(|record| record.outcome.is_request()).collect();
        let mut requests_by_kind = BTreeMap::new();
        let mut lost_by_kind = BTreeMap::<_, BTreeMap<_, _>>::new();
        for record in &requests {
            *requests_by_kind.entry(record.kind).or_default() += 1;
            if record.outcome.is_loss() {
                *lost_by_kind.entry(record.kind).or_default().entry(record.outcome).or_default() += 1;
            }
        }
        let settled: Vec<Option<u64>> =
            (0..restarts.len()).map(|index| settled_at(events, restarts, index)).collect();
        let since = |times: Vec<Option<u64>>| {
            let pairs = restarts.iter().zip(times);
            Spread::of(pairs.filter_map(|(restart, time)| Some(time? - restart.signal_ns)).collect())
        };
        // A restart that did not settle lasts to the end.
        let spans: Vec<(u64, u64)> = restarts
            .iter()
            .zip(&settled)
            .map(|(restart, settled)| (restart.signal_ns, settled.unwrap_or(u64::MAX)))
            .collect();
        let felt = |record: &Record| {
            spans.iter().any(|&(begin, end)| record.due_ns <= end && record.end_ns() >= begin)
        };
        // A slow request takes the time that it asked for, which says nothing about the server.
        let (during, quiet): (Vec<&Record>, Vec<&Record>) =
            requests.iter().filter(|record| record.kind != Kind::Slow).partition(|record| felt(record));
        let answered: BTreeSet<u64> = requests
            .iter()
            .filter(|record| record.outcome == Outcome::Ok)
            .map(|record| record.generation)
            .collect();
        Self {
            requests: requests.len() as u64,
            requests_by_kind,
            lost: lost_by_kind.values().flat_map(BTreeMap::values).sum(),
            lost_by_kind,
            closed_idle: (records.len() - requests.len()) as u64,
            generations: answered.len() as u64,
            restarts: restarts.len() as u64,
            commit: Spread::of(restarts.iter().filter_map(|restart| commit_ns(events, restart)).collect()),
            first_answer: since(restarts.iter().map(|restart| first_answer_at(&requests, restart)).collect()),
            settled: since(settled),
            quiet: Latency::of(quiet.iter().map(|record| record.latency_ns)),
            restarting: Latency::of(during.iter().map(|record| record.latency_ns)),
            load_late_p99_ns: Latency::of(requests.iter().map(|record| record.late_ns)).p99_ns,
        }
    }
}

/// Returns the time from a restart's signal to its first commit, in nanoseconds; `None` if there was none.
pub fn commit_ns(events: &[Event], restart: &Restart) -> Option<u64> {
    let after = |event: &&Event| event.name == "committed" && event.t >= restart.signal_ns;
    let first = events.iter().filter(after).map(|event| event.t).min()?;
    Some(first - restart.signal_ns)
}

/// Returns when the first answer of an image newer than the owner at the signal was read.
fn first_answer_at(requests: &[&Record], restart: &Restart) -> Option<u64> {
    let newer = |record: &&&Record| record.outcome == Outcome::Ok && record.generation > restart.generation;
    requests.iter().filter(newer).map(|record| record.end_ns()).filter(|end| *end >= restart.signal_ns).min()
}

/// Returns when the restart of number `index` was settled: the last such event before the next restart.
fn settled_at(events: &[Event], restarts: &[Restart], index: usize) -> Option<u64> {
    let begin = restarts[index].signal_ns;
    let end = restarts.get(index + 1).map_or(u64::MAX, |next| next.signal_ns);
    let within = |event: &&Event| event.name == "settled" && (begin..end).contains(&event.t);
    events.iter().filter(within).map(|event| event.t).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: Kind, due_ns: u64, latency_ns: u64, outcome: Outcome, generation: u64) -> Record {
        Record { kind, due_ns, late_ns: 0, latency_ns, outcome, pid: 1, generation }
    }

    fn event(t: u64, name: &str) -> Event {
        Event { t, ..Event::new(2, name) }
    }

    #[test]
    fn a_run_is_summarized() {
        let records = [
            record(Kind::New, 10, 5, Outcome::Ok, 1),
            record(Kind::New, 90, 15, Outcome::Ok, 1),
            record(Kind::Keep, 150, 20, Outcome::Ok, 2),
            record(Kind::Keep, 160, 0, Outcome::ClosedIdle, 0),
            record(Kind::Slow, 100, 500, Outcome::Ok, 1),
            record(Kind::New, 300, 7, Outcome::Reset, 0),
            record(Kind::New, 310, 9, Outcome::Ok, 2),
        ];
        let events = [event(110, "committed"), event(120, "committed"), event(200, "settled")];
        let restarts = [Restart { signal_ns: 100, pid: 1, generation: 1 }];
        let summary = Summary::of(&records, &events, &restarts);
        assert_eq!((summary.requests, summary.lost, summary.closed_idle, summary.generations), (6, 1, 1, 2));
        assert_eq!(summary.requests_by_kind[&Kind::New], 4);
        assert_eq!(summary.lost_by_kind[&Kind::New][&Outcome::Reset], 1);
        assert_eq!(summary.commit, Some(Spread { median_ns: 10, worst_ns: 10 }));
        assert_eq!(summary.first_answer, Some(Spread { median_ns: 70, worst_ns: 70 }));
        assert_eq!(summary.settled, Some(Spread { median_ns: 100, worst_ns: 100 }));
        assert_eq!((summary.restarting.requests, summary.restarting.max_ns), (2, 20));
        assert_eq!((summary.quiet.requests, summary.quiet.max_ns), (3, 9));
        let json = serde_json::to_string(&summary).unwrap();
        assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
    }

    #[test]
    fn latencies_of_seconds_are_counted_too() {
        let latency = Latency::of([1_000_000, 2_000_000, 1_500_000_000].into_iter());
        assert_eq!((latency.p50_ns / 10_000, latency.max_ns / 10_000_000), (200, 150));
    }

    #[test]
    fn a_restart_that_never_settles_lasts_to_the_end() {
        let records = [record(Kind::New, 500, 5, Outcome::Timeout, 0)];
        let restarts = [Restart { signal_ns: 100, pid: 1, generation: 1 }];
        let summary = Summary::of(&records, &[], &restarts);
        assert_eq!((summary.commit, summary.settled), (None, None));
        assert_eq!((summary.restarting.requests, summary.quiet.requests), (1, 0));
    }
}
