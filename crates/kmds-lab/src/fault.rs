//! Faults by name, and the requests that they affect.
//!
//! Owns the names, their text form (for the control address) and the list of injected faults. It sends no byte:
//! `send.rs`, `altered.rs` and `proxy.rs` apply the faults.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::log::Kind;
use crate::wire::Request;
use crate::world::{Site, Song};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The right answer, at this many bytes a second.
    Slow(u64),
    /// The head and this many bytes of the body, then silence.
    Stall(u64),
    /// The request is read and never answered.
    NoAnswer,
    /// Half of the body, then a TCP reset.
    Reset,
    /// The full `Content-Length`, half of the body, then an orderly close.
    ShortBody,
    /// A kilobyte more than `Content-Length` says, then a close.
    LongBody,
    /// A whole HTTP message that is 1,000 bytes (or half, when smaller) short of the song; `Content-Range` stays true.
    WrongLength,
    /// 200 with no body.
    Empty200,
    /// 200 with a web page.
    HtmlInstead,
    /// The right number of wrong bytes.
    WrongBytes,
    /// The connection is cut at this byte of the song, and from then on it is another file: new validator, new bytes.
    ChangedEtag(u64),
    /// URLs handed out so far die when this byte of the song is reached; new ones work.
    ExpiredAt(u64),
    /// A range that reaches beyond this byte of the song gets 403, by every URL.
    WallAt(u64),
    /// This status, with `Retry-After` in seconds.
    Status(u16, Option<u32>),
    /// A gzip body that ends in the middle.
    CutGzip,
    /// 256 MiB of zeros in about 256 KiB of gzip.
    GzipBomb,
    /// 200 MB of blanks.
    Huge,
    /// Header lines without end.
    EndlessHeaders,
    /// The head at one byte a second.
    SlowLorisHead,
    /// The proxy connects, the handshake fails.
    TlsError,
    /// The proxy says that there is no such host (502).
    DnsFailure,
    /// 302 to a new address of the same host, for ever.
    RedirectLoop,
    RedirectTo(String),
    /// A page without the field that is needed.
    ChangedPage,
    /// The right page, in a field of its own half an emoji and a number beyond all bounds.
    OddValue,
    /// What the site says to those it takes for a robot.
    BotCheck,
}

/// Every name that [`Fault::from_str`] knows, with what follows the colon.
pub const NAMES: &[(&str, &str)] = &[
    ("slow", "bytes a second (16384)"),
    ("stall", "bytes of the body first (0)"),
    ("no_answer", ""),
    ("reset", ""),
    ("short_body", ""),
    ("long_body", ""),
    ("wrong_length", ""),
    ("empty_200", ""),
    ("html_instead", ""),
    ("wrong_bytes", ""),
    ("changed_etag", "at this byte (65536)"),
    ("expired_at", "at this byte (65536)"),
    ("wall_at", "at this byte (65536)"),
    ("status", "code[,retry-after seconds]"),
    ("cut_gzip", ""),
    ("gzip_bomb", ""),
    ("huge", ""),
    ("endless_headers", ""),
    ("slow_loris", ""),
    ("tls_error", ""),
    ("dns_failure", ""),
    ("redirect_loop", ""),
    ("redirect_to", "URL"),
    ("changed_page", ""),
    ("odd_value", ""),
    ("bot_check", ""),
];

