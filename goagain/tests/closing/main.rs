//! What is closed, and what is left behind. No test here starts a process: between fork and exec it would hold every descriptor for
//! a moment.
#![allow(clippy::unwrap_used, reason = "tests, and what they share")]

#[path = "../support/mod.rs"]
mod support;
mod unix;
