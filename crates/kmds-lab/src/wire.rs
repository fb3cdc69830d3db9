//! The lab's HTTP/1.1: it reads requests strictly; replies are values.
//!
//! Owns reading a request from a connection, and the shape of a reply. It is written by hand, because half of the
//! faults break HTTP in ways that no HTTP library allows. Sending is in `send.rs`.

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::world::Song;

const HEAD_LIMIT_BYTES: usize = 64 * 1024;
const BODY_LIMIT_BYTES: usize = 4 << 20;

/// A connection that can also be broken on purpose.
pub trait Channel: AsyncRead + AsyncWrite + Unpin + Send {
    /// Makes the coming close a TCP reset.
    fn reset_on_close(&self);
}

impl Channel for TcpStream {
    fn reset_on_close(&self) {
        drop(self.set_zero_linger());
    }
}

impl Channel for TlsStream<TcpStream> {
    fn reset_on_close(&self) {
        drop(self.get_ref().0.set_zero_linger());
    }
}

/// A connection and what was read of it too early.
pub struct Wire<C> {
    pub channel: C,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    /// The target as it came: a path with its query, `host:port` or a whole URL.
    pub target: String,
    /// Lower case, without a port.
    pub host: String,
    /// Not decoded.
    pub path: String,
    pub query: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Every parameter of the query in order, decoded.
    pub fn params(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .into_owned()
            .collect()
    }

    pub fn param(&self, name: &str) -> Option<String> {
        self.params()
            .into_iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    pub fn decoded_path(&self) -> String {
        percent_decode_str(&self.path)
            .decode_utf8_lossy()
            .into_owned()
    }

    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub fn accepts_gzip(&self) -> bool {
        self.header("accept-encoding")
            .is_some_and(|value| value.to_ascii_lowercase().contains("gzip"))
    }

    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target, version) = (first.next()?, first.next()?, first.next()?);
        if first.next().is_some() || !version.starts_with("HTTP/1.") {
            return None;
        }
        let mut headers = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':')?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Self {
            method: method.to_owned(),
            target: target.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            ..Self::default()
        };
        let host = request.header("host").unwrap_or("").to_ascii_lowercase();
        request.host = host.split(':').next().unwrap_or("").to_owned();
        Some(request)
    }
}

impl<C: Channel> Wire<C> {
    pub fn new(channel: C) -> Self {
        Self {
            channel,
            buffer: Vec::new(),
        }
    }

    /// The next request; `None` when the client is done or does not speak HTTP/1.1.
    pub async fn next(&mut self) -> Option<Request> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if self.buffer.len() > HEAD_LIMIT_BYTES || !self.fill().await {
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(head.get(..end)?).into_owned();
        let mut request = Request::parse(&head)?;
        if request
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            request.body = self.chunked().await?;
        } else if let Some(length) = request.header("content-length") {
            let length: usize = length.parse().ok()?;
            request.body = self.exactly(length).await?;
        }
        Some(request)
    }

    /// Gives the connection back, with nothing left unread.
    pub fn into_inner(self) -> Option<C> {
        self.buffer.is_empty().then_some(self.channel)
    }

    /// Ends when the client hangs up. What it sends meanwhile is kept.
    pub async fn gone(&mut self) {
        while self.buffer.len() < HEAD_LIMIT_BYTES && self.fill().await {}
    }

    async fn fill(&mut self) -> bool {
        let mut block = [0; 8192];
        match self.channel.read(&mut block).await {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.buffer
                    .extend_from_slice(block.get(..count).unwrap_or_default());
                true
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        if length > BODY_LIMIT_BYTES {
            return None;
        }
        while self.buffer.len() < length {
            if !self.fill().await {
                return None;
            }
        }
        Some(self.buffer.drain(..length).collect())
    }

    async fn chunked(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                    break at;
                }
                if !self.fill().await {
                    return None;
                }
            };
            let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let line = String::from_utf8_lossy(&line).into_owned();
            let length = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
            let chunk = self.exactly(length + 2).await?;
            if length == 0 {
                return Some(body);
            }
            body.extend_from_slice(chunk.get(..length)?);
            if body.len() > BODY_LIMIT_BYTES {
                return None;
            }
        }
    }
}

