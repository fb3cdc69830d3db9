//! Pages from the sites: allowed hosts, time-outs, retries, redirects, pacing; implements [`Origin`].
//!
//! Owns what happens between one request of a site's flow and its answer. Hides how often it had to be asked.
//! Never interprets an answer: every status is a page, only a missing answer is an error.

use std::collections::HashMap;
use std::error::Error as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::header::{ACCEPT_ENCODING, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue};
use kmds_extract::origin::{
    Challenges, Method, Redirects, Remembered, RenewGuard, ScriptError, Solved,
};
use kmds_extract::recipes::{Hosts, Times};
use kmds_extract::{Origin, OriginError, Page, PageRequest, Recipes, Site};
use parking_lot::Mutex;

use super::ahead::Clients;
use super::egress::{Egress, EgressConfig, EgressError};
use super::memory::Memory;
use super::pace::Pace;
use super::page::{BodyError, Collector};
use super::random;
use super::relay::Relay;
use super::resolver::AddressRefused;
use super::url::{MediaUrl, PublicLink, Purpose};
use super::{Counters, SharedRecipes, count};
use crate::player::Solver;

/// Redirects of one cover or one audio request that are followed (field notes: YouTube 3.4).
pub(super) const MEDIA_REDIRECTS: u8 = 5;

#[derive(Debug, Clone, Default)]
pub struct ClientConfig {
    /// For every site without a way out of its own.
    pub egress: EgressConfig,
    pub site_egress: HashMap<Site, EgressConfig>,
    /// File in the state folder that keeps what is remembered; `None` forgets at exit.
    pub memory_file: Option<PathBuf>,
    /// Folder in the state folder for YouTube's player scripts; `None` solves nothing.
    pub player_dir: Option<PathBuf>,
}

/// The door to the sites. Cheap to clone; clones share connections, paces, memory and counters.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    background: bool,
    /// When the one who asks waits no longer for the pages of a list.
    until: Option<Instant>,
}

#[derive(Debug)]
struct Shared {
    egress: HashMap<Site, Arc<Egress>>,
    any_egress: Arc<Egress>,
    paces: HashMap<Site, Pace>,
    recipes: SharedRecipes,
    memory: Arc<Memory>,
    solver: Solver,
    counters: Counters,
    /// Sites that are not to be asked, and why: their outside address is forbidden.
    closed: Mutex<HashMap<Site, String>>,
}

impl Client {
    /// Checks the settings; connects to nothing.
    /// # Errors
    /// A setting that cannot be used, named.
    pub fn new(config: &ClientConfig, recipes: SharedRecipes) -> Result<Self, EgressError> {
        let connect = Times::seconds(recipes.current().time.connect);
        let any_egress = Arc::new(Egress::new(&config.egress, connect)?);
        let mut egress = HashMap::new();
        for (&site, own) in &config.site_egress {
            // Equal ways out share one client: roots and connections are kept once.
            if *own != config.egress {
                egress.insert(site, Arc::new(Egress::new(own, connect)?));
            }
        }
        let paces = Site::NATIVE
            .into_iter()
            .map(|site| (site, Pace::default()))
            .collect();
        let memory = Memory::open(config.memory_file.clone());
        let closed = Mutex::default();
        let shared = Arc::new(Shared {
            egress,
            any_egress,
            paces,
            recipes,
            memory,
            solver: Solver::new(config.player_dir.clone()),
            counters: Counters::default(),
            closed,
        });
        Ok(Self {
            shared,
            background: false,
            until: None,
        })
    }

    /// The same door for work that nobody waits for: it paces behind everyone else, and waits as long as that takes.
    #[must_use]
    pub fn in_background(&self) -> Self {
        Self {
            background: true,
            ..self.clone()
        }
    }

    /// The same door for pages that are of no use later than `until`.
    #[must_use]
    pub fn until(&self, until: Option<Instant>) -> Self {
        Self {
            until,
            ..self.clone()
        }
    }

    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    #[must_use]
    pub fn recipes(&self) -> Arc<Recipes> {
        self.shared.recipes.current()
    }

