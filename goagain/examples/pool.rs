//! A server on a bounded pool of threads: `cargo run --release --example pool -- [ADDR]`.
//!
//! Each thread accepts for itself and serves one connection at a time. So there are never more connections in service than
//! threads; those beyond wait in the kernel's queue, which crosses restarts.
//!
//! ADDR is `127.0.0.1:48879`, any other `ip:port`, or `unix:PATH`. `kill -USR2` restarts it, `kill -QUIT` stops it
//! gracefully. `GET /` says which process answers; `GET /slow?ms=N` says it after N milliseconds;
//! `GET /sized?kib=N` is N KiB long; `POST /count` says how many bytes came.

mod serve;
#[path = "serve/threads.rs"]
mod threads;

use goagain::{Finish, Goagain, Single};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            serve::say(format_args!("pool: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let address = serve::address_from_args("A server on a bounded pool of threads.");
    let mut again = Goagain::builder(Single).on_event(|observed| serve::say(observed)).start()?;
    let http = match again.listen("http", &address) {
        Ok(http) => http,
        Err(error) => {
            again.fail(error.to_string());
            return Err(error.into());
        }
    };
    let identity = serve::identity(again.generation());
    again.ready()?;
    serve::say(format_args!("pid {} serves {}", std::process::id(), http.local_addr()));
    loop {
        threads::start(&http, &identity)?;
        again.wait()?;
        // The threads end by themselves, each after the connection that it serves: `finish` waits for these.
        match again.finish()? {
            Finish::Exit => return Ok(()),
            Finish::Resume => continue,
        }
    }
}
