//! A client that shuts down its side of the connection after its request, and waits for the answer.

use anyhow::Context as _;

use super::edge::{Edge, HTTP1, LONG, each, is_sized};
use super::wire::get;
use crate::drills::{Context, Drill};

/// More than the kernel buffers, so that the request lasts until its client reads.
const KIB: usize = 16 * 1024;

pub(super) fn all() -> Vec<Drill> {
    vec![Drill::both(
        "edges_half_close",
        "a client that shuts down its side after its request is answered, with and without a restart",
        |context: &Context| {
            // In axum's own serve hyper sees the end before anything knows of the request, and closes.
            let servers: Vec<_> =
                HTTP1.iter().filter(|server| server.name != "axum_serve").copied().collect();
            each(context, &servers, |config| config.idle_ms = LONG, |_, edge| answered(edge))
        },
    )]
}

fn answered(edge: &mut Edge) -> anyhow::Result<()> {
    for mut wire in edge.connect()? {
        wire.send(get("/slow?ms=50").as_bytes())?;
        wire.finish()?;
        wire.ok().context("without a restart")?;
        wire.end().context("without a restart")?;
    }
    let mut wires = edge.connect()?;
    for wire in &mut wires {
        wire.send(get(&format!("/sized?kib={KIB}")).as_bytes())?;
        wire.finish()?;
        wire.read_to(1024).context("before the restart")?;
    }
    edge.restart()?;
    for mut wire in wires {
        is_sized(wire.ok().context("through a restart")?.body.as_bytes(), KIB)?;
        wire.end().context("through a restart")?;
    }
    Ok(())
}
