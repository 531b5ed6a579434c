//! What each event reads like in the log that both processes of a restart write to.

use super::*;
use crate::{ConnectionInfo, ConnectionKind, Signal};
use goagain_env::Address;
use goagain_env::SaveError;

const OLD: i32 = 4711;
const NEW: i32 = 4720;

fn pid(raw: i32) -> Option<Pid> {
    Pid::new(raw)
}

/// An event of the process `own`, which belongs to its second restart if it is the old one, and to its first otherwise.
fn event(own: i32, role: Role, kind: EventKind) -> Event {
    let (generation, attempt) = if own == OLD { (1, 2) } else { (2, 2) };
    Event::new(pid(own).unwrap(), generation, role, attempt, Duration::from_micros(5_600), kind)
}

fn address(port: u16) -> Address {
    Address::Tcp(([127, 0, 0, 1], port).into())
}

/// Every kind, as each side that has it reports it.
fn table() -> Vec<(Event, &'static str)> {
    use EventKind::*;
    let name = || "http".to_owned();
    let reason = || "no database".to_owned();
    let killed = || "was killed by signal 9 (SIGKILL)".to_owned();
    let flight = |in_request| InFlight { in_request, ..InFlight::default() };
    let feed = || ConnectionInfo::new("a feed", ConnectionKind::LongLived, Duration::from_secs(2));
    let long_lived = InFlight { long_lived: 2, ..InFlight::default() };
    let second = Some(Duration::from_secs(1));
    let drains = |stop, count| Draining { stop, in_flight: flight(count) };
    let old = |role, kind| event(OLD, role, kind);
    let new = |role, kind| event(NEW, role, kind);
    vec![
        (old(Role::Serving, Requested { waits: false }), "restart 2 requested"),
        (
            old(Role::Fallback, Requested { waits: true }),
            "restart 2 requested; it begins when restart 1 is over",
        ),
        (
            Event { attempt: 1, ..old(Role::Starting, Requested { waits: true }) },
            "restart 1 requested; it begins when this process serves",
        ),
        (
            old(Role::Serving, Refused { reason: "it is pid 1".into() }),
            "restart 2 refused: it is pid 1; this process keeps serving",
        ),
        (
            new(Role::Draining, Refused { reason: "this process is stopping".into() }),
            "restart 2 refused: this process is stopping",
        ),
        (
            old(Role::Serving, NotAborted { reason: "no restart is running".into() }),
            "no restart aborted: no restart is running",
        ),
        (
            old(Role::Serving, Spawned { pid: pid(NEW).unwrap(), generation: 2 }),
            "restart 2: started process 4720 (generation 2)",
        ),
        (
            old(Role::Serving, Failed { pid: pid(NEW), reason: reason() }),
            "restart 2 (process 4720) failed after 5.6 ms: no database; this process keeps serving",
        ),
        (
            old(Role::Draining, Failed { pid: None, reason: reason() }),
            "restart 2 failed after 5.6 ms: no database",
        ),
        (old(Role::Fallback, SuccessorReady { pid: pid(NEW) }), "process 4720 is ready"),
        (old(Role::Fallback, SuccessorReady { pid: None }), "the new process is ready"),
        (
            old(Role::Fallback, HandedOver { pid: pid(NEW), generation: Some(2), fallback: second }),
            "process 4720 (generation 2) takes over, 5.6 ms after the restart began; this process stays as the fallback for \
             at least 1 s",
        ),
        (
            old(Role::Draining, HandedOver { pid: pid(NEW), generation: None, fallback: None }),
            "process 4720 takes over, 5.6 ms after the restart began",
        ),
        (
            new(Role::Serving, Serving { predecessor: pid(OLD), fallback: Some(Duration::from_secs(10)) }),
            "serving; previous process 4711 is the fallback for now",
        ),
        (
            new(Role::Serving, Serving { predecessor: None, fallback: None }),
            "serving; the previous process is the fallback until it is dismissed",
        ),
        (old(Role::Fallback, SuccessorServing { pid: pid(NEW) }), "process 4720 is serving"),
        (
            old(Role::Serving, RolledBack { pid: pid(NEW), reason: killed() }),
            "process 4720 was killed by signal 9 (SIGKILL); this process takes over again and is serving",
        ),
        (
            old(Role::Draining, Released { pid: pid(NEW), exec: false }),
            "process 4720 serves on its own; this process is no longer the fallback, and exits when its connections are \
             finished",
        ),
        (
            old(Role::Exiting, Released { pid: pid(NEW), exec: false }),
            "process 4720 serves on its own; this process is no longer the fallback, and exits",
        ),
        (
            old(Role::Fallback, Released { pid: pid(NEW), exec: true }),
            "process 4720 serves on its own; this process executes the new image in place",
        ),
        (
            new(Role::Serving, PredecessorReleased { pid: pid(OLD), exec: false }),
            "previous process 4711 is no longer the fallback, and exits when its connections are finished",
        ),
        (
            new(Role::Serving, PredecessorReleased { pid: pid(OLD), exec: true }),
            "previous process 4711 is no longer the fallback, and executes the new image in place; it takes the service back \
             when it is ready",
        ),
        (
            old(Role::Starting, ExecFailed { pid: pid(NEW), reason: "no such file".into() }),
            "cannot execute the new image in place: no such file; this process asks process 4720 for the service",
        ),
        (
            new(Role::Serving, ReexecFailed { pid: pid(OLD), reason: reason() }),
            "previous process 4711 did not come back after its exec: no database; this process keeps serving",
        ),
        (
            new(Role::Starting, PredecessorDied { pid: pid(OLD), reason: killed(), was_serving: true }),
            "previous process 4711 was killed by signal 9 (SIGKILL); this process takes over when it is ready",
        ),
        (
            new(Role::Serving, PredecessorDied { pid: pid(OLD), reason: killed(), was_serving: true }),
            "previous process 4711 was killed by signal 9 (SIGKILL); this process takes over and is serving",
        ),
        (
            new(Role::Serving, PredecessorDied { pid: None, reason: killed(), was_serving: false }),
            "the previous process was killed by signal 9 (SIGKILL); it was the fallback, and this process keeps serving",
        ),
        (
            new(Role::Serving, PredecessorExited { pid: pid(OLD) }),
            "previous process 4711 has exited; restart 2 is complete",
        ),
        (
            new(Role::Serving, PredecessorExited { pid: None }),
            "all previous processes have exited; restart 2 is complete",
        ),
        (
            new(Role::Serving, Accepting { addresses: vec![address(80), Address::Unix("/run/http".into())] }),
            "accepting on tcp:127.0.0.1:80, unix:/run/http",
        ),
        (
            new(Role::Serving, Accepting { addresses: (1..=12).map(address).collect() }),
            "accepting on tcp:127.0.0.1:1, tcp:127.0.0.1:2, tcp:127.0.0.1:3, tcp:127.0.0.1:4, tcp:127.0.0.1:5, \
             tcp:127.0.0.1:6, tcp:127.0.0.1:7, tcp:127.0.0.1:8, tcp:127.0.0.1:9, tcp:127.0.0.1:10, and 2 more",
        ),
        (
            old(Role::Fallback, drains(Stop::HandedOver, 3)),
            "this process stops accepting and finishes 3 connections",
        ),
        (
            old(Role::Draining, drains(Stop::Gracefully, 1)),
            "graceful stop: this process stops accepting and finishes 1 connection",
        ),
        (
            new(Role::Draining, drains(Stop::Gracefully, 0)),
            "graceful stop: this process stops accepting; no connection is open",
        ),
        (
            new(Role::Exiting, drains(Stop::Now(Some(Signal::Term)), 2)),
            "this process stops now, because of SIGTERM; 2 connections are open",
        ),
        (
            new(Role::Exiting, drains(Stop::Now(None), 1)),
            "this process stops now, because of a call; 1 connection is open",
        ),
        (
            old(Role::Fallback, StillDraining { in_flight: long_lived, connections: vec![feed()] }),
            "long-lived connections are asked to close; still in flight: 0 idle, 0 in a request, 2 long-lived: a feed \
             (long-lived, 2.0 s), and 1 more",
        ),
        (
            old(Role::Draining, Unfinished { in_flight: flight(1), connections: Vec::new() }),
            "the drain ends with connections unfinished: 0 idle, 1 in a request, 0 long-lived",
        ),
        (
            new(Role::Serving, CallbackFailed { callback: "on_hup", error: "no configuration".into() }),
            "callback `on_hup` failed: no configuration",
        ),
        (
            new(Role::Starting, Unclaimed { name: name() }),
            "closed `http`: the previous process handed it over, and this process did not claim it",
        ),
        (
            new(Role::Starting, NotInherited { name: name() }),
            "`http` is new: the previous process did not hand it over",
        ),
        (
            old(
                Role::Serving,
                StateNotSaved { name: name(), error: SaveError::Failed("the cache is gone".into()) },
            ),
            "cannot save the state `http`: the cache is gone",
        ),
        (old(Role::Serving, Warning { text: "the disk is full".into() }), "warning: the disk is full"),
        (new(Role::Serving, SignalReceived { signal: Signal::Hup }), "received SIGHUP"),
    ]
}

