//! A server on one thread, with a loop of its own over mio: `cargo run --release --example mio -- [ADDR]`.
//!
//! ADDR is `127.0.0.1:48879`, any other `ip:port`, or `unix:PATH`. `kill -USR2` restarts it, `kill -QUIT` stops it
//! gracefully. `GET /` says which process answers; `GET /slow?ms=N` says it after N milliseconds;
//! `GET /sized?kib=N` is N KiB long; `POST /count` says how many bytes came.
//!
//! What it takes for goagain: the descriptor of `Goagain` is polled with the others, and after each wake-up `Goagain::step`
//! says what to do. The descriptor is Linux's.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "elsewhere there is no descriptor to poll"))]

#[path = "serve/polling.rs"]
mod polling;
mod serve;

use goagain::{Goagain, Single};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            serve::say(format_args!("mio: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let address = serve::address_from_args("A server on one thread, with a loop of its own over mio.");
    let mut again = Goagain::builder(Single).on_event(|observed| serve::say(observed)).start()?;
    let http = match again.listen("http", &address) {
        Ok(http) => http,
        Err(error) => {
            again.fail(error.to_string());
            return Err(error.into());
        }
    };
    let identity = serve::identity(again.generation());
    polling::run(again, &http, identity, || {
        serve::say(format_args!("pid {} serves {}", std::process::id(), http.local_addr()));
    })
}