    /// YouTube's player script that was used last since the start, and whether it could be read.
    #[must_use]
    pub fn player_script(&self) -> Option<(String, bool)> {
        self.shared.solver.last()
    }

    /// Stops all requests to `site` until [`Client::reopen`]; `why` is a sentence for the operator.
    pub fn close(&self, site: Site, why: impl Into<String>) {
        self.shared.closed.lock().insert(site, why.into());
    }

    pub fn reopen(&self, site: Site) {
        self.shared.closed.lock().remove(&site);
    }

    /// Why `site` is not asked now: it was closed, or the last check of its outside address closed its way out.
    #[must_use]
    pub fn closed(&self, site: Site) -> Option<String> {
        self.closed_by_hand(site)
            .or_else(|| self.egress(site).closed())
    }

    /// Whether `site` may be asked; waits for the first check of its outside address, where one is wanted.
    /// # Errors
    /// Why not, in a sentence.
    pub async fn admit(&self, site: Site) -> Result<(), String> {
        match self.closed_by_hand(site) {
            Some(why) => Err(why),
            None => self.egress(site).admit().await,
        }
    }

    /// Checks the outside address of each way out that these sites use, at once and from time to time, for ever.
    /// Without `egress.check_url` nothing is contacted.
    pub async fn watch_outside(&self, sites: &[Site]) {
        let mut ways: Vec<&Arc<Egress>> = Vec::new();
        for site in sites {
            let way = self.egress(*site);
            if !ways.iter().any(|known| Arc::ptr_eq(known, way)) {
                ways.push(way);
            }
        }
        futures_util::future::join_all(ways.into_iter().map(|way| Arc::clone(way).watch_outside()))
            .await;
    }

    /// Whether a link of an unknown site leads to public addresses only. Behind a proxy the proxy resolves.
    /// # Errors
    /// A sentence for the one who sent the link.
    pub async fn leads_outside(&self, link: &PublicLink) -> Result<(), String> {
        self.egress(Site::Other).check_host(link.host()).await
    }

    /// A proxy of our own for one run of the second engine: it reaches what the site's requests may reach, by the same way.
    /// # Errors
    /// It cannot be opened.
    pub async fn relay(&self, site: Site) -> Result<Relay, String> {
        Relay::open(
            site,
            Arc::clone(self.egress(site)),
            self.shared.recipes.clone(),
        )
        .await
    }

    fn closed_by_hand(&self, site: Site) -> Option<String> {
        self.shared.closed.lock().get(&site).cloned()
    }

    fn egress(&self, site: Site) -> &Arc<Egress> {
        self.shared
            .egress
            .get(&site)
            .unwrap_or(&self.shared.any_egress)
    }

    /// The HTTP clients of the site's way out, or why the site may not be asked.
    pub(super) async fn way_out(&self, site: Site) -> Result<&Clients, String> {
        self.admit(site).await?;
        self.egress(site)
            .clients()
            .await
            .map_err(|error| error.to_string())
    }

    async fn pace(&self, site: Site, hosts: &Hosts, times: &Times) -> Result<(), OriginError> {
        let Some(pace) = self.shared.paces.get(&site) else {
            return Ok(());
        };
        let apart = Times::seconds(hosts.pace);
        if self.background {
            pace.wait_behind(apart).await;
            return Ok(());
        }
        // The pace is ours, no limit that the site has set: it is waited for while a whole request still has its time after it.
        let longest = (times.fetch_song - times.metadata_request).max(times.longest_pause);
        pace.book(apart, Times::seconds(longest))
            .await
            .map_err(OriginError::Wait)
    }

