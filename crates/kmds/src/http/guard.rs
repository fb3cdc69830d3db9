//! Which requests are admitted (docs/api.md, "The door").
//!
//! Owns the checks of peer, `Host`, limit, token and cross-origin requests, in that order, and which headers of a
//! trusted proxy are believed. It looks at no link and no body. `access` has what each route needs.
//!
//! A request of a page of another site may read, but starts nothing; so may a token without the scope `fetch`.

mod credentials;
mod foreign;
mod host;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use http::header::{AUTHORIZATION, FORWARDED, HeaderMap};
use http::request::Parts;
use http::{HeaderName, Method};
use ipnet::IpNet;
use kmds_extract::Kind;

use self::credentials::{Credentials, Grant, Means};
pub(super) use self::credentials::{SESSION_COOKIE, SESSION_SECONDS};
pub(super) use self::foreign::Barred;
use self::foreign::{is_by_own_page, is_foreign};
use self::host::{authority_of_url, host_of, is_private_name, named_host};
use super::access::{Access, Foreign, Need};
use super::error::Refusal;
use super::network::{Peer, Trusted, forwarded};
use super::rates::{Quota, Rates, Sender};
use super::signatures::AddressSigner;
use super::tokens::{Scope, Token, Tokens};
use crate::app::Failure;
use crate::config::ServerConfig;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// For supervisors, which may use other names for this service.
const HEALTH: &str = "/healthz";
const TUNNEL: &str = "/tunnel";

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
    /// The request must start nothing, for this reason.
    pub(super) barred: Option<Barred>,
    /// A token is needed for most routes, and this request has none.
    pub(super) lacks_token: bool,
    /// It is a browser that has logged in.
    pub(super) has_session: bool,
    /// Signs the addresses of the reply, if tokens are needed.
    pub(super) signer: Option<AddressSigner>,
}

/// What the guard has found out about a request.
pub(super) struct Admission {
    /// The name of its token.
    pub(super) token: Option<Arc<str>>,
    pub(super) quota: Option<Quota>,
    /// What the client, or the operator, has to change, if it is not admitted.
    pub(super) verdict: Result<Caller, Refusal>,
}

impl Caller {
    /// The client that sent an admitted request.
    pub(super) fn of(request: &Parts) -> Result<&Self, Refusal> {
        request
            .extensions
            .get()
            .ok_or_else(|| Refusal::new(Kind::Internal, "the request did not pass the guard"))
    }

    /// For a route that needs a token only in some cases.
    /// # Errors
    /// A token is needed, and the request has none.
    pub(super) fn check_token(&self, request: &Parts) -> Result<(), Refusal> {
        if self.lacks_token {
            return Err(Credentials::missing(request));
        }
        Ok(())
    }
}

/// The checks, as configured.
pub(super) struct Guard {
    /// `None`: no tokens are needed.
    credentials: Option<Credentials>,
    /// The token of the other nodes of a cluster.
    nodes: Option<Tokens>,
    /// Requests a minute of each sender in the near networks, and outside; `None` for no limit.
    rate_limit_near: Option<u64>,
    rate_limit: Option<u64>,
    rates: Rates,
    names: Vec<String>,
    allow: Vec<IpNet>,
    public_authority: Option<String>,
    trusted: Vec<Trusted>,
}

impl Guard {
    /// Without the folder of the key nothing is signed: to check settings, no folder is touched.
    /// # Errors
    /// A setting that cannot be used.
    pub(super) fn new(
        config: &ServerConfig,
        state_dir: Option<&Path>,
    ) -> Result<Self, SettingError> {
        let bad = |key, value: &str, wanted| SettingError {
            key,
            value: value.to_owned(),
            wanted,
        };
        let credentials = config.tokens_file.as_deref().map(|file| {
            Credentials::read(file.to_owned(), state_dir, config.link_lifetime)
                .map_err(|why| bad("server.tokens_file", &file.display().to_string(), why))
        });
        let nodes = config.nodes_token_file.as_deref().map(|file| {
            Tokens::read_one(file)
                .map_err(|why| bad("cluster.token_file", &file.display().to_string(), why))
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
            credentials: credentials.transpose()?,
            nodes: nodes.transpose()?,
            rate_limit_near: config.rate_limit_near,
            rate_limit: config.rate_limit,
            rates: Rates::default(),
            names,
            allow: config.allow.clone(),
            public_authority,
            trusted: trusted.collect::<Result<_, _>>()?,
        })
    }

