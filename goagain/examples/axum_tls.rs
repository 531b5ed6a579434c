//! A server with axum and TLS (rustls): `cargo run --release --example axum_tls --features axum -- [ADDR]`.
//!
//! As `axum`, over HTTPS, by HTTP/1.1 or HTTP/2: `curl -k https://127.0.0.1:48879/`. Its certificate is for show.

#[path = "serve/app.rs"]
mod app;
mod serve;
#[path = "serve/tls.rs"]
mod tls;

use goagain::{Finish, Goagain, Single};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            serve::say(format_args!("axum_tls: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let address = serve::address_from_args("A server with axum and TLS (rustls), HTTP/1.1 and HTTP/2.");
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
    // What can fail is done before `ready`: a bad certificate fails the restart, and not the service.
    let opened = again.listen("http", address).map_err(anyhow::Error::from);
    let (http, tls) = match opened.and_then(|http| Ok((http, tls::acceptor()?))) {
        Ok(opened) => opened,
        Err(error) => {
            again.fail(error.to_string());
            return Err(error);
        }
    };
    let app = app::app(serve::identity(again.generation()), again.connections());
    again.ready().await?;
    serve::say(format_args!("pid {} serves {}", std::process::id(), http.local_addr()));
    loop {
        let serving = tokio::spawn(tls::serve(http.to_tokio()?, tls.clone(), app.clone()));
        again.wait().await?;
        serving.await??;
        match again.finish().await? {
            Finish::Exit => return Ok(()),
            Finish::Resume => continue,
        }
    }
}
