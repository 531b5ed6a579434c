//! The life of a process: what a user chooses, starts, and calls.

pub(crate) mod builder;
pub(crate) mod callbacks;
pub(crate) mod goagain;
pub(crate) mod log;
#[cfg(feature = "tracing")]
pub(crate) mod trace;

pub(crate) use self::callbacks::CallbackResult;
pub(crate) use self::goagain::{Finish, Goagain};
