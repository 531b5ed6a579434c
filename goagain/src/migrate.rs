//! Connections that move to the successor, and those that came from the predecessor.
//!
//! They cross by a socket of their own, not by the channel: so they can be sent by any thread, also after RELEASED, and nothing of
//! them can keep a word of the protocol waiting. The predecessor makes the pair and hands over one end with the state.

mod incoming;
pub(crate) mod migrated;
mod migrator;

pub use self::incoming::{Incoming, IncomingConnection};
pub use self::migrated::Migrated;
pub use self::migrator::{MigrateError, Migrator, SuccessorReady, WaitOutcome};

use self::migrator::Outgoing;
use goagain_env::{Channel, Message, Received, StateContents, StateItem};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Both directions. There is none where [`Builder::migrate_connections`](crate::Builder::migrate_connections) was not called.
#[derive(Debug)]
pub(crate) struct Migrations {
    outgoing: Outgoing,
    /// Our end of the pair whose other end went with the last state.
    next: Option<Channel>,
    from_predecessor: Option<Channel>,
    /// By the name of the listener.
    incoming: HashMap<String, Incoming>,
}

/// What a listener has of them.
#[derive(Clone, Debug)]
pub(crate) struct ListenerMigrations {
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
}

impl Migrations {
    pub(crate) fn new() -> io::Result<Migrations> {
        Ok(Migrations {
            outgoing: Outgoing::new()?,
            next: None,
            from_predecessor: None,
            incoming: HashMap::new(),
        })
    }

    pub(crate) fn of_listener(&mut self, name: &str) -> io::Result<ListenerMigrations> {
        let incoming = Incoming::new()?;
        self.incoming.insert(name.to_owned(), incoming.clone());
        Ok(ListenerMigrations { outgoing: self.outgoing.clone(), incoming })
    }

    /// The end for the next image.
    pub(crate) fn parcel(&mut self) -> io::Result<StateItem> {
        let (ours, theirs) = Channel::pair()?;
        self.next = Some(ours);
        Ok(StateItem::descriptor("", StateContents::Connections, theirs.into()))
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
        self.from_predecessor = Some(predecessor);
    }

    pub(crate) fn incoming(&self) -> Option<BorrowedFd<'_>> {
        self.from_predecessor.as_ref().map(AsFd::as_fd)
    }

    /// Puts what has come where its acceptor finds it; what goes wrong is told.
    pub(crate) fn take(&mut self) -> Vec<String> {
        let mut lost = Vec::new();
        while let Some(channel) = &mut self.from_predecessor {
            let (listener, unread, attached) = match channel.receive() {
                Ok(Received::Message(Message::Migrated { listener, unread, attached })) => {
                    (listener, unread, attached)
                }
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
                    self.from_predecessor = None;
                    break;
                }
                Err(error) => {
                    lost.push(format!("moved connections cannot be received: {error}"));
                    self.from_predecessor = None;
                    break;
                }
            };
            let arrived = IncomingConnection::of(channel.take_descriptors(), unread, attached);
            let arrived = arrived.and_then(|arrived| match self.incoming.get(&listener) {
                Some(incoming) => {
                    incoming.push(arrived);
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
            .incoming
            .iter()
            .map(|(name, incoming)| (name, std::iter::from_fn(|| incoming.take()).count()));
        left.filter(|(_, count)| *count > 0)
            .map(|(name, count)| {
                format!("{count} moved connections of `{name}` were closed: nobody accepted them")
            })
            .collect()
    }

    /// The term ends: nothing is taken from now on but what has been sent by now.
    pub(crate) fn refuse_more(&mut self) -> Vec<String> {
        let Some(channel) = &self.from_predecessor else { return Vec::new() };
        // Where it cannot be refused, its sender is told by the end.
        let _ = channel.shutdown_read();
        let lost = self.take();
        self.from_predecessor = None;
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{MsgFlags, send};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    fn moved(listener: &str) -> Message {
        Message::Migrated { listener: listener.into(), unread: false, attached: false }
    }

    fn of(moves: &mut Migrations) -> (ListenerMigrations, Channel) {
        let (ours, theirs) = Channel::pair().unwrap();
        moves.come_from(ours);
        (moves.of_listener("http").unwrap(), theirs)
    }

    #[test]
    fn what_is_no_connection_of_ours_is_told_and_hides_no_other() {
        let mut moves = Migrations::new().unwrap();
        let (http, theirs) = of(&mut moves);
        let (_client, server) = UnixStream::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        let garbage = [&[0xff; 4000], &b"\n"[..]].concat();
        send(theirs.as_raw_fd(), &garbage, MsgFlags::empty()).unwrap();
        theirs.send(&Message::Ready).unwrap();
        theirs.send(&moved("http")).unwrap();
        theirs.send_with(&moved("http"), &[file.as_fd()]).unwrap();
        theirs.send_with(&moved("admin"), &[server.as_fd()]).unwrap();
        theirs.send_with(&moved("http"), &[server.as_fd()]).unwrap();
        let told = moves.take();
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(told[4].contains("`admin`"), "{told:?}");
        assert!(http.incoming.take().is_some() && http.incoming.take().is_none());
        drop(theirs);
        assert!(moves.take().is_empty() && moves.incoming().is_none(), "its end is no failure");
    }

    #[test]
    fn what_was_sent_before_the_end_of_the_term_is_taken_and_no_more() {
        let mut moves = Migrations::new().unwrap();
        let (http, theirs) = of(&mut moves);
        let (_client, server) = UnixStream::pair().unwrap();
        theirs.send_with(&moved("http"), &[server.as_fd()]).unwrap();
        assert!(moves.refuse_more().is_empty());
        assert!(theirs.send_with(&moved("http"), &[server.as_fd()]).is_err());
        assert_eq!(moves.left_over().len(), 1);
        assert!(http.incoming.take().is_none());
    }
}
