//! TLS between the socket and HTTP.

use anyhow::Context as _;
use axum::Router;
use goagain::Guard;
use goagain::tokio::{Acceptor, Stream};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A client has this long for its handshake.
const PATIENCE: Duration = Duration::from_secs(10);

/// Returns an acceptor with a certificate for `localhost` whose private key is public.
pub(crate) fn acceptor() -> anyhow::Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("tls/certificate.pem"));
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/key.pem"));
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.context("the certificate")?], key.context("the key")?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Accepts until the term ends.
pub(crate) async fn serve(mut acceptor: Acceptor, tls: TlsAcceptor, app: Router) -> io::Result<()> {
    while let Some(accepted) = acceptor.accept().await {
        let (stream, guard) = accepted?;
        tokio::spawn(connection(stream, guard, tls.clone(), app.clone()));
    }
    Ok(())
}

/// If a handshake is in progress when a drain begins, it is finished, and its first request is served: the guard counts it
/// from the beginning.
async fn connection(stream: Stream, mut guard: Guard, tls: TlsAcceptor, app: Router) -> anyhow::Result<()> {
    // TLS hides the socket, which shows at the end how much of the last answer its client has acknowledged.
    guard.set_socket(&stream)?;
    let stream = timeout(PATIENCE, tls.accept(stream)).await??;
    let served = goagain::hyper::serve_connection(stream, guard, TowerToHyperService::new(app)).await;
    served.map_err(|error| anyhow::anyhow!(error))
}
