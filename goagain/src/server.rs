//! What the loop asks of this process: its sockets, its connections, its callbacks.

pub(crate) mod isolated;
pub(crate) mod serving;
