//! The ciphers that both ways out speak: to the sites, and to another KMDS.
//!
//! Never proves who we are: no certificate of ours is ever shown, and what would sign one is left out of the binary.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, KeyProvider, ring};
use rustls::sign::SigningKey;
use rustls_pki_types::PrivateKeyDer;

pub fn provider() -> CryptoProvider {
    CryptoProvider {
        key_provider: &NoKeys,
        ..ring::default_provider()
    }
}

#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(
        &self,
        _: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General(
            "no certificate is ever shown".to_owned(),
        ))
    }
}
