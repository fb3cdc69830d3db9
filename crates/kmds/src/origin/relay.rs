//! The way out of yt-dlp, under the same rules as the service.
//!
//! Owns a proxy on loopback that lives as long as one run of yt-dlp. A client needs its password. It connects only to
//! hosts of the site, at addresses that it resolves and checks for each connection, by the site's own way out
//! ([`super::egress`]). TLS passes through unread, and no answer is kept. Dropping the [`Relay`] ends its accept loop
//! and all its connections.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kmds_extract::Site;
use kmds_extract::recipes::{Hosts, is_public_name};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Host;

use super::egress::Egress;
use super::proxy::Onward;
use super::recipes::SharedRecipes;
use super::url::site_hosts;
use crate::random;

/// Connections at once: more than one run of yt-dlp opens.
const MOST_CONNECTIONS: usize = 32;
/// How long a request's head may take.
const HEAD_WAIT: Duration = Duration::from_secs(10);
const HTTPS: u16 = 443;
const HTTP: u16 = 80;

type Body = Either<Incoming, Full<Bytes>>;

/// A running proxy; it ends when this is dropped.
#[derive(Debug)]
pub struct Relay {
    url: String,
    rules: Arc<RelayRules>,
    _running: DropGuard,
}

impl Relay {
    /// # Errors
    /// No port on loopback, or no random word.
    pub(super) async fn open(
        site: Site,
        egress: Arc<Egress>,
        recipes: SharedRecipes,
    ) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("no way out for yt-dlp: {error}");
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind((Ipv6Addr::LOCALHOST, 0))
                .await
                .map_err(failed)?,
        };
        let at = listener.local_addr().map_err(failed)?;
        let word = random::secret()?;
        let running = CancellationToken::new();
        let rules = Arc::new(RelayRules {
            site,
            egress,
            recipes,
            credential: format!(
                "Basic {}",
                base64::engine::general_purpose::STANDARD.encode(format!("kmds:{word}"))
            ),
            running: running.clone(),
            refused: Mutex::default(),
        });
        tokio::spawn(until(running.clone(), accept(listener, Arc::clone(&rules))));
        Ok(Self {
            url: format!("http://kmds:{word}@{at}"),
            rules,
            _running: running.drop_guard(),
        })
    }

    /// For the environment of yt-dlp only: the password is in it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The first refusal, in a sentence.
    #[must_use]
    pub fn refused(&self) -> Option<String> {
        self.rules.refused.lock().clone()
    }
}

#[derive(Debug)]
struct RelayRules {
    site: Site,
    egress: Arc<Egress>,
    recipes: SharedRecipes,
    /// The only value of `Proxy-Authorization` that is accepted.
    credential: String,
    running: CancellationToken,
    refused: Mutex<Option<String>>,
}

/// Why there is no connection.
enum NotOpened {
    /// Refused by the rules of KMDS.
    Refused(String),
    /// The connection failed.
    Failed(String),
}

/// Ends with the relay, even while it waits.
async fn until(running: CancellationToken, work: impl Future<Output = ()>) {
    let _ = running.run_until_cancelled(work).await;
}

async fn accept(listener: TcpListener, rules: Arc<RelayRules>) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    while let Ok(seat) = Arc::clone(&room).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // Mostly because there are no free file handles.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let rules = Arc::clone(&rules);
        let (running, token) = (rules.running.clone(), rules.running.clone());
        tokio::spawn(until(running, async move {
            serve(stream, rules, token).await;
            drop(seat);
        }));
    }
}

