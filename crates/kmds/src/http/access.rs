//! Which client may use which route: one row for each route (docs/api.md, "The door").
//!
//! A route without a row is closed: it needs the scope `manage`, and no foreign page may read it.

use http::Method;

use super::tokens::Scope;

/// What a route needs, if tokens are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// No token at all.
    Nothing,
    /// Any token: there is nothing at this path.
    AnyToken,
    Scope(Scope),
}

/// What a page of another site may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign {
    /// It starts work, or changes something.
    Closed,
    /// It starts nothing.
    Harmless,
    /// It gives songs that are in the cache; the handler
    /// asks [`Caller::barred`](super::guard::Caller) and starts nothing.
    WhatIsHere,
}

/// Which requests a route admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) need: Need,
    pub(super) foreign: Foreign,
    /// A signature in the address is accepted instead of a token.
    pub(super) signed: bool,
}

type Row = (&'static str, &'static str, Need, Foreign, bool);

const LISTEN: Need = Need::Scope(Scope::Listen);
const FETCH: Need = Need::Scope(Scope::Fetch);
const MANAGE: Need = Need::Scope(Scope::Manage);
const NOTHING: Need = Need::Nothing;
/// A signed address opens it.
const SIGNED: bool = true;
const TOKEN: bool = false;

#[rustfmt::skip]
const ROWS: &[Row] = {
    use Foreign::{Closed, Harmless, WhatIsHere};
    &[
    // A browser is redirected to the page; the handler asks all other clients for a token.
    ("get",    "/",                                 NOTHING, Harmless,   TOKEN),
    ("get",    "/fetch",                            FETCH,   Closed,     TOKEN),
    ("post",   "/fetch",                            FETCH,   Closed,     TOKEN),
    ("get",    "/tunnel",                           LISTEN,  WhatIsHere, SIGNED),
    ("get",    "/play",                             FETCH,   Closed,     SIGNED),
    ("post",   "/api/v1/fetch",                     FETCH,   Closed,     TOKEN),
    ("get",    "/api/v1/search",                    FETCH,   Closed,     TOKEN),
    ("get",    "/api/v1/tracks",                    LISTEN,  Harmless,   TOKEN),
    ("get",    "/api/v1/tracks/{site}/{id}",        LISTEN,  Harmless,   TOKEN),
    ("delete", "/api/v1/tracks/{site}/{id}",        MANAGE,  Closed,     TOKEN),
    ("post",   "/api/v1/tracks/{site}/{id}/retry",  FETCH,   Closed,     TOKEN),
    ("get",    "/api/v1/tracks/{site}/{id}/audio",  LISTEN,  WhatIsHere, SIGNED),
    ("get",    "/api/v1/tracks/{site}/{id}/cover",  LISTEN,  WhatIsHere, SIGNED),
    ("get",    "/api/v1/tracks/{site}/{id}/{form}", LISTEN,  WhatIsHere, TOKEN),
    ("get",    "/api/v1/tracks/{site}/{id}/{form}/audio", LISTEN, WhatIsHere, SIGNED),
    ("post",   "/api/v1/tracks/{site}/{id}/{form}/hold",  FETCH,  Closed,     TOKEN),
    ("delete", "/api/v1/tracks/{site}/{id}/{form}/hold",  FETCH,  Closed,     TOKEN),
    ("post",   "/api/v1/tracks/{site}/{id}/{form}/pin",   MANAGE, Closed,     TOKEN),
    ("delete", "/api/v1/tracks/{site}/{id}/{form}/pin",   MANAGE, Closed,     TOKEN),
    ("delete", "/api/v1/collections/{id}",          MANAGE,  Closed,     TOKEN),
    // Songs that are put there stay for good.
    ("post",   "/api/v1/library",                   MANAGE,  Closed,     TOKEN),
    ("get",    "/api/v1/library/{id}",              LISTEN,  Harmless,   TOKEN),
    ("put",    "/api/v1/queues/{name}",             FETCH,   Closed,     TOKEN),
    ("get",    "/api/v1/queues/{name}",             FETCH,   Closed,     TOKEN),
    ("delete", "/api/v1/queues/{name}",             FETCH,   Closed,     TOKEN),
    ("get",    "/api/v1/events",                    LISTEN,  Harmless,   TOKEN),
    ("post",   "/api/v1/recipes/reload",            MANAGE,  Closed,     TOKEN),
    ("get",    "/api/v1/stats",                     LISTEN,  Harmless,   TOKEN),
    ("get",    "/healthz",                          NOTHING, Harmless,   TOKEN),
    ("get",    "/readyz",                           LISTEN,  Harmless,   TOKEN),
    ("get",    "/metrics",                          LISTEN,  Harmless,   TOKEN),
    ("get",    "/openapi.json",                     LISTEN,  Harmless,   TOKEN),
    // Without a token the page is the form that takes one.
    ("get",    "/ui",                               NOTHING, Harmless,   TOKEN),
    ("get",    "/ui/",                              NOTHING, Harmless,   TOKEN),
    ("get",    "/ui/login",                         NOTHING, Harmless,   TOKEN),
    ("post",   "/ui/login",                         NOTHING, Closed,     TOKEN),
    ("post",   "/ui/logout",                        NOTHING, Closed,     TOKEN),
    ("get",    "/ui/{file}",                        NOTHING, Harmless,   TOKEN),
    ]
};

