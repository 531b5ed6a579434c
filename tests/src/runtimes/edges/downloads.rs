//! Downloads by HTTP/1.1 during a restart: they are complete, although requests follow them on the connection.

use anyhow::{Context as _, ensure};

use super::edge::{Edge, HTTP1, LONG, Server, each, is_sized};
use super::wire::Wire;
use crate::drills::Drill;

/// The size of the download. It fits into the kernel's buffers, so that the server has written it long before it is read.
const KIB: usize = 3072;
/// How many requests follow it. Each is sent after this many more bytes of the download were read.
const BEHIND: usize = 40;
const STEP: usize = 64 * 1024;

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "edges_download_at_the_restart",
            "3 MiB that are read slowly, with requests behind them, are complete",
            |context| {
                each(
                    context,
                    HTTP1,
                    |config| config.idle_ms = LONG,
                    |_, edge| {
                        let mut all = begin(edge)?;
                        edge.restart()?;
                        all.iter_mut().try_for_each(|slow| slow.finish(true))
                    },
                )
            },
        ),
        Drill::both(
            "edges_download_in_the_drain",
            "the same, requested while the old image drains",
            |context| {
                each(
                    context,
                    HTTP1,
                    |config| config.idle_ms = LONG,
                    |_, edge| {
                        let mut wires = edge.connect()?;
                        wires.iter_mut().try_for_each(|wire| wire.ask("/").map(drop))?;
                        edge.restart()?;
                        let slow = |wire: Wire| Slow::begin(wire.narrow()?, edge.server);
                        let all: Vec<Slow> = wires.into_iter().map(slow).collect::<anyhow::Result<_>>()?;
                        all.into_iter().try_for_each(|mut slow| slow.finish(true))
                    },
                )
            },
        ),
        Drill::both(
            "edges_download_at_closing_idle",
            "the same, when the old image asks idle connections to close",
            |context| {
                each(
                    context,
                    HTTP1,
                    |config| config.idle_ms = 100,
                    |_, edge| {
                        let mut all = begin(edge)?;
                        edge.restart_to_closing_idle()?;
                        all.iter_mut().try_for_each(|slow| slow.finish(false))
                    },
                )
            },
        ),
    ]
}

/// A client that reads slowly, and sends further requests meanwhile.
struct Slow {
    wire: Wire,
    sent: usize,
    read: usize,
    is_over: bool,
    reads_ahead: bool,
}

fn begin(edge: &Edge) -> anyhow::Result<Vec<Slow>> {
    edge.connect()?.into_iter().map(|wire| Slow::begin(wire.narrow()?, edge.server)).collect()
}

impl Slow {
    /// Reads the beginning of the download.
    fn begin(mut wire: Wire, server: Server) -> anyhow::Result<Slow> {
        let reads_ahead = server.name == "actix";
        wire.send(super::wire::get(&format!("/sized?kib={KIB}")).as_bytes())?;
        let mut slow = Slow { wire, sent: 0, read: 0, is_over: false, reads_ahead };
        while slow.sent < 4 {
            slow.step()?;
        }
        Ok(slow)
    }

    fn step(&mut self) -> anyhow::Result<()> {
        let read = self.wire.read(STEP / 4)?;
        self.is_over = read == 0;
        self.read += read;
        if self.sent < BEHIND && self.read / STEP > self.sent {
            let padding = "x".repeat(2000);
            self.wire
                .send(format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {padding}\r\n\r\n").as_bytes())?;
            self.sent += 1;
        }
        Ok(())
    }

    /// Reads everything. The requests behind the download are answered, until an answer says that it is the last one.
    fn finish(&mut self, expects_close: bool) -> anyhow::Result<()> {
        while !self.is_over {
            self.step().with_context(|| format!("after {} of {KIB} KiB", self.read / 1024))?;
        }
        let first = self.wire.ok().context("the download")?;
        is_sized(first.body.as_bytes(), KIB)?;
        let (mut closes, mut answers) = (first.close, 1);
        while let Some(answer) = self.wire.next()? {
            ensure!(answer.status == 200, "status: expected 200, found {}", answer.status);
            // actix-http answers what it had read before, when closing makes an answer the last one.
            let is_excused = self.reads_ahead && !expects_close;
            let is_over = closes && !is_excused;
            ensure!(!is_over, "expected the end after answer {answers}, which closes, found another one");
            (closes, answers) = (answer.close, answers + 1);
        }
        let asked = self.sent + 1;
        ensure!(
            closes || !expects_close,
            "expected a last answer that closes, found none in {answers} of {asked}"
        );
        Ok(())
    }
}
