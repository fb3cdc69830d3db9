//! Which requests are admitted (docs/api.md, "The door").
//!
//! Owns the checks of peer, `Host`, token and cross-origin requests, in that order, and which headers of a trusted proxy
//! are believed. It never looks at a link or a body.
//!
//! Cross-origin: a browser says where a request comes from by `Sec-Fetch-Site`, `Origin` or `Referer`; on plain-http
//! names only by the last. Programs send none. A request that one of them calls foreign may read and starts nothing: no
//! write is admitted, and only those routes are read that start no work, or start none for a foreign page.

mod host;

use http::header::{AUTHORIZATION, FORWARDED, HeaderMap, ORIGIN, REFERER};
use http::request::Parts;
use http::{HeaderName, Method};
use ipnet::IpNet;
use kmds_extract::Kind;

use self::host::{authority_of_url, host_and_port, host_of, is_private_name, named_host};
use super::error::Refusal;
use super::network::{Peer, Trusted, forwarded};
use super::tokens::Tokens;
use crate::config::ServerConfig;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// For supervisors, which have no token, and know this service by names of their own.
const HEALTH: &str = "/healthz";
/// Routes that a foreign page may read, because their `GET` starts nothing. Every other route is closed to it.
const STARTS_NOTHING: [&str; 12] = [
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/ui",
    "/ui/",
    "/ui/{file}",
    "/api/v1/tracks",
    "/api/v1/tracks/{site}/{id}",
    "/api/v1/events",
    "/api/v1/stats",
];
/// Routes that give a foreign page only what is in the cache: their handlers ask [`Caller::is_foreign`].
const STARTS_NOTHING_FOR_FOREIGN: [&str; 3] = [
    "/tunnel",
    "/api/v1/tracks/{site}/{id}/audio",
    "/api/v1/tracks/{site}/{id}/cover",
];
/// Values of `Referer` that name no page.
const NO_PAGE: [&str; 3] = ["", "about:blank", "about:client"];

/// A setting of the server that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{key}` is `{value}`: {wanted}")]
pub struct SettingError {
    pub key: &'static str,
    pub value: String,
    pub wanted: String,
}

/// The client that sent an admitted request, as a trusted proxy or the connection tells.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) client: Peer,
    /// Host and maybe port the request was sent to.
    pub(super) authority: String,
    pub(super) https: bool,
    /// A browser says that a page of another site sent the request: it must start nothing.
    pub(super) is_foreign: bool,
}

impl Caller {
    /// The client that sent an admitted request.
    pub(super) fn of(request: &Parts) -> Result<&Self, Refusal> {
        request.extensions.get().ok_or_else(|| {
            Refusal::new(Kind::Internal, "the request did not come through the door")
        })
    }
}

/// The checks, as configured.
pub(super) struct Guard {
    tokens: Option<Tokens>,
    names: Vec<String>,
    allow: Vec<IpNet>,
    public_authority: Option<String>,
    trusted: Vec<Trusted>,
}

impl Guard {
    /// # Errors
    /// A setting that cannot be used.
    pub(super) fn new(config: &ServerConfig) -> Result<Self, SettingError> {
        let bad = |key, value: &str, wanted| SettingError {
            key,
            value: value.to_owned(),
            wanted,
        };
        let tokens = config.tokens_file.as_deref().map(|file| {
            Tokens::read(file)
                .map_err(|why| bad("server.tokens_file", &file.display().to_string(), why))
        });
        let trusted = config.trusted_proxies.iter().map(|entry| {
            let wanted = "use an address, a network like 10.0.0.0/8, or unix";
            Trusted::parse(entry)
                .ok_or_else(|| bad("server.trusted_proxies", entry, wanted.to_owned()))
        });
        let public_authority = config.public_url.as_deref().map(authority_of_url);
        let names = config
            .names
            .iter()
            .map(|name| name.trim_end_matches('.').to_ascii_lowercase())
            .collect();
        Ok(Self {
            tokens: tokens.transpose()?,
            names,
            allow: config.allow.clone(),
            public_authority,
            trusted: trusted.collect::<Result<_, _>>()?,
        })
    }

    /// Admits a request. `route` is the pattern of its path, if it has one; `local` is the address of this service that
    /// the client connected to: it stands in for the host that old clients do not name.
    /// # Errors
    /// What the client, or the operator, has to change.
    pub(super) fn admit(
        &self,
        request: &Parts,
        route: Option<&str>,
        peer: Peer,
        local: &str,
    ) -> Result<Caller, Refusal> {
        let mut caller = self.identify(request, peer, local)?;
        if self.tokens.is_none() && !self.is_served_without_token(caller.client) {
            return Err(forbidden(format!(
                "{} is outside this machine's private networks; add its network to server.allow, \
                 or set server.tokens_file and send a token",
                caller.client
            )));
        }
        if request.uri.path() != HEALTH {
            self.check_host(&caller.authority)?;
        }
        self.check_token(request)?;
        caller.is_foreign = self.is_foreign(&request.headers, &caller);
        if caller.is_foreign && !may_be_foreign(&request.method, route) {
            return Err(foreign_page());
        }
        Ok(caller)
    }

