//! gRPC, with tonic.

use std::error::Error as _;
use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use tokio::time::timeout;
use tonic::Status;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::clients::{Clients, Seat, THINKS, Tally};

pub(super) fn clients(address: &str) -> anyhow::Result<Clients> {
    Clients::start(address, client)
}

/// Sends one request after another besides an open stream. The stream reports when its server shuts down. Then the client
/// reconnects.
async fn client(address: SocketAddr, seat: Seat) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    while !seat.is_over() {
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
        let mut client = HealthClient::new(channel);
        tally.connections += 1;
        let mut watch = client.watch(HealthCheckRequest::default()).await?.into_inner();
        let mut serves = true;
        while serves && !seat.is_over() {
            match client.check(HealthCheckRequest::default()).await {
                Err(status) if was_never_sent(&status) => break,
                answer => drop(answer.with_context(|| format!("request {}", tally.requests))?),
            }
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

/// Returns whether tonic abandoned a request that it had accepted and not yet written, since GOAWAY came at that moment. The
/// caller has to send it again on another connection. A request that was written is answered, and no other failure is excused.
fn was_never_sent(status: &Status) -> bool {
    let mut causes = std::iter::successors(status.source(), |error| (*error).source());
    causes.any(|error| match error.downcast_ref::<h2::Error>() {
        Some(error) => {
            error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
        }
        // hyper has no other error for it: the request was to be sent on a connection that closes.
        None => error.to_string() == "operation was canceled",
    })
}
