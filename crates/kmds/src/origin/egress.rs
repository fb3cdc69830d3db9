//! The way out: from which address, through which proxy, trusting which roots.
//!
//! Owns the check of these settings and building one HTTP client for each distinct way out, on first use. Hides TLS
//! and the HTTP library's set-up. Never reads proxy settings of the environment, and never follows a redirect itself.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig as TlsConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use url::Url;

use super::resolver::{Block, BlockError, Guard};

/// Connections kept open and idle to one host, and how long: as many as there are HLS segments in flight, which follow
/// each other within a second.
const IDLE_PER_HOST: usize = 4;
const IDLE: Duration = Duration::from_secs(30);

/// Settings of the way out, for all sites or for one. Nothing set means: straight from this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressConfig {
    /// `http://HOST:PORT` (CONNECT) or `socks5://HOST:PORT`; the proxy resolves names. May carry user and password.
    pub proxy: Option<String>,
    /// PEM file of further roots, beside the system's.
    pub ca_file: Option<PathBuf>,
    pub source_address: Option<IpAddr>,
    /// Addresses and blocks that are never connected to, and never connected from.
    pub forbid: Vec<String>,
    /// Use one family only; signed media URLs are bound to the address that asked for them.
    pub family: Option<Family>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const fn has(self, address: IpAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// A setting of the way out that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    #[error("egress.proxy must be http://HOST:PORT or socks5://HOST:PORT")]
    Proxy,
    #[error("egress.forbid: {0}")]
    Forbid(#[from] BlockError),
    #[error("egress.source_address {0} is forbidden by egress.forbid")]
    ForbiddenSource(IpAddr),
    #[error("egress.ca_file {path}: {why}")]
    CaFile { path: PathBuf, why: String },
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// A checked way out; its client is built when it is first used.
pub(super) struct Egress {
    proxy: Option<Url>,
    extra_roots: Vec<CertificateDer<'static>>,
    source_address: Option<IpAddr>,
    guard: Guard,
    connect: Duration,
    built: tokio::sync::OnceCell<reqwest::Client>,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("proxied", &self.proxy.is_some()).finish_non_exhaustive()
    }
}

impl Egress {
    pub(super) fn new(config: &EgressConfig, connect: Duration) -> Result<Self, EgressError> {
        let forbid = config.forbid.iter().map(|text| text.parse()).collect::<Result<Vec<Block>, _>>()?;
        if let Some(source) = config.source_address
            && forbid.iter().any(|block| block.contains(source))
        {
            return Err(EgressError::ForbiddenSource(source));
        }
        Ok(Self {
            proxy: config.proxy.as_deref().map(read_proxy).transpose()?,
            extra_roots: config.ca_file.as_deref().map(read_roots).transpose()?.unwrap_or_default(),
            source_address: config.source_address,
            guard: Guard::new(forbid, config.family),
            connect,
            built: tokio::sync::OnceCell::new(),
        })
    }

    /// The client of this way out. Reading the system's roots takes a moment, once.
    pub(super) async fn client(self: &Arc<Self>) -> Result<&reqwest::Client, EgressError> {
        self.built
            .get_or_try_init(|| async {
                let this = Arc::clone(self);
                tokio::task::spawn_blocking(move || this.build())
                    .await
                    .map_err(|error| EgressError::Client(error.to_string()))?
            })
            .await
    }

    fn build(&self) -> Result<reqwest::Client, EgressError> {
        let failed = |error: reqwest::Error| EgressError::Client(error.without_url().to_string());
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls()?)
            .https_only(true)
            .http1_only()
            .referer(false)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(self.connect)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_idle_timeout(IDLE)
            .local_address(self.source_address)
            .no_proxy();
        builder = match &self.proxy {
            Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(failed)?),
            None => builder.dns_resolver(self.guard.clone()),
        };
        builder.build().map_err(failed)
    }

    fn tls(&self) -> Result<TlsConfig, EgressError> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::debug!(%error, "a system root certificate was left out");
        }
        roots.add_parsable_certificates(system.certs);
        roots.add_parsable_certificates(self.extra_roots.iter().cloned());
        if roots.is_empty() {
            tracing::warn!("no root certificates found; every https connection will fail");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = TlsConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| EgressError::Client(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn read_proxy(text: &str) -> Result<Url, EgressError> {
    let mut url = Url::parse(text).map_err(|_| EgressError::Proxy)?;
    if url.host().is_none() {
        return Err(EgressError::Proxy);
    }
    match url.scheme() {
        "http" | "socks5h" => {}
        // The proxy resolves: a name must not be asked for from the address that the proxy hides.
        "socks5" => url.set_scheme("socks5h").map_err(|()| EgressError::Proxy)?,
        _ => return Err(EgressError::Proxy),
    }
    Ok(url)
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, EgressError> {
    let failed = |why: String| EgressError::CaFile { path: path.to_owned(), why };
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let roots = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(error.to_string()))?;
    if roots.is_empty() { Err(failed("no certificate in it (PEM is read)".to_owned())) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(text: &str) -> Option<String> {
        read_proxy(text).ok().map(String::from)
    }

    #[test]
    fn a_proxy_is_http_or_socks5_and_resolves_itself() {
        assert_eq!(proxy("http://127.0.0.1:3128"), Some("http://127.0.0.1:3128/".to_owned()));
        assert_eq!(proxy("socks5://127.0.0.1:1080"), Some("socks5h://127.0.0.1:1080".to_owned()));
        for bad in ["127.0.0.1:3128", "https://127.0.0.1", "socks4://127.0.0.1", "http://", ""] {
            assert_eq!(proxy(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_bad_setting_is_named_before_anything_is_asked() {
        let check = |config: EgressConfig| Egress::new(&config, Duration::from_secs(1)).expect_err("bad").to_string();
        let forbid = vec!["192.0.2.0/24".to_owned()];
        let source_address = Some("192.0.2.9".parse().expect("address"));
        assert!(check(EgressConfig { forbid, source_address, ..EgressConfig::default() }).contains("192.0.2.9"));
        let forbid = vec!["everything".to_owned()];
        assert!(check(EgressConfig { forbid, ..EgressConfig::default() }).contains("everything"));
        let ca_file = Some(PathBuf::from("/nonexistent/ca.pem"));
        assert!(check(EgressConfig { ca_file, ..EgressConfig::default() }).contains("/nonexistent/ca.pem"));
    }

    #[tokio::test]
    async fn a_client_is_built_once() {
        let egress = Arc::new(Egress::new(&EgressConfig::default(), Duration::from_secs(1)).expect("plain"));
        let first: *const reqwest::Client = egress.client().await.expect("built");
        assert_eq!(first, egress.client().await.expect("kept") as *const _);
    }
}
