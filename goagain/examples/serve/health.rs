//! gRPC's health service, as tonic implements it: `Check`, and the stream `Watch`.

use axum::Router;
use goagain::Connections;
use goagain::drain::DrainPhase;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::health_reporter;

/// Returns the service as a router, for one term. GOAWAY tells the clients to send their next request on another connection.
/// It does not affect an open stream. So each watcher gets a message on the stream itself, and closes it.
pub(crate) fn routes(connections: &Connections) -> Router {
    let (reporter, service) = health_reporter();
    let draining = connections.shutdown_signal(DrainPhase::Draining);
    tokio::spawn(async move {
        draining.await;
        reporter.set_service_status("", ServingStatus::NotServing).await;
    });
    Routes::new(service).into_axum_router().reset_fallback()
}
