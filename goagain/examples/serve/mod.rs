//! The server of the examples: a thread that accepts, a thread for each connection, HTTP/1.1 with keep-alive.

pub(crate) mod http;

use clap::{CommandFactory, FromArgMatches};
use goagain::migrate::{Migrator, WaitOutcome};
use goagain::{Acceptor, Guard, Stream};
use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write as _};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The arguments of an example.
#[derive(clap::Parser)]
#[command(name = env!("CARGO_CRATE_NAME"), version)]
#[command(after_help = "Signals: USR2 restarts it, QUIT stops it gracefully, INT and TERM stop it now.")]
struct Args {
    /// Where to listen: ip:port, or unix:PATH
    #[arg(default_value = "127.0.0.1:48879")]
    addr: String,
}

/// Returns the address to listen on, which is the only argument. For `--help` and for wrong arguments it prints a message and
/// exits. `about` is the first line of the help.
#[allow(dead_code, reason = "the drill server has a configuration of its own")]
pub(crate) fn address_from_args(about: &'static str) -> String {
    let matches = Args::command().about(about).get_matches();
    Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).addr
}

/// Writes a line to standard error with one call: two processes write there during a restart, and `eprintln` writes in parts.
#[allow(dead_code, reason = "the drill server reports to its harness")]
pub(crate) fn say(line: impl Display) {
    // If nobody reads it any longer, it is lost.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Returns the answer of `GET /`: the process, the image (its token is new for each image), and the generation.
pub(crate) fn identity(generation: u64) -> String {
    let token = RandomState::new().hash_one(generation);
    format!("pid={} boot={token:016x} generation={generation}\n", std::process::id())
}

/// Accepts on a separate thread until the term ends.
#[allow(dead_code, reason = "for the examples with a thread for each connection")]
pub(crate) fn serve(
    acceptor: Acceptor,
    migrator: Migrator,
    identity: &str,
) -> thread::JoinHandle<io::Result<()>> {
    let identity: Arc<str> = identity.into();
    thread::spawn(move || {
        for accepted in acceptor {
            let (stream, guard) = accepted?;
            let (identity, migrator) = (Arc::clone(&identity), migrator.clone());
            // A client that goes away in the middle of a request is not an error of the server.
            thread::Builder::new().spawn(move || connection(stream, guard, &migrator, &identity))?;
        }
        Ok(())
    })
}

/// Serves one connection until it ends or is migrated.
#[allow(dead_code, reason = "as above")]
pub(crate) fn connection(
    mut stream: Stream,
    mut guard: Guard,
    migrator: &Migrator,
    identity: &str,
) -> io::Result<()> {
    // A client that reads nothing of its answer for this long is gone.
    stream.set_write_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = http::Reader::new();
    // In the first phase of a drain a connection that waits for a request is still served. In the second phase it is asked to
    // close. If connections are migrated, it goes to the successor, with what was read of its next request.
    loop {
        let is_there = reader.has_request();
        match if is_there {
            WaitOutcome::Readable
        } else {
            migrator.wait(&mut guard, &stream, reader.buffered())?
        } {
            WaitOutcome::Migrated => return Ok(()),
            WaitOutcome::Close if !reader.has_buffered() => break,
            // A part of a request has arrived, so that request has begun.
            WaitOutcome::Close | WaitOutcome::Readable => guard.busy(),
        }
        // The client has this long for the rest of a request that has begun.
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let Some(request) = http::read_request(&mut reader, &mut stream)? else { break };
        let response = http::answer(&request, identity);
        let close = !request.keep_alive || !migrator.should_keep_alive(&guard, &stream, reader.buffered());
        http::write_response(&mut stream, &response, close)?;
        if close {
            break;
        }
    }
    // Not by dropping it: what the client sends at this moment would make the kernel discard the end of the last answer.
    stream.close(guard);
    Ok(())
}
