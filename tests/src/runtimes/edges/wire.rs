//! A client on a raw socket, which sends exactly what a drill wants, when it wants it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use crate::client::Target;
use crate::http::{self, Answer};
use crate::service::DEADLINE;

/// How much the kernel buffers for a slow client.
const NARROW: usize = 64 * 1024;

/// A socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! either {
    ($socket:expr, $inner:ident => $result:expr) => {
        match $socket {
            Socket::Tcp($inner) => $result,
            Socket::Unix($inner) => $result,
        }
    };
}

impl Socket {
    pub(super) fn open(target: &Target) -> anyhow::Result<Socket> {
        let context = || format!("{target}: connect");
        let socket = match target {
            Target::Tcp(address) => Socket::Tcp(TcpStream::connect(address).with_context(context)?),
            Target::Unix(path) => Socket::Unix(UnixStream::connect(path).with_context(context)?),
        };
        either!(&socket, socket => socket.set_read_timeout(Some(DEADLINE))?);
        either!(&socket, socket => socket.set_write_timeout(Some(DEADLINE))?);
        Ok(socket)
    }

    fn shutdown(&self) -> io::Result<()> {
        either!(self, socket => socket.shutdown(Shutdown::Write))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        either!(self, socket => socket.as_fd())
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, socket => socket.read(buffer))
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        either!(self, socket => socket.write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection, with the bytes that were read and not processed.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    pub(super) buffer: Vec<u8>,
    /// A description of what it is connected to, for errors.
    name: String,
}

#[derive(Debug)]
enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Wire {
    /// Connects, and begins TLS with the client's first message.
    pub(super) fn open(target: &Target, tls: bool) -> anyhow::Result<Wire> {
        Wire::open_for(target, tls.then(handshake).transpose()?)
    }

    /// The same for HTTP/2.
    pub(super) fn open_http2(target: &Target, tls: bool) -> anyhow::Result<Wire> {
        Wire::open_for(target, tls.then(|| handshake_for(b"h2")).transpose()?)
    }

    fn open_for(target: &Target, tls: Option<ClientConnection>) -> anyhow::Result<Wire> {
        let socket = Socket::open(target)?;
        let stream = match tls {
            Some(tls) => Stream::Tls(Box::new(StreamOwned::new(tls, socket))),
            None => Stream::Plain(socket),
        };
        let name = if matches!(target, Target::Tcp(_)) { "over TCP" } else { "over a Unix socket" };
        Ok(Wire { stream, buffer: Vec::new(), name: name.to_owned() })
    }

    /// Limits what the kernel buffers of the input (`SO_RCVBUF`).
    pub(super) fn narrow(self) -> anyhow::Result<Wire> {
        setsockopt(self.socket(), sockopt::RcvBuf, &NARROW)?;
        Ok(self)
    }

    fn socket(&self) -> &Socket {
        match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let sent = match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        };
        sent.with_context(|| format!("{}: send", self.name))
    }

    /// Reads at most this many bytes; returns 0 at the end.
    pub(super) fn read(&mut self, most: usize) -> anyhow::Result<usize> {
        let mut bytes = vec![0; most];
        let read = loop {
            let read = match &mut self.stream {
                Stream::Plain(socket) => socket.read(&mut bytes),
                Stream::Tls(tls) => tls.read(&mut bytes),
            };
            match read {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A server may leave out close_notify. A truncated answer is noticed by the lengths of HTTP.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break 0,
                read => {
                    break read
                        .with_context(|| format!("{}: read after {} bytes", self.name, self.buffer.len()))?;
                }
            }
        };
        self.buffer.extend_from_slice(&bytes[..read]);
        Ok(read)
    }

    /// Reads until this many unprocessed bytes are there.
    pub(super) fn read_to(&mut self, length: usize) -> anyhow::Result<()> {
        while self.buffer.len() < length {
            ensure!(self.read(16 * 1024)? > 0, "{}: expected {length} bytes, found the end", self.name);
        }
        Ok(())
    }

    /// Reads the next answer.
    pub(super) fn answer(&mut self) -> anyhow::Result<Answer> {
        match self.next()? {
            Some(answer) => Ok(answer),
            None => bail!("{}: expected an answer, found the end of the connection", self.name),
        }
    }

    /// Reads the next answer; returns `None` if the server has closed the connection instead.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Answer>> {
        loop {
            if let Some(rest) = self.buffer.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n") {
                self.buffer = rest.to_vec();
            }
            if let Some(answer) = http::parse(&self.buffer).map_err(anyhow::Error::msg)? {
                self.buffer.drain(..answer.length);
                return Ok(Some(answer));
            }
            if self.read(256 * 1024)? == 0 {
                let left = self.buffer.len();
                ensure!(left == 0, "{}: the connection ended {left} bytes into an answer", self.name);
                return Ok(None);
            }
        }
    }

    /// Sends one request, and reads its answer: 200.
    pub(super) fn ask(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.send(get(path).as_bytes())?;
        self.ok().with_context(|| format!("GET {path}"))
    }

    /// Reads the next answer, with status 200.
    pub(super) fn ok(&mut self) -> anyhow::Result<Answer> {
        let answer = self.answer()?;
        ensure!(answer.status == 200, "{}: expected status 200, found {}", self.name, answer.status);
        Ok(answer)
    }

    /// Reads to the end of the connection: an end, not a reset.
    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        let read = self.read(1024)?;
        ensure!(read == 0, "{}: expected the end of the connection, found {read} bytes", self.name);
        Ok(())
    }

    /// Shuts down this side (`shutdown`).
    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        if let Stream::Tls(tls) = &mut self.stream {
            tls.conn.send_close_notify();
            tls.flush()?;
        }
        Ok(self.socket().shutdown()?)
    }
}

/// Returns the client's side of TLS, before its first message.
pub(super) fn handshake() -> anyhow::Result<ClientConnection> {
    handshake_for(b"http/1.1")
}

fn handshake_for(protocol: &[u8]) -> anyhow::Result<ClientConnection> {
    let mut tls = super::super::tls::trusting()?;
    tls.alpn_protocols = vec![protocol.to_vec()];
    Ok(ClientConnection::new(Arc::new(tls), ServerName::try_from("localhost")?)?)
}

impl Wire {
    /// Returns a connection whose handshake the caller has begun.
    pub(super) fn of(tls: ClientConnection, socket: Socket, name: &str) -> Wire {
        let stream = Stream::Tls(Box::new(StreamOwned::new(tls, socket)));
        Wire { stream, buffer: Vec::new(), name: name.to_owned() }
    }
}

/// Returns a request.
pub(super) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// Returns the head of a request with a body of this length.
pub(super) fn post(path: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n")
}
