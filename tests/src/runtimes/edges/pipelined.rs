//! Requests that came in one write: everything that was received is served.

use anyhow::{Context as _, ensure};

use super::edge::{Edge, GUIDE, HTTP1, LONG, each, is_sized};
use super::wire::get;
use crate::drills::Drill;

/// More than the kernel buffers, so that the request lasts until its client reads.
const KIB: usize = 16 * 1024;

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "edges_pipelined_behind_a_slow_one",
            "5 requests in one write, the first in progress at the restart: all are answered, the last answer closes",
            |context| each(context, HTTP1, |config| config.idle_ms = LONG, |_, edge| behind(edge, 5)),
        ),
        Drill::both(
            "edges_pipelined_in_the_drain",
            "400 requests in one write to the old image while it drains: all are answered, the last answer closes",
            |context| {
                each(
                    context,
                    HTTP1,
                    |config| config.idle_ms = LONG,
                    |_, edge| {
                        let mut wires = edge.connect()?;
                        wires.iter_mut().try_for_each(|wire| wire.ask("/").map(drop))?;
                        edge.restart()?;
                        for mut wire in wires {
                            wire.send(get("/").repeat(400).as_bytes())?;
                            for number in 1..=400 {
                                let answer = wire.ok().with_context(|| format!("answer {number} of 400"))?;
                                ensure!(
                                    answer.close == (number == 400),
                                    "answer {number} of 400: close: {}",
                                    answer.close
                                );
                            }
                            wire.end()?;
                        }
                        Ok(())
                    },
                )
            },
        ),
        Drill::both(
            "edges_guide_server",
            "2,000 bytes in one write to the server of the guide `servers` while it drains: all are echoed",
            |context| {
                each(
                    context,
                    GUIDE,
                    |config| config.idle_ms = LONG,
                    |_, edge| {
                        let mut wires = edge.connect()?;
                        for wire in &mut wires {
                            wire.send(b"?")?;
                            wire.read_to(1)?;
                        }
                        edge.restart()?;
                        for mut wire in wires {
                            wire.buffer.clear();
                            wire.send(&[b'x'; 2000])?;
                            wire.read_to(2000)?;
                            wire.end()?;
                        }
                        Ok(())
                    },
                )
            },
        ),
    ]
}

fn behind(edge: &mut Edge, number: usize) -> anyhow::Result<()> {
    let mut wires = edge.connect()?;
    for wire in &mut wires {
        let requests = get(&format!("/sized?kib={KIB}")) + &get("/slow?ms=1").repeat(number - 1);
        wire.send(requests.as_bytes())?;
        wire.read_to(1024)?;
    }
    edge.restart()?;
    for mut wire in wires {
        is_sized(wire.ok().context("the slow one")?.body.as_bytes(), KIB)?;
        for next in 2..=number {
            let answer = wire.ok().with_context(|| format!("answer {next} of {number}"))?;
            ensure!(answer.close == (next == number), "answer {next} of {number}: close: {}", answer.close);
        }
        wire.end()?;
    }
    Ok(())
}