#[test]
fn every_event_is_a_sentence_of_the_process_that_reports_it() {
    for (event, sentence) in table() {
        let head = if event.pid.as_raw() == OLD {
            "goagain[4711] generation 1: "
        } else {
            "goagain[4720] generation 2: "
        };
        assert_eq!(event.message().to_string(), sentence);
        assert_eq!(event.to_string(), format!("{head}{sentence}"));
    }
}

/// The compiler names what is missing here; then it is missing in the table too.
#[test]
fn the_table_has_every_kind() {
    use EventKind::*;
    let number = |kind: &EventKind| match kind {
        Requested { .. } => 0,
        Refused { .. } => 1,
        NotAborted { .. } => 2,
        Spawned { .. } => 3,
        Failed { .. } => 4,
        SuccessorReady { .. } => 5,
        HandedOver { .. } => 6,
        SuccessorServing { .. } => 7,
        RolledBack { .. } => 8,
        Released { .. } => 9,
        ExecFailed { .. } => 10,
        Serving { .. } => 11,
        PredecessorReleased { .. } => 12,
        ReexecFailed { .. } => 13,
        PredecessorDied { .. } => 14,
        PredecessorExited { .. } => 15,
        Draining { .. } => 16,
        StillDraining { .. } => 17,
        Unfinished { .. } => 18,
        CallbackFailed { .. } => 19,
        Unclaimed { .. } => 20,
        NotInherited { .. } => 21,
        StateNotSaved { .. } => 22,
        Warning { .. } => 23,
        SignalReceived { .. } => 24,
        Accepting { .. } => 25,
    };
    let found: std::collections::BTreeSet<_> = table().iter().map(|(event, _)| number(&event.kind)).collect();
    assert_eq!(found, (0..26).collect());
}

