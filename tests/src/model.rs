//! The protocol, explored: every order of events that a few processes, their channels, their deadlines, an operator and a
//! little bad luck can make of the one function that the loop runs, [`goagain_signals::Machine::handle`].
//!
//! - A [`world`] is some [`process`]es and the [`channel`]s between them; a [`step`] is anything that can happen in it.
//! - [`perform`] tells a machine an event, [`act`] does what it answers, as the loop does.
//! - [`check`] says what must never be, and what must not be when nothing more can happen.
//! - A [`mutant`] is a rule of the protocol switched off, which the checks have to notice.
//! - [`explore`] puts it into a model checker.
//!
//! # What is modelled
//! Crashes and hangs of any process at any step; images that cannot serve; a spawn and an exec that fail; a death that
//! takes time, whose end of the channel and whose exit are seen in either order; messages that were sent before a death
//! and are read after it; deadlines that pass at any time, but never beside an unread message (rule 6); signals at any
//! time to any process; as many generations at once as restarts were asked for.
//!
//! # What is not
//! Time: a deadline may be early or late, so nothing is said about how long a thing takes. A process that hangs for a
//! while and goes on is one that is slow, which the order of steps covers. The first phase of a drain, which changes
//! no state of the machine. Seeds, which have no channel. What the kernel does with a channel that is reset (rule 8).

pub mod act;
pub mod channel;
pub mod check;
pub mod explore;
pub mod mutant;
pub mod perform;
pub mod process;
pub mod step;
pub mod strategies;
pub mod world;