impl Access {
    /// For a method, and the pattern of a path if it has one.
    pub(super) fn of(method: &Method, route: Option<&str>) -> Self {
        let word = match *method {
            Method::GET | Method::HEAD => "get",
            Method::POST => "post",
            Method::PUT => "put",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        };
        let mut rows = ROWS.iter().filter(|row| Some(row.1) == route).peekable();
        let is_known = route.is_none() || rows.peek().is_some();
        if let Some((_, _, need, foreign, signed)) = rows.find(|row| row.0 == word).copied() {
            return Self {
                need,
                foreign,
                signed,
            };
        }
        // The answer is 404 or 405, and starts nothing; a write is refused before it.
        let is_write = matches!(word, "post" | "put" | "patch" | "delete");
        Self {
            need: if is_known { Need::AnyToken } else { MANAGE },
            foreign: if is_write || !is_known {
                Foreign::Closed
            } else {
                Foreign::Harmless
            },
            signed: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::routes::routes;
    use super::*;

    #[test]
    fn every_route_has_a_row_and_every_row_a_route() {
        let rows: BTreeSet<(&str, &str)> = ROWS.iter().map(|row| (row.0, row.1)).collect();
        assert_eq!(rows.len(), ROWS.len(), "one row each");
        assert_eq!(rows, routes().listed.into_iter().collect());
    }

    #[test]
    fn a_write_is_closed_to_foreign_pages_and_a_signed_address_only_reads() {
        for (method, path, _, foreign, signed) in ROWS {
            assert!(*method == "get" || *foreign == Foreign::Closed, "{path}");
            assert!(*method == "get" || !signed, "{path}");
        }
    }

    #[test]
    fn what_has_no_row_is_closed() {
        let slip = Access::of(&Method::GET, Some("/new"));
        assert_eq!((slip.need, slip.foreign), (MANAGE, Foreign::Closed));
        let nowhere = Access::of(&Method::GET, None);
        let expected = (Need::AnyToken, Foreign::Harmless);
        assert_eq!((nowhere.need, nowhere.foreign), expected);
        let wrong = Access::of(&Method::PUT, Some("/tunnel"));
        assert_eq!(
            (wrong.need, wrong.foreign),
            (Need::AnyToken, Foreign::Closed)
        );
        let options = Access::of(&Method::OPTIONS, Some("/fetch"));
        assert_eq!(options.foreign, Foreign::Harmless);
        assert_eq!(
            Access::of(&Method::HEAD, Some("/play")),
            Access::of(&Method::GET, Some("/play"))
        );
    }
}
