//! A server with actix-web: `cargo run --release --example actix --features actix -- [ADDR]`.
//!
//! ADDR is `127.0.0.1:48879`, any other `ip:port`, or `unix:PATH`. `kill -USR2` restarts it, `kill -QUIT` stops it
//! gracefully. `GET /` says which process answers; `GET /slow?ms=N` says it after N milliseconds;
//! `GET /sized?kib=N` is N KiB long; `POST /count` says how many bytes came.

mod serve;
#[path = "serve/workers.rs"]
mod workers;

use goagain::{Finish, Goagain, Single};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            serve::say(format_args!("actix: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let address = serve::address_from_args("A server with actix-web.");
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
        // They accept until the term ends, and `finish` waits for what they serve.
        workers::start(&http, &identity);
        again.wait()?;
        match again.finish()? {
            Finish::Exit => return Ok(()),
            Finish::Resume => continue,
        }
    }
}
