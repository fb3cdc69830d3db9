//! The root certificates that are trusted, and the TLS settings made of them.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// The system's roots and these.
pub(super) fn system_roots(extra: &[CertificateDer<'static>]) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::debug!(%error, "a system root certificate was left out");
    }
    roots.add_parsable_certificates(system.certs);
    roots.add_parsable_certificates(extra.iter().cloned());
    if roots.is_empty() {
        tracing::warn!("no root certificates found; every https connection will fail");
    }
    roots
}

/// TLS that trusts these roots, for HTTP/1.1.
/// # Errors
/// The library's reason, in a sentence.
pub(super) fn tls_with(roots: RootCertStore) -> Result<ClientConfig, String> {
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Reads a PEM file of certificates.
/// # Errors
/// Why it cannot be used, in a sentence.
pub(super) fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let roots = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if roots.is_empty() {
        Err("no certificate in it (PEM is read)".to_owned())
    } else {
        Ok(roots)
    }
}
