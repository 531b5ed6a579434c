//! A server with axum: `cargo run --release --example axum --features axum -- [ADDR]`.
//!
//! ADDR is `127.0.0.1:48879`, any other `ip:port`, or `unix:PATH`. `kill -USR2` restarts it, `kill -QUIT` stops it
//! gracefully. `GET /` says which process answers; `GET /slow?ms=N` says it after N milliseconds;
//! `GET /sized?kib=N` is N KiB long; `POST /count` says how many bytes came; `/echo` is a WebSocket.

#[path = "serve/app.rs"]
mod app;
mod serve;

use goagain::{Finish, Goagain, Single};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            serve::say(format_args!("axum: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let address = serve::address_from_args("A server with axum.");
    // Before the runtime, which has threads.
    let again = Goagain::builder(Single).on_event(|observed| serve::say(observed)).start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(live(again, &address));
    // Dropping the runtime would wait for what `spawn_blocking` runs, for ever: this process has nothing left to do.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn live(again: Goagain, address: &str) -> anyhow::Result<()> {
    let mut again = again.into_tokio()?;
    let http = match again.listen("http", address) {
        Ok(http) => http,
        Err(error) => {
            again.fail(error.to_string());
            return Err(error.into());
        }
    };
    let app = app::app(serve::identity(again.generation()), again.connections());
    again.ready().await?;
    serve::say(format_args!("pid {} serves {}", std::process::id(), http.local_addr()));
    loop {
        let serving = tokio::spawn(goagain::axum::serve(http.to_tokio()?, app.clone()));
        again.wait().await?;
        serving.await??;
        match again.finish().await? {
            Finish::Exit => return Ok(()),
            Finish::Resume => continue,
        }
    }
}
