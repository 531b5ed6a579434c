//! The clients' TLS configuration.

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Trusts the example's certificate only.
pub(super) fn trusting() -> anyhow::Result<ClientConfig> {
    let pem = include_bytes!("../../../goagain/examples/serve/tls/certificate.pem");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem)?)?;
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}