/// An answer before any fault met it.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// The song whose bytes these are, and the place of the first of them in the finished file.
    pub from_song: Option<(Song, u64)>,
    /// The song that was asked for, where that can be told.
    pub song: Option<String>,
    /// Bytes a second, when the site itself paces the answer.
    pub paced: Option<u64>,
}

impl Reply {
    pub fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".into(), content_type.into())],
            body: body.into(),
            from_song: None,
            song: None,
            paced: None,
        }
    }

    pub fn json(value: &Value) -> Self {
        Self::new(200, "application/json; charset=UTF-8", value.to_string())
    }

    pub fn html(body: impl Into<Bytes>) -> Self {
        Self::new(200, "text/html; charset=UTF-8", body)
    }

    pub fn refusal(status: u16) -> Self {
        Self::new(
            status,
            "text/html; charset=UTF-8",
            format!("<html><title>Error {status}</title></html>"),
        )
    }

    pub fn not_found() -> Self {
        Self::refusal(404)
    }

    pub fn redirect(to: &str) -> Self {
        Self::new(302, "text/html; charset=UTF-8", "").with_header("Location", to)
    }

    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn about(mut self, song: &str) -> Self {
        self.song = Some(song.to_owned());
        self
    }

    pub fn has_header(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(key, _)| key.eq_ignore_ascii_case(name))
    }

    pub fn set_header(&mut self, name: &str, value: &str) {
        self.headers
            .retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
    }
}

/// A `Range` header with one range; `None` when there is none or it is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    Bounded(u64, u64),
    Open(u64),
    Last(u64),
}

impl ByteRange {
    pub fn of(request: &Request) -> Option<Self> {
        Self::parse(request.header("range")?.trim().strip_prefix("bytes=")?)
    }

    /// `a-b`, `a-` or `-n`.
    pub fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        match (from.is_empty(), to.is_empty()) {
            (false, false) => {
                let (from, to) = (from.parse().ok()?, to.parse().ok()?);
                (from <= to).then_some(Self::Bounded(from, to))
            }
            (false, true) => Some(Self::Open(from.parse().ok()?)),
            (true, false) => Some(Self::Last(to.parse().ok()?)),
            (true, true) => None,
        }
    }

    /// First byte and the one after the last, in a file of `length`; `None` when nothing of it is there.
    pub fn within(self, length: u64) -> Option<(u64, u64)> {
        let (from, to) = match self {
            Self::Bounded(from, to) => (from, to.saturating_add(1).min(length)),
            Self::Open(from) => (from, length),
            Self::Last(count) => (length.saturating_sub(count), length),
        };
        (from < to).then_some((from, to))
    }
}

/// A whole file or the asked range of it, as an ordinary file host answers (RFC 9110 §14).
pub fn file(request: &Request, bytes: &Bytes, content_type: &str, etag: &str) -> Reply {
    let length = bytes.len() as u64;
    let fresh = request
        .header("if-range")
        .is_none_or(|validator| validator == etag);
    let range = ByteRange::of(request).filter(|_| fresh);
    let reply = match range.map(|range| range.within(length)) {
        None => Reply::new(200, content_type, bytes.clone()),
        Some(None) => Reply::new(416, content_type, "")
            .with_header("Content-Range", &format!("bytes */{length}")),
        Some(Some((from, to))) => {
            Reply::new(206, content_type, bytes.slice(from as usize..to as usize)).with_header(
                "Content-Range",
                &format!("bytes {from}-{}/{length}", to - 1),
            )
        }
    };
    reply
        .with_header("Accept-Ranges", "bytes")
        .with_header("ETag", etag)
}

/// Where the body of a reply made by [`file()`] begins in the file.
pub fn start_of(reply: &Reply) -> u64 {
    let range = reply
        .headers
        .iter()
        .find(|(name, _)| name == "Content-Range");
    range
        .and_then(|(_, value)| {
            value
                .strip_prefix("bytes ")?
                .split('-')
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}
