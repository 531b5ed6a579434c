//! The signal loop of goagain: signals, channel and deadlines in, one pure state machine, actions out.
//!
//! Start from the crate `goagain`, which has the API that servers use. This one is for those who build another facade,
//! or who want to explore the protocol: [`Machine`] is one function from state and event to state and actions, holds no
//! descriptor and no clock, and is the very function that [`Loop`] runs.
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
//! - A death or a deadline is told after everything that the channel held.
//! - No signal is lost. A stop that comes before ready ends the process at once by the signal's default action, since
//!   nobody runs the loop yet; in a process that was exec'd in place, its handler first says LEAVING.
//! - Only a verified parent or child is ever signalled.
//!
//! The machine's types ([`Input`], [`Action`], [`Deadline`], [`Phase`], [`Origin`]) are exhaustive on purpose: whoever drives a
//! machine has to deal with each, and the compiler says what a new version added.
//!
//! # Limitations
//! - One [`Loop`] a process, but for [`Loop::isolated`].
//! - A stop that another thread has dequeued at the very moment of exec, and not yet written to the pipe, dies with that
//!   thread. The window is a few instructions, once a restart, and only under a strategy that execs.
//! - On Unixes other than Linux (`poll`, SIGCHLD) the loop has no descriptor that stands for all. That way is drilled on
//!   Linux, with `--cfg goagain_portable`, and compiles for macOS, FreeBSD and Android; it has not been run there.
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
