//! The way out: from which address, through which proxy, trusting which roots.
//!
//! Owns the check of these settings and building one HTTP client for each distinct way out, on first use. Hides TLS
//! and the HTTP library's set-up. Never reads proxy settings of the environment, and never follows a redirect itself.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use base64::Engine as _;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use kmds_extract::recipes::is_public_name;
use rustls::{ClientConfig as TlsConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::net::{TcpSocket, TcpStream};
use tower_service::Service as _;
use url::{Host, Url};

use super::ahead::{self, Clients, Known};
use super::outside::{self, Outside};
use super::page::Collector;
use super::resolver::{Block, BlockError, Guard};
use crate::tls;

/// Connections kept open and idle to one host, and how long: as many as there are HLS segments in flight, which follow
/// each other within a second.
const IDLE_PER_HOST: usize = 4;
pub(super) const IDLE: Duration = Duration::from_secs(30);

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
    /// `http://` or `https://` page that answers with the address it was asked from; asked before anything else, and
    /// again every `check_every`. With it, an address in `forbid` (or none in the answer) closes this way out.
    pub check_url: Option<String>,
    pub check_every: Duration,
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

/// The proxy of a way out, connected to, and what it wants to be told.
pub(super) struct Onward {
    pub stream: TcpStream,
    pub credential: Option<HeaderValue>,
}

/// A setting of the way out that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    #[error("egress.proxy must be http://HOST:PORT or socks5://HOST:PORT")]
    Proxy,
    #[error("egress.check_url must be http://HOST/… or https://HOST/…")]
    CheckUrl,
    #[error("egress.forbid: {0}")]
    Forbid(#[from] BlockError),
    #[error("egress.source_address {0} is forbidden by egress.forbid")]
    ForbiddenSource(IpAddr),
    #[error("egress.ca_file {path}: {why}")]
    CaFile { path: PathBuf, why: String },
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// A checked way out; its clients are built when it is first used.
pub(super) struct Egress {
    proxy: Option<Url>,
    extra_roots: Vec<CertificateDer<'static>>,
    source_address: Option<IpAddr>,
    guard: Guard,
    forbid: Vec<Block>,
    outside: Option<Outside>,
    connect: Duration,
    built: tokio::sync::OnceCell<Clients>,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress")
            .field("proxied", &self.proxy.is_some())
            .finish_non_exhaustive()
    }
}

impl Egress {
    pub(super) fn new(config: &EgressConfig, connect: Duration) -> Result<Self, EgressError> {
        let forbid = config
            .forbid
            .iter()
            .map(|text| text.parse())
            .collect::<Result<Vec<Block>, _>>()?;
        if let Some(source) = config.source_address
            && forbid.iter().any(|block| block.contains(source))
        {
            return Err(EgressError::ForbiddenSource(source));
        }
        Ok(Self {
            proxy: config.proxy.as_deref().map(read_proxy).transpose()?,
            extra_roots: config
                .ca_file
                .as_deref()
                .map(read_roots)
                .transpose()?
                .unwrap_or_default(),
            source_address: config.source_address,
            guard: Guard::new(forbid.clone(), config.family),
            forbid,
            outside: config
                .check_url
                .as_deref()
                .map(read_check_url)
                .transpose()?
                .map(|url| Outside::new(url, config.check_every)),
            connect,
            built: tokio::sync::OnceCell::new(),
        })
    }

    /// The clients of this way out. Reading the system's roots takes a moment, once.
    pub(super) async fn clients(self: &Arc<Self>) -> Result<&Clients, EgressError> {
        self.built
            .get_or_try_init(|| async {
                let this = Arc::clone(self);
                tokio::task::spawn_blocking(move || this.build())
                    .await
                    .map_err(|error| EgressError::Client(error.to_string()))?
            })
            .await
    }

    /// Whether anything may go out this way; waits for the first check.
    /// # Errors
    /// Why not, in a sentence.
    pub(super) async fn admit(self: &Arc<Self>) -> Result<(), String> {
        let Some(outside) = &self.outside else {
            return Ok(());
        };
        outside
            .first
            .get_or_init(|| self.check_outside(outside))
            .await;
        outside.closed().map_or(Ok(()), Err)
    }

    /// Why nothing may go out this way, by the last check.
    pub(super) fn closed(&self) -> Option<String> {
        self.outside.as_ref().and_then(Outside::closed)
    }

    /// Checks from time to time, for ever; returns at once where nothing is to be checked.
    pub(super) async fn watch_outside(self: Arc<Self>) {
        let Some(outside) = &self.outside else { return };
        let _ = self.admit().await;
        loop {
            tokio::time::sleep(outside.pause()).await;
            self.check_outside(outside).await;
        }
    }

    async fn check_outside(&self, outside: &Outside) {
        let asked = outside.asked();
        // Whoever waits for the first check has twice this time for their own connection.
        let within = self.connect / 2;
        let verdict = match tokio::time::timeout(within, self.ask_outside(outside)).await {
            Ok(Ok(answer)) => outside::judge(&answer, &self.forbid, &asked),
            Ok(Err(why)) => Err(format!(
                "{asked} (`egress.check_url`) cannot be asked: {why}"
            )),
            Err(_) => Err(format!(
                "{asked} (`egress.check_url`) did not answer in time"
            )),
        };
        outside.decide(verdict);
    }

    /// The answer of the page that tells addresses. Each time over a new connection: an old one tells an old address.
    async fn ask_outside(&self, outside: &Outside) -> Result<String, String> {
        let why = |error: reqwest::Error| super::client::innermost(&error);
        let http = self.check_client().map_err(|error| error.to_string())?;
        let request = http
            .get(outside.url.clone())
            .header("accept", "text/plain, application/json;q=0.9");
        let mut response = request
            .header("connection", "close")
            .send()
            .await
            .map_err(why)?;
        if response.status() != http::StatusCode::OK {
            return Err(format!("HTTP {}", response.status().as_u16()));
        }
        let unreadable = |_| "its answer cannot be read".to_owned();
        let mut body =
            Collector::new(response.headers(), outside::MOST_BYTES).map_err(unreadable)?;
        while let Some(chunk) = response.chunk().await.map_err(why)? {
            body.add(&chunk).map_err(unreadable)?;
        }
        if self.proxy.is_none()
            && let Some(peer) = response.remote_addr()
        {
            // The other family's address was not looked at.
            self.guard.pin(if peer.is_ipv4() {
                Family::V4
            } else {
                Family::V6
            });
        }
        String::from_utf8(body.finish().map_err(unreadable)?)
            .map_err(|_| "its answer is no text".to_owned())
    }

    /// A client for the one page the operator named: any host will do, by the same way as the sites' own requests.
    fn check_client(&self) -> Result<reqwest::Client, EgressError> {
        self.finish(self.plain(self.tls()?).pool_max_idle_per_host(0), false)
    }

    /// Resolves a name and refuses it as the connections of this way out would. Behind a proxy nothing is asked.
    pub(super) async fn check_host(&self, host: &str) -> Result<(), String> {
        if self.proxy.is_some() {
            Ok(())
        } else {
            self.addresses(host).await.map(drop)
        }
    }

    pub(super) const fn is_proxied(&self) -> bool {
        self.proxy.is_some()
    }

    /// Where a name leads, if all of it may be connected to.
    pub(super) async fn addresses(&self, host: &str) -> Result<Vec<SocketAddr>, String> {
        self.guard.addresses(host).await
    }

    /// A connection to one of these, from the address of this way out.
    pub(super) async fn connect_to(
        &self,
        addresses: &[SocketAddr],
        port: u16,
    ) -> io::Result<TcpStream> {
        let mut failed = io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            "no address of the wanted family",
        );
        for at in addresses {
            if self
                .source_address
                .is_some_and(|source| source.is_ipv4() != at.is_ipv4())
            {
                continue;
            }
            let socket = if at.is_ipv4() {
                TcpSocket::new_v4()?
            } else {
                TcpSocket::new_v6()?
            };
            if let Some(source) = self.source_address {
                socket.bind(SocketAddr::new(source, 0))?;
            }
            match tokio::time::timeout(self.connect, socket.connect(SocketAddr::new(at.ip(), port)))
                .await
            {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failed = error,
                Err(_) => failed = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failed)
    }

    /// What the proxy of this way out may be asked for: it looks names up itself, so of an address in them nothing is
    /// known here; an address, and a name of the local network, is.
    pub(super) fn admit_through_proxy(&self, host: &Host) -> Result<(), String> {
        match host {
            Host::Ipv4(address) => self.guard.admits((*address).into()),
            Host::Ipv6(address) => self.guard.admits((*address).into()),
            Host::Domain(name) if is_public_name(name) => Ok(()),
            Host::Domain(name) => Err(format!("{name} is no public name")),
        }
    }

    /// A connection to a site through the proxy of this way out.
    pub(super) async fn through_proxy(&self, host: &Host, port: u16) -> Result<TcpStream, String> {
        let Some(proxy) = &self.proxy else {
            return Err("no proxy is set".to_owned());
        };
        let (user, password) = credential_of(proxy);
        let uri = |text: String| text.parse::<Uri>().map_err(|error| error.to_string());
        let (at, to) = (
            uri(without_user(proxy))?,
            uri(format!("https://{host}:{port}"))?,
        );
        let opened = async {
            if proxy.scheme() == "http" {
                let tunnel = Tunnel::new(at, self.to_proxy());
                let mut tunnel = match basic(&user, &password) {
                    Some(credential) => tunnel.with_auth(credential),
                    None => tunnel,
                };
                tunnel.call(to).await.map_err(|error| for_people(&error))
            } else {
                let socks = SocksV5::new(at, self.to_proxy()).local_dns(false);
                let mut socks = if user.is_empty() {
                    socks
                } else {
                    socks.with_auth(user, password)
                };
                socks.call(to).await.map_err(|error| for_people(&error))
            }
        };
        // The proxy connects too.
        let opened = tokio::time::timeout(self.connect * 2, opened).await;
        opened
            .map_err(|_| "the proxy did not answer in time".to_owned())?
            .map(TokioIo::into_inner)
    }

    /// A connection to the proxy itself, where it takes requests in the clear; `None` where there is no such proxy.
    pub(super) async fn plain_proxy(&self) -> Option<Result<Onward, String>> {
        let proxy = self
            .proxy
            .as_ref()
            .filter(|proxy| proxy.scheme() == "http")?;
        let (user, password) = credential_of(proxy);
        let connected = async {
            let at = without_user(proxy)
                .parse::<Uri>()
                .map_err(|error| error.to_string())?;
            let stream = self
                .to_proxy()
                .call(at)
                .await
                .map_err(|error| for_people(&error))?;
            Ok(Onward {
                stream: stream.into_inner(),
                credential: basic(&user, &password),
            })
        };
        Some(connected.await)
    }

    /// To the host the operator named, whatever its address.
    fn to_proxy(&self) -> HttpConnector {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(self.connect));
        connector.set_local_address(self.source_address);
        connector
    }

    fn build(&self) -> Result<Clients, EgressError> {
        let tls = self.tls()?;
        let alike = || self.plain(tls.clone()).https_only(true);
        let known = Known::default();
        let asking = self.finish(alike().connector_layer(known.taking()), true)?;
        let opening = self.finish(alike().connector_layer(ahead::handing_on()), true)?;
        Ok(Clients {
            asking,
            opening,
            known,
        })
    }

    fn finish(
        &self,
        builder: reqwest::ClientBuilder,
        guarded: bool,
    ) -> Result<reqwest::Client, EgressError> {
        let failed = |error: reqwest::Error| EgressError::Client(error.without_url().to_string());
        let builder = match &self.proxy {
            Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(failed)?),
            None if guarded => builder.dns_resolver(self.guard.clone()),
            None => builder,
        };
        builder.build().map_err(failed)
    }

    /// What all clients are made of: TLS, the source address, and nothing of the environment.
    fn plain(&self, tls: TlsConfig) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .referer(false)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(self.connect)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_idle_timeout(IDLE)
            .local_address(self.source_address)
            .no_proxy()
    }

    fn tls(&self) -> Result<TlsConfig, EgressError> {
        tls_with(system_roots(&self.extra_roots))
    }
}

