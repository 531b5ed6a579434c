//! Runs the restart protocol of goagain: a loop that reads signals, channels and deadlines, and a pure state machine.
//!
//! Start from the crate `goagain`, which has the API for servers. Use this crate to build another API, or to explore the
//! protocol: [`Machine`] is one function from state and input to state and actions. It holds no descriptor and no clock, and it
//! is the function that [`Loop`] runs.
//!
//! ```
//! use goagain_env::Next;
//! use goagain_signals::{Action, Decisions, Input, Machine, Turn};
//!
//! let mut machine = Machine::new(Decisions::from_table([Next::Exit; 16]), None, &[]);
//! let mut actions = Vec::new();
//! machine.handle(Input::Ready, &mut actions);
//! assert_eq!(machine.turn(), Turn::Serve);
//! machine.handle(Input::Restart, &mut actions);
//! assert_eq!(actions.last(), Some(&Action::Spawn(1)));
//! ```
//!
//! # What the loop promises
//! - No thread, no sleep, no polling interval: one wait on descriptors and deadlines, an `epoll` descriptor on Linux.
//! - A death or a deadline is handled after every message that the channel held.
//! - No signal is lost. A stop before ready ends the process at once by the signal's default action, since the loop does not run
//!   yet. In a process that was exec'd in place, the handler sends LEAVING first.
//! - Only a verified parent or child is ever signalled.
//!
//! The machine's types ([`Input`], [`Action`], [`Report`], [`Deadline`], [`Phase`], [`Origin`]) are exhaustive on purpose: code
//! that drives a machine has to handle each variant, and the compiler names what a new version added.
//!
//! # Limitations
//! - One [`Loop`] for each process, except for [`Loop::isolated`].
//! - A stop is lost if another thread has dequeued its signal at the moment of an exec, and has not yet written it to the pipe.
//!   The window is a few instructions, once a restart, and only with a strategy that execs.
//! - On Unixes other than Linux (`poll`, SIGCHLD) the loop does not implement `AsFd`. This code is tested on Linux, with
//!   `--cfg goagain_portable`. It compiles for macOS, FreeBSD and Android, and has not been run there.
#![deny(unsafe_code)]

mod connection_info;
mod decisions;
mod error;
mod event;
mod event_kind;
mod handle;
mod handlers;
mod in_flight;
mod input;
mod machine;
mod peer;
mod poller;
mod report;
mod run;
mod sentence;
mod server;
mod settings;
mod signal;
mod take;
mod turn;

pub use connection_info::{ConnectionInfo, ConnectionKind};
pub use decisions::Decisions;
pub use error::StartError;
pub use event::{Event, Role};
pub use event_kind::EventKind;
pub use handle::Handle;
pub use in_flight::InFlight;
pub use input::{Action, Deadline, Input};
pub use machine::{Machine, Origin, Phase};
pub use report::Report;
pub use run::Loop;
pub use server::Server;
pub use settings::Settings;
pub use signal::{Signal, SignalAction, Signals};
pub use take::RestoreError;
pub use turn::{Stop, Turn};
