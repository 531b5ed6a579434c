//! The settings of a loop: timeouts, and the image to start.

use crate::{Decisions, Signals};
use goagain_env::{Image, Relation, WorkingDirectory};
use std::{ffi::OsString, time::Duration};

/// The settings of a loop.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The program that a restart starts. Its path is resolved again each time.
    pub image: Image,
    /// Its arguments, without argument 0.
    pub args: Vec<OsString>,
    /// The directory that it starts in.
    pub working_directory: WorkingDirectory,
    /// Which signal does what.
    pub signals: Signals,
    /// The time from spawn to READY.
    pub ready_timeout: Duration,
    /// The time for the whole drain.
    pub drain_timeout: Duration,
    /// The time for the first phase of the drain.
    pub idle_grace: Duration,
    /// The time for the third phase of the drain, within `drain_timeout`.
    pub long_lived_timeout: Duration,
    /// The time over which connections are asked to close, in the second phase and in the third.
    pub drain_jitter: Duration,
    /// How many predecessors may drain at the same time.
    pub max_draining: Option<usize>,
    /// The probation period: the least time for which a predecessor stays the fallback.
    pub probation: Duration,
    /// The time from COMMIT to SERVING.
    pub serving_timeout: Duration,
    /// The time from ABORT to SIGKILL.
    pub abort_timeout: Duration,
    /// The time from RELEASED to the READY of the image that was exec'd in place.
    pub reexec_timeout: Duration,
}

impl Settings {
    /// Returns the defaults, for this image.
    pub fn new(image: Image, args: Vec<OsString>) -> Settings {
        Settings {
            image,
            args,
            working_directory: WorkingDirectory::current(),
            signals: Signals::default(),
            ready_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
            idle_grace: Duration::from_secs(5),
            long_lived_timeout: Duration::from_secs(15),
            drain_jitter: Duration::ZERO,
            max_draining: None,
            probation: Duration::from_secs(1),
            serving_timeout: Duration::from_secs(5),
            abort_timeout: Duration::from_secs(5),
            reexec_timeout: Duration::from_secs(60),
        }
    }

    /// Returns how long the third phase of the drain takes at most: the last connection is asked to close after `drain_jitter`.
    pub(crate) fn closing_long_lived(&self) -> Duration {
        (self.long_lived_timeout + self.drain_jitter).min(self.drain_timeout)
    }

    /// Returns within what time this process releases a successor of this relation, for the handoff. `None` if the strategy keeps
    /// the fallback until it is dismissed.
    pub(crate) fn release_timeout(&self, decisions: &Decisions, successor: Relation) -> Option<Duration> {
        let served = self.probation.max(self.serving_timeout);
        let fallback = match decisions.ends_with_probation(successor) {
            true => served,
            false => served.max(self.drain_timeout),
        };
        decisions.is_bounded(successor).then_some(fallback + self.abort_timeout)
    }
}
