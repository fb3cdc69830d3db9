//! What both faces ask the application for, and what of its answer counts as success.
//!
//! Owns the length a link may have, reading a request body, the rule for lists without a playable song, and the
//! addresses replies carry. Hides how far an oversized body is read. Never spells a reply.

use std::time::Duration;

use axum::body::Body;
use http::Uri;
use http::header::{CONTENT_LENGTH, EXPECT, HeaderMap};
use http_body_util::BodyExt;
use kmds_extract::Kind;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Http;
use super::error::Refusal;
use super::guard::Caller;
use crate::app::{App, Failure, FetchAsk, Fetched};

/// Longest request body in bytes (docs/api.md, "The door").
const MAX_BODY_BYTES: usize = 16 << 10;
/// How much of a body that is too large is read and dropped, so that a client which sends all before it reads still
/// gets our answer instead of a reset connection.
const DRAINED_BYTES: usize = 16 << 20;
/// Time for a whole body to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// Longest link in bytes (docs/api.md, "The door").
const MAX_LINK_BYTES: usize = 2048;

/// What stays readable in a query value: the unreserved characters of RFC 3986.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A link as a client sent it, not too long.
/// # Errors
/// One that is missing or longer than allowed.
pub(super) fn link(text: Option<String>, missing: &str) -> Result<String, Refusal> {
    let text = text.ok_or_else(|| Refusal::bad_request(missing))?;
    if text.len() > MAX_LINK_BYTES {
        let sentence = format!(
            "the link is longer than {MAX_LINK_BYTES} bytes; send it without its tracking parameters"
        );
        return Err(Refusal::bad_request(sentence));
    }
    Ok(text)
}

/// The body of a request, whole.
/// # Errors
/// `too_large`, or `bad_request` when it breaks off or does not arrive in time.
pub(super) async fn body(headers: &HeaderMap, mut body: Body) -> Result<Vec<u8>, Refusal> {
    let stated = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if headers.contains_key(EXPECT) && stated.is_some_and(|stated| stated > MAX_BODY_BYTES as u64) {
        // The client waits for our word before it sends: this is it.
        return Err(too_large());
    }
    let mut kept = Vec::new();
    let mut arrived = 0;
    let reading = async {
        while arrived <= DRAINED_BYTES
            && let Some(frame) = body.frame().await
        {
            let frame = frame
                .map_err(|_| Refusal::bad_request("the request body broke off; send it whole"))?;
            let Some(piece) = frame.data_ref() else {
                continue;
            };
            arrived += piece.len();
            if arrived <= MAX_BODY_BYTES {
                kept.extend_from_slice(piece);
            }
        }
        Ok::<_, Refusal>(())
    };
    let in_time = tokio::time::timeout(BODY_WITHIN, reading).await;
    if arrived > MAX_BODY_BYTES {
        return Err(too_large());
    }
    in_time.map_err(|_| {
        Refusal::bad_request("the request body did not arrive within 10 s; send it at once")
    })??;
    Ok(kept)
}

/// A body, or text inside one, as JSON; a byte order mark in front is passed over.
/// # Errors
/// What is wrong with it.
pub(super) fn json(text: &[u8]) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::from_slice(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text))
}

fn too_large() -> Refusal {
    Refusal::new(
        Kind::TooLarge,
        format!("the request body is larger than {MAX_BODY_BYTES} bytes; send only the link"),
    )
}

/// Resolves a link and queues its songs. A list none of whose songs can be had is the failure of its first song
/// that is more than missing, else `not_found`; so is an empty list.
pub(super) async fn fetch(app: &App, ask: FetchAsk) -> Result<Fetched, Refusal> {
    let fetched = app.fetch(ask).await?;
    if fetched.songs.is_empty() {
        Err(nothing_playable(fetched).into())
    } else {
        Ok(fetched)
    }
}

fn nothing_playable(fetched: Fetched) -> Failure {
    let failures = fetched
        .unavailable
        .into_iter()
        .map(|missing| missing.failure);
    failures
        .into_iter()
        .find(|failure| failure.kind != Kind::NotFound)
        .unwrap_or_else(|| {
            Failure::new(
                Kind::NotFound,
                format!(
                    "{}: this list has no song that can be had; check the link",
                    fetched.site
                ),
            )
        })
}

/// The addresses a reply carries, as the one who asked can use them.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    /// Scheme, host and base path, without a slash at the end.
    origin: String,
    base_path: String,
}

impl Addresses {
    /// The configured public address, else the one the request was sent to.
    pub(super) fn of(http: &Http, caller: &Caller) -> Self {
        let base_path = http.base_path().to_owned();
        let origin = match http.public_url() {
            Some(public) if public.ends_with(&base_path) => public.to_owned(),
            Some(public) => format!("{public}{base_path}"),
            None => {
                let scheme = if caller.https { "https" } else { "http" };
                format!("{scheme}://{}{base_path}", caller.authority)
            }
        };
        Self { origin, base_path }
    }

    /// `/tunnel?file=…`, below the base path.
    pub(super) fn tunnel_path(&self, name: &str) -> String {
        format!(
            "{}/tunnel?file={}",
            self.base_path,
            utf8_percent_encode(name, VALUE)
        )
    }

