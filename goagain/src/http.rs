//! What the servers for HTTP share: a connection that is tracked, and what its client has sent.

pub(crate) mod activity;
pub(crate) mod follower;
pub(crate) mod tracked;

pub(crate) use self::activity::{Activity, InRequest};
pub use self::tracked::Tracked;
