//! What the loop asks of this process: its sockets, its connections, its callbacks.

pub(crate) mod isolated;
pub(crate) mod kept;
pub(crate) mod serving;
mod table;
mod term_count;
mod unlink;
