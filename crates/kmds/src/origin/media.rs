//! Audio and covers from the sites: one request, the head of its answer, then bytes as they are pulled.
//!
//! Owns what a media request may look like, where its redirects may lead, and when it counts as stalled. It does not
//! retry by itself, decodes nothing, and prints no signature.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{self, HeaderValue};
use kmds_extract::{Origin, Site};

use super::client::Client;
use super::counters::{SiteCounters, count};
use super::error::{self, RequestError};
use super::page::{BodyError, Collector};
use super::request::{MEDIA_REDIRECTS, header_map, is_redirect};
use super::url::{MediaUrl, Purpose, UrlError, site_hosts};

/// The speed of an answer is checked each time after this many stall times of waiting.
const SLOW_STALLS: u32 = 4;
/// A slower answer counts as stalled: this is a twentieth of the slowest audio that KMDS fetches (48 kbit/s).
const LEAST_BYTES_PER_SECOND: f64 = 300.0;

/// Turns of the run queue after which a connection that was read to its end can be used again: its own task, then the
/// one that waits for it to be ready, and one to spare.
const TURNS_TO_GET_FREE: u32 = 3;

/// First byte, and last byte inclusive; `None` asks for all that follows.
pub type ByteRange = (u64, Option<u64>);

#[derive(Debug, Clone, Default)]
pub struct MediaAsk {
    pub range: Option<ByteRange>,
    /// ETag or date of the bytes already there; only with `range`.
    pub if_range: Option<String>,
    pub headers: Vec<(&'static str, String)>,
}

/// `Content-Range: bytes 0-99/200`; the total may be unknown (`*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    pub start: u64,
    /// Last byte, inclusive.
    pub end: u64,
    pub total: Option<u64>,
}

/// An answer to a media request, with any status.
#[derive(Debug)]
pub struct MediaAnswer {
    pub status: u16,
    /// After redirects.
    pub final_url: MediaUrl,
    pub content_length: Option<u64>,
    pub content_range: Option<ContentRange>,
    /// Total of an unsatisfied range (`Content-Range: bytes */200`).
    pub unsatisfied_total: Option<u64>,
    pub content_type: Option<String>,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    pub retry_after: Option<Duration>,
    pub body: MediaBody,
}

/// Why a media request brought nothing, or no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    #[error("no bytes in time")]
    Stalled,
    /// Broken connection, cut body, broken head: worth another try.
    #[error("{0}")]
    Failed(String),
    /// A host or an address that is not the site's, or endless redirects; no retry helps.
    #[error("{0}")]
    NotAllowed(String),
}

impl From<reqwest::Error> for MediaError {
    fn from(error: reqwest::Error) -> Self {
        match error::read(&error) {
            RequestError::Timeout => Self::Stalled,
            RequestError::Refused(reason) => Self::NotAllowed(reason),
            RequestError::Broken(reason) => Self::Failed(reason),
        }
    }
}

/// The body of a media answer. Dropping it closes the connection unless it was read to its end.
pub struct MediaBody {
    response: reqwest::Response,
    stall: Duration,
    client: Client,
    site: Site,
    /// Time spent waiting for the site, and bytes it brought meanwhile, since the last look at its speed.
    waited: Duration,
    brought: u64,
}

impl std::fmt::Debug for MediaBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaBody")
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}

impl MediaBody {
    /// The next bytes as they arrive; `None` at the end.
    /// # Errors
    /// [`MediaError::Stalled`] when nothing comes within `audio_stall`, or next to nothing for four times as long;
    /// [`MediaError::Failed`] when the connection breaks or the body is shorter than announced.
    pub async fn next(&mut self) -> Result<Option<Bytes>, MediaError> {
        if let Some(why) = self.client.closed(self.site) {
            return Err(MediaError::NotAllowed(why));
        }
        let begun = tokio::time::Instant::now();
        let chunk = match tokio::time::timeout(self.stall, self.response.chunk()).await {
            Ok(chunk) => chunk?,
            Err(_) => return Err(MediaError::Stalled),
        };
        let Some(chunk) = chunk else {
            // Its connection is free after tasks of the HTTP library have run. If asked for more before that, the
            // library opens a second connection.
            for _ in 0..TURNS_TO_GET_FREE {
                tokio::task::yield_now().await;
            }
            return Ok(None);
        };
        count(&self.counters().media_bytes, chunk.len() as u64);
        self.waited += begun.elapsed();
        self.brought += chunk.len() as u64;
        if self.waited >= self.stall * SLOW_STALLS {
            if (self.brought as f64) < LEAST_BYTES_PER_SECOND * self.waited.as_secs_f64() {
                return Err(MediaError::Stalled);
            }
            (self.waited, self.brought) = (Duration::ZERO, 0);
        }
        Ok(Some(chunk))
    }

