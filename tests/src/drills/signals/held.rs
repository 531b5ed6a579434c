//! A request that is begun and not ended: in flight for as long as the drill likes, and no longer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{bail, ensure};

use crate::client::Target;
use crate::http::{self, Answer};
use crate::service::{DEADLINE, Service};

/// A connection with the first half of a request on it.
pub(super) struct Held {
    stream: TcpStream,
    /// The process that has it.
    pub(super) pid: i32,
}

impl Held {
    /// Connects to whoever accepts now, and begins a request.
    pub(super) fn by_owner(service: &Service) -> anyhow::Result<Self> {
        let Target::Tcp(address) = service.address("http")?.parse()? else { bail!("http: expected TCP") };
        let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        // Answered once, so it is accepted for sure.
        stream.write_all(http::request("/", false).as_bytes())?;
        let answer = read(&mut stream)?;
        let Some(identity) = answer.identity() else { bail!("identity: found `{}`", answer.body) };
        stream.write_all(b"GET /slow?ms=")?;
        Ok(Self { stream, pid: identity.pid })
    }

    /// Ends the request, whose answer takes longer than anything is waited for.
    pub(super) fn linger(&mut self) -> anyhow::Result<()> {
        self.go_on(3 * DEADLINE.as_millis())
    }

    fn go_on(&mut self, milliseconds: u128) -> anyhow::Result<()> {
        write!(self.stream, "{milliseconds} HTTP/1.1\r\nHost: drill\r\n\r\n")?;
        Ok(())
    }

    /// Ends the request: it must be answered by the process that has it, though that drains.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.go_on(0)?;
        let answer = read(&mut self.stream)?;
        ensure!(answer.status == 200, "held request: expected status 200, found {}", answer.status);
        let pid = answer.identity().map(|identity| identity.pid);
        ensure!(pid == Some(self.pid), "held request: expected an answer of {}, found {pid:?}", self.pid);
        Ok(())
    }
}

fn read(stream: &mut TcpStream) -> anyhow::Result<Answer> {
    let (mut buffer, mut bytes) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(answer) = http::parse(&buffer).map_err(anyhow::Error::msg)? {
            return Ok(answer);
        }
        match stream.read(&mut bytes)? {
            0 => bail!("held request: expected an answer, found the end of the connection"),
            length => buffer.extend_from_slice(&bytes[..length]),
        }
    }
}