    /// Reads the tokens again.
    pub(super) fn reload(&self) {
        if let Some(credentials) = &self.credentials {
            credentials.reload();
        }
    }

    /// Judges a request. `route` is the pattern of its path, if it has one; `local` is the address of this service that
    /// the client connected to: it is used as the host for old clients, which name none.
    pub(super) fn admit(
        &self,
        request: &Parts,
        route: Option<&str>,
        peer: Peer,
        local: &str,
    ) -> Admission {
        let mut admission = Admission {
            token: None,
            quota: None,
            verdict: self.identify(request, peer, local),
        };
        if let Ok(caller) = &mut admission.verdict
            && let Err(refusal) = self.judge(
                request,
                route,
                caller,
                &mut admission.token,
                &mut admission.quota,
            )
        {
            admission.verdict = Err(refusal);
        }
        admission
    }

    /// The checks in their order. The token and the limit are recorded for refused requests too.
    fn judge(
        &self,
        request: &Parts,
        route: Option<&str>,
        caller: &mut Caller,
        name: &mut Option<Arc<str>>,
        quota: &mut Option<Quota>,
    ) -> Result<(), Refusal> {
        let is_health = request.uri.path() == HEALTH;
        let access = Access::of(&request.method, route);
        if access.need == Need::Scope(Scope::Listen) && self.is_of_a_node(request) {
            return Ok(());
        }
        self.check_client(caller.client)?;
        if !is_health {
            self.check_host(&caller.authority)?;
        }
        let grant = self
            .credentials
            .as_ref()
            .and_then(|credentials| credentials.of(request, access.signed));
        let means = grant.as_ref().map(|grant| grant.means);
        let token = grant.map(|Grant { token, .. }| token);
        *name = token.as_ref().map(|token| Arc::clone(&token.name));
        // Old clients save any answer of /tunnel but 404, 418 and 500 as the song: their polls are not counted.
        if !is_health && route != Some(TUNNEL) {
            *quota = self.count(caller.client, token.as_deref())?;
        }
        if let Some(credentials) = &self.credentials {
            check_scope(request, access.need, token.as_deref())?;
            caller.lacks_token = token.is_none();
            caller.has_session = means == Some(Means::Session);
            caller.signer = token.as_ref().and_then(|token| credentials.signer(token));
        }
        let own = self.own_names(caller);
        caller.barred = if is_foreign(&request.headers, &own) {
            Some(Barred::ForeignPage)
        } else {
            let listens = |token: &Arc<Token>| !token.may(Scope::Fetch);
            token
                .as_ref()
                .is_some_and(listens)
                .then_some(Barred::OnlyListens)
        };
        match caller.barred {
            Some(barred @ Barred::ForeignPage) if access.foreign == Foreign::Closed => {
                Err(barred.refusal())
            }
            None if caller.has_session
                && is_write(request)
                && !is_by_own_page(&request.headers) =>
            {
                Err(forbidden(
                    "a write by a browser's session has to name the page that it comes from (Origin or Sec-Fetch-Site); \
                     use the page at /ui/, or send Authorization: Bearer TOKEN",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Whether another node of the cluster sent the request: it may read songs that are here, and a song that is on its
    /// way.
    fn is_of_a_node(&self, request: &Parts) -> bool {
        let sent = request.headers.get(AUTHORIZATION);
        let sent = sent.and_then(|sent| sent.to_str().ok());
        let token = self.nodes.as_ref().zip(sent);
        token.is_some_and(|(nodes, sent)| nodes.of_header(sent).is_some())
    }

    /// Whether tokens are needed.
    pub(super) fn wants_tokens(&self) -> bool {
        self.credentials.is_some()
    }

    /// The cookie of a session, for the secret of a token.
    pub(super) fn open_session(&self, secret: &str) -> Option<String> {
        self.credentials.as_ref()?.open_session(secret)
    }

    fn check_client(&self, client: Peer) -> Result<(), Refusal> {
        if self.credentials.is_some() || self.is_near(client) {
            return Ok(());
        }
        Err(forbidden(format!(
            "{client} is outside this machine's private networks; add its network to server.allow, \
             or set server.tokens_file and send a token"
        )))
    }

    /// Counts a request of a token, else of an address, if there is a limit.
    /// # Errors
    /// It was one too many.
    fn count(&self, client: Peer, token: Option<&Token>) -> Result<Option<Quota>, Refusal> {
        let of_place = if self.is_near(client) {
            self.rate_limit_near
        } else {
            self.rate_limit
        };
        let own = token.and_then(|token| token.requests_per_minute);
        let Some(per_minute) = own.or(of_place) else {
            return Ok(None);
        };
        let sender = token.map_or_else(
            || Sender::of(client),
            |token| Sender::Token(Arc::clone(&token.name)),
        );
        match self.rates.take(sender, per_minute, Instant::now()) {
            Ok(quota) => Ok(Some(quota)),
            Err(quota) => Err(too_many(per_minute, token, self.is_near(client), quota)),
        }
    }

    fn identify(&self, request: &Parts, peer: Peer, local: &str) -> Result<Caller, Refusal> {
        let headers = &request.headers;
        let mut caller = Caller {
            client: peer,
            authority: named_host(request, local)?,
            https: false,
            barred: None,
            lacks_token: false,
            has_session: false,
            signer: None,
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
        // From the right: each proxy appends the address it was called from. The first that is not trusted is the
        // client.
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        for hop in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
            let address = forwarded(hop).ok_or_else(|| {
                forbidden("X-Forwarded-For has a value that is not an address; let the proxy send only addresses")
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

    /// Whether a client is served without a token.
    fn is_near(&self, client: Peer) -> bool {
        client.is_near() || self.allow.iter().any(|network| client.is_in(network))
    }

    /// A registered name that is not configured may be an attacker's that resolves to this machine (DNS rebinding).
    fn check_host(&self, authority: &str) -> Result<(), Refusal> {
        let host = host_of(authority).ok_or_else(|| {
            forbidden(
                "the Host header is not a host; use this server's IP address, or a name from server.names",
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

    /// The names that our own page may have: of the request, and the public one.
    fn own_names<'c>(&'c self, caller: &'c Caller) -> Vec<&'c str> {
        let own = [
            Some(caller.authority.as_str()),
            self.public_authority.as_deref(),
        ];
        own.into_iter().flatten().collect()
    }
}

/// Refuses a request that needs a scope which its token lacks, or a token if it has none.
fn check_scope(request: &Parts, need: Need, token: Option<&Token>) -> Result<(), Refusal> {
    match (need, token) {
        (Need::Nothing, _) | (Need::AnyToken, Some(_)) => Ok(()),
        (_, None) => Err(Credentials::missing(request)),
        (Need::Scope(scope), Some(token)) if token.may(scope) => Ok(()),
        (Need::Scope(scope), Some(token)) => Err(forbidden(format!(
            "the token `{}` lacks the scope `{}`; add it to its scopes in server.tokens_file, or send another token",
            token.name,
            scope.as_str()
        ))),
    }
}

fn is_write(request: &Parts) -> bool {
    !matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn too_many(per_minute: u64, token: Option<&Token>, is_near: bool, quota: Quota) -> Refusal {
    let (whose, setting) = match token {
        Some(token) if token.requests_per_minute.is_some() => (
            format!("the token `{}` has", token.name),
            "its requests_per_minute in server.tokens_file",
        ),
        Some(token) => (format!("the token `{}` has", token.name), of_place(is_near)),
        None => (
            "an address without a token has".to_owned(),
            of_place(is_near),
        ),
    };
    let sentence = format!(
        "{whose} {per_minute} requests a minute, and these are used up; wait, or raise {setting}"
    );
    Failure::new(Kind::RateLimited, sentence)
        .after(quota.wait)
        .into()
}

const fn of_place(is_near: bool) -> &'static str {
    if is_near {
        "server.rate_limit_near"
    } else {
        "server.rate_limit"
    }
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
mod table;
#[cfg(test)]
mod tests;
