//! Which signal does what, and what a callback returns.

pub use crate::life::callbacks::CallbackResult;
pub use goagain_env::unblock as unblock_signals;
pub use goagain_signals::{Signal, SignalAction, Signals};