    fn identify(&self, request: &Parts, peer: Peer, local: &str) -> Result<Caller, Refusal> {
        let headers = &request.headers;
        let mut caller = Caller {
            client: peer,
            authority: named_host(request, local)?,
            https: false,
            is_foreign: false,
        };
        if !self.trusts(peer) {
            return Ok(caller);
        }
        caller.https = last(headers, &FORWARDED_PROTO)?
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
        if let Some(host) = last(headers, &FORWARDED_HOST)?.filter(|host| !host.is_empty()) {
            caller.authority = host.to_ascii_lowercase();
        }
        if headers.contains_key(FORWARDED) && !headers.contains_key(FORWARDED_FOR) {
            return Err(forbidden(
                "the header Forwarded is not read; let the proxy send X-Forwarded-For",
            ));
        }
        // From the right: each proxy appends the address it was called from. The first that is not trusted is the client.
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        for hop in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
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

    /// Whether a peer is a trusted proxy.
    pub(super) fn trusts(&self, peer: Peer) -> bool {
        self.trusted.iter().any(|trusted| trusted.covers(peer))
    }

    fn is_served_without_token(&self, client: Peer) -> bool {
        client.is_near() || self.allow.iter().any(|network| client.is_in(network))
    }

    /// A registered name that is not configured may be an attacker's that resolves to this machine (DNS rebinding).
    fn check_host(&self, authority: &str) -> Result<(), Refusal> {
        let host = host_of(authority).ok_or_else(|| {
            forbidden(
                "the Host header is no host; use this server's IP address, or a name from server.names",
            )
        })?;
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        let public = self.public_authority.as_deref().and_then(host_of);
        if is_address
            || is_private_name(&host)
            || self.names.contains(&host)
            || public.as_ref() == Some(&host)
        {
            return Ok(());
        }
        Err(forbidden(format!(
            "this server does not answer to {host:?}; use its IP address, or add the name to server.names"
        )))
    }

    fn check_token(&self, request: &Parts) -> Result<(), Refusal> {
        let Some(tokens) = &self.tokens else {
            return Ok(());
        };
        if request.uri.path() == HEALTH {
            return Ok(());
        }
        let sent = request.headers.get(AUTHORIZATION);
        if sent
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| tokens.accept(value))
        {
            return Ok(());
        }
        let sentence = if sent.is_some() {
            "the token is not one of this server's; send Authorization: Bearer TOKEN with one from server.tokens_file"
        } else {
            "a token is needed; send Authorization: Bearer TOKEN with one from server.tokens_file"
        };
        Err(Refusal::new(Kind::Unauthorized, sentence))
    }

    /// Whether a browser says, in any of its ways, that another site's page is behind this request. What cannot be read
    /// is not ours.
    fn is_foreign(&self, headers: &HeaderMap, caller: &Caller) -> bool {
        let any = |name: HeaderName, is_ours: &dyn Fn(&str) -> bool| {
            headers
                .get_all(name)
                .iter()
                .any(|value| !value.to_str().is_ok_and(|value| is_ours(value.trim())))
        };
        any(FETCH_SITE, &|site| matches!(site, "same-origin" | "none"))
            || any(ORIGIN, &|origin| self.is_own(origin, caller))
            || any(REFERER, &|page| {
                NO_PAGE.contains(&page) || self.is_own(page, caller)
            })
    }

    /// Whether a page, or an origin, is this service's, under the name of the request or the public one. The scheme is
    /// not compared: TLS may end at a proxy.
    fn is_own(&self, page: &str, caller: &Caller) -> bool {
        let Some((scheme, rest)) = page.split_once("://") else {
            return false;
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let default = if scheme.eq_ignore_ascii_case("https") {
            443
        } else {
            80
        };
        let Some(asked) = host_and_port(authority, default) else {
            return false;
        };
        let own = [
            Some(caller.authority.as_str()),
            self.public_authority.as_deref(),
        ];
        own.into_iter()
            .flatten()
            .any(|own| host_and_port(own, default).as_ref() == Some(&asked))
    }
}

/// Whether a request of a foreign page is admitted. A path without a route starts nothing; nor does `OPTIONS`.
fn may_be_foreign(method: &Method, route: Option<&str>) -> bool {
    match *method {
        Method::GET | Method::HEAD => route.is_none_or(|route| {
            STARTS_NOTHING.contains(&route) || STARTS_NOTHING_FOR_FOREIGN.contains(&route)
        }),
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE => false,
        _ => true,
    }
}

/// The answer to a foreign page whose request would start work.
pub(super) fn foreign_page() -> Refusal {
    forbidden(
        "a page of another site asks for something that would start work; open this address yourself, \
         use this server's own page at /ui/, or ask from a program. If it is this server's own page behind a proxy, \
         set server.public_url",
    )
}

fn forbidden(sentence: impl Into<String>) -> Refusal {
    Refusal::new(Kind::Forbidden, sentence)
}

/// The last value of a header that may be a list: the one that the trusted proxy wrote.
/// # Errors
/// It is not ASCII.
fn last(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get_all(name).iter().next_back() else {
        return Ok(None);
    };
    let last = value
        .as_bytes()
        .rsplit(|byte| *byte == b',')
        .next()
        .unwrap_or_default();
    match std::str::from_utf8(last) {
        Ok(text) if text.is_ascii() => Ok(Some(text.trim().to_owned())),
        _ => Err(forbidden(format!(
            "{name} is not ASCII; let the proxy set it"
        ))),
    }
}

#[cfg(test)]
mod tests;