    /// One hop, asked again while the site fails.
    async fn insist(
        &self,
        ask: &Hop<'_>,
        hosts: &Hosts,
        times: &Times,
    ) -> Result<Page, OriginError> {
        let (mut tries, mut timeouts) = (0, 0);
        loop {
            self.pace(ask.site, hosts, times).await?;
            let limit = Times::seconds(times.metadata_request);
            let outcome = match tokio::time::timeout(limit, self.ask_once(ask, hosts)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Trouble::Timeout),
            };
            tries += 1;
            let advised = match &outcome {
                Ok(page) if ask.insist && page.status >= 500 && tries < times.metadata_tries => {
                    page.retry_after(self.now_unix())
                }
                Err(Trouble::Broken(_)) if ask.insist && tries < times.metadata_tries => None,
                Err(Trouble::Timeout)
                    if ask.insist
                        && tries < times.metadata_tries
                        && timeouts + 1 < times.timeout_tries =>
                {
                    timeouts += 1;
                    None
                }
                _ => return outcome.map_err(|trouble| trouble.into_origin(ask.max_bytes)),
            };
            count(&self.counters().site(ask.site).retries, 1);
            let longest = Times::seconds(times.longest_pause);
            let pause = random::varied(pause_before(&times.retry_pauses, tries));
            tokio::time::sleep(pause.max(advised.unwrap_or_default().min(longest))).await;
        }
    }

    async fn ask_once(&self, ask: &Hop<'_>, hosts: &Hosts) -> Result<Page, Trouble> {
        let way = self
            .way_out(ask.site)
            .await
            .map_err(|why| Trouble::Final(OriginError::Closed(why)))?;
        let counters = self.counters().site(ask.site);
        count(&counters.page_requests, 1);
        let mut request = match ask.method {
            Method::Get => way.asking.get(ask.url.clone().into_url()),
            Method::Post => way.asking.post(ask.url.clone().into_url()),
        };
        request = request.headers(ask.headers.clone());
        if let Some(body) = ask.body {
            request = request.body(body.to_vec());
        }
        let answer = way.send(request, &ask.url, ask.next.as_ref()).await;
        if let Some(pace) = self.shared.paces.get(&ask.site) {
            pace.answered(Times::seconds(hosts.pace));
        }
        let mut response = answer.map_err(Trouble::from)?;
        let status = response.status().as_u16();
        let mut body = Collector::new(response.headers(), ask.max_bytes)?;
        while let Some(chunk) = response.chunk().await.map_err(Trouble::from)? {
            count(&counters.page_bytes, chunk.len() as u64);
            body.add(&chunk)?;
        }
        tracing::debug!(
            site = ask.site.as_str(), page = ask.page, status, bytes = body.wire_bytes(), url = %ask.url, "page"
        );
        let headers = response
            .headers()
            .iter()
            .filter_map(|(name, value)| {
                Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
            })
            .collect();
        Ok(Page {
            status,
            final_url: ask.url.signed().to_owned(),
            headers,
            body: body.finish()?,
        })
    }

    async fn answer(&self, request: PageRequest) -> Result<Page, OriginError> {
        let recipes = self.recipes();
        let hosts = site_hosts(&recipes, request.site).map_err(OriginError::NotAllowed)?;
        let not_allowed = |error: super::url::UrlError| OriginError::NotAllowed(error.to_string());
        let mut hop = Hop {
            site: request.site,
            page: request.page,
            method: request.method,
            url: MediaUrl::parse(&request.url, hosts, Purpose::Page).map_err(not_allowed)?,
            headers: header_map(&request.headers, "gzip")?,
            body: request.body.as_deref(),
            max_bytes: request.max_bytes,
            insist: request.insist,
            next: request.next_host.and_then(|host| host_url(&host, hosts)),
        };
        let follow = match request.redirects {
            Redirects::Show => 0,
            Redirects::Follow(most) => most,
        };
        let mut followed = 0;
        loop {
            let page = self.insist(&hop, hosts, &recipes.time).await?;
            let Some(location) = page
                .header(LOCATION.as_str())
                .filter(|_| leads_on(page.status))
            else {
                return Ok(page);
            };
            if request.redirects == Redirects::Show {
                return Ok(page);
            }
            if followed == follow {
                return Err(OriginError::Failed(format!(
                    "it redirects more than {follow} times"
                )));
            }
            followed += 1;
            hop.url = hop
                .url
                .join(location, hosts, Purpose::Page)
                .map_err(not_allowed)?;
            if !matches!(page.status, 307 | 308) {
                (hop.method, hop.body) = (Method::Get, None);
            }
        }
    }
}

