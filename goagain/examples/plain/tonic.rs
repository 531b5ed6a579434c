//! A gRPC server with tonic.

use tonic::transport::Server;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (_reporter, health) = tonic_health::server::health_reporter();
    Server::builder().add_service(health).serve("127.0.0.1:3000".parse()?).await?;
    Ok(())
}
