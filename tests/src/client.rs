//! The address of a service, and one blocking request to it.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::http::{self, Answer};

/// How long one blocking request may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// An address as the servers report it: `tcp:127.0.0.1:PORT` or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.split_once(':') {
            Some(("tcp", address)) => match address.parse() {
                Ok(address) => Ok(Self::Tcp(address)),
                Err(_) => bail!("target: expected `tcp:ip:port`, found `{text}`"),
            },
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            _ => bail!("target: expected `tcp:ip:port` or `unix:path`, found `{text}`"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "tcp:{address}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

/// A stream to a server.
trait Stream: Read + Write + AsFd + Send {}
impl<T: Read + Write + AsFd + Send> Stream for T {}

/// A connection that sends one request at a time, blocking.
pub struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects to `target`.
    ///
    /// # Errors
    /// - the connection is refused.
    pub fn open(target: &Target) -> anyhow::Result<Self> {
        let context = || format!("{target}: connect");
        let stream: Box<dyn Stream> = match target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, DEADLINE).with_context(context)?;
                stream.set_read_timeout(Some(DEADLINE))?;
                Box::new(stream)
            }
            Target::Unix(path) => {
                let stream = UnixStream::connect(path).with_context(context)?;
                stream.set_read_timeout(Some(DEADLINE))?;
                Box::new(stream)
            }
        };
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends a request without waiting for its answer.
    ///
    /// # Errors
    /// - the connection is gone.
    pub fn send(&mut self, path: &str, close: bool) -> anyhow::Result<()> {
        self.stream.write_all(http::request(path, close).as_bytes()).with_context(|| format!("GET {path}"))
    }

    /// Sends bytes, which may be a part of a request.
    ///
    /// # Errors
    /// - the connection is gone.
    pub fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes).context("write")
    }

    /// Reads the answer to the last request. The deadline is 20 seconds.
    ///
    /// # Errors
    /// - the connection ended, or no complete answer came in time.
    pub fn answer(&mut self) -> anyhow::Result<Answer> {
        loop {
            if let Some(answer) = http::parse(&self.buffer).map_err(anyhow::Error::msg)? {
                self.buffer.drain(..answer.length);
                return Ok(answer);
            }
            if self.read()? == 0 {
                bail!("expected an answer, found the end of the connection");
            }
        }
    }

    /// Returns whether the answer to the last request, or a part of it, has arrived.
    ///
    /// # Errors
    /// - `poll` fails.
    pub fn has_answer(&self) -> anyhow::Result<bool> {
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        Ok(!self.buffer.is_empty() || poll(&mut fds, PollTimeout::ZERO).context("poll")? == 1)
    }

    /// Returns the raw stream.
    pub fn stream(&mut self) -> &mut dyn Read {
        &mut self.stream
    }

    /// Reads until the server closes. That shows that the server has closed its descriptor.
    ///
    /// # Errors
    /// - the server sends something, or does not close within 20 seconds.
    pub fn closed(&mut self) -> anyhow::Result<()> {
        match self.read() {
            Ok(0) => Ok(()),
            Ok(_) => bail!("expected the end of the connection, found more bytes"),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self) -> anyhow::Result<usize> {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(length) => {
                    self.buffer.extend_from_slice(&bytes[..length]);
                    return Ok(length);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("read an answer"),
            }
        }
    }
}

/// Sends one request on a connection of its own, and reads the answer and the end.
///
/// # Errors
/// - the connection is refused or ends without a complete answer.
pub fn get(target: &Target, path: &str) -> anyhow::Result<Answer> {
    let mut connection = Connection::open(target)?;
    connection.send(path, true)?;
    let answer = connection.answer()?;
    connection.closed()?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_parsed_and_shown() {
        for text in ["tcp:127.0.0.1:80", "tcp:[::1]:80", "unix:/x/y"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for text in ["", "tcp:", "tcp:localhost:80", "unix:", "udp:127.0.0.1:80", "127.0.0.1:80"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