/// One request of a chain of redirects.
struct Hop<'a> {
    site: Site,
    page: &'static str,
    method: Method,
    url: MediaUrl,
    headers: HeaderMap,
    body: Option<&'a [u8]>,
    max_bytes: usize,
    insist: bool,
    /// Where the flow goes next.
    next: Option<MediaUrl>,
}

/// Why one try brought no page.
#[derive(Debug)]
enum Trouble {
    Timeout,
    /// Worth another try.
    Broken(String),
    TooLarge,
    Final(OriginError),
}

impl Trouble {
    fn into_origin(self, limit: usize) -> OriginError {
        match self {
            Self::Timeout => OriginError::Timeout,
            Self::Broken(reason) => OriginError::Failed(reason),
            Self::TooLarge => OriginError::TooLarge(limit),
            Self::Final(error) => error,
        }
    }
}

impl From<BodyError> for Trouble {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Broken(reason) => Self::Broken(reason),
            BodyError::TooLarge => Self::TooLarge,
        }
    }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        match read_error(&error) {
            Failure::Timeout => Self::Timeout,
            Failure::Refused(reason) => Self::Final(OriginError::NotAllowed(reason)),
            Failure::Broken(reason) => Self::Broken(reason),
        }
    }
}

/// What an error of the HTTP library means to us.
pub(super) enum Failure {
    Timeout,
    /// The address guard said no.
    Refused(String),
    Broken(String),
}

/// The innermost cause, which does not repeat the URL.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    match read_error(error) {
        Failure::Timeout => "no answer in time".to_owned(),
        Failure::Refused(reason) | Failure::Broken(reason) => reason,
    }
}

/// Reads the innermost causes only: the outer ones repeat the URL.
pub(super) fn read_error(error: &reqwest::Error) -> Failure {
    let mut innermost = None;
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<AddressRefused>() {
            return Failure::Refused(refused.to_string());
        }
        innermost = Some(inner);
        cause = inner.source();
    }
    if error.is_timeout() {
        return Failure::Timeout;
    }
    let why = innermost.map_or_else(
        || "no reason given".to_owned(),
        |why| for_people(&why.to_string()).to_owned(),
    );
    Failure::Broken(if error.is_connect() {
        format!("no connection: {why}")
    } else {
        format!("the connection broke: {why}")
    })
}

/// A library's reason without the address of its manual.
fn for_people(why: &str) -> &str {
    why.split(": https://").next().unwrap_or(why)
}

/// The hosts of a site, or why there are none.
pub(super) fn site_hosts(recipes: &Recipes, site: Site) -> Result<&Hosts, String> {
    recipes
        .hosts(site)
        .ok_or_else(|| "the hosts of this site are not known".to_owned())
}

/// A host of the site, of pages or of audio, as the URL that is connected to.
fn host_url(host: &str, hosts: &Hosts) -> Option<MediaUrl> {
    let url = format!("https://{host}/");
    [Purpose::Page, Purpose::Media]
        .into_iter()
        .find_map(|purpose| MediaUrl::parse(&url, hosts, purpose).ok())
}

