//! When a connection is asked to close.

use super::connections::{CLOSING_IDLE, CLOSING_LONG_LIVED};
use super::guard::Guard;
use super::phase::{DrainPhase, ShutdownSignal};
use goagain_signals::ConnectionKind;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What decides when one connection is asked to close, beside the phase of the drain.
#[derive(Debug, Default)]
pub(super) struct ShutdownTime {
    /// How long after the beginning of the phase, within the drain jitter. Drawn when it is first needed.
    delay: OnceLock<Duration>,
    /// Whether it has waited for a request before.
    has_waited: bool,
    /// Not asked before this moment: it first waited for a request when the drain had already begun.
    not_before: Option<Instant>,
}

impl Guard {
    /// Returns the signal for the phase of the drain in which this connection is asked to close:
    /// [`DrainPhase::ClosingLongLived`] if it is long-lived, and [`DrainPhase::ClosingIdle`] otherwise.
    ///
    /// With [`Builder::drain_jitter`](crate::Builder::drain_jitter) the connection is asked to close later than that, at
    /// [`shutdown_at`](Guard::shutdown_at).
    pub fn shutdown_signal(&self) -> ShutdownSignal {
        self.connections.shutdown_signal(match self.kind {
            ConnectionKind::LongLived => DrainPhase::ClosingLongLived,
            ConnectionKind::Idle | ConnectionKind::InRequest => DrainPhase::ClosingIdle,
        })
    }

    /// Returns when this connection is asked to close, or `None` before [its phase](Guard::shutdown_signal) has begun.
    ///
    /// This is the beginning of the phase. With [`Builder::drain_jitter`](crate::Builder::drain_jitter) it is a moment within
    /// the jitter after that, another one for each connection. A connection that first waits for a request during the drain,
    /// for example after a long TLS handshake, has [`idle_grace`](crate::Builder::idle_grace) from then on, as a new connection
    /// has.
    pub fn shutdown_at(&self) -> Option<Instant> {
        self.shutdown_at_after(&self.shutdown_signal())
    }

    /// Returns whether this connection is asked to close now. If it waits for a request, it should be closed. If it is
    /// long-lived, it should be ended in the way of its protocol.
    pub fn is_shutdown_requested(&self) -> bool {
        let flag = if self.kind == ConnectionKind::LongLived { CLOSING_LONG_LIVED } else { CLOSING_IDLE };
        self.connections.state() & flag != 0 && self.is_shutdown_due()
    }

    pub(super) fn is_shutdown_due(&self) -> bool {
        self.shutdown_at().is_some_and(|moment| moment <= Instant::now())
    }

    /// Whether the drain is in the phase in which idle connections are asked to close, and this connection's moment of it has come.
    pub(crate) fn is_past_closing_idle(&self) -> bool {
        let closing = self.connections.shutdown_signal(DrainPhase::ClosingIdle);
        self.connections.is_closing_idle()
            && self.shutdown_at_after(&closing).is_some_and(|moment| moment <= Instant::now())
    }

    pub(super) fn shutdown_at_after(&self, phase: &ShutdownSignal) -> Option<Instant> {
        let ShutdownTime { delay, not_before, .. } = &self.shutdown;
        let moment = phase.at()? + *delay.get_or_init(|| self.connections.0.jitter.draw());
        Some(not_before.map_or(moment, |not_before| not_before.max(moment)))
    }

    /// Notes that the connection waits for a request, perhaps for the first time. A TLS handshake can begin before the drain and
    /// end in its last phase; what the client sends then is its first request, which should still be served.
    pub(crate) fn begin_to_wait(&mut self) {
        if !std::mem::replace(&mut self.shutdown.has_waited, true) && self.is_draining() {
            self.shutdown.not_before = Some(Instant::now() + self.connections.0.idle_grace);
        }
    }
}
