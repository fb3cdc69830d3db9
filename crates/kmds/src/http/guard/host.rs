//! Reads and compares hosts: the host of a request, and hosts in addresses.

use http::Version;
use http::header::HOST;
use http::request::Parts;

use super::super::error::Refusal;

/// The host that a request names. HTTP/1.1 clients must name exactly one. Older ones may leave it out (no browser does,
/// so the check loses nothing); then it is the address that they connected to.
pub(super) fn named_host(request: &Parts, local: &str) -> Result<String, Refusal> {
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
        Some(host) => host.to_str().map(str::to_ascii_lowercase).map_err(|_| {
            Refusal::bad_request("the Host header is not ASCII; send the host in its ASCII form")
        }),
        None if request.version < Version::HTTP_11 => Ok(local.to_owned()),
        None => Err(Refusal::bad_request(
            "there is no Host header; HTTP/1.1 needs one",
        )),
    }
}

/// Domains that no person can register below, so that no page of the internet has a name there: multicast DNS (RFC
/// 6762), networks of homes (RFC 8375) and firms (ICANN's reservation of 2024), this machine (RFC 6761), and the one
/// that most routers give.
const PRIVATE_DOMAINS: [&str; 5] = ["local", "internal", "home.arpa", "lan", "localhost"];

/// Whether only a resolver of this network can give a name an address. An attacker's page lives under a registered
/// name, which has two labels at least, so that it cannot be made to ask this service (DNS rebinding). `host` has no
/// final dot.
pub(super) fn is_private_name(host: &str) -> bool {
    if !host.split('.').all(|label| !label.is_empty()) {
        return false;
    }
    let is_below = |domain| {
        host.strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.'))
    };
    !host.contains('.') || PRIVATE_DOMAINS.into_iter().any(is_below)
}

pub(super) fn host_of(authority: &str) -> Option<String> {
    host_and_port(authority, 0).map(|(host, _)| host)
}

/// Host without brackets and final dot, in lower case, and the port.
pub(super) fn host_and_port(authority: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        (
            host,
            if rest.is_empty() {
                None
            } else {
                Some(rest.strip_prefix(':')?)
            },
        )
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let port = match port {
        None | Some("") => default,
        Some(port) => port
            .parse()
            .ok()
            .filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))?,
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
    (!host.is_empty() && host.bytes().all(fits)).then_some((host, port))
}

pub(super) fn authority_of_url(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#'])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase()
}
