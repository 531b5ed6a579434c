//! What a connection waits for in a drain, as futures.

use super::Stream;
use crate::drain::{Guard, ShutdownSignal};
use ::tokio::time::sleep_until;
use goagain_signals::ConnectionKind;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

impl Guard {
    /// Waits until this connection is asked to close: until [`shutdown_at`](Guard::shutdown_at), in [its
    /// phase](Guard::shutdown_signal) of a drain. If the drain is rolled back before that, it waits for the next drain.
    ///
    /// # Panics
    /// If [`Builder::drain_jitter`](crate::Builder::drain_jitter) is set and the runtime was built without `enable_time`.
    pub async fn shutdown_requested(&self) {
        shutdown_requested(|| (self.shutdown_signal(), self.shutdown_at())).await;
    }

    /// Waits for the next request on `stream`, as [`Guard::wait_readable`] does. Returns `true` when there is something to
    /// read, and `false` when this connection is asked to close and there is nothing to read.
    ///
    /// The guard is idle while it waits, and busy after `true`. A long-lived connection stays long-lived.
    ///
    /// # Errors
    /// An error if the runtime is shutting down.
    ///
    /// # Panics
    /// Those of [`Guard::shutdown_requested`].
    pub async fn readable(&mut self, stream: &Stream) -> io::Result<bool> {
        self.begin_to_wait();
        if self.kind() != ConnectionKind::LongLived {
            self.idle();
        }
        let readable = {
            let mut told = pin!(self.shutdown_requested());
            // A request that has arrived is served in any case. So the stream is looked at first, and the kernel is asked.
            poll_fn(|cx| match stream.poll_arrived(cx) {
                Poll::Ready(result) => Poll::Ready(result.map(|()| true)),
                Poll::Pending => told.as_mut().poll(cx).map(|()| Ok(stream.has_arrived())),
            })
            .await?
        };
        if readable && self.kind() != ConnectionKind::LongLived {
            self.busy();
        }
        Ok(readable)
    }
}

/// [`Guard::shutdown_requested`] for a guard that several parts share: it is asked again each time.
pub(crate) async fn shutdown_requested(ask: impl Fn() -> (ShutdownSignal, Option<Instant>)) {
    loop {
        ask().0.await;
        match ask().1 {
            Some(moment) if moment <= Instant::now() => return,
            Some(moment) => sleep_until(moment.into()).await,
            // The drain was rolled back in between.
            None => {}
        }
    }
}
