//! A server with axum and TLS (rustls): `cargo run --release --example axum_tls --features axum -- [ADDR]`.
//!
//! As `axum`, over HTTPS, by HTTP/1.1 or HTTP/2: `curl -k https://127.0.0.1:48879/`. Its certificate is for show.

#[path = "serve/app.rs"]
mod app;
mod serve;
#[path = "serve/tls.rs"]
mod tls;

use goagain::{Goagain, Single};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let address = serve::address_from_args("A server with axum and TLS (rustls), HTTP/1.1 and HTTP/2.");
    let run = goagain::tokio::run(Goagain::builder(Single).log_to_stderr(), async |again| {
        // What can fail is done here: a bad certificate fails the restart, and not the service.
        let tls = tls::acceptor()?;
        let http = again.listen("http", &address)?;
        let app = app::app(serve::identity(again.generation()), again.connections());
        Ok(goagain::tokio::serve_fn(async move || {
            Ok(tls::serve(http.to_tokio()?, tls.clone(), app.clone()).await?)
        }))
    });
    goagain::exit(run.await)
}
