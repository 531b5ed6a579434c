//! Clients that send nothing more: no drain waits for them until its deadline.

use anyhow::Context as _;

use super::edge::{Edge, HTTP1, HTTP2, each};
use super::wire::{Wire, get, handshake};
use crate::drills::{Context, Drill};

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "edges_silent_http2",
            "a client that answers no PING does not delay the drain until its deadline",
            |context: &Context| each(context, HTTP2, |config| config.idle_ms = 100, |_, edge| http2(edge)),
        ),
        Drill::both(
            "edges_silent_partial_head",
            "nor does half of a first head that is never completed, nor a handshake",
            |context: &Context| each(context, HTTP1, |config| config.idle_ms = 100, |_, edge| half(edge)),
        ),
    ]
}

/// What a client sends first: the preface, and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn http2(edge: &mut Edge) -> anyhow::Result<()> {
    let mut wires = Vec::new();
    for target in edge.targets()? {
        let mut wire = Wire::open_http2(&target, edge.server.tls)?;
        wire.send(PREFACE)?;
        // The server's settings: the server has recognized the connection as HTTP/2.
        wire.read_to(9)?;
        wires.push(wire);
    }
    edge.restart_and_settle().context("with a client that answers no PING")?;
    drop(wires);
    Ok(())
}

fn half(edge: &mut Edge) -> anyhow::Result<()> {
    let request = get("/");
    let mut wires = edge.connect()?;
    for wire in &mut wires {
        wire.send(&request.as_bytes()[..request.len() / 2])?;
    }
    let mut sockets = Vec::new();
    if edge.server.tls {
        for target in edge.targets()? {
            use std::io::Write as _;
            let mut socket = super::wire::Socket::open(&target)?;
            let mut hello = Vec::new();
            handshake()?.write_tls(&mut hello)?;
            socket.write_all(&hello[..hello.len() / 2])?;
            sockets.push(socket);
        }
    }
    edge.restart_and_settle().context("with half of a head")?;
    drop((wires, sockets));
    Ok(())
}
