//! Connections that move to the successor, and those that came from the predecessor.
//!
//! They cross by a socket of their own, not by the channel: so they can be sent by any thread, also after RELEASED, and nothing of
//! them can keep a word of the protocol waiting. The predecessor makes the pair and hands over one end with the state.

mod arrivals;
mod mover;
mod stream;

pub use self::arrivals::{Arrivals, Arrived};
pub use self::mover::{Idle, MoveError, Mover, Opening};
pub use self::stream::Moved;

use self::mover::Outgoing;
use goagain_env::{Channel, Contents, Message, Parcel, Received};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Both directions. There is none where [`Builder::move_connections`](crate::Builder::move_connections) was not called.
#[derive(Debug)]
pub(crate) struct Moves {
    outgoing: Outgoing,
    /// Our end of the pair whose other end went with the last state.
    next: Option<Channel>,
    incoming: Option<Channel>,
    /// By the name of the listener.
    arrivals: HashMap<String, Arrivals>,
}

/// What a listener has of them.
#[derive(Clone, Debug)]
pub(crate) struct OfListener {
    pub(crate) outgoing: Outgoing,
    pub(crate) arrivals: Arrivals,
}

impl Moves {
    pub(crate) fn new() -> io::Result<Moves> {
        Ok(Moves { outgoing: Outgoing::new()?, next: None, incoming: None, arrivals: HashMap::new() })
    }

    pub(crate) fn of_listener(&mut self, name: &str) -> io::Result<OfListener> {
        let arrivals = Arrivals::new()?;
        self.arrivals.insert(name.to_owned(), arrivals.clone());
        Ok(OfListener { outgoing: self.outgoing.clone(), arrivals })
    }

    /// The end for the next image.
    pub(crate) fn parcel(&mut self) -> io::Result<Parcel> {
        let (ours, theirs) = Channel::pair()?;
        self.next = Some(ours);
        Ok(Parcel::descriptor("", Contents::Connections, theirs.into()))
    }

    /// The successor owns, and connections can move once it serves.
    pub(crate) fn committed(&mut self) {
        if let Some(next) = self.next.take() {
            self.outgoing.await_opening(next);
        }
    }

    pub(crate) fn successor_serves(&mut self) {
        self.outgoing.open();
    }

    /// This process serves again.
    pub(crate) fn serve(&mut self) -> io::Result<()> {
        self.outgoing.close()
    }

    pub(crate) fn come_from(&mut self, predecessor: Channel) {
        self.incoming = Some(predecessor);
    }

    pub(crate) fn incoming(&self) -> Option<BorrowedFd<'_>> {
        self.incoming.as_ref().map(AsFd::as_fd)
    }

    /// Puts what has come where its acceptor finds it; what goes wrong is told.
    pub(crate) fn take(&mut self) -> Vec<String> {
        let mut lost = Vec::new();
        while let Some(incoming) = &mut self.incoming {
            let (listener, unread) = match incoming.receive() {
                Ok(Received::Message(Message::Moved { listener, unread })) => (listener, unread),
                Ok(Received::Message(message)) => {
                    lost.push(format!("expected a moved connection, found {message:?}"));
                    continue;
                }
                Ok(Received::Unknown(error)) => {
                    lost.push(format!("expected a moved connection: {error}"));
                    continue;
                }
                Ok(Received::Nothing) => break,
                Ok(Received::End) => {
                    self.incoming = None;
                    break;
                }
                Err(error) => {
                    lost.push(format!("moved connections cannot be received: {error}"));
                    self.incoming = None;
                    break;
                }
            };
            let arrived = Arrived::of(incoming.take_descriptors(), unread);
            let arrived = arrived.and_then(|arrived| match self.arrivals.get(&listener) {
                Some(arrivals) => {
                    arrivals.push(arrived);
                    Ok(())
                }
                None => Err("this image has no listener of the name".to_owned()),
            });
            if let Err(why) = arrived {
                lost.push(format!("a moved connection of `{listener}` was closed: {why}"));
            }
        }
        lost
    }

    /// Tells of what came and nobody accepted: it is closed with this process.
    pub(crate) fn left_over(&self) -> Vec<String> {
        let left = self
            .arrivals
            .iter()
            .map(|(name, arrivals)| (name, std::iter::from_fn(|| arrivals.take()).count()));
        left.filter(|(_, count)| *count > 0)
            .map(|(name, count)| {
                format!("{count} moved connections of `{name}` were closed: nobody accepted them")
            })
            .collect()
    }

    /// The term ends: nothing is taken from now on but what has been sent by now.
    pub(crate) fn refuse_more(&mut self) -> Vec<String> {
        let Some(incoming) = &self.incoming else { return Vec::new() };
        // Where it cannot be refused, its sender is told by the end.
        let _ = incoming.refuse_more();
        let lost = self.take();
        self.incoming = None;
        lost
    }
}