/// A client for an address that the operator named and that is no site's: it goes there directly, and follows nothing.
pub(crate) fn direct_client(
    speaks_tls: bool,
    within: Duration,
) -> Result<reqwest::Client, EgressError> {
    let roots = if speaks_tls {
        system_roots(&[])
    } else {
        RootCertStore::empty()
    };
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls_with(roots)?)
        .http1_only();
    let builder = builder
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(1)
        .timeout(within);
    builder
        .no_proxy()
        .build()
        .map_err(|error| EgressError::Client(error.without_url().to_string()))
}

fn system_roots(extra: &[CertificateDer<'static>]) -> RootCertStore {
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

fn tls_with(roots: RootCertStore) -> Result<TlsConfig, EgressError> {
    let mut config = TlsConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| EgressError::Client(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
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

/// User and password as they are, not as a URL spells them.
fn credential_of(proxy: &Url) -> (String, String) {
    let plain = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    (
        plain(proxy.username()),
        plain(proxy.password().unwrap_or_default()),
    )
}

fn without_user(proxy: &Url) -> String {
    let port = proxy.port_or_known_default().unwrap_or(1080);
    format!(
        "{}://{}:{port}",
        proxy.scheme(),
        proxy.host_str().unwrap_or_default()
    )
}

fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    let word = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {word}"))
        .ok()
        .filter(|_| !user.is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

/// The innermost reason: the outer ones say only that there is one.
fn for_people(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), for_people)
}

fn read_check_url(text: &str) -> Result<Url, EgressError> {
    let url = Url::parse(text).map_err(|_| EgressError::CheckUrl)?;
    if matches!(url.scheme(), "http" | "https") && url.host().is_some() {
        Ok(url)
    } else {
        Err(EgressError::CheckUrl)
    }
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, EgressError> {
    let failed = |why: String| EgressError::CaFile {
        path: path.to_owned(),
        why,
    };
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let roots = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(error.to_string()))?;
    if roots.is_empty() {
        Err(failed("no certificate in it (PEM is read)".to_owned()))
    } else {
        Ok(roots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(text: &str) -> Option<String> {
        read_proxy(text).ok().map(String::from)
    }

    #[test]
    fn a_proxy_is_http_or_socks5_and_resolves_itself() {
        assert_eq!(
            proxy("http://127.0.0.1:3128"),
            Some("http://127.0.0.1:3128/".to_owned())
        );
        assert_eq!(
            proxy("socks5://127.0.0.1:1080"),
            Some("socks5h://127.0.0.1:1080".to_owned())
        );
        for bad in [
            "127.0.0.1:3128",
            "https://127.0.0.1",
            "socks4://127.0.0.1",
            "http://",
            "",
        ] {
            assert_eq!(proxy(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_bad_setting_is_named_before_anything_is_asked() {
        let check = |config: EgressConfig| {
            Egress::new(&config, Duration::from_secs(1))
                .expect_err("bad")
                .to_string()
        };
        let forbid = vec!["192.0.2.0/24".to_owned()];
        let source_address = Some("192.0.2.9".parse().expect("address"));
        assert!(
            check(EgressConfig {
                forbid,
                source_address,
                ..EgressConfig::default()
            })
            .contains("192.0.2.9")
        );
        let forbid = vec!["everything".to_owned()];
        assert!(
            check(EgressConfig {
                forbid,
                ..EgressConfig::default()
            })
            .contains("everything")
        );
        let ca_file = Some(PathBuf::from("/nonexistent/ca.pem"));
        assert!(
            check(EgressConfig {
                ca_file,
                ..EgressConfig::default()
            })
            .contains("/nonexistent/ca.pem")
        );
    }

    #[tokio::test]
    async fn a_client_is_built_once() {
        let egress =
            Arc::new(Egress::new(&EgressConfig::default(), Duration::from_secs(1)).expect("plain"));
        let first: *const Clients = egress.clients().await.expect("built");
        assert_eq!(first, egress.clients().await.expect("kept") as *const _);
    }
}
