//! What a [`Strategy`](crate::Strategy) sees, decides and starts.
//!
//! The page [`guide::strategy`](crate::guide::strategy) shows how to write one.

pub use goagain_env::{GoSignal, Launch, Launched, Next, Pid, Relation, View};
