//! Generates load for a server, open-loop, and writes one record for each request.

#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use goagain_tests::client::Target;
use goagain_tests::engine::{self, Plan};
use goagain_tests::records;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::sync::oneshot;

/// Generates load for a server until standard input ends. Latency counts from the time when a request was due.
#[derive(Debug, Parser)]
struct Options {
    /// The server's address: tcp:IP:PORT or unix:PATH.
    #[arg(long)]
    target: Target,
    /// Requests a second, each on a connection of its own.
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// The number of kept connections.
    #[arg(long, default_value_t = 0)]
    keepalive: u32,
    /// Milliseconds between two requests on a kept connection.
    #[arg(long, default_value_t = 200)]
    keepalive_interval_ms: u64,
    /// Slow requests a second, each on a connection of its own.
    #[arg(long, default_value_t = 0)]
    slow: u32,
    /// How long the answer to a slow request takes, in milliseconds.
    #[arg(long, default_value_t = 1_500)]
    slow_ms: u64,
    /// When to end even if standard input does not.
    #[arg(long, default_value_t = 600)]
    max_seconds: u64,
    /// The file for the records, one line of JSON each.
    #[arg(long)]
    records: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("RLIMIT_NOFILE")?;
    let plan = Plan {
        target: options.target,
        rate: options.rate,
        keepalive: options.keepalive,
        keepalive_interval: Duration::from_millis(options.keepalive_interval_ms),
        slow: options.slow,
        slow_for: Duration::from_millis(options.slow_ms),
        at_most: Duration::from_secs(options.max_seconds),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let all = runtime.block_on(engine::run(plan, say_started, end_of_input()))?;
    records::write(&options.records, &all)
}

fn say_started() {
    let mut output = io::stdout();
    // A harness that is gone has closed standard input too, which ends the load.
    let _ = output.write_all(b"started\n").and_then(|()| output.flush());
}

/// Resolves when standard input ends: the harness does not need the load any longer, or is gone.
async fn end_of_input() {
    let (sender, receiver) = oneshot::channel::<()>();
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(sender);
    });
    let _ = receiver.await;
}
