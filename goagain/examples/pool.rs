//! A server on a bounded pool of threads: `cargo run --release --example pool -- [ADDR]`.
//!
//! Each thread accepts for itself and serves one connection at a time. So there are never more connections in service than
//! threads. Those beyond wait in the kernel's queue, which crosses restarts.
//!
//! ADDR is `127.0.0.1:48879`, any other `ip:port`, or `unix:PATH`. `kill -USR2` restarts it, `kill -QUIT` stops it
//! gracefully. `GET /` returns the process that answers; `GET /slow?ms=N` returns it after N milliseconds;
//! `GET /sized?kib=N` returns N KiB; `POST /count` returns how many bytes came.

#[path = "serve/threads.rs"]
mod pool;
mod serve;

use goagain::{Goagain, Single};
use std::process::ExitCode;

fn main() -> ExitCode {
    let address = serve::address_from_args("A server on a bounded pool of threads.");
    goagain::exit(goagain::run(Goagain::builder(Single).log_to_stderr(), |again| {
        let http = again.listen("http", &address)?;
        let identity = serve::identity(again.generation());
        // The threads end by themselves at the end of the term, each after the connection that it serves.
        Ok(move || {
            pool::start(&http, &identity)?;
            Ok(())
        })
    }))
}
