//! Carries listening sockets across exec.
//!
//! `goagain` restarts a network server without losing a request. This crate is the part of it that crosses exec, and the
//! contract for crossing it: the variables of the handoff, the inherited descriptors, the channel between the two
//! processes, spawn and exec, and the trait [`Strategy`]. Start from the crate `goagain`. Use this crate to build something
//! next to it, such as a strategy or another loop.
//!
//! # Example
//!
//! The old process hands a listening socket to the new one:
//!
//! ```no_run
//! use std::net::TcpListener;
//! use std::os::fd::{AsFd, AsRawFd};
//! use std::time::Duration;
//!
//! use goagain_env::{
//!     Address, Channel, GoSignal, Handoff, Image, Launch, Link, Message, NamedDescriptor, Pid, Received,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let (mut ours, theirs) = Channel::pair()?;
//! let handoff = Handoff {
//!     descriptors: vec![NamedDescriptor {
//!         fd: listener.as_raw_fd(),
//!         name: "http".into(),
//!         address: Address::of(listener.as_fd())?,
//!     }],
//!     successor: None,
//!     predecessor: Pid::current(),
//!     signal: GoSignal::Quit,
//!     channel: Some(Link {
//!         fd: theirs.as_raw_fd(),
//!         signals: None,
//!         attempt: 1,
//!         generation: 2,
//!         ready_timeout: Duration::from_secs(60),
//!         release_timeout: None,
//!         go: false,
//!         state: false,
//!         leaving: Vec::new(),
//!         draining: None,
//!         list: None,
//!     }),
//!     go_listener: None,
//! };
//! let descriptors = vec![listener.as_fd(), theirs.as_fd()];
//! let child = Launch::new(&Image::current()?, Vec::new(), handoff, descriptors).spawn()?.into_process();
//! drop(theirs);
//! // Once the channel is readable:
//! if ours.receive()? == Received::Message(Message::Ready) {
//!     ours.send(&Message::Commit { again: false })?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The new process takes it over:
//!
//! ```
//! use goagain_env::{Handoff, Inherit, inherit};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! match Handoff::decode(|name| std::env::var_os(name))?.map(inherit).transpose()? {
//!     None => println!("started without a handoff"),
//!     Some(Inherit::NotOurs(warning)) => println!("started without a handoff: {warning}"),
//!     Some(Inherit::Ours(mut inheritance)) => {
//!         let http = inheritance.descriptors.take("http");
//!         println!("{http:?} from {:?}", inheritance.predecessor);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Terms
//!
//! - **Image**: an executable file, and the program in it.
//! - **Predecessor** and **successor**: the two processes of a restart. The predecessor hands over, the successor takes over.
//! - **Owner**: the process that accepts connections. A service has one owner at a time.
//! - **Term**: the time for which a process is the owner.
//! - **Generation**: the number of a process among those that have run for the service. The first one is 1.
//! - **Attempt**: one try to restart, from the start of the new process until it is committed or has failed. The owner counts
//!   its attempts.
//! - **Handoff**: the variables and descriptors that the successor gets when it starts.
//! - **Ready**: the successor has started and can serve. It sends the message READY.
//! - **Commit**: the moment when the successor becomes the owner. The predecessor sends COMMIT, which it cannot take back.
//! - **Serving**: the successor accepts connections. It sends SERVING.
//! - **Released**: the predecessor will never take over again. It sends RELEASED. [`Message`] has all messages.
//! - **Fallback**: a predecessor between commit and release. It no longer accepts, but keeps the listening sockets open, and
//!   takes over again if the successor dies.
//! - **Probation period**: the minimum time for which a predecessor stays the fallback. It begins with the commit. In `goagain` it
//!   defaults to 1 second.
//! - **Drain**: to finish the connections in flight, while no new ones are accepted.
//! - **Exec in place**: `execve(2)` without a new process. The pid stays the same.
//! - **State item**: a named piece of the application's state that the predecessor saves for the successor.
//! - **The Go package goagain**: the Go package from which this library descends. A **Go process** is one that runs it. It has no
//!   channel and uses only signals. Restarts work in both directions between it and this library.
//!
//! # Guarantees
//!
//! - Descriptors keep their numbers. They are close-on-exec in every process at all times, with two exceptions: the copies
//!   that `posix_spawn(3)` makes for the new process, and this process's own `execve(2)`. If that fails, they are close-on-exec
//!   again.
//! - The variables are set only in the environment of the new process, never in that of the running one.
//! - The environment is not trusted. What a handoff says is compared with what the operating system says. Only this process's
//!   own parent or child, once verified, can be signaled.
//! - A descriptor is checked before it is owned. If one check fails, none is owned.
//!
//! # Limitations
//!
//! - Linux must be 5.4 or newer (`pidfd_open(2)`, `waitid(2)` with P_PIDFD), with glibc 2.29 or musl 1.1.24.
//! - On other systems than Linux, starting a process in another directory moves this process there for the duration of
//!   `posix_spawn(3)`, with all its threads.
//! - On other Unixes no descriptor becomes readable when a process dies, and the channel does not say who made it. That code
//!   is tested on Linux (`--cfg goagain_portable`). It compiles for macOS, FreeBSD and Android, but has not been run there.
//! - Android's `posix_spawn(3)` (API level 28) forks.
//! - A Go process can take over only the first TCP or Unix listener. It passes the other descriptors on to its children.
//! - A descriptor that a dependency opens without close-on-exec goes to every child of the process.
//! - Before an exec in place, SIGPIPE gets its default action. Until the exec itself, a thread that writes to a closed pipe
//!   ends the process.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]

mod address;
mod channel;
mod directory;
mod draining;
#[cfg(goagain_faults)]
pub mod fault;
mod handoff;
mod image;
mod inherit;
mod launch;
mod mask;
mod message;
mod pid;
mod process;
mod reset;
mod state;
mod state_item;
mod strategy;
mod sys;
mod unsent;

pub use self::address::{Address, LabelError};
pub use self::channel::{Channel, Received};
pub use self::directory::WorkingDirectory;
pub use self::draining::Draining;
pub use self::handoff::{GoSignal, Handoff, HandoffError, Link, NamedDescriptor, VARIABLES};
pub use self::image::{Image, ImageFile};
pub use self::inherit::{
    AdoptError, Inherit, InheritError, Inheritance, Inherited, InheritedDescriptor, NotOurs, Predecessor,
    adopt, inherit,
};
pub use self::launch::{Launch, LaunchError, Launched};
pub use self::mask::{Blocked, block_control, unblock};
pub use self::message::{Message, MessageError};
pub use self::pid::Pid;
pub use self::process::{Exit, Process};
pub use self::reset::reset;
pub use self::state::{State, StateError};
pub use self::state_item::{SaveError, StateContents, StateItem, StateLimits, StateWriter};
pub use self::strategy::{Next, Relation, Strategy, View};
#[cfg(feature = "tokio")]
pub use self::sys::watched::Watched;
pub use self::unsent::unsent;

/// Compiles and runs the code of the README with that of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
