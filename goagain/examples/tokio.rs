//! A server on tokio, with a task for each connection: `cargo run --release --example tokio --features tokio -- [ADDR]`.
//!
//! ADDR is `127.0.0.1:48879`, any other `ip:port`, or `unix:PATH`. `kill -USR2` restarts it, `kill -QUIT` stops it
//! gracefully. `GET /` returns the process that answers; `GET /slow?ms=N` returns it after N milliseconds;
//! `GET /sized?kib=N` returns N KiB; `POST /count` returns how many bytes came.

mod serve;
#[path = "serve/tasks.rs"]
mod tasks;

use goagain::{Goagain, Single};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let address = serve::address_from_args("A server on tokio, with a task for each connection.");
    let run = goagain::tokio::run(Goagain::builder(Single).log_to_stderr(), async |again| {
        let identity: std::sync::Arc<str> = serve::identity(again.generation()).into();
        let http = again.listen("http", &address)?;
        Ok(goagain::tokio::server(http, move |stream, guard| {
            tasks::connection(stream, guard, identity.clone())
        }))
    });
    goagain::exit(run.await)
}