impl Fault {
    fn name_and_rest(&self) -> (&'static str, String) {
        match self {
            Self::Slow(rate) => ("slow", rate.to_string()),
            Self::Stall(bytes) => ("stall", bytes.to_string()),
            Self::NoAnswer => ("no_answer", String::new()),
            Self::Reset => ("reset", String::new()),
            Self::ShortBody => ("short_body", String::new()),
            Self::LongBody => ("long_body", String::new()),
            Self::WrongLength => ("wrong_length", String::new()),
            Self::Empty200 => ("empty_200", String::new()),
            Self::HtmlInstead => ("html_instead", String::new()),
            Self::WrongBytes => ("wrong_bytes", String::new()),
            Self::ChangedEtag(at) => ("changed_etag", at.to_string()),
            Self::ExpiredAt(at) => ("expired_at", at.to_string()),
            Self::WallAt(at) => ("wall_at", at.to_string()),
            Self::Status(code, None) => ("status", code.to_string()),
            Self::Status(code, Some(seconds)) => ("status", format!("{code},{seconds}")),
            Self::CutGzip => ("cut_gzip", String::new()),
            Self::GzipBomb => ("gzip_bomb", String::new()),
            Self::Huge => ("huge", String::new()),
            Self::EndlessHeaders => ("endless_headers", String::new()),
            Self::SlowLorisHead => ("slow_loris", String::new()),
            Self::TlsError => ("tls_error", String::new()),
            Self::DnsFailure => ("dns_failure", String::new()),
            Self::RedirectLoop => ("redirect_loop", String::new()),
            Self::RedirectTo(url) => ("redirect_to", url.clone()),
            Self::ChangedPage => ("changed_page", String::new()),
            Self::OddValue => ("odd_value", String::new()),
            Self::BotCheck => ("bot_check", String::new()),
        }
    }

    /// Whether it happens before a request can be read.
    pub(crate) fn is_of_the_connection(&self) -> bool {
        matches!(self, Self::TlsError | Self::DnsFailure)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, rest) = self.name_and_rest();
        if rest.is_empty() {
            f.write_str(name)
        } else {
            write!(f, "{name}:{rest}")
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    /// `name` or `name:value`, as in [`NAMES`].
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let number = |default: u64| -> Result<u64, String> {
            if rest.is_empty() {
                return Ok(default);
            }
            rest.parse()
                .map_err(|_| format!("fault {name}: {rest:?} is no number"))
        };
        Ok(match name {
            "slow" => Self::Slow(number(16_384)?),
            "stall" => Self::Stall(number(0)?),
            "no_answer" => Self::NoAnswer,
            "reset" => Self::Reset,
            "short_body" => Self::ShortBody,
            "long_body" => Self::LongBody,
            "wrong_length" => Self::WrongLength,
            "empty_200" => Self::Empty200,
            "html_instead" => Self::HtmlInstead,
            "wrong_bytes" => Self::WrongBytes,
            "changed_etag" => Self::ChangedEtag(number(65_536)?),
            "expired_at" => Self::ExpiredAt(number(65_536)?),
            "wall_at" => Self::WallAt(number(65_536)?),
            "status" => {
                let (code, after) = rest.split_once(',').unwrap_or((rest, ""));
                let code = code
                    .parse()
                    .map_err(|_| format!("fault status: {code:?} is no status code"))?;
                Self::Status(code, after.parse().ok())
            }
            "cut_gzip" => Self::CutGzip,
            "gzip_bomb" => Self::GzipBomb,
            "huge" => Self::Huge,
            "endless_headers" => Self::EndlessHeaders,
            "slow_loris" => Self::SlowLorisHead,
            "tls_error" => Self::TlsError,
            "dns_failure" => Self::DnsFailure,
            "redirect_loop" => Self::RedirectLoop,
            "redirect_to" => Self::RedirectTo(rest.to_owned()),
            "changed_page" => Self::ChangedPage,
            "odd_value" => Self::OddValue,
            "bot_check" => Self::BotCheck,
            _ => {
                let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
                return Err(format!("no fault {name:?}; there are {}", names.join(", ")));
            }
        })
    }
}

/// A fault and the requests that it meets: all of them until told otherwise.
#[derive(Debug, Clone)]
pub struct Injection {
    fault: Fault,
    site: Option<Site>,
    kind: Option<Kind>,
    host: Option<String>,
    path: Option<String>,
    song: Option<String>,
    client: Option<String>,
    agent: Option<String>,
    from: Option<IpAddr>,
    skip: u32,
    first: Option<u32>,
    met: Arc<AtomicU32>,
}

