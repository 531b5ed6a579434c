//! The server of the examples: a thread for accepting, a thread a connection, HTTP/1.1 with keep-alive.

pub(crate) mod http;

use goagain::{Acceptor, Guard, Idle, Mover, Stream};
use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write as _};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The one argument of an example: where to listen.
#[allow(dead_code, reason = "the drill server has a configuration of its own")]
pub(crate) fn address_from_args() -> anyhow::Result<String> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:48879".into());
    anyhow::ensure!(!address.starts_with('-'), "unknown flag `{address}`: expected [ADDR]");
    if let Some(more) = args.next() {
        anyhow::bail!("unexpected argument `{more}`: expected [ADDR]");
    }
    Ok(address)
}

/// Writes a line to standard error by one call: two processes write there during a restart, and `eprintln` writes in parts.
#[allow(dead_code, reason = "the drill server says what happens to its harness")]
pub(crate) fn say(line: impl Display) {
    // Where nobody reads it any longer, it is lost.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// What `GET /` answers: which process, which image (the token is new for each), which generation.
pub(crate) fn identity(generation: u64) -> String {
    let token = RandomState::new().hash_one(generation);
    format!("pid={} boot={token:016x} generation={generation}\n", std::process::id())
}

/// Accepts on a thread of its own until the term ends.
#[allow(dead_code, reason = "for the examples with a thread a connection")]
pub(crate) fn serve(acceptor: Acceptor, mover: Mover, identity: &str) -> thread::JoinHandle<io::Result<()>> {
    let identity: Arc<str> = identity.into();
    thread::spawn(move || {
        for accepted in acceptor {
            let (stream, guard) = accepted?;
            let (identity, mover) = (Arc::clone(&identity), mover.clone());
            // A client that goes away in mid-request is its own affair.
            thread::Builder::new().spawn(move || connection(&stream, guard, &mover, &identity))?;
        }
        Ok(())
    })
}

/// Serves one connection until it ends, or has moved.
#[allow(dead_code, reason = "as above")]
pub(crate) fn connection(stream: &Stream, mut guard: Guard, mover: &Mover, identity: &str) -> io::Result<()> {
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = http::Reader::new(stream);
    // In the first phase of a drain a connection that waits for a request is still served, in the second it is told to go.
    // Where connections move, it goes to the successor, with what was read of its next request.
    loop {
        let is_there = reader.has_request();
        match if is_there { Idle::Readable } else { mover.wait(&mut guard, stream, reader.buffered())? } {
            Idle::Moved => break,
            Idle::Close if !reader.has_buffered() => break,
            Idle::Close | Idle::Readable => {}
        }
        // A client has this long for the rest of a request that it has begun.
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let Some(request) = http::read_request(&mut reader)? else { break };
        let response = http::answer(&request, identity);
        let close = !request.keep_alive || !mover.keeps_open(&guard, stream, reader.buffered());
        http::write_response(&mut &*stream, &response, close)?;
        if close {
            break;
        }
    }
    Ok(())
}
