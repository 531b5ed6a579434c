//! A gRPC server with tonic: `cargo run --release --example tonic --features tonic -- [ADDR]`.
//!
//! It speaks `grpc.health.v1`, whose `Watch` is a stream. tonic's services are an axum router, so it answers `/` and
//! `/slow?ms=N` too, as `axum` does.

#[path = "serve/app.rs"]
mod app;
#[path = "serve/health.rs"]
mod health;
mod serve;

use goagain::{Goagain, Single};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let address = serve::address_from_args("A gRPC server with tonic, beside HTTP.");
    let run = goagain::tokio::run(Goagain::builder(Single).log_to_stderr(), async |again| {
        let (identity, connections) = (serve::identity(again.generation()), again.connections());
        let http = again.listen("http", &address)?;
        Ok(goagain::tokio::serve_fn(async move || {
            // The health service ends its streams when the drain of the term begins, so each term has one.
            let app = app::app(identity.clone(), connections.clone()).merge(health::routes(&connections));
            Ok(goagain::axum::serve(http.to_tokio()?, app).await?)
        }))
    });
    goagain::exit(run.await)
}