impl From<Fault> for Injection {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            site: None,
            kind: None,
            host: None,
            path: None,
            song: None,
            client: None,
            agent: None,
            from: None,
            skip: 0,
            first: None,
            met: Arc::default(),
        }
    }
}

impl Fault {
    /// On pages, scripts and API calls.
    pub fn on_pages(self) -> Injection {
        Injection::from(self).kind(Kind::Page)
    }

    /// On audio, HLS playlists and segments.
    pub fn on_media(self) -> Injection {
        Injection::from(self).kind(Kind::Media)
    }

    pub fn on_covers(self) -> Injection {
        Injection::from(self).kind(Kind::Cover)
    }

    /// On every request of any kind.
    pub fn anywhere(self) -> Injection {
        Injection::from(self)
    }
}

impl Injection {
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = Some(kind);
        self
    }

    pub fn of_site(mut self, site: Site) -> Self {
        self.site = Some(site);
        self
    }

    /// Only requests for this song.
    pub fn of(self, song: &Song) -> Self {
        self.of_song_id(song.id())
    }

    pub fn of_song_id(mut self, id: &str) -> Self {
        self.song = Some(id.to_owned());
        self
    }

    /// Only this host, or with a leading `*` every host that ends so.
    pub fn at_host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// Only paths that begin so.
    pub fn at_path(mut self, prefix: &str) -> Self {
        self.path = Some(prefix.to_owned());
        self
    }

    /// Only YouTube calls of this `clientName`.
    pub fn only_client(mut self, name: &str) -> Self {
        self.client = Some(name.to_owned());
        self
    }

    /// Only requests whose `User-Agent` contains this.
    pub fn only_agent(mut self, part: &str) -> Self {
        self.agent = Some(part.to_owned());
        self
    }

    /// Only requests from this address.
    pub fn only_from(mut self, address: IpAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// Only the first `count` that would match.
    pub fn first(mut self, count: u32) -> Self {
        self.first = Some(count);
        self
    }

    /// Not the first `count` that would match.
    pub fn after(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    fn fits_host(&self, host: &str) -> bool {
        self.host
            .as_deref()
            .is_none_or(|wanted| match wanted.strip_prefix('*') {
                Some(end) => host.ends_with(end),
                None => host == wanted,
            })
    }

    fn take(&self) -> bool {
        let number = self.met.fetch_add(1, Ordering::SeqCst);
        number >= self.skip && self.first.is_none_or(|first| number < self.skip + first)
    }
}

/// An injection that is in force; counts what it met.
#[derive(Debug, Clone)]
pub struct Injected {
    met: Arc<AtomicU32>,
}

impl Injected {
    /// How many requests matched so far, those before and after the wanted ones included.
    pub fn matched(&self) -> u32 {
        self.met.load(Ordering::SeqCst)
    }
}

/// How often a site lets one address ask for audio.
struct Limit {
    requests: u32,
    window: Duration,
    /// When the window of an address began, and what it has asked since.
    asked: HashMap<IpAddr, (Instant, u32)>,
}

impl Limit {
    /// Seconds until the address may ask again; `None` where it may ask now.
    fn wait(&mut self, from: IpAddr, now: Instant) -> Option<u32> {
        let (begun, asked) = self.asked.entry(from).or_insert((now, 0));
        if now.duration_since(*begun) >= self.window {
            (*begun, *asked) = (now, 0);
        }
        if *asked < self.requests {
            *asked += 1;
            return None;
        }
        let left = self.window.saturating_sub(now.duration_since(*begun));
        Some(u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u32::MAX))
    }
}

#[derive(Default)]
pub struct Book {
    injections: Mutex<Vec<Injection>>,
    limit: Mutex<Option<Limit>>,
}

