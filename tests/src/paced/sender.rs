//! Sends datagrams: a number at each beat. An answer to each is expected, in any order.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tempfile::TempDir;

use super::{Beat, DEADLINE, Tally};
use crate::http::Identity;

pub(super) fn run(address: &str, mut beat: Beat, began: &Sender<()>) -> anyhow::Result<Tally> {
    let socket = Socket::to(address)?;
    let (mut tally, mut waiting) = (Tally::default(), BTreeSet::new());
    while beat.wait() {
        socket.send(tally.asked.to_string().as_bytes()).context("send")?;
        waiting.insert(tally.asked);
        tally.asked += 1;
        // What is answered so far, until the next beat.
        while let Some(generation) = receive(&socket, beat.left(), &mut waiting)? {
            tally.generations.insert(generation);
            let _ = began.send(());
        }
    }
    let end = Instant::now() + DEADLINE;
    while !waiting.is_empty() {
        match receive(&socket, end.saturating_duration_since(Instant::now()), &mut waiting)? {
            Some(generation) => drop(tally.generations.insert(generation)),
            None => break,
        }
    }
    tally.lost = waiting.into_iter().map(|number| format!("{number}: no answer")).collect();
    Ok(tally)
}

/// Reads one answer, if it comes in time. Returns the generation that answered.
fn receive(socket: &Socket, time: Duration, waiting: &mut BTreeSet<usize>) -> anyhow::Result<Option<u64>> {
    // SO_RCVTIMEO counts in ticks, and can be late by two of them.
    let time = PollTimeout::try_from(time + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], time) {
        Ok(0) | Err(Errno::EINTR) => return Ok(None),
        Ok(_) => {}
        Err(error) => return Err(error).context("poll"),
    }
    let mut answer = [0; 1500];
    let length = socket.receive(&mut answer).context("receive")?;
    let text = String::from_utf8_lossy(&answer[..length]).into_owned();
    let context = || format!("expected a number and an identity, found `{text}`");
    let (number, identity) = text.split_once(' ').with_context(context)?;
    waiting.remove(&number.parse::<usize>().with_context(context)?);
    Ok(Some(Identity::parse(identity).with_context(context)?.generation))
}

/// A Unix socket has a name, so that the server can answer.
enum Socket {
    Udp(UdpSocket),
    Unix { socket: UnixDatagram, _folder: TempDir },
}

impl Socket {
    fn to(address: &str) -> anyhow::Result<Self> {
        Ok(match address.split_once(':') {
            Some(("udp", address)) => {
                let address: SocketAddr = address.parse()?;
                let own = if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
                let socket = UdpSocket::bind(own)?;
                socket.connect(address)?;
                Self::Udp(socket)
            }
            Some((_, path)) => {
                let folder = tempfile::tempdir()?;
                let socket = UnixDatagram::bind(folder.path().join("client"))?;
                // If the server's queue is full (net.unix.max_dgram_qlen), the next datagram waits for room.
                socket.set_write_timeout(Some(DEADLINE))?;
                socket.connect(path)?;
                Self::Unix { socket, _folder: folder }
            }
            None => anyhow::bail!("expected a kind, found `{address}`"),
        })
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.send(bytes),
            Self::Unix { socket, .. } => socket.send(bytes),
        }
    }

    fn receive(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Udp(socket) => socket.recv(bytes),
            Self::Unix { socket, .. } => socket.recv(bytes),
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Udp(socket) => socket.as_fd(),
            Self::Unix { socket, .. } => socket.as_fd(),
        }
    }
}