    fn counters(&self) -> &SiteCounters {
        self.client.counters().site(self.site)
    }
}

/// A cover picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    pub content_type: Option<String>,
    pub bytes: Vec<u8>,
}

impl Client {
    /// Asks for audio. Waits for the head of the answer, redirects included, at most `audio_stall`.
    /// # Errors
    /// See [`MediaError`]; any HTTP status is an answer.
    pub async fn media(
        &self,
        site: Site,
        url: &str,
        ask: &MediaAsk,
    ) -> Result<MediaAnswer, MediaError> {
        let stall = self.recipes().time.audio_stall;
        let mut headers = header_map(&ask.headers, "identity")
            .map_err(|error| MediaError::Failed(error.to_string()))?;
        add_range(&mut headers, ask)?;
        let (response, final_url) = self
            .head_of(site, url, Purpose::Media, headers, stall)
            .await?;
        let status = response.status().as_u16();
        if let Some(coding) = text(response.headers(), header::CONTENT_ENCODING)
            && !coding.eq_ignore_ascii_case("identity")
        {
            return Err(MediaError::Failed(
                "the audio came compressed, which KMDS did not ask for".to_owned(),
            ));
        }
        let head = response.headers();
        let range = text(head, header::CONTENT_RANGE);
        Ok(MediaAnswer {
            status,
            final_url,
            content_length: text(head, header::CONTENT_LENGTH)
                .and_then(|value| value.trim().parse().ok()),
            content_range: range.as_deref().and_then(ContentRange::parse),
            unsatisfied_total: range.as_deref().and_then(unsatisfied_total),
            content_type: text(head, header::CONTENT_TYPE),
            etag: text(head, header::ETAG),
            last_modified: text(head, header::LAST_MODIFIED),
            retry_after: text(head, header::RETRY_AFTER)
                .and_then(|value| kmds_extract::origin::retry_after(&value, self.now_unix())),
            body: MediaBody {
                response,
                stall,
                client: self.clone(),
                site,
                waited: Duration::ZERO,
                brought: 0,
            },
        })
    }

    /// A cover picture of at most `max_bytes`, asked for once, within the time of a page.
    /// # Errors
    /// See [`MediaError`]; a status other than 200 is [`MediaError::Failed`].
    pub async fn cover(
        &self,
        site: Site,
        url: &str,
        max_bytes: usize,
    ) -> Result<Cover, MediaError> {
        let limit = self.recipes().time.metadata_request;
        let fetched = async {
            // Some picture hosts refuse a client without a User-Agent; any browser's works.
            let browser = [("User-Agent", self.recipes().soundcloud.user_agent.clone())];
            let headers = header_map(&browser, "identity")
                .map_err(|error| MediaError::Failed(error.to_string()))?;
            let (mut response, _) = self
                .head_of(site, url, Purpose::Cover, headers, limit)
                .await?;
            if response.status() != http::StatusCode::OK {
                return Err(MediaError::Failed(format!(
                    "the cover answered HTTP {}",
                    response.status().as_u16()
                )));
            }
            let failed =
                |error: BodyError| MediaError::Failed(error.into_origin(max_bytes).to_string());
            let mut body = Collector::new(response.headers(), max_bytes).map_err(failed)?;
            while let Some(chunk) = response.chunk().await? {
                body.add(&chunk).map_err(failed)?;
            }
            let content_type = text(response.headers(), header::CONTENT_TYPE);
            Ok(Cover {
                content_type,
                bytes: body.finish().map_err(failed)?,
            })
        };
        tokio::time::timeout(limit, fetched)
            .await
            .map_err(|_| MediaError::Stalled)?
    }

