//! A server on tokio, a task a connection: `cargo run --release --example tokio --features tokio -- [ADDR]`.
//!
//! ADDR is `127.0.0.1:48879`, any other `ip:port`, or `unix:PATH`. `kill -USR2` restarts it, `kill -QUIT` stops it
//! gracefully. `GET /` says which process answers; `GET /slow?ms=N` says it after N milliseconds;
//! `GET /sized?kib=N` is N KiB long; `POST /count` says how many bytes came.

mod serve;
#[path = "serve/tasks.rs"]
mod tasks;

use goagain::{Finish, Goagain, Single};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            serve::say(format_args!("tokio: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let address = serve::address_from_args("A server on tokio, a task a connection.");
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
    let identity = serve::identity(again.generation());
    again.ready().await?;
    serve::say(format_args!("pid {} serves {}", std::process::id(), http.local_addr()));
    loop {
        let accepting = tokio::spawn(tasks::serve(http.to_tokio()?, identity.as_str().into()));
        again.wait().await?;
        accepting.await??;
        match again.finish().await? {
            Finish::Exit => return Ok(()),
            Finish::Resume => continue,
        }
    }
}
