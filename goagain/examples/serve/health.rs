//! gRPC's own health service, as tonic has it: `Check`, and the stream `Watch`.

use axum::Router;
use goagain::Connections;
use goagain::drain::DrainPhase;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::health_reporter;

/// The service as a router, for one term. GOAWAY tells the clients to send their next request elsewhere; to a stream that is
/// open it says nothing. So whoever watches is told by the stream itself, and goes.
pub(crate) fn routes(connections: &Connections) -> Router {
    let (reporter, service) = health_reporter();
    let draining = connections.shutdown_signal(DrainPhase::Draining);
    tokio::spawn(async move {
        draining.await;
        reporter.set_service_status("", ServingStatus::NotServing).await;
    });
    Routes::new(service).into_axum_router().reset_fallback()
}
