//! The old process's memory does not change how long a restart takes: shown, not checked.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::{Context, Drill};
use crate::floor;
use crate::service::{Binaries, Service, ServiceOptions};
use crate::summary::{Spread, commit_ns};

pub(super) fn all() -> Vec<Drill> {
    vec![Drill::both(
        "memory_1gib",
        "the time from signal to commit with a heap of 1 GiB in the old process, and without",
        drill,
    )]
}

/// A machine that is busy and short of memory needs more than ten seconds to give an image 1 GiB. Double has two such images.
const TOUCHED_WITHIN: Duration = Duration::from_secs(60);

fn drill(context: &Context) -> anyhow::Result<()> {
    let commits = measure(&context.binaries, &context.options(), 3)?;
    context.note(commits.to_string());
    Ok(())
}

/// The times from signal to commit without load, with and without a heap in the old process.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct HeapCommits {
    /// Without a heap.
    pub none: Spread,
    /// With 1 GiB, touched.
    pub gib: Spread,
    /// The floor, measured next to each restart without a heap and like it: an image that was just deployed, after the same rest.
    pub floor: Spread,
}

impl HeapCommits {
    /// Returns the median without a heap divided by the median floor.
    pub fn by_floor(&self) -> f64 {
        self.none.median_ns as f64 / self.floor.median_ns as f64
    }

    /// Returns the median with 1 GiB divided by the median without a heap.
    pub fn ratio(&self) -> f64 {
        self.gib.median_ns as f64 / self.none.median_ns as f64
    }
}

impl std::fmt::Display for HeapCommits {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [none, gib] = [self.none.median_ns, self.gib.median_ns].map(Duration::from_nanos);
        write!(formatter, "signal → commit: heap 0 {none:.2?}, 1 GiB {gib:.2?}, ratio {:.2}", self.ratio())
    }
}

/// Restarts `times` times from an image with a heap and as many times from one without, alternating, and measures the time from
/// the signal to the commit of each. The successor has no heap, so that touching it is not measured.
///
/// # Errors
/// - a restart is not settled within the deadline.
pub fn measure(binaries: &Binaries, options: &ServiceOptions, times: usize) -> anyhow::Result<HeapCommits> {
    let mut service = Service::start(binaries, options.clone())?;
    let (mut none, mut gib, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..times {
        service.deploy(&service.image())?;
        floors.push(floor::measure(&service.folder().image(), 1)?.median_ns);
        none.push(restart_into(&mut service, 0)?);
        // Touching the heap is part of this restart, which is not counted.
        restart_into(&mut service, 1024)?;
        gib.push(restart_into(&mut service, 0)?);
    }
    service.end()?;
    ensure!(!none.is_empty(), "times: expected at least 1, found 0");
    let spread = |times| Spread::of(times).context("commits");
    Ok(HeapCommits { none: spread(none)?, gib: spread(gib)?, floor: spread(floors)? })
}

/// Deploys an image with this heap and restarts into it. Returns the time from signal to commit, in nanoseconds.
fn restart_into(service: &mut Service, heap_mib: u64) -> anyhow::Result<u64> {
    service.deploy(&service.image().with("heap_mib", heap_mib))?;
    let restart = service.restart()?;
    service.await_settled_within(restart.generation, TOUCHED_WITHIN)?;
    commit_ns(&service.marked(), &restart).context("commit: expected an event `committed`")
}
