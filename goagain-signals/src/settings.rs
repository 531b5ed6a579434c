//! How long things may take, and which image is started.

use crate::{Decisions, Signals};
use goagain_env::{Image, Relation, WorkingDirectory};
use std::{ffi::OsString, time::Duration};

/// What a loop is started with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The program that a restart starts, resolved anew each time.
    pub image: Image,
    /// Its arguments, without its name.
    pub args: Vec<OsString>,
    /// The directory that it starts in.
    pub working_directory: WorkingDirectory,
    /// Which signal means what.
    pub signals: Signals,
    /// From spawn to READY.
    pub ready_timeout: Duration,
    /// For the whole drain.
    pub drain_timeout: Duration,
    /// For the first phase of the drain.
    pub idle_grace: Duration,
    /// For the third phase of the drain, within the whole.
    pub long_lived_timeout: Duration,
    /// How long it takes until all are told to go, in the second phase and in the third.
    pub drain_jitter: Duration,
    /// How many predecessors may drain at the same time.
    pub max_draining: Option<usize>,
    /// The least time for which a predecessor stays the net.
    pub probation: Duration,
    /// From commit to SERVING.
    pub serving_timeout: Duration,
    /// From ABORT to SIGKILL.
    pub abort_timeout: Duration,
    /// From RELEASED to the READY of the image that was exec'd in place.
    pub reexec_timeout: Duration,
}

impl Settings {
    /// The defaults, for this image.
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

    /// What the long-lived have once they begin to be told.
    pub(crate) fn parting(&self) -> Duration {
        (self.long_lived_timeout + self.drain_jitter).min(self.drain_timeout)
    }

    /// By when the predecessor of a successor of this relation will have released: what the successor is told. `None` if the
    /// strategy keeps the net until it is dismissed.
    pub(crate) fn release_timeout(&self, decisions: &Decisions, successor: Relation) -> Option<Duration> {
        let served = self.probation.max(self.serving_timeout);
        let net = match decisions.ends_with_probation(successor) {
            true => served,
            false => served.max(self.drain_timeout),
        };
        decisions.is_bounded(successor).then_some(net + self.abort_timeout)
    }
}
