//! A server that remembers the calls of the loop.
#![allow(dead_code, reason = "each test program uses a part")]

use goagain_env::{Image, NamedDescriptor, Next, Strategy, View};
use goagain_signals::{ConnectionInfo, ConnectionKind, Event, EventKind, InFlight, Server, Settings};
use std::os::fd::BorrowedFd;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// Far longer than anything here takes: a test that hangs fails, and nothing is measured.
pub(crate) const SOON: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Exits;

impl Strategy for Exits {
    fn name(&self) -> &str {
        "exits"
    }

    fn next(&self, view: View) -> Next {
        if view.probation_over { Next::Exit } else { Next::Stay }
    }
}

/// With an image that cannot be started: a test that started itself would never end.
pub(crate) fn settings() -> Settings {
    Settings::new(Image::at("/nonexistent").expect("it has a path"), Vec::new())
}

#[derive(Debug, Default)]
pub(crate) struct Remembers {
    pub(crate) asked: Vec<&'static str>,
    pub(crate) reports: Vec<EventKind>,
    pub(crate) events: Vec<Event>,
    pub(crate) warnings: Vec<String>,
    pub(crate) drained: bool,
    pub(crate) only_long_lived: bool,
    pub(crate) in_flight: InFlight,
}

impl Server for Remembers {
    fn accept(&mut self) {
        self.asked.push("accept");
    }

    fn stop_accepting(&mut self) {
        self.asked.push("stop accepting");
    }

    fn close_idle(&mut self) {
        self.asked.push("close idle");
    }

    fn close_long_lived(&mut self) {
        self.asked.push("close long-lived");
        self.only_long_lived = false;
    }

    fn only_long_lived(&self) -> bool {
        self.only_long_lived
    }

    fn waits_for(&self) -> (InFlight, Vec<ConnectionInfo>) {
        let feed = ConnectionInfo::new("a feed", ConnectionKind::LongLived, Duration::from_secs(2));
        let named = self.in_flight.long_lived.min(1);
        (self.in_flight, vec![feed; named])
    }

    fn close_unfinished(&mut self, _: &[ConnectionInfo]) -> Result<(), String> {
        self.asked.push("close unfinished");
        Ok(())
    }

    fn close_listeners(&mut self, unlink: bool) {
        self.asked.push(if unlink { "close and unlink" } else { "close" });
    }

    fn is_drained(&self) -> bool {
        self.drained
    }

    fn descriptors(&self) -> Vec<(BorrowedFd<'_>, NamedDescriptor)> {
        Vec::new()
    }

    fn wake(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn reload(&mut self) -> Result<(), String> {
        self.asked.push("reload");
        Err("no configuration".into())
    }

    fn reopen(&mut self) -> Result<(), String> {
        self.asked.push("reopen");
        Ok(())
    }

    fn before_exit(&mut self) -> Result<(), String> {
        self.asked.push("before exit");
        Ok(())
    }

    fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn on_event(&mut self, event: &Event) {
        self.reports.push(event.kind.clone());
        self.events.push(event.clone());
    }
}

/// Does the work, or fails the test if it does not return.
pub(crate) fn soon<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, done) = channel();
    thread::spawn(move || drop(sender.send(work())));
    done.recv_timeout(SOON).expect("it returns, and does not panic")
}
