//! A server with actix-web: `cargo run --release --example actix --features actix -- [ADDR]`.
//!
//! ADDR is `127.0.0.1:48879`, any other `ip:port`, or `unix:PATH`. `kill -USR2` restarts it, `kill -QUIT` stops it
//! gracefully. `GET /` returns the process that answers; `GET /slow?ms=N` returns it after N milliseconds;
//! `GET /sized?kib=N` returns N KiB; `POST /count` returns how many bytes came.

mod serve;
#[path = "serve/workers.rs"]
mod workers;

use goagain::{Goagain, Single};
use std::process::ExitCode;

#[actix_web::main]
async fn main() -> ExitCode {
    let address = serve::address_from_args("A server with actix-web.");
    let run = goagain::tokio::run(Goagain::builder(Single).log_to_stderr(), async |again| {
        let identity: std::sync::Arc<str> = serve::identity(again.generation()).into();
        let http = again.listen("http", &address)?;
        Ok(goagain::actix::server(http, move || workers::app(identity.clone())).workers(workers::WORKERS))
    });
    goagain::exit(run.await)
}
