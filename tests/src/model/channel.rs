//! A channel: two queues, and two ends that close.

use goagain_env::Message;
use std::collections::VecDeque;

/// A socketpair that keeps the bounds of messages. What was sent before an end closed is read after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Channel {
    /// What each side has still to read.
    unread: [VecDeque<Message>; 2],
    open: [bool; 2],
}

impl Channel {
    /// With both ends open and nothing in it.
    pub fn pair() -> Channel {
        Channel { unread: [VecDeque::new(), VecDeque::new()], open: [true, true] }
    }

    /// Sends from `side` to the other; false (EPIPE) if either end is closed.
    pub fn send(&mut self, side: usize, message: Message) -> bool {
        let sent = self.open == [true, true];
        if sent {
            self.unread[1 - side].push_back(message);
        }
        sent
    }

    /// What `side` would read next.
    pub fn first(&self, side: usize) -> Option<&Message> {
        self.unread[side].front()
    }

    /// Reads it.
    pub fn receive(&mut self, side: usize) -> Option<Message> {
        self.unread[side].pop_front()
    }

    /// What `side` has not read.
    pub fn unread(&self, side: usize) -> impl Iterator<Item = &Message> {
        self.unread[side].iter()
    }

    /// Whether `side` would read the end: everything before it was read.
    pub fn has_ended(&self, side: usize) -> bool {
        self.open[side] && !self.open[1 - side] && self.unread[side].is_empty()
    }

    /// Closes one end; what it has not read is lost.
    pub fn close(&mut self, side: usize) {
        self.open[side] = false;
        self.unread[side].clear();
    }
}
