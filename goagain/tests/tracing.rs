//! Reports as events of the crate `tracing`. A program of its own with one test: a process has one subscriber.
#![cfg(feature = "tracing")]
#![allow(clippy::unwrap_used, reason = "tests, and what they share")]

mod support;

use std::fmt;
use std::sync::{Arc, Mutex};
use support::{builder, owner_of};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

#[derive(Clone, Default)]
struct Remembers(Arc<Mutex<Vec<(Level, String)>>>);

struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != "after_ms" {
            self.0.push_str(&format!("{}={value:?};", field.name()));
        }
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
        let mut text = String::new();
        event.record(&mut Text(&mut text));
        self.0.lock().unwrap().push((*event.metadata().level(), text));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn what_is_expected_is_info_and_what_needs_a_look_is_a_warning() {
    let remembers = Remembers::default();
    tracing::subscriber::set_global_default(remembers.clone()).unwrap();
    let (mut again, _http) = owner_of(builder().image("/nonexistent"));
    again.handle().restart();
    again.handle().stop_now();
    again.wait().unwrap();
    let events = remembers.0.lock().unwrap().clone();
    assert_eq!(events.len(), 3, "{events:?}");
    assert_eq!(events[0], (Level::INFO, "message=restart requested;attempt=1;".into()));
    assert_eq!(events[1].0, Level::WARN);
    assert!(events[1].1.starts_with("message=restart failed: cannot spawn /nonexistent: "), "{events:?}");
    assert_eq!(events[2], (Level::INFO, "message=draining: stopped by a call;attempt=1;".into()));
}
