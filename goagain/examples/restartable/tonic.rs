//! A gRPC server with tonic.

use goagain::Single;
use tonic::service::Routes;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (_reporter, health) = tonic_health::server::health_reporter();
    goagain::tonic::run(Single, "127.0.0.1:3000", Routes::new(health)).await?;
    Ok(())
}
