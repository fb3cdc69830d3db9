//! The way out: the source address, the proxy, and the trusted root certificates.
//!
//! Owns the check of these settings and building the HTTP clients of each distinct way out, on first use. The proxy
//! settings of the environment are not read, and no redirect is followed here.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use kmds_extract::Site;
use kmds_extract::recipes::{Times, is_public_name};
use rustls::{ClientConfig as TlsConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use tokio::net::{TcpSocket, TcpStream};
use url::{Host, Url};

use super::address_check::{self, AddressCheck};
use super::page::Collector;
use super::preconnect::{self, Clients, KnownHosts};
use super::proxy::Proxy;
use super::resolver::{Block, BlockError, Family, FilteringResolver};
use super::roots::{self, system_roots, tls_with};

/// Idle connections that are kept to one host: as many as there are HLS segments in flight, which follow each other
/// within a second.
const IDLE_PER_HOST: usize = 4;

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
    /// `http://` or `https://` page that answers with the address a request came from; asked before everything else,
    /// and again every `check_every`. With it, an address in `forbid` (or no address in the answer) closes this way
    /// out.
    pub check_url: Option<String>,
    pub check_every: Duration,
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
    #[error("egress.ca_file {path}: {why}; use the path of a PEM file with certificates")]
    CaFile { path: PathBuf, why: String },
    /// A setting of one site's own way out.
    #[error("{site}.{error}", site = .site.as_str())]
    OfSite { site: Site, error: Box<Self> },
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

impl EgressError {
    pub(super) fn of(self, site: Site) -> Self {
        let error = Box::new(self);
        Self::OfSite { site, error }
    }
}

/// A checked way out; its clients are built when it is first used.
pub(super) struct Egress {
    proxy: Option<Proxy>,
    extra_roots: Vec<CertificateDer<'static>>,
    source_address: Option<IpAddr>,
    resolver: FilteringResolver,
    forbid: Vec<Block>,
    address_check: Option<AddressCheck>,
    connect: Duration,
    idle: Duration,
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
    pub(super) fn new(config: &EgressConfig, time: &Times) -> Result<Self, EgressError> {
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
        let proxy = config.proxy.as_deref().map(|text| {
            Proxy::parse(text, config.source_address, time.connect).ok_or(EgressError::Proxy)
        });
        let proxy = proxy.transpose()?;
        let extra_roots = config.ca_file.as_deref().map(|path| {
            roots::read(path).map_err(|why| EgressError::CaFile {
                path: path.to_owned(),
                why,
            })
        });
        let extra_roots = extra_roots.transpose()?.unwrap_or_default();
        Ok(Self {
            proxy,
            extra_roots,
            source_address: config.source_address,
            resolver: FilteringResolver::new(forbid.clone(), config.family),
            forbid,
            address_check: config
                .check_url
                .as_deref()
                .map(read_check_url)
                .transpose()?
                .map(|url| AddressCheck::new(url, config.check_every)),
            connect: time.connect,
            idle: time.idle,
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

    /// Checks that this way out is open; waits for the first check.
    /// # Errors
    /// Why not, in a sentence.
    pub(super) async fn admit(self: &Arc<Self>) -> Result<(), String> {
        let Some(check) = &self.address_check else {
            return Ok(());
        };
        check.first.get_or_init(|| self.run_check(check)).await;
        check.closed().map_or(Ok(()), Err)
    }

    /// Why this way out is closed, by the last check.
    pub(super) fn closed(&self) -> Option<String> {
        self.address_check.as_ref().and_then(AddressCheck::closed)
    }

    /// Checks from time to time, and does not end; returns at once where nothing is to be checked.
    pub(super) async fn watch_address(self: Arc<Self>) {
        let Some(check) = &self.address_check else {
            return;
        };
        let _ = self.admit().await;
        loop {
            tokio::time::sleep(check.pause()).await;
            self.run_check(check).await;
        }
    }

    async fn run_check(&self, check: &AddressCheck) {
        let asked = check.asked();
        // Requests that wait for the first check have twice this time for their own connection.
        let within = self.connect / 2;
        let outcome = match tokio::time::timeout(within, self.ask_address(check)).await {
            Ok(Ok(answer)) => address_check::compare(&answer, &self.forbid, &asked),
            Ok(Err(why)) => Err(format!(
                "{asked} (`egress.check_url`) cannot be asked: {why}"
            )),
            Err(_) => Err(format!(
                "{asked} (`egress.check_url`) did not answer in time"
            )),
        };
        check.record(outcome);
    }

    /// The answer of the page that tells addresses, each time over a new connection: an old one would tell an old
    /// address.
    async fn ask_address(&self, check: &AddressCheck) -> Result<String, String> {
        let why = |error: reqwest::Error| super::error::reason(&error);
        let http = self.check_client().map_err(|error| error.to_string())?;
        let request = http
            .get(check.url.clone())
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
            Collector::new(response.headers(), address_check::MOST_BYTES).map_err(unreadable)?;
        while let Some(chunk) = response.chunk().await.map_err(why)? {
            body.add(&chunk).map_err(unreadable)?;
        }
        if self.proxy.is_none()
            && let Some(peer) = response.remote_addr()
        {
            // The address of the other family was not checked.
            self.resolver.pin(Family::of(peer.ip()));
        }
        String::from_utf8(body.finish().map_err(unreadable)?)
            .map_err(|_| "its answer is no text".to_owned())
    }

    /// A client for the page that the operator named: any host is allowed, by the same way as the sites' requests.
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

    pub(super) const fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// The addresses of a name, if all of them are allowed.
    pub(super) async fn addresses(&self, host: &str) -> Result<Vec<SocketAddr>, String> {
        self.resolver.addresses(host).await
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

    /// Whether the proxy of this way out may be asked for this host. The proxy resolves names, so that only addresses
    /// and names of the local network can be refused here.
    pub(super) fn admit_through_proxy(&self, host: &Host) -> Result<(), String> {
        match host {
            Host::Ipv4(address) => self.resolver.admits((*address).into()),
            Host::Ipv6(address) => self.resolver.admits((*address).into()),
            Host::Domain(name) if is_public_name(name) => Ok(()),
            Host::Domain(name) => Err(format!("{name} is no public name")),
        }
    }

    fn build(&self) -> Result<Clients, EgressError> {
        let tls = self.tls()?;
        let alike = || self.plain(tls.clone()).https_only(true);
        let known = KnownHosts::default();
        let asking = self.finish(alike().connector_layer(known.taking()), true)?;
        let opening = self.finish(alike().connector_layer(preconnect::handing_on()), true)?;
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
            Some(proxy) => builder.proxy(reqwest::Proxy::all(proxy.url().clone()).map_err(failed)?),
            None if guarded => builder.dns_resolver(self.resolver.clone()),
            None => builder,
        };
        builder.build().map_err(failed)
    }

    /// The common part of all clients: TLS, the source address, and nothing from the environment.
    fn plain(&self, tls: TlsConfig) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .referer(false)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(self.connect)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_idle_timeout(self.idle)
            .local_address(self.source_address)
            .no_proxy()
    }

    fn tls(&self) -> Result<TlsConfig, EgressError> {
        tls_with(system_roots(&self.extra_roots)).map_err(EgressError::Client)
    }
}

/// A client for an address that the operator named and that is no site's. It connects directly and follows no redirect.
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
        .tls_backend_preconfigured(tls_with(roots).map_err(EgressError::Client)?)
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

fn read_check_url(text: &str) -> Result<Url, EgressError> {
    let url = Url::parse(text).map_err(|_| EgressError::CheckUrl)?;
    if matches!(url.scheme(), "http" | "https") && url.host().is_some() {
        Ok(url)
    } else {
        Err(EgressError::CheckUrl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_setting_is_named_before_anything_is_asked() {
        let check = |config: EgressConfig| {
            Egress::new(&config, &kmds_extract::Recipes::built_in().time)
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
        let egress = Arc::new(
            Egress::new(
                &EgressConfig::default(),
                &kmds_extract::Recipes::built_in().time,
            )
            .expect("plain"),
        );
        let first: *const Clients = egress.clients().await.expect("built");
        assert_eq!(first, egress.clients().await.expect("kept") as *const _);
    }
}