#[test]
fn the_other_process_of_a_sentence_is_the_peer_of_its_event() {
    for (event, sentence) in table() {
        let other = if event.pid.as_raw() == OLD { NEW } else { OLD };
        let named = sentence.contains(&format!("process {other}"));
        assert_eq!(event.kind.peer(), named.then(|| pid(other).unwrap()), "{sentence}");
    }
}

#[test]
fn a_line_break_in_a_reason_makes_no_second_line() {
    let text = "no database\r\n  caused by: refused\tat\u{2028}once\u{85}\u{1b}[31m";
    let kinds = [
        EventKind::Warning { text: text.into() },
        EventKind::Failed { pid: None, reason: text.into() },
        EventKind::CallbackFailed { callback: "on_hup", error: text.into() },
        EventKind::Unclaimed { name: text.into() },
        EventKind::Unfinished {
            in_flight: InFlight::default(),
            connections: vec![ConnectionInfo::new(text, ConnectionKind::Idle, Duration::ZERO)],
        },
    ];
    for kind in kinds {
        let line = event(OLD, Role::Serving, kind).to_string();
        assert!(!line.contains(|each: char| each.is_control() || each == '\u{2028}'), "{line:?}");
        let escaped = r"no database\r\n  caused by: refused\tat\u{2028}once\u{85}\u{1b}[31m";
        assert!(line.contains(escaped), "{line}");
    }
}

#[test]
fn times_are_short_and_have_a_unit() {
    let elapsed = |millis| Elapsed(Duration::from_millis(millis)).to_string();
    assert_eq!([elapsed(0), elapsed(999), elapsed(61_200)], ["0.0 ms", "999.0 ms", "61.2 s"]);
    let time = |millis| Time(Duration::from_millis(millis)).to_string();
    assert_eq!([time(250), time(1_500), time(10_000)], ["0.25 s", "1.5 s", "10 s"]);
}