/// One connection of the program: plain HTTP requests, or one tunnel.
async fn serve(stream: TcpStream, rules: Arc<RelayRules>, running: CancellationToken) {
    let tunnel = Arc::new(Mutex::new(None));
    let answer = service_fn(|request| {
        let (rules, tunnel, running) = (Arc::clone(&rules), Arc::clone(&tunnel), running.clone());
        async move { Ok::<_, Infallible>(rules.answer(request, &tunnel, running).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT);
    if server
        .serve_connection(TokioIo::new(stream), answer)
        .with_upgrades()
        .await
        .is_err()
    {
        return;
    }
    let opened = tunnel.lock().take();
    let Some((upgrade, mut onward)) = opened else {
        return;
    };
    let upgrade: hyper::upgrade::OnUpgrade = upgrade;
    if let Ok(inner) = upgrade.await {
        // The two ends notice a broken connection themselves.
        let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(inner), &mut onward).await;
    }
}

type Tunnel = Mutex<Option<(hyper::upgrade::OnUpgrade, TcpStream)>>;

impl RelayRules {
    async fn answer(
        &self,
        request: Request<Incoming>,
        tunnel: &Tunnel,
        running: CancellationToken,
    ) -> Response<Body> {
        let given = request
            .headers()
            .get(PROXY_AUTHORIZATION)
            .map(HeaderValue::as_bytes);
        if given != Some(self.credential.as_bytes()) {
            let mut answer = told(
                StatusCode::PROXY_AUTHENTICATION_REQUIRED,
                "the password of this proxy is missing or wrong",
            );
            answer
                .headers_mut()
                .insert(PROXY_AUTHENTICATE, HeaderValue::from_static("Basic"));
            return answer;
        }
        let done = if request.method() == Method::CONNECT {
            self.connect(request, tunnel).await
        } else {
            self.forward(request, running).await
        };
        match done {
            Ok(answer) => answer,
            Err(NotOpened::Refused(why)) => {
                tracing::info!(
                    site = self.site.as_str(),
                    "yt-dlp was kept from an address: {why}"
                );
                let answer = told(StatusCode::FORBIDDEN, &why);
                self.refused.lock().get_or_insert(why);
                answer
            }
            Err(NotOpened::Failed(why)) => told(StatusCode::BAD_GATEWAY, &why),
        }
    }

    async fn connect(
        &self,
        request: Request<Incoming>,
        tunnel: &Tunnel,
    ) -> Result<Response<Body>, NotOpened> {
        let (host, port) = self.admitted_target(request.uri().authority(), None)?;
        let onward = self.open(&host, port).await?;
        *tunnel.lock() = Some((hyper::upgrade::on(request), onward));
        Ok(Response::new(Either::Right(Full::default())))
    }

    /// Forwards a plain HTTP request. Every request is checked, also a later one on the same connection.
    async fn forward(
        &self,
        request: Request<Incoming>,
        running: CancellationToken,
    ) -> Result<Response<Body>, NotOpened> {
        let uri = request.uri().clone();
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(NotOpened::Refused(
                "only http and https are carried".to_owned(),
            ));
        }
        let (host, port) = self.admitted_target(uri.authority(), Some(HTTP))?;
        if let Some(why) = self.egress.closed() {
            return Err(NotOpened::Refused(why));
        }
        let plain = match self.egress.proxy() {
            Some(proxy) => {
                self.egress
                    .admit_through_proxy(&host)
                    .map_err(NotOpened::Refused)?;
                proxy.plain().await.transpose().map_err(NotOpened::Failed)?
            }
            None => None,
        };
        let (stream, onward) = match plain {
            Some(Onward { stream, credential }) => (stream, Some(credential)),
            None => (self.open(&host, port).await?, None),
        };
        let request = passed_on(request, &uri, onward)?;
        let failed = |error: hyper::Error| NotOpened::Failed(error.to_string());
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(failed)?;
        tokio::spawn(until(running, async move { drop(connection.await) }));
        sender
            .send_request(request)
            .await
            .map(|answer| answer.map(Either::Left))
            .map_err(failed)
    }

    /// Host and port of a request, if they may be asked.
    fn admitted_target(
        &self,
        to: Option<&Authority>,
        port: Option<u16>,
    ) -> Result<(Host, u16), NotOpened> {
        let refused = |what: String| NotOpened::Refused(what);
        let to = to
            .filter(|to| !to.as_str().contains('@'))
            .ok_or_else(|| refused("no host is named".to_owned()))?;
        // Addresses in every spelling become addresses; names lower case, in ASCII.
        let host =
            Host::parse(to.host()).map_err(|_| refused(format!("{} is no host", to.host())))?;
        let plain = port.is_some();
        let port = to
            .port_u16()
            .or(port)
            .ok_or_else(|| refused("no port is named".to_owned()))?;
        let recipes = self.recipes.current();
        let hosts = site_hosts(&recipes, self.site).map_err(refused)?;
        let (may, usual) = if hosts.any_public {
            let public = match &host {
                Host::Domain(name) => is_public_name(name),
                // Checked when it is connected.
                Host::Ipv4(_) | Host::Ipv6(_) => true,
            };
            (public, matches!(port, HTTP | HTTPS))
        } else {
            (
                matches!(&host, Host::Domain(name) if is_of(hosts, name)),
                port == HTTPS && !plain,
            )
        };
        if !may {
            return Err(refused(format!(
                "{host} is not a host that yt-dlp may ask here"
            )));
        }
        if !usual {
            return Err(refused(format!(
                "{host} is asked over https on its usual port only"
            )));
        }
        Ok((host, port))
    }

    async fn open(&self, host: &Host, port: u16) -> Result<TcpStream, NotOpened> {
        // The way out may have been closed since the run began.
        if let Some(why) = self.egress.closed() {
            return Err(NotOpened::Refused(why));
        }
        if let Some(proxy) = self.egress.proxy() {
            self.egress
                .admit_through_proxy(host)
                .map_err(NotOpened::Refused)?;
            return proxy.tunnel(host, port).await.map_err(NotOpened::Failed);
        }
        let name = name_of(host);
        let addresses = self
            .egress
            .addresses(&name)
            .await
            .map_err(NotOpened::Refused)?;
        self.egress
            .connect_to(&addresses, port)
            .await
            .map_err(|error| NotOpened::Failed(format!("{host}: {error}")))
    }
}

/// Whether a host belongs to the site, or is one that only yt-dlp contacts.
fn is_of(hosts: &Hosts, name: &str) -> bool {
    hosts.allows_page(name)
        || hosts.allows_media(name)
        || hosts.allows_cover(name)
        || hosts.allows_second_engine(name)
}

/// The name for the resolver, without brackets.
pub(super) fn name_of(host: &Host) -> String {
    match host {
        Host::Domain(name) => name.clone(),
        Host::Ipv4(address) => IpAddr::from(*address).to_string(),
        Host::Ipv6(address) => IpAddr::from(*address).to_string(),
    }
}

/// The request without its hop-by-hop headers; to another proxy with the whole URL and the credential.
fn passed_on(
    request: Request<Incoming>,
    uri: &Uri,
    onward: Option<Option<HeaderValue>>,
) -> Result<Request<Incoming>, NotOpened> {
    let bad = |error: http::Error| NotOpened::Failed(error.to_string());
    let (mut head, body) = request.into_parts();
    for name in [CONNECTION, TE, UPGRADE, PROXY_AUTHORIZATION] {
        head.headers.remove(name);
    }
    head.headers
        .remove(HeaderName::from_static("proxy-connection"));
    head.headers.remove(HeaderName::from_static("keep-alive"));
    let host = uri.authority().map_or("", Authority::as_str);
    head.headers.insert(
        HOST,
        HeaderValue::try_from(host).map_err(|error| bad(error.into()))?,
    );
    match onward {
        Some(credential) => {
            credential.map(|credential| head.headers.insert(PROXY_AUTHORIZATION, credential));
        }
        None => {
            let path = uri
                .path_and_query()
                .map_or("/", http::uri::PathAndQuery::as_str);
            head.uri = Uri::try_from(path).map_err(|error| bad(error.into()))?;
        }
    }
    Ok(Request::from_parts(head, body))
}

fn told(status: StatusCode, why: &str) -> Response<Body> {
    let mut answer = Response::new(Either::Right(Full::from(why.to_owned())));
    *answer.status_mut() = status;
    answer
}
