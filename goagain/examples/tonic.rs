//! A gRPC server with tonic: `cargo run --release --example tonic --features axum -- [ADDR]`.
//!
//! It speaks `grpc.health.v1`, whose `Watch` is a stream; tonic's services are an axum router, so that it answers `/` and
//! `/slow?ms=N` beside, as `axum` does.

#[path = "serve/app.rs"]
mod app;
#[path = "serve/health.rs"]
mod health;
mod serve;

use goagain::{Finish, Goagain, Single};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            serve::say(format_args!("tonic: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let address = serve::address_from_args("A gRPC server with tonic, beside HTTP.");
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
        let app = app::app(identity.clone(), again.connections()).merge(health::routes(&again.connections()));
        let serving = tokio::spawn(goagain::axum::serve(http.to_tokio()?, app));
        again.wait().await?;
        serving.await??;
        match again.finish().await? {
            Finish::Exit => return Ok(()),
            Finish::Resume => continue,
        }
    }
}
