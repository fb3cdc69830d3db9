//! The operator's proxy (`egress.proxy`): HTTP with CONNECT, or SOCKS5. It resolves names itself.
//!
//! The relay uses the functions here to connect through the proxy; reqwest uses its own code.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service as _;
use url::{Host, Url};

use super::error::innermost;

/// A connection to the proxy, and the credential that each request needs.
pub(super) struct Onward {
    pub stream: TcpStream,
    pub credential: Option<HeaderValue>,
}

/// A checked proxy.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    url: Url,
    source_address: Option<IpAddr>,
    connect: Duration,
}

impl Proxy {
    /// `None` for a text that is not a proxy. The connection comes from `source_address`, within `connect`.
    pub(super) fn parse(
        text: &str,
        source_address: Option<IpAddr>,
        connect: Duration,
    ) -> Option<Self> {
        let mut url = Url::parse(text).ok().filter(|url| url.host().is_some())?;
        match url.scheme() {
            "http" | "socks5h" => {}
            // The proxy resolves names: a name must not be looked up from the address that the proxy hides.
            "socks5" => url.set_scheme("socks5h").ok()?,
            _ => return None,
        }
        Some(Self {
            url,
            source_address,
            connect,
        })
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// A connection to a site through the proxy.
    /// # Errors
    /// A sentence.
    pub(super) async fn tunnel(&self, host: &Host, port: u16) -> Result<TcpStream, String> {
        let (user, password) = self.credential();
        let uri = |text: String| text.parse::<Uri>().map_err(|error| error.to_string());
        let (at, to) = (
            uri(self.without_user())?,
            uri(format!("https://{host}:{port}"))?,
        );
        let opened = async {
            if self.url.scheme() == "http" {
                let tunnel = Tunnel::new(at, self.connector());
                let mut tunnel = match basic(&user, &password) {
                    Some(credential) => tunnel.with_auth(credential),
                    None => tunnel,
                };
                tunnel.call(to).await.map_err(|error| innermost(&error))
            } else {
                let socks = SocksV5::new(at, self.connector()).local_dns(false);
                let mut socks = if user.is_empty() {
                    socks
                } else {
                    socks.with_auth(user, password)
                };
                socks.call(to).await.map_err(|error| innermost(&error))
            }
        };
        // The proxy connects to the site too.
        let opened = tokio::time::timeout(self.connect * 2, opened).await;
        opened
            .map_err(|_| "the proxy did not answer in time".to_owned())?
            .map(TokioIo::into_inner)
    }

    /// A connection to the proxy itself; `None` if it takes no plain HTTP requests.
    pub(super) async fn plain(&self) -> Option<Result<Onward, String>> {
        if self.url.scheme() != "http" {
            return None;
        }
        let (user, password) = self.credential();
        let connected = async {
            let at = self
                .without_user()
                .parse::<Uri>()
                .map_err(|error| error.to_string())?;
            let stream = self
                .connector()
                .call(at)
                .await
                .map_err(|error| innermost(&error))?;
            Ok(Onward {
                stream: stream.into_inner(),
                credential: basic(&user, &password),
            })
        };
        Some(connected.await)
    }

    /// Connects to the host that the operator named, at any address.
    fn connector(&self) -> HttpConnector {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(self.connect));
        connector.set_local_address(self.source_address);
        connector
    }

    /// User and password, percent-decoded.
    fn credential(&self) -> (String, String) {
        let plain = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8_lossy()
                .into_owned()
        };
        (
            plain(self.url.username()),
            plain(self.url.password().unwrap_or_default()),
        )
    }

    fn without_user(&self) -> String {
        let port = self.url.port_or_known_default().unwrap_or(1080);
        format!(
            "{}://{}:{port}",
            self.url.scheme(),
            self.url.host_str().unwrap_or_default()
        )
    }
}

fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    let word = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {word}"))
        .ok()
        .filter(|_| !user.is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(text: &str) -> Option<String> {
        Proxy::parse(text, None, Duration::ZERO).map(|proxy| proxy.url.into())
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
}
