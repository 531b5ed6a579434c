//! A request that is begun and not ended: in flight for as long as the drill likes, and no longer than a client has for it.

use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::client::{Connection, Target};
use crate::http::Answer;
use crate::service::{DEADLINE, Service};

/// A connection with the first half of a request on it.
#[derive(Debug)]
pub struct Held {
    connection: Connection,
    /// The process that has it.
    pub pid: i32,
}

impl Held {
    /// Connects to whoever accepts now, and begins a request.
    ///
    /// # Errors
    /// - the connection is refused, or its first request is not answered.
    pub fn by_owner(service: &Service) -> anyhow::Result<Self> {
        let target: Target = service.address("http")?.parse()?;
        let mut connection = Connection::open(&target)?;
        // Answered once, so it is accepted for sure.
        connection.send("/", false)?;
        let pid = connection.answer()?.identity().context("held request: expected an identity")?.pid;
        connection.write(b"GET /slow?ms=")?;
        Ok(Self { connection, pid })
    }

    /// The same until it is `pid` that has it, which says that it owns: its predecessor may accept for a moment longer.
    ///
    /// # Errors
    /// - as [`by_owner`](Self::by_owner), or `pid` does not accept within the deadline.
    pub fn by(service: &Service, pid: i32) -> anyhow::Result<Self> {
        let end = Instant::now() + DEADLINE;
        loop {
            let held = Self::by_owner(service)?;
            if held.pid == pid {
                return Ok(held);
            }
            ensure!(Instant::now() < end, "held request: expected {pid}, found {}", held.pid);
        }
    }

    /// Ends the request, whose answer takes longer than anything is waited for.
    ///
    /// # Errors
    /// - the connection is gone.
    pub fn linger(&mut self) -> anyhow::Result<()> {
        self.go_on(3 * DEADLINE.as_millis())
    }

    /// Ends the request without waiting for its answer.
    ///
    /// # Errors
    /// - the connection is gone.
    pub fn end(&mut self) -> anyhow::Result<()> {
        self.go_on(0)
    }

    fn go_on(&mut self, milliseconds: u128) -> anyhow::Result<()> {
        let rest = format!("{milliseconds} HTTP/1.1\r\nHost: drill\r\n\r\n");
        self.connection.write(rest.as_bytes()).context("held request")
    }

    /// Whether the answer, or a part of it, is there.
    ///
    /// # Errors
    /// - those of `poll`.
    pub fn has_answer(&self) -> anyhow::Result<bool> {
        self.connection.has_answer()
    }

    /// Reads the answer: it must be of the process that has the request, though that drains.
    ///
    /// # Errors
    /// - there is none, or it is another's.
    pub fn answer(mut self) -> anyhow::Result<(Answer, Connection)> {
        let answer = self.connection.answer().context("held request")?;
        ensure!(answer.status == 200, "held request: expected status 200, found {}", answer.status);
        let pid = answer.identity().map(|identity| identity.pid);
        ensure!(pid == Some(self.pid), "held request: expected an answer of {}, found {pid:?}", self.pid);
        Ok((answer, self.connection))
    }

    /// [`end`](Self::end) and [`answer`](Self::answer).
    ///
    /// # Errors
    /// - those of both.
    pub fn finish(mut self) -> anyhow::Result<(Answer, Connection)> {
        self.end()?;
        self.answer()
    }
}
