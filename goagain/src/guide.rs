//! Pages to read. [`restart`] defines the words that the others use.

#[doc = include_str!("../docs/restart.md")]
pub mod restart {}

#[doc = include_str!("../docs/servers.md")]
pub mod servers {}

#[doc = include_str!("../docs/drain.md")]
pub mod drain {}

#[doc = include_str!("../docs/failures.md")]
pub mod failures {}

#[doc = include_str!("../docs/environment.md")]
pub mod environment {}

#[doc = include_str!("../docs/state.md")]
pub mod state {}

#[doc = include_str!("../docs/strategy.md")]
pub mod strategy {}

#[doc = include_str!("../docs/sockets.md")]
pub mod sockets {}