impl Book {
    pub fn add(&self, injection: Injection) -> Injected {
        let met = Arc::clone(&injection.met);
        self.injections.lock().push(injection);
        Injected { met }
    }

    /// From now on each address may ask for audio so often in each window; beyond it the answer is 429 with
    /// `Retry-After`.
    pub fn limit(&self, requests: u32, window: Duration) {
        *self.limit.lock() = Some(Limit {
            requests,
            window,
            asked: HashMap::new(),
        });
    }

    pub fn clear(&self) {
        self.injections.lock().clear();
        *self.limit.lock() = None;
    }

    /// The fault that meets a connection to `host`.
    pub(crate) fn for_connection(
        &self,
        host: &str,
        site: Option<Site>,
        kind: Kind,
    ) -> Option<Fault> {
        let injections = self.injections.lock();
        let met = injections.iter().find(|injection| {
            injection.fault.is_of_the_connection()
                && injection.site.is_none_or(|wanted| Some(wanted) == site)
                && injection.kind.is_none_or(|wanted| wanted == kind)
                && injection.fits_host(host)
                && injection.take()
        });
        met.map(|injection| injection.fault.clone())
    }

    /// The first fault in the book that meets this request.
    pub(crate) fn for_request(&self, request: &Request, met: &Meeting<'_>) -> Option<Fault> {
        if met.kind == Kind::Media {
            let mut limit = self.limit.lock();
            let limit = limit.as_mut();
            if let Some(wait) = limit.and_then(|limit| limit.wait(met.from, Instant::now())) {
                return Some(Fault::Status(429, Some(wait)));
            }
        }
        let injections = self.injections.lock();
        let found = injections.iter().find(|injection| {
            !injection.fault.is_of_the_connection()
                && injection.from.is_none_or(|wanted| wanted == met.from)
                && injection.site.is_none_or(|wanted| Some(wanted) == met.site)
                && injection.kind.is_none_or(|wanted| wanted == met.kind)
                && injection
                    .song
                    .as_deref()
                    .is_none_or(|wanted| met.song == Some(wanted))
                && injection
                    .client
                    .as_deref()
                    .is_none_or(|wanted| met.client == Some(wanted))
                && injection
                    .agent
                    .as_deref()
                    .is_none_or(|part| request.header("user-agent").unwrap_or("").contains(part))
                && injection
                    .path
                    .as_deref()
                    .is_none_or(|prefix| request.path.starts_with(prefix))
                && injection.fits_host(&request.host)
                && injection.take()
        });
        found.map(|injection| injection.fault.clone())
    }
}

/// What is known of a request when faults are looked up.
pub(crate) struct Meeting<'a> {
    pub from: IpAddr,
    pub site: Option<Site>,
    pub kind: Kind,
    pub song: Option<&'a str>,
    pub client: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_ask_so_much_in_each_window() {
        let (now, window) = (Instant::now(), Duration::from_secs(5));
        let mut limit = Limit {
            requests: 2,
            window,
            asked: HashMap::new(),
        };
        let (one, two) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let late = now + Duration::from_millis(1500);
        let waits = [(one, now), (one, now), (one, late), (two, late)];
        let waits = waits.map(|(from, at)| limit.wait(from, at));
        assert_eq!(waits, [None, None, Some(4), None]);
        assert_eq!(limit.wait(one, now + window), None);
    }

    #[test]
    fn every_name_is_read_and_written_alike() {
        for (name, _) in NAMES {
            let text = match *name {
                "status" => "status:429,7".to_owned(),
                "redirect_to" => "redirect_to:http://169.254.169.254/".to_owned(),
                name => name.to_owned(),
            };
            let fault: Fault = text.parse().expect("a known name");
            assert_eq!(fault.to_string().parse(), Ok(fault.clone()), "{name}");
            assert!(fault.to_string().starts_with(name));
        }
        assert!("nonsense".parse::<Fault>().is_err());
        assert!("status:abc".parse::<Fault>().is_err());
    }
}
