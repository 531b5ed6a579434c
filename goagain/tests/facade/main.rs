//! The public API without a second process, in isolated servers.
#![allow(clippy::unwrap_used, reason = "tests, and what they share")]

mod acceptor;
mod auto_traits;
mod builder;
mod connections;
mod drain;
mod go;
mod handle;
mod kinds;
mod life;
mod listeners;
mod own_loop;
mod stream;
#[path = "../support/mod.rs"]
mod support;
