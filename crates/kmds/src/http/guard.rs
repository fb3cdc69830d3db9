//! Who may ask, and from where (docs/api.md, "The door").
//!
//! Owns the checks of peer, `Host`, token and cross-origin requests, in that order, and what a trusted proxy may tell.
//! Hides header syntax. Never looks at a link or a body.
//!
//! Cross-origin: a browser says where a request comes from by `Origin` and `Sec-Fetch-Site`; other clients send neither.
//! From a foreign page no write is taken, and no `GET` or `HEAD` that starts downloads (`/fetch`, `/play`), except when
//! a person followed a link there: a navigation of the whole page that the browser vouches a click for.

use http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use http::request::Parts;
use http::{HeaderName, Method, Version};
use kmds_extract::Kind;

use super::error::Refusal;
use super::network::{Peer, Trusted, forwarded};
use super::tokens::Tokens;
use super::{ServeError, ask};
use crate::config::ServerConfig;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const FETCH_USER: HeaderName = HeaderName::from_static("sec-fetch-user");

/// Asked by supervisors, which have no token.
const NEEDS_NO_TOKEN: &str = "/healthz";
/// `GET` paths that start downloads.
const STARTS_DOWNLOADS: [&str; 2] = ["/fetch", "/play"];

/// Who asks, as far as we believe it.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) client: Peer,
    /// Host and maybe port the request was sent to.
    pub(super) authority: String,
    pub(super) https: bool,
}

/// The door, as configured.
pub(super) struct Guard {
    tokens: Option<Tokens>,
    names: Vec<String>,
    public_authority: Option<String>,
    trusted: Vec<Trusted>,
}

impl Guard {
    /// # Errors
    /// A setting that cannot be used.
    pub(super) fn new(config: &ServerConfig) -> Result<Self, ServeError> {
        let bad = |key, value: &str, wanted| ServeError::Setting { key, value: value.to_owned(), wanted };
        let tokens = config
            .tokens_file
            .as_deref()
            .map(|file| Tokens::read(file).map_err(|why| bad("server.tokens_file", &file.display().to_string(), why)));
        let trusted = config.trusted_proxies.iter().map(|entry| {
            let wanted = "use an address, a network like 10.0.0.0/8, or unix";
            Trusted::parse(entry).ok_or_else(|| bad("server.trusted_proxies", entry, wanted.to_owned()))
        });
        let public_authority = config.public_url.as_deref().map(authority_of_url);
        let names = config.names.iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect();
        Ok(Self { tokens: tokens.transpose()?, names, public_authority, trusted: trusted.collect::<Result<_, _>>()? })
    }

    /// Lets a request in, or says what to change. `local` is the address it came in at, for clients that name no host.
    pub(super) fn admit(&self, request: &Parts, peer: Peer, local: &str) -> Result<Caller, Refusal> {
        let caller = self.identify(request, peer, local)?;
        if self.tokens.is_none() && !caller.client.is_near() {
            return Err(forbidden(format!(
                "{} is outside this machine's private networks; set server.tokens_file and send a token, \
                 or ask from a private address",
                caller.client
            )));
        }
        self.check_host(&caller.authority)?;
        self.check_token(request)?;
        self.check_origin(request, &caller)?;
        Ok(caller)
    }

    fn identify(&self, request: &Parts, peer: Peer, local: &str) -> Result<Caller, Refusal> {
        let headers = &request.headers;
        let mut caller = Caller { client: peer, authority: named_host(request, local)?, https: false };
        if !self.trusts(peer) {
            return Ok(caller);
        }
        caller.https = last(headers, &FORWARDED_PROTO).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        if let Some(host) = last(headers, &FORWARDED_HOST).filter(|host| !host.is_empty()) {
            caller.authority = host.to_ascii_lowercase();
        }
        let hops = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = hops.flat_map(|value| value.split(',')).collect();
        for hop in hops.into_iter().rev() {
            let address = forwarded(hop).ok_or_else(|| {
                forbidden("X-Forwarded-For holds something that is no address; let the proxy send addresses only")
            })?;
            caller.client = Peer::at(address);
            if !self.trusts(caller.client) {
                break;
            }
        }
        Ok(caller)
    }

    fn trusts(&self, peer: Peer) -> bool {
        self.trusted.iter().any(|trusted| trusted.covers(peer))
    }

