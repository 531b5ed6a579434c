//! A server with axum: `cargo run --release --example axum --features axum -- [ADDR]`.
//!
//! ADDR is `127.0.0.1:48879`, any other `ip:port`, or `unix:PATH`. `kill -USR2` restarts it, `kill -QUIT` stops it
//! gracefully. `GET /` returns the process that answers; `GET /slow?ms=N` returns it after N milliseconds;
//! `GET /sized?kib=N` returns N KiB; `POST /count` returns how many bytes came.
//! `/echo` is a WebSocket.

#[path = "serve/app.rs"]
mod app;
mod serve;

use goagain::{Goagain, Single};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let address = serve::address_from_args("A server with axum.");
    let run = goagain::tokio::run(Goagain::builder(Single).log_to_stderr(), async |again| {
        let app = app::app(serve::identity(again.generation()), again.connections());
        Ok(goagain::axum::server(again.listen("http", &address)?, app))
    });
    goagain::exit(run.await)
}
