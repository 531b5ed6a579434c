//! The drill harness: starts real servers, restarts them under load and watches what happens.
//!
//! - A drill server is told what to do by [`config`] and says what happens by [`events`] and [`reports`]; the harness collects
//!   them in an [`inbox`].
//! - A [`service`] is a server in a temporary folder: its [`image`] is deployed by rename, its processes are
//!   followed by pidfd ([`process`], [`procfs`]) and ended and reaped when the drill is over.
//! - The [`load`] is a process of its own (the [`engine`] runs there); it is open-loop, speaks [`http`] as a
//!   [`client`], and leaves [`records`], of which a [`summary`] is made. Other kinds of sockets have a
//!   [`paced`] client each. [`floor`] is what it is measured against, and
//!   [`soak`] says what a service holds.
//! - The [`drills`] use all of it, and the [`faults`] strike at every step of a restart.

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
pub mod held;
pub mod http;
pub mod load;
pub mod long_lived;
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
pub mod parcels;
