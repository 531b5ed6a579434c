//! Sockets that cross restarts: how they are bound, adopted, and accepted on.
//!
//! The page [`guide::sockets`](crate::guide::sockets) shows each kind.

pub(crate) mod acceptor;
pub(crate) mod adopt;
pub(crate) mod bind;
pub(crate) mod datagrams;
pub(crate) mod kinds;
pub(crate) mod listener;
pub(crate) mod new_socket;
pub(crate) mod path;
pub(crate) mod requested;
pub(crate) mod stream;

pub(crate) use self::acceptor::Acceptor;
pub use self::adopt::AdoptFd;
pub use self::bind::Bind;
pub use self::datagrams::{Datagrams, Peer, Receiver};
pub(crate) use self::listener::Listener;
pub(crate) use self::stream::Stream;
