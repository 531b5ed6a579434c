//! Requests and handshakes that begin before the restart, and continue after the old image has asked idle connections to close.

use std::io::Write as _;

use anyhow::{Context as _, ensure};
use tokio_rustls::rustls::ClientConnection;

use super::edge::{Edge, HTTP1, each};
use super::wire::{Socket, Wire, get, handshake, post};
use crate::client::Target;
use crate::drills::Drill;

/// The body of a request. Half of it is sent before the restart.
const BODY: usize = 200_000;

/// The least time that a client has for the rest when closing has begun, in milliseconds. axum's own serve gives no more.
const GRACE: u64 = 2_000;

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "edges_partial_requests",
            "half of a first head, of a second one and of a body, the rest after idle connections are closed: answered",
            |context| each(context, HTTP1, |config| config.idle_ms = GRACE, |_, edge| requests(edge)),
        ),
        Drill::both(
            "edges_partial_handshakes",
            "a TLS handshake that begins before the restart, and ends after idle connections are closed: its first request is answered",
            |context| {
                let tls: Vec<_> = HTTP1.iter().filter(|server| server.tls).copied().collect();
                each(context, &tls, |config| config.idle_ms = GRACE, |_, edge| handshakes(edge))
            },
        ),
    ]
}

fn requests(edge: &mut Edge) -> anyhow::Result<()> {
    let request = get("/slow?ms=1");
    let (half, rest) = request.split_at(request.len() / 2);
    let mut all = Vec::new();
    for mut first in edge.connect()? {
        first.send(half.as_bytes())?;
        all.push(("half of a first head", first, rest.as_bytes().to_vec()));
    }
    for mut second in edge.connect()? {
        second.ask("/")?;
        second.send(half.as_bytes())?;
        all.push(("half of a second head", second, rest.as_bytes().to_vec()));
    }
    for mut body in edge.connect()? {
        body.send(post("/count", BODY).as_bytes())?;
        body.send(&vec![b'x'; BODY / 2])?;
        all.push(("half of a body", body, vec![b'x'; BODY / 2]));
    }
    edge.restart_to_closing_idle()?;
    for (what, mut wire, rest) in all {
        wire.send(&rest).context(what)?;
        let answer = wire.ok().context(what)?;
        ensure!(answer.close, "{what}: expected an answer that closes");
        wire.end().context(what)?;
    }
    Ok(())
}

fn handshakes(edge: &mut Edge) -> anyhow::Result<()> {
    let mut begun = Vec::new();
    for target in edge.targets()? {
        for is_whole in [false, true] {
            begun.push(Handshake::begin(&target, is_whole)?);
        }
    }
    edge.restart_to_closing_idle()?;
    for handshake in begun {
        handshake.end()?;
    }
    Ok(())
}

/// A TLS handshake that waits for its client.
struct Handshake {
    socket: Socket,
    tls: ClientConnection,
    rest: Vec<u8>,
}

impl Handshake {
    /// Sends the client's first message, or half of it.
    fn begin(target: &Target, is_whole: bool) -> anyhow::Result<Handshake> {
        let (mut socket, mut tls, mut hello) = (Socket::open(target)?, handshake()?, Vec::new());
        tls.write_tls(&mut hello)?;
        let rest = hello.split_off(if is_whole { hello.len() } else { hello.len() / 2 });
        socket.write_all(&hello)?;
        Ok(Handshake { socket, tls, rest })
    }

    fn end(self) -> anyhow::Result<()> {
        let Handshake { mut socket, mut tls, rest } = self;
        socket.write_all(&rest)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).context("a handshake")?;
        }
        // The server's tickets: the server has finished the handshake, too.
        tls.read_tls(&mut socket)?;
        tls.process_new_packets()?;
        Wire::of(tls, socket, "over TLS").ask("/").map(drop)
    }
}
