//! One connection of the load: a request, its answer, and the outcome.

use std::fmt;
use std::io::{Error, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use crate::client::Target;
use crate::events::now;
use crate::http::{self, Identity};
use crate::records::Outcome;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(super) struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// Returns the instant `patience` after `due`, which is in nanoseconds of CLOCK_MONOTONIC and may be past.
pub(super) fn limit(due: u64, patience: Duration) -> Instant {
    let gone = Duration::from_nanos(now().saturating_sub(due));
    Instant::now() + patience.saturating_sub(gone)
}

impl Connection {
    pub(super) async fn open(target: &Target) -> Result<Self, Outcome> {
        let stream: Box<dyn Stream> = match target {
            Target::Tcp(address) => Box::new(TcpStream::connect(address).await.map_err(outcome)?),
            Target::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => Box::new(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Box::new(wait_in_line(path).await?),
                Err(error) => return Err(outcome(error)),
            },
        };
        Ok(Self { stream, buffer: Vec::with_capacity(512) })
    }

    /// Sends a request and reads its answer. Returns who answered, and whether the connection closes.
    pub(super) async fn exchange(&mut self, path: &str, close: bool) -> Result<(Identity, bool), Outcome> {
        self.stream.write_all(http::request(path, close).as_bytes()).await.map_err(outcome)?;
        loop {
            if self.stream.read_buf(&mut self.buffer).await.map_err(outcome)? == 0 {
                return Err(Outcome::Eof);
            }
            let Some(answer) = http::parse(&self.buffer).map_err(|_| Outcome::BadAnswer)? else { continue };
            if answer.status != 200 {
                return Err(Outcome::BadStatus);
            }
            self.buffer.drain(..answer.length);
            return answer.identity().map(|identity| (identity, answer.close)).ok_or(Outcome::BadAnswer);
        }
    }

    /// Waits until the server closes or resets the connection. Unrequested bytes are a bad answer.
    pub(super) async fn idle(&mut self) -> Outcome {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => Outcome::ClosedIdle,
            Ok(_) => Outcome::BadAnswer,
        }
    }
}

/// A non-blocking `connect(2)` to a Unix socket whose backlog is full returns EAGAIN at once, while TCP and a blocking
/// client wait. So this waits as they do.
async fn wait_in_line(path: &std::path::Path) -> Result<UnixStream, Outcome> {
    let path = path.to_owned();
    let connect = tokio::task::spawn_blocking(move || {
        let stream = std::os::unix::net::UnixStream::connect(path)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    });
    let stream = connect.await.map_err(|_| Outcome::Error)?.map_err(outcome)?;
    UnixStream::from_std(stream).map_err(outcome)
}

fn outcome(error: Error) -> Outcome {
    match error.kind() {
        // A Unix path that does not exist corresponds to a refused TCP port.
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => Outcome::Refused,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => Outcome::Reset,
        ErrorKind::TimedOut => Outcome::Timeout,
        _ => Outcome::Error,
    }
}