    pub(super) fn tunnel_url(&self, name: &str) -> String {
        format!(
            "{}/tunnel?file={}",
            self.origin,
            utf8_percent_encode(name, VALUE)
        )
    }

    /// A path of ours below the base path.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base_path)
    }
}

/// A new request id: 16 hexadecimal digits nobody used before.
pub(super) fn fresh_id() -> String {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut bytes = [0; 8];
    // Without randomness the id is all zeros: it only names lines in a log.
    let _ = SystemRandom::new().fill(&mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}

/// Whether a client that sent these `Accept` headers would rather have a page than JSON.
pub(super) fn prefers_html(headers: &HeaderMap) -> bool {
    let all: Vec<&str> = headers
        .get_all(http::header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let all = all.join(",");
    quality(&all, "text", "html") > quality(&all, "application", "json")
}

/// The quality, in thousandths, of a media type: its most specific entry's (RFC 9110, 12.5.1). Absent headers take all.
fn quality(accept: &str, kind: &str, subtype: &str) -> u16 {
    if accept.trim().is_empty() {
        return 1000;
    }
    let entries = accept.split(',').filter_map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let (entry_kind, entry_subtype) = parts.next()?.split_once('/')?;
        let specific = match (
            entry_kind.eq_ignore_ascii_case(kind),
            entry_subtype.eq_ignore_ascii_case(subtype),
        ) {
            (true, true) => 2,
            (true, false) if entry_subtype == "*" => 1,
            (false, false) if entry_kind == "*" && entry_subtype == "*" => 0,
            _ => return None,
        };
        let weight =
            parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let weight = weight
            .map_or(1.0, |text| text.parse::<f32>().unwrap_or(0.0))
            .clamp(0.0, 1.0);
        Some((specific, (weight * 1000.0) as u16))
    });
    entries.max().map_or(0, |(_, quality)| quality)
}

/// The path of a request without its base path; `None` when it lies elsewhere. A proxy may strip it or not.
pub(super) fn below_base(uri: &Uri, base_path: &str) -> Option<Uri> {
    if base_path.is_empty() {
        return None;
    }
    let rest = uri.path().strip_prefix(base_path)?;
    if !(rest.is_empty() || rest.starts_with('/')) {
        return None;
    }
    let path = if rest.is_empty() { "/" } else { rest };
    let text = uri
        .query()
        .map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use http::HeaderValue;
    use http::header::ACCEPT;

    #[test]
    fn only_clients_that_prefer_a_page_get_one() {
        let firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, page) in [
            (firefox, true),
            ("text/html", true),
            ("*/*", false),
            ("application/json, text/html", false),
            ("application/json, text/html;q=0.5", false),
            ("text/*, application/json;q=0.2", true),
            ("text/html;q=0, */*", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(prefers_html(&headers), page, "{accept}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }

    #[test]
    fn a_base_path_is_taken_off_whole() {
        for (path, inner) in [
            ("/kmds", Some("/")),
            ("/kmds/fetch?url=a", Some("/fetch?url=a")),
            ("/kmdsx/fetch", None),
            ("/fetch", None),
        ] {
            let uri = path.parse().expect("path");
            assert_eq!(
                below_base(&uri, "/kmds")
                    .map(|uri| uri.to_string())
                    .as_deref(),
                inner,
                "{path}"
            );
        }
        assert_eq!(below_base(&"/fetch".parse().expect("path"), ""), None);
    }

    #[tokio::test]
    async fn a_body_one_byte_too_long_is_refused_and_a_full_one_is_read() {
        let full = body(&HeaderMap::new(), Body::from(vec![b'x'; MAX_BODY_BYTES])).await;
        assert_eq!(full.map(|body| body.len()), Ok(MAX_BODY_BYTES));
        let over = body(
            &HeaderMap::new(),
            Body::from(vec![b'x'; MAX_BODY_BYTES + 1]),
        )
        .await;
        assert_eq!(over.expect_err("too large").status.as_u16(), 413);
    }

    fn missing(kind: Kind) -> crate::app::Missing {
        crate::app::Missing {
            title: None,
            number: 1,
            failure: Failure::new(kind, kind.as_str()),
        }
    }

    #[test]
    fn a_list_without_a_playable_song_fails_as_its_first_song_that_is_there() {
        let list = |kinds: &[Kind]| Fetched {
            id: "1".to_owned(),
            site: kmds_extract::Site::Bandcamp,
            link: String::new(),
            list: None,
            songs: Arc::default(),
            unavailable: kinds.iter().copied().map(missing).collect(),
            truncated: false,
            room: None,
        };
        assert_eq!(
            nothing_playable(list(&[Kind::NotFound, Kind::DrmOnly, Kind::Private])).kind,
            Kind::DrmOnly
        );
        assert_eq!(
            nothing_playable(list(&[Kind::NotFound])).kind,
            Kind::NotFound
        );
        assert_eq!(nothing_playable(list(&[])).kind, Kind::NotFound);
    }
}
