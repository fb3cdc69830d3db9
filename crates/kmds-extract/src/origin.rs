//! The only way by which requests leave this crate.
//!
//! Owns the types with which a site's flow requests a page ([`PageRequest`]) and gets it ([`Page`]), and the small
//! memory that outlives one resolve. The service implements sockets, TLS, retries, pacing, redirects and clocks. This
//! module interprets no page.

use std::future::Future;
use std::time::{Duration, SystemTime};

use crate::error::ExtractError;
use crate::site::Site;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

/// One request to a site, as a value. The implementation adds timeouts, retries of 5xx and broken connections
/// (three tries), pacing, `Accept-Encoding`, and enforces the site's allow-list of hosts, on redirects too.
#[derive(Debug, Clone, PartialEq)]
pub struct PageRequest {
    pub site: Site,
    /// The name of the page, for logs and errors: `player answer`, `album page`. Never a URL.
    pub page: &'static str,
    pub method: Method,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<Vec<u8>>,
    pub redirects: Redirects,
    /// Upper bound of the decompressed body in bytes; a longer one is [`OriginError::TooLarge`].
    pub max_bytes: usize,
    /// Whether to retry when the site fails or does not answer in time. Not if the flow can do without the page.
    pub insist: bool,
    /// Host that the flow asks next, if all goes well: its connection may be opened meanwhile.
    pub next_host: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// Hand the 3xx answer to the flow.
    Show,
    /// Follow up to this many, https only, to allowed hosts of the same site only.
    Follow(u8),
}

impl PageRequest {
    #[must_use]
    pub fn get(site: Site, page: &'static str, url: String) -> Self {
        Self {
            site,
            page,
            method: Method::Get,
            url,
            headers: Vec::new(),
            body: None,
            redirects: Redirects::Follow(5),
            max_bytes: 8 << 20,
            insist: true,
            next_host: None,
        }
    }

    #[must_use]
    pub fn post(site: Site, page: &'static str, url: String, body: Vec<u8>) -> Self {
        Self {
            method: Method::Post,
            body: Some(body),
            ..Self::get(site, page, url)
        }
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn before(mut self, next_host: impl Into<String>) -> Self {
        self.next_host = Some(next_host.into());
        self
    }
}

/// An answer with any status, whole and decompressed.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub status: u16,
    /// The URL that answered, after redirects.
    pub final_url: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Page {
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text; invalid UTF-8 is replaced, since pages are read leniently.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The site's `Retry-After`, counted from `now_unix`.
    #[must_use]
    pub fn retry_after(&self, now_unix: u64) -> Option<Duration> {
        retry_after(self.header("retry-after")?, now_unix)
    }
}

/// Reads a `Retry-After`: seconds, or a date (RFC 9110, 10.2.3) as the wait from `now_unix` on. `None` for a date that
/// has passed, since the site still limits requests. Clients get it too, so a senseless wait is a day.
#[must_use]
pub fn retry_after(value: &str, now_unix: u64) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(86_400);
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let until = httpdate::parse_http_date(value)
        .ok()?
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?;
    until
        .as_secs()
        .checked_sub(now_unix)
        .filter(|wait| *wait > 0)
        .map(|wait| Duration::from_secs(wait).min(LONGEST))
}

/// No answer at all, after the implementation's own retries.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum OriginError {
    #[error("no answer in time")]
    Timeout,
    #[error("{0}")]
    Failed(String),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The request, or a redirect, points at a host that is not the site's, or at an address that is not public.
    #[error("{0}")]
    NotAllowed(String),
    /// The operator's rules forbid asking the site now; `0` says why.
    #[error("{0}")]
    Closed(String),
    /// The pacing of KMDS or a site's `Retry-After` would delay the request for too long.
    #[error("the site asked to wait {0:?}")]
    Wait(Duration),
}

impl OriginError {
    /// The same error as an error of a site's flow.
    #[must_use]
    pub fn at(self, site: Site, page: &'static str) -> ExtractError {
        match self {
            Self::Timeout => ExtractError::Timeout { site, page },
            Self::Failed(reason) => ExtractError::OriginFailed { site, page, reason },
            Self::TooLarge(_) => ExtractError::PageChanged {
                site,
                page,
                field: "body of sensible size",
            },
            Self::NotAllowed(reason) => ExtractError::OriginFailed { site, page, reason },
            Self::Closed(reason) => ExtractError::Closed { site, reason },
            Self::Wait(wait) => ExtractError::RateLimited {
                site,
                retry_after: Some(wait),
            },
        }
    }
}

