//! Connections behind a line of the PROXY protocol, which is sent once, and which are migrated.

use anyhow::{Context as _, ensure};

use super::edge::{Edge, LONG, PROXIED, each};
use super::wire::get;
use crate::drills::Drill;

/// The line that a load balancer sends first.
const LINE: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";

pub(super) fn all() -> Vec<Drill> {
    vec![Drill::both(
        "edges_proxied",
        "a migrated connection still has the address of its client",
        |context| {
            let migrate =
                |config: &mut crate::config::ServerConfig| (config.migrate, config.idle_ms) = (true, LONG);
            each(context, PROXIED, migrate, |_, edge| migrated(edge))
        },
    )]
}

fn migrated(edge: &mut Edge) -> anyhow::Result<()> {
    let mut wires = edge.connect()?;
    let mut before = Vec::new();
    for wire in &mut wires {
        wire.send((LINE.to_owned() + &get("/")).as_bytes())?;
        before.push(wire.ok().context("before the migration")?.body);
    }
    edge.restart_and_settle()?;
    for (wire, before) in wires.iter_mut().zip(before) {
        let after = wire.ask("/").context("after the migration")?.body;
        ensure!(after.starts_with(LINE), "expected the line of PROXY, found `{after}`");
        ensure!(after != before, "expected an answer of another image, found `{after}` again");
    }
    Ok(())
}
