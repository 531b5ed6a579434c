//! gRPC, by tonic.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::clients::{Clients, Seat, THINKS, Tally};

pub(super) fn clients(address: &str) -> anyhow::Result<Clients> {
    Clients::start(address, client)
}

/// One request after another beside an open stream, which says when its server goes; then the client goes elsewhere.
async fn client(address: SocketAddr, seat: Seat) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    while !seat.is_over() {
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
        let mut client = HealthClient::new(channel);
        tally.connections += 1;
        let mut watch = client.watch(HealthCheckRequest::default()).await?.into_inner();
        let mut serves = true;
        while serves && !seat.is_over() {
            let answer = client.check(HealthCheckRequest::default()).await;
            answer.with_context(|| format!("request {}", tally.requests))?;
            tally.requests += 1;
            seat.answered();
            serves = match timeout(THINKS, watch.message()).await {
                Err(_) => true,
                Ok(Ok(Some(said))) => said.status() == ServingStatus::Serving,
                Ok(ended) => bail!("stream: expected it to last, found {ended:?}"),
            };
        }
    }
    Ok(tally)
}
