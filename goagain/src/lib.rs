//! Restarts a network server without losing a request.
//!
//! The running process starts the new version of your program and hands over its listening sockets. The new process says when it is
//! ready. Then the old process stops accepting, finishes what it is doing, and exits. If the new process fails before or shortly
//! after it takes over, the old one keeps serving, or serves again.
//!
//! An axum server becomes restartable by one call, where `axum::serve` was:
//!
#![cfg_attr(
    all(feature = "axum", feature = "single", target_os = "linux", not(goagain_portable)),
    doc = "```no_run"
)]
#![cfg_attr(
    not(all(feature = "axum", feature = "single", target_os = "linux", not(goagain_portable))),
    doc = "```ignore"
)]
//! use axum::{Router, routing::get};
//! use goagain::Single;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), goagain::Error> {
//!     let app = Router::new().route("/", get(|| async { "hello\n" }));
//!     goagain::axum::run(Single, "127.0.0.1:3000", app).await
//! }
//! ```
//!
//! Then deploy the new program over the old file, by rename, and send USR2 to the process. QUIT stops it gracefully, INT and TERM at
//! once. HUP and USR1 call [`Builder::on_hup`] and [`Builder::on_usr1`].
//!
//! # Which server do you have?
//! | your server | feature | one call | several listeners, or with something to prepare |
//! |---|---|---|---|
//! | axum | `axum` | `goagain::axum::run` | `goagain::axum::server` in `goagain::tokio::run` |
//! | hyper | `hyper` | `goagain::hyper::run` | `goagain::hyper::server`, likewise |
//! | tonic | `tonic` | `goagain::tonic::run` | `goagain::tonic::server`, likewise |
//! | actix-web | `actix` | `goagain::actix::run` | `goagain::actix::server`, likewise |
//! | tokio, your own protocol | `tokio` | | `goagain::tokio::server`, likewise |
//! | threads, std | | [`threads::run`] | [`threads::server`] in [`run`] |
//! | a loop over epoll, mio, polling | | | [`Goagain::step`] |
//!
//! [`guide::servers`] shows each server before and after. Where `run` does not fit, [`Goagain`] has the calls of which it is made.
//!
//! # Which strategy?
#![cfg_attr(
    feature = "single",
    doc = "- [`Single`] starts the new program once. The new process takes over, so the pid changes."
)]
#![cfg_attr(
    not(feature = "single"),
    doc = "- `Single` starts the new program once. The new process takes over, so the pid changes."
)]
//!   It is for a service without a supervisor, or with one that your service tells the new pid.
#![cfg_attr(
    feature = "double",
    doc = "- [`Double`] starts it twice, the second time by `execve` in the old process. The pid stays the same, unless the new image fails after the `execve`."
)]
#![cfg_attr(
    not(feature = "double"),
    doc = "- `Double` starts it twice, the second time by `execve` in the old process. The pid stays the same, unless the new image fails after the `execve`."
)]
//!   It is for supervisors that watch the pid that they started: systemd, runit, s6, supervisord, the init of a container.
//! - Your own implements [`Strategy`]. [`guide::strategy`] explains how.
//!
//! # What to read next
//! | page | answers |
//! |---|---|
//! | [`guide::restart`] | What happens in a restart, in order? What do the words mean? |
//! | [`guide::servers`] | How do I make my server restartable? |
//! | [`guide::drain`] | How do requests, kept connections, WebSockets and HTTP/2 end in the old process? |
//! | [`guide::failures`] | What can fail, what serves then, and what do I do? |
//! | [`guide::sockets`] | Which sockets cross a restart, and how are they bound? |
//! | [`guide::state`] | How do state, files and connections get to the new process? |
//! | [`guide::environment`] | Which file, directory and variables does the new process start with? |
//! | [`guide::strategy`] | How do I write a strategy? |
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `single` (default) | the strategy `Single` |
//! | `double` | the strategy `Double` |
//! | `tracing` | each [`Event`] as an event of the crate `tracing`, with fields |
//! | `tokio` | the module `tokio`: `run` as a future, tokio's listeners and streams. Linux |
//! | `hyper` | the module `hyper`: servers with hyper 1, HTTP/1.1 and HTTP/2 |
//! | `axum` | the module `axum`: servers with axum |
//! | `tonic` | the module `tonic`: servers with tonic |
//! | `actix` | the module `actix`: servers with actix-web |
//!
//! # What it promises
//! - As long as a process lives that holds the listeners and was not asked to stop, connections are accepted. Between two owners they
//!   may wait in the kernel's queue, for at most [`Builder::serving_timeout`].
//! - A process accepts only after its predecessor has handed over to it or has died. In the moment of the handover both may accept.
//! - When something fails before the new process serves, exactly one process accepts afterwards: the old one or the new one.
//! - The library itself starts no thread, prints nothing, and never exits the process. [`run`] starts the threads that serve, and
//!   [`Builder::log_to_stderr`] and [`exit`] print.
//!
//! # Limitations
//! - Unix only. Linux is what it is built for and tested on. On other Unixes the loop learns of a death by SIGCHLD and has no descriptor
//!   to poll, so there is no `goagain::tokio::run`. That code is drilled on Linux (`--cfg goagain_portable`), and compiles for macOS,
//!   FreeBSD and Android. Nobody has run it there.
//! - macOS has no Unix sockets of type SEQPACKET, so `Bind::unix_seqpacket` is missing there. It cannot create a close-on-exec descriptor
//!   in one call, so a program that another thread starts in that instant may inherit the descriptor. Abstract names exist on Linux
//!   only.
//! - Android's `posix_spawn` forks, so starting the new process takes time in proportion to the old one's memory.
//! - The old process stays the fallback until the probation period is over and the new process serves. When the new process dies later,
//!   the supervisor has to start the service.
//! - A dying process holds its end of the channel until the kernel has taken it apart. With a big heap, or while it dumps core, a roll
//!   back waits that long.
//! - With a process of the Go package goagain on the other side there is no channel: no abort, and no roll back.
//! - A client that sends a request on an idle kept connection in the moment in which the server closes it loses the request, as with any
//!   server. [`Builder::idle_grace`] sets how long a drain waits before it closes such connections.
//! - Some HTTP/2 clients give up, at GOAWAY, a request that they have accepted and not yet written: see [`guide::drain`].
//! - A handler is not canceled when its client disconnects, because a client that has only shut down its writing side looks the same.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(feature = "actix")]
pub mod actix;
#[cfg(feature = "axum")]
pub mod axum;
pub mod drain;
pub mod error;
pub mod go;
pub mod guide;
#[cfg(any(feature = "actix", feature = "hyper"))]
#[cfg_attr(not(feature = "axum"), allow(dead_code, unreachable_pub, reason = "public in the module `axum`"))]
mod http;
#[cfg(feature = "hyper")]
pub mod hyper;
mod life;
pub mod migrate;
mod server;
pub mod signal;
pub mod socket;
pub mod state;
pub mod strategy;
pub mod threads;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "tonic")]
pub mod tonic;

pub use drain::connections::Connections;
pub use drain::guard::Guard;
#[cfg(feature = "double")]
pub use goagain_double::Double;
/// Faults on purpose, for the drills of goagain itself.
#[cfg(goagain_faults)]
pub use goagain_env::fault;
pub use goagain_env::{Address, Strategy};
pub use goagain_signals::{Event, EventKind, Handle, Role, Stop, Turn};
#[cfg(feature = "single")]
pub use goagain_single::Single;
pub use life::builder::Builder;
pub use life::error::Error;
pub use life::exit::exit;
pub use life::goagain::{Finish, Goagain};
pub use life::run::run;
pub use socket::acceptor::Acceptor;
pub use socket::listener::Listener;
pub use socket::stream::Stream;

/// The README's code compiles.
#[cfg(all(doctest, feature = "axum", feature = "single"))]
#[doc = include_str!("../README.md")]
struct Readme;
