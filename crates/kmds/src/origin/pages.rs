//! Pages from the sites: pacing, time-outs, retries, redirects; implements [`Origin`] for [`Client`].
//!
//! Owns what happens between one request of a site's flow and its answer. Every status is a page; only a missing answer
//! is an error.

use std::time::{Duration, Instant};

use http::HeaderMap;
use http::header::LOCATION;
use kmds_extract::origin::{
    Challenges, Method, Redirects, Remembered, RenewGuard, ScriptError, Solved,
};
use kmds_extract::recipes::{Hosts, Times};
use kmds_extract::{Origin, OriginError, Page, PageRequest, Site};

use super::client::Client;
use super::counters::count;
use super::error::{self, RequestError};
use super::page::{BodyError, Collector};
use super::request::{header_map, is_redirect};
use super::retry::pause_before;
use super::url::{MediaUrl, Purpose, UrlError, host_url, site_hosts};
use crate::{clock, random};

impl Client {
    async fn pace(&self, site: Site, hosts: &Hosts, times: &Times) -> Result<(), OriginError> {
        let Some(pace) = self.shared.paces.get(&site) else {
            return Ok(());
        };
        let apart = hosts.pace;
        if self.background {
            pace.wait_behind(apart).await;
            return Ok(());
        }
        // The pace belongs to this service, not to the site: wait as long as the time limit leaves room for a request.
        let longest = times
            .fetch_song
            .saturating_sub(times.metadata_request)
            .max(times.longest_pause);
        pace.book(apart, longest).await.map_err(OriginError::Wait)
    }

    /// Asks for one page of a chain of redirects, again while the site fails.
    async fn ask(&self, ask: &Hop<'_>, hosts: &Hosts, times: &Times) -> Result<Page, OriginError> {
        let (mut tries, mut timeouts) = (0, 0);
        loop {
            self.pace(ask.site, hosts, times).await?;
            let limit = times.metadata_request;
            let outcome = match tokio::time::timeout(limit, self.ask_once(ask, hosts)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(PageError::Timeout),
            };
            tries += 1;
            let advised = match &outcome {
                Ok(page) if ask.insist && page.status >= 500 && tries < times.metadata_tries => {
                    page.retry_after(self.now_unix())
                }
                Err(PageError::Broken(_)) if ask.insist && tries < times.metadata_tries => None,
                Err(PageError::Timeout)
                    if ask.insist
                        && tries < times.metadata_tries
                        && timeouts + 1 < times.timeout_tries =>
                {
                    timeouts += 1;
                    None
                }
                _ => return outcome.map_err(|error| error.into_origin(ask.max_bytes)),
            };
            count(&self.counters().site(ask.site).retries, 1);
            let longest = times.longest_pause;
            let pause = random::varied(pause_before(&times.retry_pauses, tries));
            tokio::time::sleep(pause.max(advised.unwrap_or_default().min(longest))).await;
        }
    }

    async fn ask_once(&self, ask: &Hop<'_>, hosts: &Hosts) -> Result<Page, PageError> {
        let way = self
            .way_out(ask.site)
            .await
            .map_err(|why| PageError::Final(OriginError::Closed(why)))?;
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
            pace.answered(hosts.pace);
        }
        let mut response = answer.map_err(PageError::from)?;
        let status = response.status().as_u16();
        let mut body = Collector::new(response.headers(), ask.max_bytes)?;
        while let Some(chunk) = response.chunk().await.map_err(PageError::from)? {
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
        let not_allowed = |error: UrlError| OriginError::NotAllowed(error.to_string());
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
            let page = self.ask(&hop, hosts, &recipes.time).await?;
            let Some(location) = page
                .header(LOCATION.as_str())
                .filter(|_| is_redirect(page.status))
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
    /// The host that the flow asks next.
    next: Option<MediaUrl>,
}

/// Why one try brought no page.
#[derive(Debug)]
enum PageError {
    Timeout,
    /// Worth another try.
    Broken(String),
    TooLarge,
    Final(OriginError),
}

impl PageError {
    fn into_origin(self, limit: usize) -> OriginError {
        match self {
            Self::Timeout => OriginError::Timeout,
            Self::Broken(reason) => OriginError::Failed(reason),
            Self::TooLarge => OriginError::TooLarge(limit),
            Self::Final(error) => error,
        }
    }
}

impl From<BodyError> for PageError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Broken(reason) => Self::Broken(reason),
            BodyError::TooLarge => Self::TooLarge,
        }
    }
}

impl From<reqwest::Error> for PageError {
    fn from(error: reqwest::Error) -> Self {
        match error::read(&error) {
            RequestError::Timeout => Self::Timeout,
            RequestError::Refused(reason) => Self::Final(OriginError::NotAllowed(reason)),
            RequestError::Broken(reason) => Self::Broken(reason),
        }
    }
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
        self.facts.memory.recall(key)
    }

    fn remember(&self, key: &str, value: &str) {
        self.facts.memory.remember(key, value, self.now_unix());
    }

    async fn renewing(&self, key: &str) -> RenewGuard {
        self.facts.memory.renewing(key).await
    }

    fn nonce(&self, length: usize) -> String {
        random::nonce(length)
    }

    fn now_unix(&self) -> u64 {
        clock::unix_now()
    }

    async fn script(&self, player: &str) -> Option<u32> {
        self.facts.solver.timestamp(player)
    }

    async fn keep_script(&self, player: &str, text: Vec<u8>) -> Result<u32, ScriptError> {
        self.facts.solver.keep(player, text).await
    }

    async fn solve(&self, player: &str, challenges: Challenges) -> Result<Solved, ScriptError> {
        self.facts.solver.solve(player, challenges).await
    }

    async fn pause(&self, wait: Duration) {
        tokio::time::sleep(wait.min(self.recipes().time.longest_pause)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::ClientConfig;
    use super::super::recipes::SharedRecipes;
    use super::*;

    fn client() -> Client {
        Client::new(&ClientConfig::default(), SharedRecipes::default()).expect("plain settings")
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
}
