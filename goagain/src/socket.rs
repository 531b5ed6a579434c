//! Sockets that cross restarts: binding, adopting, accepting and receiving.
//!
//! The page [`guide::sockets`](crate::guide::sockets) shows each kind.

pub(crate) mod accept_error;
pub(crate) mod acceptor;
pub(crate) mod adopt;
pub(crate) mod bind;
pub(crate) mod datagrams;
mod found;
pub(crate) mod kinds;
pub(crate) mod listener;
pub(crate) mod new_socket;
pub(crate) mod path;
mod receiver;
pub(crate) mod requested;
pub(crate) mod shared;
pub(crate) mod stream;
pub(crate) mod term;

pub(crate) use self::acceptor::Acceptor;
pub use self::adopt::AdoptFd;
pub use self::bind::Bind;
pub use self::datagrams::Datagrams;
pub(crate) use self::listener::Listener;
pub use self::receiver::{Peer, Receiver};
pub(crate) use self::stream::Stream;
