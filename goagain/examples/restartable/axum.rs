//! A server with axum.

use axum::{Router, routing::get};
use goagain::Single;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let app = Router::new().route("/", get(|| async { "hello\n" }));
    goagain::axum::run(Single, "127.0.0.1:3000", app).await?;
    Ok(())
}
