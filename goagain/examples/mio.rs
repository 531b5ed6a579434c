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

use goagain::{Error, Goagain, Single};
use std::process::ExitCode;

fn main() -> ExitCode {
    let address = serve::address_from_args("A server on one thread, with an event loop of its own over mio.");
    goagain::exit(life(&address))
}

fn life(address: &str) -> Result<(), Error> {
    let mut again = Goagain::builder(Single).log_to_stderr().start()?;
    let http = match again.listen("http", address) {
        Ok(http) => http,
        Err(error) => {
            // The predecessor reads why, and keeps serving.
            again.fail(error.to_string());
            return Err(error.into());
        }
    };
    let identity = serve::identity(again.generation());
    polling::run(again, &http, identity, || {}).map_err(|error| Error::Serve(error.into()))
}
