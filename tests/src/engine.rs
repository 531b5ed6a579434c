//! The load itself: open-loop, in one thread of a separate process.
//!
//! Requests are due at fixed times, whatever happened to the previous ones. Latency counts from the due
//! time, so a server that stalls is charged for every request that was due meanwhile. A request is never
//! sent twice.

mod clock;
mod exchange;
mod keep;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedSender};

use self::clock::Clock;
use crate::client::Target;
use crate::events::now;
use crate::http;
use crate::records::{Kind, Outcome, Record};

/// How long after its due time a request may be answered, in addition to the time that it asks for itself.
const PATIENCE: Duration = Duration::from_secs(20);

/// The load to generate.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server's address.
    pub target: Target,
    /// Requests a second, each on a connection of its own.
    pub rate: u32,
    /// The number of kept connections.
    pub keepalive: u32,
    /// The time between two requests on a kept connection.
    pub keepalive_interval: Duration,
    /// Requests a second whose answer takes [`slow_for`](Self::slow_for).
    pub slow: u32,
    /// How long the answer to a slow request takes.
    pub slow_for: Duration,
    /// When to end, if it is not stopped before.
    pub at_most: Duration,
}

/// What becomes due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    New,
    Slow,
    Keep(usize),
}

/// What all requests of a run share.
#[derive(Debug)]
struct Shared {
    plan: Plan,
    records: UnboundedSender<Record>,
    /// Signals that there is a record.
    recorded: Notify,
}

impl Shared {
    fn record(&self, kind: Kind, due_ns: u64, begun_ns: u64, result: Result<http::Identity, Outcome>) {
        let (outcome, identity) = match result {
            Ok(identity) => (Outcome::Ok, identity),
            Err(outcome) => (outcome, http::Identity::default()),
        };
        // The receiver exists until the last sender is gone.
        let _ = self.records.send(Record {
            kind,
            due_ns,
            late_ns: begun_ns.saturating_sub(due_ns),
            latency_ns: now().saturating_sub(due_ns),
            outcome,
            pid: identity.pid,
            generation: identity.generation,
        });
        self.recorded.notify_one();
    }
}

/// Generates the load of `plan` until `stop` or its end. Calls `started` when the first request is answered or lost. Returns one
/// record for each request once all are answered or timed out. Runs in a current-thread runtime of tokio.
///
/// # Errors
/// - no timer can be created (`timerfd_create(2)`).
pub async fn run(
    plan: Plan,
    started: impl FnOnce(),
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Vec<Record>> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared { plan, records: sender, recorded: Notify::new() });
    start_when_due(&shared, started, stop).await?;
    drop(shared);
    let mut records = Vec::new();
    while let Some(record) = receiver.recv().await {
        records.push(record);
    }
    records.sort_by_key(|record| record.due_ns);
    Ok(records)
}

/// Starts each request when it is due. Returns when no more requests are to be started.
async fn start_when_due(
    shared: &Arc<Shared>,
    started: impl FnOnce(),
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let plan = &shared.plan;
    let clock = Clock::new()?;
    let begin = now();
    let end = begin.saturating_add(nanos(plan.at_most));
    let (mut queue, periods) = schedule(plan, begin);
    let kept: Vec<_> = (0..plan.keepalive)
        .map(|_| {
            let (sender, dues) = mpsc::unbounded_channel();
            tokio::spawn(keep::run(Arc::clone(shared), dues));
            sender
        })
        .collect();
    let mut started = Some(started);

    tokio::pin!(stop);
    while let Some(&Reverse((due, source))) = queue.peek() {
        if due >= end {
            tokio::select! { () = &mut stop => {} result = clock.until(end) => result? }
            break;
        }
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = shared.recorded.notified(), if started.is_some() => {
                started.take().into_iter().for_each(|started| started());
                continue;
            }
            result = clock.until(due) => result?,
        }
        queue.pop();
        match source {
            Source::New => drop(tokio::spawn(once(Arc::clone(shared), Kind::New, due))),
            Source::Slow => drop(tokio::spawn(once(Arc::clone(shared), Kind::Slow, due))),
            // Its task ends only after this sender is dropped.
            Source::Keep(index) => drop(kept[index].send(due)),
        }
        let period = match source {
            Source::New => periods.new,
            Source::Slow => periods.slow,
            Source::Keep(_) => periods.keep,
        };
        queue.push(Reverse((due + period, source)));
    }
    Ok(())
}

