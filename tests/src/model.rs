//! The explored protocol: every order of events that a few processes, their channels, their deadlines, an operator and some
//! failures can produce for the one function that the loop runs, [`goagain_signals::Machine::handle`].
//!
//! - A [`world`] is a set of [`process`]es and the [`channel`]s between them. A [`step`] is anything that can happen in it.
//! - [`perform`] passes an input to a machine. [`act`] does what the machine answers, as the loop does.
//! - [`check`] checks what must never happen, and what must not be the case when nothing more can happen.
//! - A [`mutant`] is a rule of the protocol that is switched off. The checks have to notice it.
//! - [`explore`] runs it in a model checker.
//!
//! # What is modelled
//! Crashes and hangs of any process at any step; images that cannot serve; a spawn and an exec that fail; a death that
//! takes time, where the end of the channel and the exit are seen in either order; messages that were sent before a death
//! and are read after it; deadlines that pass at any time, but never while a message is unread (rule 6); signals at any
//! time to any process; as many generations at once as restarts were requested.
//!
//! # What is not
//! Time: a deadline may be early or late, so nothing is checked about how long anything takes. A process that hangs for
//! a while and continues is a slow process, which the order of steps covers. The first phase of a drain, which changes
//! no state of the machine. Processes of the Go package, which have no channel. What the kernel does with a channel that
//! is reset (rule 8).

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
