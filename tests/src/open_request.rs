//! A request that is not sent completely: it stays in flight for as long as the drill needs, up to the client's timeout.

use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::client::{Connection, Target};
use crate::http::Answer;
use crate::service::{DEADLINE, Service};

/// A connection with the first half of a request on it.
#[derive(Debug)]
pub struct OpenRequest {
    connection: Connection,
    /// The process that has accepted it.
    pub pid: i32,
}

impl OpenRequest {
    /// Connects to the process that accepts now, and sends half of a request.
    ///
    /// # Errors
    /// - the connection is refused, or its first request is not answered.
    pub fn by_owner(service: &Service) -> anyhow::Result<Self> {
        let target: Target = service.address("http")?.parse()?;
        let mut connection = Connection::open(&target)?;
        // This one is answered, so the connection has been accepted.
        connection.send("/", false)?;
        let pid = connection.answer()?.identity().context("open request: expected an identity")?.pid;
        connection.write(b"GET /slow?ms=")?;
        Ok(Self { connection, pid })
    }

    /// Does the same until `pid`, which has reported that it is the owner, has the connection: its predecessor may accept
    /// for a moment longer.
    ///
    /// # Errors
    /// - as [`by_owner`](Self::by_owner), or `pid` does not accept within the deadline.
    pub fn by(service: &Service, pid: i32) -> anyhow::Result<Self> {
        let end = Instant::now() + DEADLINE;
        loop {
            let request = Self::by_owner(service)?;
            if request.pid == pid {
                return Ok(request);
            }
            ensure!(Instant::now() < end, "open request: expected {pid}, found {}", request.pid);
        }
    }

    /// Completes the request. The answer takes longer than anything is waited for.
    ///
    /// # Errors
    /// - the connection is gone.
    pub fn linger(&mut self) -> anyhow::Result<()> {
        self.go_on(3 * DEADLINE.as_millis())
    }

    /// Completes the request without waiting for its answer.
    ///
    /// # Errors
    /// - the connection is gone.
    pub fn end(&mut self) -> anyhow::Result<()> {
        self.go_on(0)
    }

    fn go_on(&mut self, milliseconds: u128) -> anyhow::Result<()> {
        let rest = format!("{milliseconds} HTTP/1.1\r\nHost: drill\r\n\r\n");
        self.connection.write(rest.as_bytes()).context("open request")
    }

    /// Returns whether the answer, or a part of it, has arrived.
    ///
    /// # Errors
    /// - `poll` fails.
    pub fn has_answer(&self) -> anyhow::Result<bool> {
        self.connection.has_answer()
    }

    /// Reads the answer. It must come from the process that has the request, although that process drains.
    ///
    /// # Errors
    /// - there is none, or it comes from another process.
    pub fn answer(mut self) -> anyhow::Result<(Answer, Connection)> {
        let answer = self.connection.answer().context("open request")?;
        ensure!(answer.status == 200, "open request: expected status 200, found {}", answer.status);
        let pid = answer.identity().map(|identity| identity.pid);
        ensure!(pid == Some(self.pid), "open request: expected an answer of {}, found {pid:?}", self.pid);
        Ok((answer, self.connection))
    }

    /// Calls [`end`](Self::end) and [`answer`](Self::answer).
    ///
    /// # Errors
    /// - as for both of them.
    pub fn finish(mut self) -> anyhow::Result<(Answer, Connection)> {
        self.end()?;
        self.answer()
    }
}