/// Sends one request on a connection of its own.
async fn once(shared: Arc<Shared>, kind: Kind, due: u64) {
    let begun = now();
    let extra = if kind == Kind::Slow { shared.plan.slow_for } else { Duration::ZERO };
    let path = if kind == Kind::Slow { format!("/slow?ms={}", extra.as_millis()) } else { "/".to_owned() };
    let limit = exchange::limit(due, PATIENCE + extra);
    let answered = tokio::time::timeout_at(limit, async {
        let mut connection = exchange::Connection::open(&shared.plan.target).await?;
        let (identity, _) = connection.exchange(&path, true).await?;
        Ok((connection, identity))
    });
    match answered.await.unwrap_or(Err(Outcome::Timeout)) {
        Err(outcome) => shared.record(kind, due, begun, Err(outcome)),
        Ok((mut connection, identity)) => {
            shared.record(kind, due, begun, Ok(identity));
            // The server closes first, so that our ports do not stay in TIME_WAIT.
            let _ = tokio::time::timeout_at(limit, connection.idle()).await;
        }
    }
}

/// Nanoseconds between two requests of a source.
struct Periods {
    new: u64,
    slow: u64,
    keep: u64,
}

/// Returns when each source is due first, and the time between its requests.
fn schedule(plan: &Plan, begin: u64) -> (BinaryHeap<Reverse<(u64, Source)>>, Periods) {
    let second = nanos(Duration::from_secs(1));
    let every = |rate: u32| second.checked_div(u64::from(rate)).unwrap_or(u64::MAX);
    let keep = nanos(plan.keepalive_interval).max(1);
    let periods = Periods { new: every(plan.rate), slow: every(plan.slow), keep };
    let mut queue = BinaryHeap::new();
    if plan.rate > 0 {
        queue.push(Reverse((begin, Source::New)));
    }
    if plan.slow > 0 {
        queue.push(Reverse((begin, Source::Slow)));
    }
    for index in 0..plan.keepalive {
        // Distributed over one interval.
        let first = begin + keep * u64::from(index) / u64::from(plan.keepalive);
        queue.push(Reverse((first, Source::Keep(index as usize))));
    }
    (queue, periods)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Starts a server that answers `answers` requests on a connection and then closes it. If `announced`, the last answer
    /// says `Connection: close`.
    fn serve(answers: usize, announced: bool) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::Tcp(listener.local_addr().unwrap());
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                thread::spawn(move || {
                    for number in 1..=answers {
                        let mut request = [0; 512];
                        let Ok(1..) = stream.read(&mut request) else { return };
                        let body = "pid=7 boot=x generation=4\n";
                        let connection = if announced && number == answers { "close" } else { "keep-alive" };
                        let length = body.len();
                        let head = format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n"
                        );
                        stream.write_all((head + body).as_bytes()).unwrap();
                    }
                });
            }
        });
        target
    }

    fn generate(target: Target, rate: u32, keepalive: u32) -> Vec<Record> {
        let plan = Plan {
            target,
            rate,
            keepalive,
            keepalive_interval: Duration::from_millis(20),
            slow: 0,
            slow_for: Duration::ZERO,
            at_most: Duration::from_millis(400),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(plan, || {}, std::future::pending())).unwrap()
    }

    #[test]
    fn every_request_that_is_due_leaves_a_record() {
        let records = generate(serve(1, false), 100, 0);
        assert_eq!(records.len(), 40);
        assert!(
            records.iter().all(|record| record.outcome == Outcome::Ok && record.generation == 4),
            "{records:?}"
        );
        assert!(records.windows(2).all(|pair| pair[1].due_ns - pair[0].due_ns == 10_000_000));
    }

    #[test]
    fn a_kept_connection_is_replaced_when_an_answer_closes_it() {
        let records = generate(serve(3, true), 0, 2);
        assert_eq!(records.len(), 40);
        assert!(records.iter().all(|record| record.outcome == Outcome::Ok), "{records:?}");
    }

    #[test]
    fn a_connection_closed_while_idle_is_counted_but_not_as_a_loss() {
        let records = generate(serve(2, false), 0, 1);
        let count = |outcome| records.iter().filter(|record| record.outcome == outcome).count();
        assert_eq!((count(Outcome::Ok), count(Outcome::ClosedIdle)), (20, 10), "{records:?}");
    }

    #[test]
    fn a_connection_closed_before_its_first_answer_is_a_loss() {
        // With no answers, every connection is closed at once. The last close may come after the end.
        let records = generate(serve(0, false), 10, 0);
        assert!(!records.is_empty() && records.iter().all(|record| record.outcome.is_loss()), "{records:?}");
    }

    #[test]
    fn a_refused_connection_is_a_loss() {
        let target = Target::Tcp(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
        let records = generate(target, 100, 1);
        assert!(records.iter().all(|record| record.outcome == Outcome::Refused), "{records:?}");
        assert!(records.len() >= 60, "{}", records.len());
    }
}
