//! What the servers for HTTP share: following the requests of a connection, and draining it.

pub(crate) mod activity;
pub(crate) mod follower;
mod request;
pub(crate) mod tracked;

pub(crate) use self::activity::Activity;
pub(crate) use self::request::RequestGuard;
pub use self::tracked::Tracked;
