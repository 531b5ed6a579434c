//! Bodies: those that the server does not read, and those that are in flight at a restart.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use anyhow::{Context as _, ensure};

use super::command::{self, Running};
use super::edge::{Edge, HTTP1, LONG, each};
use super::wire::post;
use crate::drills::{Context, Drill};

/// A body that a server refuses, or answers without reading it.
const UNREAD: usize = 4 * 1024 * 1024;
/// A body whose bytes are counted.
const COUNTED: usize = 3 * 1024 * 1024;

pub(super) fn all() -> Vec<Drill> {
    vec![
        Drill::both(
            "edges_unread_bodies",
            "4 MiB that the server does not read, before, at and after the restart: the client reads the complete answer",
            |context| each(context, HTTP1, |config| config.idle_ms = LONG, |_, edge| unread(edge)),
        ),
        Drill::both(
            "edges_counted_bodies",
            "chunked and with `Expect: 100-continue`, with curl, during a restart: every byte is counted",
            |context| each(context, HTTP1, |config| config.idle_ms = LONG, counted),
        ),
    ]
}

/// Sends the complete body first, and reads the answer then, as simple clients do.
fn unread(edge: &mut Edge) -> anyhow::Result<()> {
    let body = vec![b'x'; UNREAD];
    let head = post("/nothing", UNREAD);
    let answered = |wire: &mut super::wire::Wire| {
        let answer = wire.answer()?;
        ensure!([404, 413].contains(&answer.status), "status: expected 404 or 413, found {}", answer.status);
        ensure!(!answer.body.is_empty(), "body: expected one, found none");
        Ok(())
    };
    for mut wire in edge.connect()? {
        wire.send(head.as_bytes()).context("before the restart")?;
        wire.send(&body).context("before the restart")?;
        answered(&mut wire).context("before the restart")?;
    }
    let (mut begun, mut kept) = (edge.connect()?, edge.connect()?);
    for wire in &mut begun {
        wire.send(&head.as_bytes()[..head.len() - 2])?;
    }
    kept.iter_mut().try_for_each(|wire| wire.ask("/").map(drop))?;
    edge.restart()?;
    for wire in &mut begun {
        wire.send(b"\r\n").and_then(|()| wire.send(&body)).context("at the restart")?;
        answered(wire).context("at the restart")?;
    }
    for wire in &mut kept {
        wire.send(head.as_bytes()).and_then(|()| wire.send(&body)).context("in the drain")?;
        answered(wire).context("in the drain")?;
    }
    Ok(())
}

fn counted(context: &Context, edge: &mut Edge) -> anyhow::Result<()> {
    if !command::is_there(context, "curl", "curl")? {
        return Ok(());
    }
    let mut uploads = Vec::new();
    for target in edge.targets()? {
        for header in ["Expect: 100-continue", "Expect:"] {
            let (socket, url) = edge.url(&target);
            let url = format!("{url}/count");
            // The body comes from standard input, so it is chunked. curl waits for "100 Continue" longer than this takes.
            let curl = command::curl(&socket)
                .args(["--http1.1", "-X", "POST", "--expect100-timeout", "60", "-H", header, "-T", "-", &url])
                .stdin(Stdio::piped())
                .spawn()?;
            let mut curl = Running::new(curl);
            let mut body = curl.stdin()?;
            body.write_all(&vec![b'x'; COUNTED / 2]).context(header)?;
            uploads.push((header, curl, body));
        }
    }
    edge.restart()?;
    for (header, mut curl, mut body) in uploads {
        body.write_all(&vec![b'x'; COUNTED / 2]).context(header)?;
        drop(body);
        let mut answer = String::new();
        curl.stdout()?.read_to_string(&mut answer)?;
        curl.succeeds().context(header)?;
        ensure!(answer == format!("{COUNTED}\n"), "{header}: expected {COUNTED}, found `{}`", answer.trim());
    }
    Ok(())
}
