//! The root certificates that are trusted, and the TLS settings made of them.

use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, SupportedCipherSuite};
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
    let mut provider = rustls::crypto::ring::default_provider();
    if !has_aes_instructions() {
        prefer_chacha(&mut provider.cipher_suites);
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Whether the processor has AES instructions.
fn has_aes_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

/// Asks for ChaCha20 first. Without AES instructions it costs a quarter of AES, and the library does not look
/// (docs/performance.md).
fn prefer_chacha(suites: &mut [SupportedCipherSuite]) {
    use rustls::CipherSuite as Suite;
    suites.sort_by_key(|suite| {
        !matches!(
            suite.suite(),
            Suite::TLS13_CHACHA20_POLY1305_SHA256
                | Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
                | Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        )
    });
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::CipherSuite::{TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256};

    #[test]
    fn a_processor_without_aes_asks_for_chacha_first_and_offers_the_rest_too() {
        let mut suites = rustls::crypto::ring::default_provider().cipher_suites;
        let count = suites.len();
        prefer_chacha(&mut suites);
        let names: Vec<_> = suites.iter().map(SupportedCipherSuite::suite).collect();
        assert_eq!(names[0], TLS13_CHACHA20_POLY1305_SHA256);
        assert!(
            names.contains(&TLS13_AES_128_GCM_SHA256) && names.len() == count,
            "{names:?}"
        );
    }
}
