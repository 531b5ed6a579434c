//! A server under the strategy Double: `cargo run --release --example double --features double -- [ADDR]`.
//!
//! ADDR is `127.0.0.1:48879`, any other `ip:port`, or `unix:PATH`. `kill -USR2` restarts it, `kill -QUIT` stops it
//! gracefully. `GET /` returns the process that answers; `GET /slow?ms=N` returns it after N milliseconds;
//! `GET /sized?kib=N` returns N KiB; `POST /count` returns how many bytes came.

mod serve;

use goagain::{Double, Goagain, threads};
use std::process::ExitCode;

fn main() -> ExitCode {
    let address =
        serve::address_from_args("A server with a thread for each connection, under the strategy Double.");
    goagain::exit(goagain::run(Goagain::builder(Double).log_to_stderr(), |again| {
        let http = again.listen("http", &address)?;
        let (migrator, identity) = (http.migrator(), serve::identity(again.generation()));
        Ok(threads::server(http, move |stream, guard| serve::connection(stream, guard, &migrator, &identity)))
    }))
}
