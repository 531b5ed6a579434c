//! What a drain waits for, and how it asks connections to close.
//!
//! The page [`guide::drain`](crate::guide::drain) explains the phases of a drain.

pub(crate) mod connections;
pub(crate) mod guard;
mod jitter;
pub(crate) mod latch;
pub(crate) mod linger;
mod list;
pub(crate) mod peek;
mod phase;
mod shutdown;
#[cfg(test)]
mod tests;
mod unfinished;
pub(crate) mod wait;

pub(crate) use self::connections::Connections;
pub(crate) use self::guard::Guard;
pub use self::linger::Linger;
pub use self::phase::{DrainPhase, ShutdownSignal};
pub use self::unfinished::Unfinished;
pub use goagain_signals::{ConnectionInfo, ConnectionKind, InFlight};
