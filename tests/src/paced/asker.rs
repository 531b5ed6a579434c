//! Asks over connections: one request, its answer, the end, then the next connection.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;

use anyhow::{Context as _, ensure};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect};

use super::{Beat, DEADLINE, Tally};
use crate::http::{self, Identity};

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

pub(super) fn run(address: &str, mut beat: Beat, began: &Sender<()>) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    while beat.wait() {
        match ask(address, tally.asked) {
            Ok(identity) => drop(tally.generations.insert(identity.generation)),
            Err(error) => tally.lost.push(format!("{}: {error:#}", tally.asked)),
        }
        tally.asked += 1;
        // The thread that started it may be gone.
        let _ = began.send(());
    }
    Ok(tally)
}

fn ask(address: &str, number: usize) -> anyhow::Result<Identity> {
    let mut stream = open(address, number)?;
    stream.write_all(http::request("/", true).as_bytes()).context("write")?;
    let (mut buffer, mut read) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut read).context("read")?;
        ensure!(length > 0, "expected an answer, found the end of the connection");
        buffer.extend_from_slice(&read[..length]);
        if let Some(answer) = http::parse(&buffer).map_err(anyhow::Error::msg)? {
            return answer.identity().with_context(|| format!("expected an identity: {}", answer.body));
        }
    }
}

/// Opens a connection. If the server is bound to all addresses, IPv4 and IPv6 alternate.
fn open(address: &str, number: usize) -> anyhow::Result<Box<dyn Stream>> {
    let (kind, place) = address.split_once(':').context("expected a kind")?;
    if kind == "tcp" {
        let mut address: SocketAddr = place.parse()?;
        if address.ip() == Ipv6Addr::UNSPECIFIED {
            let ip = if number % 2 == 0 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            address.set_ip(ip);
        }
        let stream = TcpStream::connect_timeout(&address, DEADLINE).context("connect")?;
        stream.set_read_timeout(Some(DEADLINE))?;
        return Ok(Box::new(stream));
    }
    let kind = if kind == "unix" { SockType::Stream } else { SockType::SeqPacket };
    let socket: OwnedFd = nix::sys::socket::socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None)?;
    let address = match place.strip_prefix('@') {
        Some(name) => UnixAddr::new_abstract(name.as_bytes())?,
        None => UnixAddr::new(place)?,
    };
    connect(socket.as_raw_fd(), &address).context("connect")?;
    // The system calls are the same for packets.
    let stream = UnixStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(Box::new(stream))
}
