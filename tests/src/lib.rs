//! The drill harness: starts real servers, restarts them under load and watches what happens.
//!
//! - A drill server reads its configuration from [`config`] and reports what happens by [`events`] and [`reports`]; the harness
//!   collects the events in an [`inbox`].
//! - A [`service`] is a server in a temporary folder. Its [`image`] is deployed by rename. Its processes are
//!   followed by pidfd ([`process`], [`procfs`]), and they are ended and reaped when the drill is over.
//! - The [`load`] is a separate process (the [`engine`] runs there). It is open-loop, speaks [`http`] as a
//!   [`client`], and writes [`records`], from which a [`summary`] is computed. Each other kind of socket has a
//!   [`paced`] client. [`floor`] is what the results are compared to, and
//!   [`soak`] measures what a service uses.
//! - The [`drills`] use all of it, and the [`faults`] inject a fault at every step of a restart.

#![forbid(unsafe_code)]

pub mod config;
pub mod events;
pub mod reports;

pub mod image;
pub mod inbox;
pub mod process;
pub mod procfs;
pub mod service;

pub mod client;
pub mod engine;
pub mod http;
pub mod load;
pub mod long_lived;
pub mod open_request;
pub mod paced;
pub mod records;

pub mod floor;
pub mod soak;
pub mod summary;

pub mod drills;
pub mod faults;
#[cfg(feature = "runtimes")]
pub mod runtimes;

pub mod model;
pub mod sources;
pub mod state;
