//! Carries listening sockets across exec.
//!
//! Everything of `goagain` that crosses exec, and the contract for crossing it. Start from the crate `goagain`; this one is
//! for what is built beside it: a strategy, another loop.
//!
//! One process hands a listener to another image:
//!
//! ```no_run
//! use std::net::TcpListener;
//! use std::os::fd::{AsFd, AsRawFd};
//! use std::time::Duration;
//!
//! use goagain_env::{Address, Channel, Described, Handoff, Image, Launch, Link, Message, Pid, Received, GoSignal};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let (mut ours, theirs) = Channel::pair()?;
//! let handoff = Handoff {
//!     descriptors: vec![Described {
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
//!         seed: false,
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
//! And the other image takes it over:
//!
//! ```
//! use goagain_env::{Handoff, Inherit, inherit};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! match Handoff::decode(|name| std::env::var_os(name))?.map(inherit).transpose()? {
//!     None => println!("started afresh"),
//!     Some(Inherit::NotOurs(warning)) => println!("started afresh: {warning}"),
//!     Some(Inherit::Ours(mut inheritance)) => {
//!         let http = inheritance.descriptors.take("http");
//!         println!("{http:?} from {:?}", inheritance.predecessor);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//!
//! - Descriptors keep their numbers. They are close-on-exec in every process at all times, but for the copy that
//!   `posix_spawn(3)` makes for the new image, and for an own `execve(2)`, after whose failure they are so again.
//! - The variables are set in the environment of the new image alone, never in the running process's own.
//! - Nothing in the environment is believed: what a handoff says is compared with what the system says, and only our own
//!   parent or child, verified, can be signalled.
//! - A descriptor is looked at before it is owned, and one failing means that none is.
//!
//! # Limitations
//!
//! - Linux must be 5.4 or newer (`pidfd_open(2)`, `waitid(2)` with P_PIDFD), and glibc 2.29 or musl 1.1.24.
//! - Elsewhere than on Linux a new image that starts in another directory than this process is in takes this process there
//!   for the time of `posix_spawn(3)`, with all its threads.
//! - On other Unixes no descriptor tells of a process's death, and the channel does not say who made it. That way is drilled
//!   on Linux (`--cfg goagain_portable`) and compiles for macOS, FreeBSD and Android, but was not run there.
//! - Android's `posix_spawn(3)` (API level 28) forks.
//! - To a seed (the Go library of the same name) only the first TCP or Unix listener can be handed over. It passes on to its
//!   children what else it was given.
//! - A descriptor that a dependency opens without close-on-exec goes to every child, ours or not.
//! - Between the moment when SIGPIPE gets its default action for an own exec and the exec itself, another thread that writes to
//!   a closed pipe ends the process.
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
mod parcel;
mod pid;
mod process;
mod reset;
mod state;
mod strategy;
mod sys;
mod unsent;

pub use self::address::{Address, LabelError};
pub use self::channel::{Channel, Received};
pub use self::directory::WorkingDirectory;
pub use self::draining::Draining;
pub use self::handoff::{Described, GoSignal, Handoff, HandoffError, Link, VARIABLES};
pub use self::image::{Image, ImageFile};
pub use self::inherit::{
    AdoptError, Inherit, InheritError, Inheritance, Inherited, InheritedDescriptor, NotOurs, Predecessor,
    adopt, inherit,
};
pub use self::launch::{Launch, LaunchError, Launched};
pub use self::mask::{Blocked, block_control, unblock};
pub use self::message::{Message, MessageError};
pub use self::parcel::{SaveError, StateContents, StateItem, StateLimits, StateWriter};
pub use self::pid::Pid;
pub use self::process::{Exit, Process};
pub use self::reset::reset;
pub use self::state::{State, StateError};
pub use self::strategy::{Next, Relation, Strategy, View};
#[cfg(feature = "tokio")]
pub use self::sys::watched::Watched;
pub use self::unsent::unsent;

/// The README's code is compiled, and run, with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