    /// A name nobody configured may be an attacker's that resolves to us (DNS rebinding).
    fn check_host(&self, authority: &str) -> Result<(), Refusal> {
        let host = host_of(authority).ok_or_else(|| {
            forbidden(
                "the Host header is no host; use this server's IP address, localhost, or a name from server.names",
            )
        })?;
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        let public = self.public_authority.as_deref().and_then(host_of);
        if is_address || host == "localhost" || self.names.contains(&host) || public.as_ref() == Some(&host) {
            return Ok(());
        }
        Err(forbidden(format!(
            "this server does not answer to {host:?}; use its IP address or localhost, or add the name to server.names"
        )))
    }

    fn check_token(&self, request: &Parts) -> Result<(), Refusal> {
        let Some(tokens) = &self.tokens else { return Ok(()) };
        if request.uri.path() == NEEDS_NO_TOKEN {
            return Ok(());
        }
        let sent = request.headers.get(AUTHORIZATION);
        if sent.and_then(|value| value.to_str().ok()).is_some_and(|value| tokens.open_for(value)) {
            return Ok(());
        }
        let sentence = if sent.is_some() {
            "the token is not one of this server's; send Authorization: Bearer TOKEN with one from server.tokens_file"
        } else {
            "a token is needed; send Authorization: Bearer TOKEN with one from server.tokens_file"
        };
        Err(Refusal::new(Kind::Unauthorized, sentence))
    }

    fn check_origin(&self, request: &Parts, caller: &Caller) -> Result<(), Refusal> {
        let writes = matches!(request.method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
        let starts = STARTS_DOWNLOADS.contains(&request.uri.path());
        if !writes && !starts {
            return Ok(());
        }
        let headers = &request.headers;
        let origin = headers.get(ORIGIN).map(|value| value.to_str().unwrap_or("null"));
        let foreign_origin = origin.is_some_and(|origin| !self.is_own(origin, caller));
        let site = last(headers, &FETCH_SITE).unwrap_or_default();
        let foreign_site = !matches!(site.as_str(), "" | "same-origin" | "none");
        let clicked = !writes
            && last(headers, &FETCH_MODE).as_deref() == Some("navigate")
            && last(headers, &FETCH_DEST).as_deref() == Some("document")
            && last(headers, &FETCH_USER).as_deref() == Some("?1");
        if foreign_origin || (foreign_site && !clicked) {
            return Err(forbidden(
                "a page of another site sent this; use this server's own page at /ui/, or ask from a program",
            ));
        }
        Ok(())
    }

    /// Whether a page of `origin` was served by us, under the name the request has or the public one. The scheme is
    /// not compared: TLS may end at a proxy.
    fn is_own(&self, origin: &str, caller: &Caller) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let default = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
        let Some(asked) = host_and_port(authority, default) else { return false };
        let own = [Some(caller.authority.as_str()), self.public_authority.as_deref()];
        own.into_iter().flatten().any(|own| host_and_port(own, default).as_ref() == Some(&asked))
    }
}

fn forbidden(sentence: impl Into<String>) -> Refusal {
    Refusal::new(Kind::Forbidden, sentence)
}

/// The last value of a header that may come as a list: the one our own proxy wrote.
fn last(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(|value| value.trim().to_owned())
}

/// The host a request names. HTTP/1.1 clients must name exactly one; older ones may leave it out (no browser does, so
/// nothing is lost), and get the address they came in at.
fn named_host(request: &Parts, local: &str) -> Result<String, Refusal> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Refusal::bad_request("there are two Host headers; send one"));
    }
    // The absolute form beats the header (RFC 9112, 3.2.2).
    if let Some(authority) = request.uri.authority() {
        return Ok(authority.as_str().to_ascii_lowercase());
    }
    match first {
        Some(host) => host
            .to_str()
            .map(str::to_ascii_lowercase)
            .map_err(|_| Refusal::bad_request("the Host header is not ASCII; send the host in its ASCII form")),
        None if request.version < Version::HTTP_11 => Ok(local.to_owned()),
        None => Err(Refusal::bad_request("there is no Host header; HTTP/1.1 needs one")),
    }
}

fn host_of(authority: &str) -> Option<String> {
    host_and_port(authority, 0).map(|(host, _)| host)
}

/// Host without brackets and final dot, in lower case, and the port.
fn host_and_port(authority: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let port = match port {
        None | Some("") => default,
        Some(port) => port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))?,
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    (!host.is_empty() && host.bytes().all(fits)).then_some((host, port))
}

fn authority_of_url(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase()
}

/// Longer ones are no ids; trace headers have 55 characters.
const LONGEST_ID: usize = 128;

/// The id a request is known by: the client's own if it is one word that can stand in a log line, else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    let sane = |id: &&str| {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\' | b'<' | b'>');
        (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(plain)
    };
    let sent = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok()).filter(sane);
    sent.map_or_else(ask::fresh_id, str::to_owned)
}

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests;
