//! A channel: two queues, and two ends that can be closed.

use goagain_env::Message;
use std::collections::VecDeque;

/// A socketpair that preserves message boundaries. What was sent before an end was closed is read after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Channel {
    /// What each side has not read yet.
    unread: [VecDeque<Message>; 2],
    open: [bool; 2],
}

impl Channel {
    /// Creates a channel with both ends open and no messages.
    pub fn pair() -> Channel {
        Channel { unread: [VecDeque::new(), VecDeque::new()], open: [true, true] }
    }

    /// Sends from `side` to the other side. Returns false (EPIPE) if either end is closed.
    pub fn send(&mut self, side: usize, message: Message) -> bool {
        let sent = self.open == [true, true];
        if sent {
            self.unread[1 - side].push_back(message);
        }
        sent
    }

    /// Returns what `side` would read next.
    pub fn first(&self, side: usize) -> Option<&Message> {
        self.unread[side].front()
    }

    /// Reads the next message.
    pub fn receive(&mut self, side: usize) -> Option<Message> {
        self.unread[side].pop_front()
    }

    /// Returns what `side` has not read.
    pub fn unread(&self, side: usize) -> impl Iterator<Item = &Message> {
        self.unread[side].iter()
    }

    /// Returns whether `side` would read the end: everything before it was read.
    pub fn has_ended(&self, side: usize) -> bool {
        self.open[side] && !self.open[1 - side] && self.unread[side].is_empty()
    }

    /// Closes one end. What it has not read is lost.
    pub fn close(&mut self, side: usize) {
        self.open[side] = false;
        self.unread[side].clear();
    }
}
