//! Waiting for a service: for events, for rest, for the end of a process.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;

use super::{DEADLINE, Service};
use crate::config::StrategyKind;
use crate::events::Event;

impl Service {
    /// Makes later waits ignore the events that came before this call.
    pub fn mark(&self) {
        self.mark.set(self.inbox.len());
    }

    /// Waits for an event since the last [`mark`](Self::mark). An event that has come already counts, and none is consumed.
    ///
    /// # Errors
    /// - there is none within `deadline`.
    pub fn await_event(&self, wanted: impl Fn(&Event) -> bool, deadline: Duration) -> anyhow::Result<Event> {
        self.await_times(1, wanted, deadline)
    }

    /// Waits for the matching event of number `times`, counted from 1, since the last [`mark`](Self::mark).
    ///
    /// # Errors
    /// - there are fewer within `deadline`.
    pub fn await_times(
        &self,
        times: usize,
        wanted: impl Fn(&Event) -> bool,
        deadline: Duration,
    ) -> anyhow::Result<Event> {
        let nth = |all: &[Event]| all.iter().filter(|event| wanted(event)).nth(times - 1).cloned();
        self.inbox.wait(self.mark.get(), deadline, nth).with_context(|| {
            format!("expected an event within {deadline:?}, found {}", self.story(self.mark.get()))
        })
    }

    /// Waits for an event by name since the last [`mark`](Self::mark).
    ///
    /// # Errors
    /// - there is none within the deadline.
    pub fn await_name(&self, name: &str) -> anyhow::Result<Event> {
        self.await_event(|event| event.name == name, DEADLINE)
            .with_context(|| format!("waiting for `{name}`"))
    }

    /// Waits until the only generation left is later than `generation`. Under Double it is in the first pid again.
    ///
    /// # Errors
    /// - that does not happen within the deadline.
    pub fn await_settled(&self, generation: u64) -> anyhow::Result<Event> {
        self.await_settled_within(generation, DEADLINE)
    }

    /// Does the same with another deadline.
    ///
    /// # Errors
    /// - that does not happen within `deadline`.
    pub fn await_settled_within(&self, generation: u64, deadline: Duration) -> anyhow::Result<Event> {
        let double = self.strategy() == StrategyKind::Double;
        let settled = |event: &Event| {
            event.name == "settled"
                && event.generation > generation
                && (!double || event.pid == self.main_pid())
        };
        self.await_event(settled, deadline).context("waiting for `settled`")
    }

    /// Waits until the owner's loop has handled everything that reached it before this call. It sends HUP, which runs a
    /// callback, twice, since the loop may handle a signal before other input that became ready at the same time.
    ///
    /// # Errors
    /// - the callback is not reported within the deadline.
    pub fn quiesce(&self) -> anyhow::Result<()> {
        let owner = self.owner()?;
        for _ in 0..2 {
            let from = self.inbox.len();
            self.signal(owner, Signal::SIGHUP)?;
            let ran = |all: &[Event]| {
                all.iter().any(|event| event.name == "callback" && event.pid == owner).then_some(())
            };
            let story = || format!("expected a callback, found {}", self.story(from));
            self.inbox.wait(from, DEADLINE, ran).with_context(story)?;
        }
        Ok(())
    }

    /// Waits until the last requested restart is over. (The event `settled` of a restart says nothing about the next, which may
    /// be spawned before the previous one is settled.)
    ///
    /// # Errors
    /// - that does not happen within the deadline.
    pub fn await_rest(&self) -> anyhow::Result<()> {
        let begun = |event: &&Event| ["requested", "spawned"].contains(&event.name.as_str());
        let over = |event: &Event| ["settled", "failed", "rolled_back"].contains(&event.name.as_str());
        let at_rest = |all: &[Event]| {
            let last = all.iter().filter(begun).map(|event| event.attempt).max().unwrap_or(0);
            let is_over = all.iter().any(|event| over(event) && event.attempt >= last);
            (last == 0 || is_over).then_some(all.len())
        };
        loop {
            let story = || format!("expected rest, found {}", self.story(self.mark.get()));
            let seen = self.inbox.wait(self.mark.get(), DEADLINE, at_rest).with_context(story)?;
            // A restart that was noted may start only now.
            self.quiesce()?;
            if !self.marked()[seen..].iter().any(|event| event.name == "requested") {
                return Ok(());
            }
        }
    }

    /// Waits until a process is dead, and reaps it if it is our child.
    ///
    /// # Errors
    /// - it is still alive after the deadline.
    pub fn await_gone(&self, pid: i32) -> anyhow::Result<()> {
        let followed = self.inbox.processes().into_iter().find(|process| process.pid() == pid);
        let Some(process) = followed else {
            // It had sent an event, and was dead and reaped when that event was read.
            ensure!(
                self.events().iter().any(|event| event.pid == pid),
                "{pid}: expected a pid of the service"
            );
            return Ok(());
        };
        ensure!(process.await_death(DEADLINE)?, "{pid}: expected it to end within {DEADLINE:?}");
        process.reap()?;
        Ok(())
    }
}
