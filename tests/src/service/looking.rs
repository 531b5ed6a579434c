//! What can be observed of a service from outside: processes, descriptors, addresses, answers.

use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::{DEADLINE, Service};
use crate::client::{self, Target};
use crate::http::Identity;
use crate::procfs::{self, Descriptor};

/// How many times in a row the descriptors must be the same to conclude that nothing is in progress.
const LOOKS: usize = 50;

impl Service {
    /// Returns every pid that was seen.
    pub fn pids(&self) -> Vec<i32> {
        self.inbox.processes().iter().map(|process| process.pid()).collect()
    }

    /// Returns the pids that are not dead.
    pub fn living(&self) -> Vec<i32> {
        let mut pids = procfs::running_in(self.folder.path());
        pids.retain(|pid| procfs::stat(*pid).is_some_and(|stat| stat.state != 'Z'));
        pids
    }

    /// Returns the dead children of the owner that it has not reaped. (Those of a process that is about to die itself
    /// go to the harness, which reaps them.)
    ///
    /// # Errors
    /// - there is no owner.
    pub fn zombies(&self) -> anyhow::Result<Vec<i32>> {
        let owner = self.owner()?;
        let left = procfs::all().into_iter().filter(|stat| stat.state == 'Z' && stat.parent == owner);
        Ok(left.map(|stat| stat.pid).collect())
    }

    /// Returns the address of a listener, as the servers last reported it: `tcp:ADDR` or `unix:PATH`.
    ///
    /// # Errors
    /// - nobody has reported it.
    pub fn address(&self, name: &str) -> anyhow::Result<String> {
        let events = self.events();
        let addresses = events.iter().rev().filter_map(|event| event.detail["addresses"][name].as_str());
        addresses
            .map(str::to_owned)
            .next()
            .with_context(|| format!("{name}: expected its address, found none"))
    }

    /// Sends one blocking request to the listener `http`. Returns who answered it.
    ///
    /// # Errors
    /// - it is refused, or not answered with status 200 by a drill server.
    pub fn get(&self, path: &str) -> anyhow::Result<Identity> {
        self.get_from("http", path)
    }

    /// Sends one blocking request to a listener.
    ///
    /// # Errors
    /// - it is refused, or not answered with status 200 by a drill server.
    pub fn get_from(&self, name: &str, path: &str) -> anyhow::Result<Identity> {
        let target: Target = self.address(name)?.parse()?;
        let answer = client::get(&target, path)?;
        ensure!(answer.status == 200, "GET {path}: expected status 200, found {}", answer.status);
        let body = || format!("GET {path}: expected an identity, found `{}`", answer.body);
        answer.identity().with_context(body)
    }

    /// Returns the owner's open descriptors once nothing is in progress: the same ones many times in a row, each time after the
    /// owner has handled a signal. A connection that was just answered may not be closed yet, and nothing reports when it is.
    ///
    /// # Errors
    /// - they do not stay the same within the deadline, or there is no owner.
    pub fn descriptors_at_rest(&self) -> anyhow::Result<Vec<Descriptor>> {
        let end = Instant::now() + DEADLINE;
        let (mut last, mut looks) = (Vec::new(), 0);
        while looks < LOOKS {
            self.quiesce()?;
            let found = self.descriptors(self.owner()?)?;
            looks = if found == last { looks + 1 } else { 0 };
            last = found;
            ensure!(Instant::now() < end, "descriptors: expected rest, found {last:?}");
        }
        Ok(last)
    }

    /// Returns a process's open descriptors: number and kind, sorted.
    ///
    /// # Errors
    /// - the process is gone.
    pub fn descriptors(&self, pid: i32) -> anyhow::Result<Vec<Descriptor>> {
        procfs::descriptors(pid).with_context(|| format!("{pid}: descriptors"))
    }
}
