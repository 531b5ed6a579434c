//! Migrating idle connections to the successor, instead of closing them.
//!
//! With [`Builder::migrate_connections`](crate::Builder::migrate_connections), the process that drains sends connections that wait for a
//! request to the new process.
//!
//! Connections travel over a socketpair of their own, and not over the channel of the handoff protocol. So any thread can send
//! them, even after the old process has [released](crate::guide::restart#words) the new one, and they never delay a message of
//! the protocol. The predecessor makes the socketpair, and hands over one end with the state.

mod error;
mod incoming;
pub(crate) mod migrated;
mod migrator;
mod outgoing;

pub use self::error::MigrateError;
pub use self::incoming::{Incoming, IncomingConnection};
pub use self::migrated::Migrated;
pub use self::migrator::{Migrator, SuccessorReady, WaitOutcome};

use self::outgoing::Outgoing;
use goagain_env::{Channel, Message, Received, StateContents, StateItem};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// The migrated connections of this process, in both directions. Exists only with
/// [`Builder::migrate_connections`](crate::Builder::migrate_connections).
#[derive(Debug)]
pub(crate) struct Migrations {
    outgoing: Outgoing,
    /// Our end of the socketpair whose other end went with the last state.
    next: Option<Channel>,
    from_predecessor: Option<Channel>,
    /// By the name of the listener.
    incoming: HashMap<String, Incoming>,
}

/// The migrated connections of one listener, in both directions.
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

    /// Makes a socketpair, and returns the end for the next process.
    pub(crate) fn state_item(&mut self) -> io::Result<StateItem> {
        let (ours, theirs) = Channel::pair()?;
        self.next = Some(ours);
        Ok(StateItem::descriptor("", StateContents::Connections, theirs.into()))
    }

    /// The successor is the owner. Connections can be sent once it serves.
    pub(crate) fn committed(&mut self) {
        if let Some(next) = self.next.take() {
            self.outgoing.set_pending(next);
        }
    }

    pub(crate) fn successor_serves(&mut self) {
        self.outgoing.open();
    }

    /// A new term begins: this process serves.
    pub(crate) fn serve(&mut self) -> io::Result<()> {
        self.outgoing.close()
    }

    pub(crate) fn come_from(&mut self, predecessor: Channel) {
        self.from_predecessor = Some(predecessor);
    }

    pub(crate) fn incoming(&self) -> Option<BorrowedFd<'_>> {
        self.from_predecessor.as_ref().map(AsFd::as_fd)
    }

    /// Puts connections that have come where their acceptors find them. Returns the texts of what went wrong.
    pub(crate) fn take(&mut self) -> Vec<String> {
        let mut warnings = Vec::new();
        while let Some(channel) = &mut self.from_predecessor {
            let (listener, unread, attached) = match channel.receive() {
                Ok(Received::Message(Message::Migrated { listener, unread, attached })) => {
                    (listener, unread, attached)
                }
                Ok(Received::Message(message)) => {
                    warnings.push(format!("expected a migrated connection, found {message:?}"));
                    continue;
                }
                Ok(Received::Unknown(error)) => {
                    warnings.push(format!("expected a migrated connection: {error}"));
                    continue;
                }
                Ok(Received::Nothing) => break,
                Ok(Received::End) => {
                    self.from_predecessor = None;
                    break;
                }
                Err(error) => {
                    warnings.push(format!("cannot receive migrated connections: {error}"));
                    self.from_predecessor = None;
                    break;
                }
            };
            let connection = IncomingConnection::of(channel.take_descriptors(), unread, attached);
            let queued = connection.and_then(|connection| match self.incoming.get(&listener) {
                Some(incoming) => {
                    incoming.push(connection);
                    Ok(())
                }
                None => Err("this process has no listener of that name".to_owned()),
            });
            if let Err(why) = queued {
                warnings.push(format!("closed a migrated connection of the listener `{listener}`: {why}"));
            }
        }
        warnings
    }

    /// Returns the texts for connections that nothing has accepted. They are closed with this process.
    pub(crate) fn left_over(&self) -> Vec<String> {
        let left = self
            .incoming
            .iter()
            .map(|(name, incoming)| (name, std::iter::from_fn(|| incoming.take()).count()));
        left.filter(|(_, count)| *count > 0)
            .map(|(name, count)| {
                format!("closed {count} migrated connections of the listener `{name}`: nothing accepted them before the process left")
            })
            .collect()
    }

    /// The term ends: takes what has been sent by now, and nothing after that.
    pub(crate) fn refuse_more(&mut self) -> Vec<String> {
        let Some(channel) = &self.from_predecessor else { return Vec::new() };
        // If this fails, the sender learns it from the end of the channel.
        let _ = channel.shutdown_read();
        let warnings = self.take();
        self.from_predecessor = None;
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{MsgFlags, send};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    fn migrated(listener: &str) -> Message {
        Message::Migrated { listener: listener.into(), unread: false, attached: false }
    }

    fn listener(migrations: &mut Migrations) -> (ListenerMigrations, Channel) {
        let (ours, theirs) = Channel::pair().unwrap();
        migrations.come_from(ours);
        (migrations.of_listener("http").unwrap(), theirs)
    }

    #[test]
    fn a_wrong_message_is_reported_and_does_not_hide_a_connection() {
        let mut migrations = Migrations::new().unwrap();
        let (http, theirs) = listener(&mut migrations);
        let (_client, server) = UnixStream::pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        let garbage = [&[0xff; 4000], &b"\n"[..]].concat();
        send(theirs.as_raw_fd(), &garbage, MsgFlags::empty()).unwrap();
        theirs.send(&Message::Ready).unwrap();
        theirs.send(&migrated("http")).unwrap();
        theirs.send_with(&migrated("http"), &[file.as_fd()]).unwrap();
        theirs.send_with(&migrated("admin"), &[server.as_fd()]).unwrap();
        theirs.send_with(&migrated("http"), &[server.as_fd()]).unwrap();
        let warnings = migrations.take();
        assert_eq!(warnings.len(), 5, "{warnings:?}");
        assert!(warnings[4].contains("`admin`"), "{warnings:?}");
        assert!(http.incoming.take().is_some() && http.incoming.take().is_none());
        drop(theirs);
        assert!(
            migrations.take().is_empty() && migrations.incoming().is_none(),
            "the end of the channel is not a failure"
        );
    }

    #[test]
    fn connections_that_were_sent_before_the_end_of_the_term_are_taken_and_no_others() {
        let mut migrations = Migrations::new().unwrap();
        let (http, theirs) = listener(&mut migrations);
        let (_client, server) = UnixStream::pair().unwrap();
        theirs.send_with(&migrated("http"), &[server.as_fd()]).unwrap();
        assert!(migrations.refuse_more().is_empty());
        assert!(theirs.send_with(&migrated("http"), &[server.as_fd()]).is_err());
        assert_eq!(migrations.left_over().len(), 1);
        assert!(http.incoming.take().is_none());
    }
}