pub(super) const fn leads_on(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// The pause before try number `tries + 1`; the last one stands for all that follow.
pub(crate) fn pause_before(pauses: &[f64], tries: u32) -> Duration {
    let place = usize::try_from(tries)
        .unwrap_or(usize::MAX)
        .saturating_sub(1);
    Times::seconds(
        pauses
            .get(place)
            .or(pauses.last())
            .copied()
            .unwrap_or_default(),
    )
}

pub(super) fn header_map(
    headers: &[(&'static str, String)],
    accept_encoding: &'static str,
) -> Result<HeaderMap, OriginError> {
    let mut map = HeaderMap::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        let bad = || OriginError::Failed(format!("the header {name} cannot be sent"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        map.append(name, HeaderValue::from_str(value).map_err(|_| bad())?);
    }
    map.insert(ACCEPT_ENCODING, HeaderValue::from_static(accept_encoding));
    Ok(map)
}

impl Origin for Client {
    async fn send(&self, request: PageRequest) -> Result<Page, OriginError> {
        match self.until {
            Some(until) => tokio::time::timeout_at(until.into(), self.answer(request))
                .await
                .unwrap_or(Err(OriginError::Timeout)),
            None => self.answer(request).await,
        }
    }

    fn time_left(&self) -> Option<Duration> {
        self.until
            .map(|until| until.saturating_duration_since(Instant::now()))
    }

    fn recall(&self, key: &str) -> Option<Remembered> {
        self.shared.memory.recall(key)
    }

    fn remember(&self, key: &str, value: &str) {
        self.shared.memory.remember(key, value, self.now_unix());
    }

    async fn renewing(&self, key: &str) -> RenewGuard {
        self.shared.memory.renewing(key).await
    }

    fn nonce(&self, length: usize) -> String {
        random::nonce(length)
    }

    fn now_unix(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs()
    }

    async fn script(&self, player: &str) -> Option<u32> {
        self.shared.solver.timestamp(player)
    }

    async fn keep_script(&self, player: &str, text: Vec<u8>) -> Result<u32, ScriptError> {
        self.shared.solver.keep(player, text).await
    }

    async fn solve(&self, player: &str, challenges: Challenges) -> Result<Solved, ScriptError> {
        self.shared.solver.solve(player, challenges).await
    }

    async fn pause(&self, wait: Duration) {
        tokio::time::sleep(wait.min(Times::seconds(self.recipes().time.longest_pause))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client::new(&ClientConfig::default(), SharedRecipes::default()).expect("plain settings")
    }

    #[test]
    fn pauses_grow_as_listed_and_the_last_one_stays() {
        let pauses = [0.5, 1.0, 2.0];
        let got: Vec<_> = (1..=5)
            .map(|tries| pause_before(&pauses, tries).as_millis())
            .collect();
        assert_eq!(got, [500, 1000, 2000, 2000, 2000]);
        assert_eq!(pause_before(&[], 1), Duration::ZERO);
    }

    #[test]
    fn a_reason_ends_before_the_address_of_a_manual() {
        let why = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/#unexpected-eof";
        assert_eq!(
            for_people(why),
            "peer closed connection without sending TLS close_notify"
        );
        assert_eq!(for_people("connection refused"), "connection refused");
    }

    #[tokio::test]
    async fn a_foreign_host_is_refused_before_anything_is_sent() {
        let client = client();
        for url in [
            "https://evil.example/x?token=s3cret",
            "http://www.youtube.com/",
            "https://169.254.169.254/",
        ] {
            let refused = client
                .send(PageRequest::get(Site::YouTube, "page", url.to_owned()))
                .await
                .expect_err("refused");
            assert!(
                matches!(&refused, OriginError::NotAllowed(why) if !why.contains("s3cret")),
                "{refused:?}"
            );
        }
        assert_eq!(
            client
                .counters()
                .site(Site::YouTube)
                .page_requests
                .load(std::sync::atomic::Ordering::Relaxed),
            0
        );
    }

    #[tokio::test]
    async fn a_closed_site_is_not_asked_until_it_is_reopened() {
        let client = client();
        client.close(Site::YouTube, "the outside address is forbidden");
        let request =
            PageRequest::get(Site::YouTube, "page", "https://www.youtube.com/".to_owned());
        assert_eq!(
            client.send(request).await,
            Err(OriginError::Closed(
                "the outside address is forbidden".to_owned()
            ))
        );
        client.reopen(Site::YouTube);
        assert!(client.way_out(Site::YouTube).await.is_ok());
    }

    #[test]
    fn our_own_encoding_stands_whatever_a_flow_asks_for() {
        let map = header_map(
            &[
                ("Accept-Encoding", "br".to_owned()),
                ("X-A", "1".to_owned()),
            ],
            "gzip",
        )
        .expect("valid");
        assert_eq!(
            map.get_all(ACCEPT_ENCODING).iter().collect::<Vec<_>>(),
            ["gzip"]
        );
        assert!(
            header_map(&[("X-A", "a\nb".to_owned())], "gzip").is_err(),
            "a header cannot be smuggled in"
        );
    }
}
