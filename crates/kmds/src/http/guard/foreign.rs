//! Requests of a page of another site, as a browser tells it, and why such a request starts nothing.
//!
//! A browser tells the page by `Sec-Fetch-Site`, `Origin` or `Referer`; on plain-http names only by the last. Programs
//! send none of these.

use http::HeaderName;
use http::header::{HeaderMap, ORIGIN, REFERER};

use super::super::error::Refusal;
use super::forbidden;
use super::host::host_and_port;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Values of `Referer` that name no page.
const NO_PAGE: [&str; 3] = ["", "about:blank", "about:client"];

/// Why a request that is admitted must start nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Barred {
    /// A browser says that a page of another site sent it.
    ForeignPage,
    /// Its token lacks the scope `fetch`.
    OnlyListens,
}

impl Barred {
    /// The answer to a request that would have to start work.
    pub(in crate::http) fn refusal(self) -> Refusal {
        match self {
            Self::ForeignPage => forbidden(
                "a page of another site asks for something that would start work; open this address yourself, \
                 use this server's own page at /ui/, or ask from a program. If it is this server's own page behind a proxy, \
                 set server.public_url",
            ),
            Self::OnlyListens => forbidden(
                "this is not here yet, and the token lacks the scope `fetch`, which fetches it; \
                 add `fetch` to the token's scopes in server.tokens_file, or send another token",
            ),
        }
    }
}

/// Whether a browser says, in any of its ways, that another site's page sent this request. An unreadable value counts
/// as another site.
pub(super) fn is_foreign(headers: &HeaderMap, own: &[&str]) -> bool {
    let any = |name: HeaderName, is_ours: &dyn Fn(&str) -> bool| {
        headers
            .get_all(name)
            .iter()
            .any(|value| !value.to_str().is_ok_and(|value| is_ours(value.trim())))
    };
    any(FETCH_SITE, &|site| matches!(site, "same-origin" | "none"))
        || any(ORIGIN, &|origin| is_own(origin, own))
        || any(REFERER, &|page| {
            NO_PAGE.contains(&page) || is_own(page, own)
        })
}

/// Whether a browser says that the page of KMDS sent this request. To be asked only for a request that is not foreign.
pub(super) fn is_by_own_page(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key(FETCH_SITE)
}

/// Whether a page, or an origin, is this service's, under one of its own names. The scheme is not compared: TLS may end
/// at a proxy.
fn is_own(page: &str, own: &[&str]) -> bool {
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
    own.iter()
        .any(|own| host_and_port(own, default).as_ref() == Some(&asked))
}
