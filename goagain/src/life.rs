//! The life of a process: what a user chooses, starts, and calls.

pub(crate) mod builder;
pub(crate) mod callbacks;
pub(crate) mod error;
pub(crate) mod exit;
pub(crate) mod goagain;
pub(crate) mod log;
mod ready;
pub(crate) mod run;
pub(crate) mod term;
#[cfg(test)]
mod tests;
#[cfg(feature = "tracing")]
pub(crate) mod trace;

pub(crate) use self::builder::Builder;
pub(crate) use self::error::Error;
pub(crate) use self::goagain::{Finish, Goagain};