    /// Follows redirects, keeping the headers, to the first answer that is none.
    async fn head_of(
        &self,
        site: Site,
        url: &str,
        purpose: Purpose,
        headers: HeaderMap,
        within: Duration,
    ) -> Result<(reqwest::Response, MediaUrl), MediaError> {
        let recipes = self.recipes();
        let hosts = site_hosts(&recipes, site).map_err(MediaError::NotAllowed)?;
        let not_allowed = |error: UrlError| MediaError::NotAllowed(error.to_string());
        let mut at = MediaUrl::parse(url, hosts, purpose).map_err(not_allowed)?;
        let way = self.way_out(site).await.map_err(MediaError::NotAllowed)?;
        let counters = self.counters().site(site);
        let deadline = tokio::time::Instant::now() + within;
        for _ in 0..=MEDIA_REDIRECTS {
            count(
                if purpose == Purpose::Cover {
                    &counters.cover_requests
                } else {
                    &counters.media_requests
                },
                1,
            );
            let request = way
                .asking
                .get(at.clone().into_url())
                .headers(headers.clone());
            let response = tokio::time::timeout_at(deadline, way.send(request, &at, None))
                .await
                .map_err(|_| MediaError::Stalled)??;
            tracing::debug!(site = site.as_str(), status = response.status().as_u16(), url = %at, "media");
            match text(response.headers(), header::LOCATION)
                .filter(|_| is_redirect(response.status().as_u16()))
            {
                Some(location) => at = at.join(&location, hosts, purpose).map_err(not_allowed)?,
                None => return Ok((response, at)),
            }
        }
        Err(MediaError::NotAllowed(format!(
            "it redirects more than {MEDIA_REDIRECTS} times"
        )))
    }
}

fn add_range(headers: &mut HeaderMap, ask: &MediaAsk) -> Result<(), MediaError> {
    let Some((first, last)) = ask.range else {
        return Ok(());
    };
    let bad = |_| MediaError::Failed("the range cannot be sent".to_owned());
    let range = format!(
        "bytes={first}-{}",
        last.map_or_else(String::new, |last| last.to_string())
    );
    headers.insert(header::RANGE, HeaderValue::from_str(&range).map_err(bad)?);
    if let Some(validator) = &ask.if_range {
        headers.insert(
            header::IF_RANGE,
            HeaderValue::from_str(validator).map_err(bad)?,
        );
    }
    Ok(())
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

impl ContentRange {
    /// Reads `bytes FIRST-LAST/TOTAL` (RFC 9110 §14.4); nonsense such as a last byte beyond the total is `None`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (range, total) = bytes_unit(text)?.split_once('/')?;
        let (start, end) = range.split_once('-')?;
        let (start, end) = (number(start)?, number(end)?);
        let total = match total.trim() {
            "*" => None,
            total => Some(number(total)?),
        };
        (start <= end && total.is_none_or(|total| end < total)).then_some(Self {
            start,
            end,
            total,
        })
    }
}

fn unsatisfied_total(text: &str) -> Option<u64> {
    bytes_unit(text)?.strip_prefix("*/").and_then(number)
}

fn bytes_unit(text: &str) -> Option<&str> {
    let (unit, rest) = text.trim().split_once(' ')?;
    unit.eq_ignore_ascii_case("bytes").then(|| rest.trim())
}

/// Digits only: `+5` is a number to the standard library, not to HTTP.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_to_the_letter() {
        let range = |start, end, total| Some(ContentRange { start, end, total });
        for (text, wanted) in [
            ("bytes 0-99/200", range(0, 99, Some(200))),
            ("Bytes 100-199/200", range(100, 199, Some(200))),
            ("bytes 0-0/*", range(0, 0, None)),
            ("bytes 0-200/200", None),
            ("bytes 99-0/200", None),
            ("bytes */200", None),
            ("items 0-99/200", None),
            ("bytes=0-99/200", None),
            ("bytes 0-99", None),
            ("bytes +0-99/200", None),
            ("bytes 0-99/99999999999999999999", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), wanted, "{text}");
        }
        assert_eq!(unsatisfied_total("bytes */200"), Some(200));
        assert_eq!(unsatisfied_total("bytes 0-99/200"), None);
    }

    #[test]
    fn a_range_is_asked_for_as_wanted_and_if_range_never_stands_alone() {
        let sent = |ask: &MediaAsk| {
            let mut headers = HeaderMap::new();
            add_range(&mut headers, ask).expect("valid");
            (
                text(&headers, header::RANGE),
                text(&headers, header::IF_RANGE),
            )
        };
        let ask = MediaAsk {
            range: Some((5, Some(9))),
            if_range: Some("\"a\"".to_owned()),
            headers: Vec::new(),
        };
        assert_eq!(
            sent(&ask),
            (Some("bytes=5-9".to_owned()), Some("\"a\"".to_owned()))
        );
        assert_eq!(
            sent(&MediaAsk {
                range: Some((7, None)),
                ..MediaAsk::default()
            })
            .0,
            Some("bytes=7-".to_owned())
        );
        assert_eq!(sent(&MediaAsk { range: None, ..ask }), (None, None));
    }
}
