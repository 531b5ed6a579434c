//! Events as events of the crate `tracing`. A program of its own with one test: a process has one subscriber.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used, reason = "tests, and what they share")]

mod support;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use support::{builder, owner_of, soon};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The fields of an event, by their names; what is a number has its type before it.
type Fields = BTreeMap<String, String>;

#[derive(Clone, Default)]
struct Remembers(Arc<Mutex<Vec<(Level, Fields)>>>);

struct Visitor<'fields>(&'fields mut Fields);

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), format!("f64 {value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), format!("i64 {value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), format!("u64 {value}"));
    }
}

impl Subscriber for Remembers {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::new();
        event.record(&mut Visitor(&mut fields));
        self.0.lock().unwrap().push((*event.metadata().level(), fields));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn an_event_has_its_process_in_fields_and_a_failure_is_a_warning() {
    let remembers = Remembers::default();
    tracing::subscriber::set_global_default(remembers.clone()).unwrap();
    let (mut again, _http) = owner_of(builder().image("/bin/sh").args(["-c", "exit 7"]));
    again.handle().restart();
    let handle = again.handle();
    let events = remembers.0.clone();
    soon(move || {
        let waiting = std::thread::spawn(move || again.wait().unwrap());
        // Accepting, requested, spawned, failed: then no attempt is under way.
        while events.lock().unwrap().len() < 4 {
            std::thread::yield_now();
        }
        handle.stop_now();
        waiting.join().unwrap();
    });

    let events = remembers.0.lock().unwrap().clone();
    let (accepting, events) = events.split_first().unwrap();
    assert!(accepting.1["message"].starts_with("accepting on tcp:127.0.0.1:"), "{accepting:?}");
    let peer = events[1].1["peer"].clone();
    let child = peer.strip_prefix("i64 ").unwrap();
    let expected = [
        (Level::INFO, "serving", false, "restart 1 requested".to_owned()),
        (Level::INFO, "serving", true, format!("restart 1: started process {child} (generation 2)")),
        (Level::WARN, "serving", true, format!("restart 1 (process {child}) failed after ")),
        (
            Level::INFO,
            "exiting",
            false,
            "this process stops now, because of a call; no connection is open".into(),
        ),
    ];
    assert_eq!(events.len(), expected.len(), "{events:?}");
    for ((level, fields), (expected, role, has_peer, message)) in events.iter().zip(expected) {
        assert_eq!(*level, expected, "{fields:?}");
        assert_eq!(fields["pid"], format!("i64 {}", std::process::id()));
        assert_eq!((&*fields["generation"], &*fields["attempt"]), ("u64 1", "u64 1"));
        assert_eq!(fields["role"], role);
        assert_eq!(fields.get("peer"), has_peer.then_some(&peer));
        assert!(fields["elapsed_ms"].strip_prefix("f64 ").unwrap().parse::<f64>().unwrap() >= 0.0);
        assert!(fields["message"].starts_with(&message), "expected `{message}`, found {fields:?}");
    }
}