/// The questions to YouTube's player script: each `n` and each enciphered signature as the site gave it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenges {
    pub n: Vec<String>,
    pub sig: Vec<String>,
}

/// The solutions, in the same order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Solved {
    pub n: Vec<String>,
    pub sig: Vec<String>,
}

/// Why the player script cannot be used: a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScriptError(pub String);

/// The services that a site's flow needs.
pub trait Origin: Sync {
    /// Sends one request. Any HTTP status is a [`Page`]; only a missing answer is an error.
    fn send(&self, request: PageRequest) -> impl Future<Output = Result<Page, OriginError>> + Send;

    /// A value kept from earlier resolves: a client id, a visitor id. `None` if unknown or forgotten.
    /// Keys start with the site: `youtube.visitor.visionos-a`.
    fn recall(&self, key: &str) -> Option<Remembered>;

    /// Keeps a value for later resolves and restarts; an empty value forgets it.
    fn remember(&self, key: &str, value: &str);

    /// Waits for the right to renew `key`, so that many resolves renew it once. Recall again after it is granted.
    fn renewing(&self, key: &str) -> impl Future<Output = RenewGuard> + Send;

    /// `length` random characters of `A-Z a-z 0-9 - _`, for request ids.
    fn nonce(&self, length: usize) -> String;

    /// Seconds since 1970.
    fn now_unix(&self) -> u64;

    /// The time that is left for more pages of a list, if the client's time is limited. When none is left, the flow
    /// returns the songs that it has read.
    fn time_left(&self) -> Option<Duration> {
        None
    }

    /// The signature timestamp of the player script `player` (eight hexadecimal digits), if that script is kept.
    fn script(&self, player: &str) -> impl Future<Output = Option<u32>> + Send {
        let _ = player;
        std::future::ready(None)
    }

    /// Keeps the text of the player script `player`, and returns its signature timestamp. The script never runs in this
    /// process.
    fn keep_script(
        &self,
        player: &str,
        text: Vec<u8>,
    ) -> impl Future<Output = Result<u32, ScriptError>> + Send {
        let _ = (player, text);
        std::future::ready(Err(ScriptError(
            "nothing here runs a player script".to_owned(),
        )))
    }

    /// Lets the kept script solve `challenges`. The script never runs in this process.
    fn solve(
        &self,
        player: &str,
        challenges: Challenges,
    ) -> impl Future<Output = Result<Solved, ScriptError>> + Send {
        let _ = (player, challenges);
        std::future::ready(Err(ScriptError(
            "nothing here runs a player script".to_owned(),
        )))
    }

    /// Waits, if the notes ask for a pause inside one resolve. At most 5 s.
    fn pause(&self, wait: Duration) -> impl Future<Output = ()> + Send;
}

/// A remembered value and when it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    pub value: String,
    pub stored_unix: u64,
}

/// Held while one resolve renews a remembered value; the value inside is released on drop.
pub struct RenewGuard(#[allow(dead_code)] Box<dyn Send>);

impl RenewGuard {
    #[must_use]
    pub fn holding(lock: impl Send + 'static) -> Self {
        Self(Box::new(lock))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_seconds_or_as_a_date() {
        // RFC 9110, 5.6.7: the same second in its three forms.
        let now = 784_111_777;
        for (value, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("Sun Nov  6 08:50:37 1994", Some(60)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:40:00 GMT", None),
            ("Sun, 36 Nov 1994 08:50:37 GMT", None),
            ("-5", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
            ("99999999999999999999999", None),
            ("86401", Some(86_400)),
            ("18446744073709551615", Some(86_400)),
            ("Wed, 21 Oct 2037 07:28:00 GMT", Some(86_400)),
        ] {
            assert_eq!(
                retry_after(value, now),
                seconds.map(Duration::from_secs),
                "{value}"
            );
        }
    }
}
