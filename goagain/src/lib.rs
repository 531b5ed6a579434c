//! Restarts a network server without losing a request.
//!
//! The running process starts the new image with its listening sockets, the new image says when it is ready, the old one
//! stops accepting, drains and leaves. If the new image fails at any moment, the old one serves on, or again.
//!
//! ```no_run
//! use goagain::{Finish, Goagain, Guard, Single, Stream};
//! use std::io::{Read, Write};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Reads the handoff and installs the signal handlers: first of all, before there is another thread.
//!     let mut again = Goagain::builder(Single)
//!         .on_hup(|| println!("would reload the configuration"))
//!         .on_event(|observed| eprintln!("{observed}"))
//!         .start()?;
//!     // Inherited by name, or bound.
//!     let http = again.listen("http", "127.0.0.1:48879")?;
//!     // Says READY; back once this process is the owner.
//!     again.ready()?;
//!     loop {
//!         // Ends by itself when the successor owns, or at a stop.
//!         let acceptor = http.acceptor()?;
//!         let accepting = std::thread::spawn(move || {
//!             for accepted in acceptor {
//!                 let (stream, guard) = accepted?;
//!                 std::thread::spawn(move || serve(stream, guard));
//!             }
//!             Ok::<(), std::io::Error>(())
//!         });
//!         // Signals and restarts.
//!         again.wait()?;
//!         accepting.join().expect("the accepting thread does not panic")?;
//!         // The drain; under `Double`, exec.
//!         match again.finish()? {
//!             Finish::Exit => return Ok(()),
//!             // Rolled back: this process is the owner again.
//!             Finish::Resume => continue,
//!         }
//!     }
//! }
//!
//! fn serve(mut stream: Stream, mut guard: Guard) -> std::io::Result<()> {
//!     // One word, one answer, until the client goes or a drain tells the idle to.
//!     let mut word = [0; 64];
//!     while guard.wait_readable(&stream)? {
//!         match stream.read(&mut word)? {
//!             0 => break,
//!             read => stream.write_all(&word[..read])?,
//!         }
//!         // A drain ends the connection after its last answer: when its client has sent nothing more.
//!         if guard.should_close(&stream, b"") {
//!             break;
//!         }
//!     }
//!     stream.close(guard);
//!     Ok(())
//! }
//! ```
//!
//! Then `kill -USR2` restarts it; HUP and USR1 run callbacks, INT and TERM stop it now, QUIT gracefully. What a drain waits
//! for, in which order, and how it ends: [`guide::drain`].
//!
//! # Which server
//! The one above has threads. [`guide::servers`] leads from the server that you have to what to write:
//!
//! | you have | feature | who accepts | the drain | whole server |
//! |---|---|---|---|---|
//! | threads, std | | [`Listener::acceptor`] | [`Guard::wait_readable`] | `single`, `double`; a bounded pool: `pool` |
//! | tokio | `tokio` | `Listener::to_tokio` | `Guard::readable` | `tokio` |
//! | axum | `axum` | `goagain::axum::serve` | by itself | `axum` |
//! | axum behind TLS | `axum` | `Listener::to_tokio`, then rustls | by `goagain::hyper::serve_connection` | `axum_tls` |
//! | hyper | `hyper` | `goagain::hyper::serve` | by itself | |
//! | tonic | `axum` | `goagain::axum::serve` | by itself | `tonic` |
//! | actix-web | `actix` | `goagain::actix::serve` | by itself | `actix` |
//! | a loop over epoll, mio, polling | | [`Acceptor::try_accept`] | [`Goagain::step`] | `mio` |
//! | UDP | | [`Receiver::recv_from`] | a guard with each datagram | `udp` |
//!
//! # Which strategy
#![cfg_attr(
    feature = "single",
    doc = "- [`Single`] execs once: the child takes over and the old process leaves, so the pid changes."
)]
#![cfg_attr(
    not(feature = "single"),
    doc = "- `Single` execs once: the child takes over and the old process leaves, so the pid changes."
)]
//!   For no supervisor, or for one that your service tells the new pid (a pid file, systemd's MAINPID).
#![cfg_attr(feature = "double", doc = "- [`Double`] execs twice: the pid never changes.")]
#![cfg_attr(not(feature = "double"), doc = "- `Double` execs twice: the pid never changes.")]
//!   For supervisors that watch the pid that they started: runit, s6, supervisord, a container's init.
//! - Your own: implement [`Strategy`]; [`guide::strategy`] leads through it.
//!
//! # Which sockets
//! TCP, UDP, Unix sockets of every type, and any other descriptor, each by a name; [`guide::sockets`] has the kinds, what a
//! restart may change, what holds for datagrams, and what to do for QUIC.
//!
//! # What crosses a restart
//! Sockets and other descriptors, by name; bytes, by [`Goagain::offer`] and [`Goagain::take`]; idle connections, by
//! [`Builder::migrate_connections`]. [`guide::state`] has the details.
//!
//! The file, the directory and the variables that a new image starts with, pid 1 of a container, and shells: [`guide::environment`].
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `single` (default) | the strategy `Single` |
//! | `double` | the strategy `Double` |
//! | `tracing` | every report as an event of the crate `tracing` |
//! | `tokio` | the module `tokio`: the same life as futures, and listeners as tokio's; on Linux |
//! | `hyper` | the module `hyper`: HTTP/1.1 and HTTP/2, drained in two phases |
//! | `axum` | the module `axum`: the same for a `Router`, and a listener for `axum::serve` |
//! | `actix` | the module `actix`: the same for actix-web |
//!
//! # What it promises
//! In short: as long as one image that holds the
//! listeners lives and was not told to stop, it accepts or is bound by a deadline to; an image accepts only after its
//! predecessor has committed or died; a failure up to SERVING leaves one owner, the old one or the new one; no thread is
//! started, nothing is printed, the process is never exited.
//!
//! # Limitations
//! - Unix only. Linux is what it is built for and tested on. On other Unixes deaths are told by SIGCHLD and the loop has no
//!   descriptor to poll (so no `tokio::Goagain`). That way is drilled on Linux (`--cfg goagain_portable`), and compiles for macOS,
//!   FreeBSD and Android; nobody has run it there.
//! - macOS has no Unix sockets of packets, so no `Bind::unix_seqpacket`. There a descriptor, in the moment between its making and
//!   the call that makes it close-on-exec, goes to what another thread starts. Abstract names are Linux's.
//! - Android's `posix_spawn` forks: starting the new image takes time by the old one's memory.
//! - Call [`Builder::start`] before there are other threads.
//! - The net ends with RELEASED: a successor that dies later is the supervisor's affair.
//! - A dying process holds its end of the channel until the kernel has taken it apart: with a big heap, or while it dumps
//!   core, a roll back waits that long.
//! - With a seed's process (the Go package) on the other side there is no channel: no abort, no roll back.
//! - A client that sends a request on an idle keep-alive connection in the moment in which that is closed loses it, as
//!   with any server. [`Builder::idle_grace`] says how long a drain waits before it closes such connections.
//! - Some HTTP/2 clients give up, at GOAWAY, a request that they have taken and not yet written: see [`guide::drain`].
//! - An answer is made to its end where its client has shut down its side or gone away: a server cannot tell the two apart.
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
#[cfg(feature = "tokio")]
pub mod tokio;

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
pub use life::goagain::{Finish, Goagain};
pub use socket::acceptor::Acceptor;
pub use socket::listener::Listener;
pub use socket::stream::Stream;

/// The README's code compiles.
#[cfg(all(doctest, feature = "single"))]
#[doc = include_str!("../README.md")]
struct Readme;
