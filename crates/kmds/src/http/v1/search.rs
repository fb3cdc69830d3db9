//! `GET /api/v1/search`: what a site finds for words.
//!
//! Owns its parameters and the shape of its reply. A search starts no download, but it asks a site: the guard closes it
//! to foreign pages.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method};
use kmds_extract::Site;
use kmds_extract::search::{Hit, HitKind, MOST_RESULTS, SearchSite};
use serde::Serialize;

#[cfg(test)]
use super::super::answers::V1Refusals;
use super::super::error::{Refusal, V1};
use super::super::guard::Caller;
use super::super::links::Addresses;
use super::super::query::Query;
use super::super::state::Http;
use crate::app::Searched;

/// Results of a reply unless asked otherwise.
const RESULTS: usize = 10;

/// The results of a site.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(in crate::http) struct SearchReply {
    /// The words that were searched for.
    query: String,
    /// `youtube`, `youtube_music`, `soundcloud` or `bandcamp`.
    site: &'static str,
    /// In the site's order; for Bandcamp the songs before the albums.
    results: Vec<ResultReply>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct ResultReply {
    /// `song` or `collection`.
    kind: &'static str,
    #[cfg_attr(test, schema(value_type = String))]
    site: Site,
    id: String,
    title: String,
    artist: Option<String>,
    album: Option<String>,
    /// Seconds.
    duration: Option<f64>,
    cover_url: Option<String>,
    /// The link for `/api/v1/fetch`.
    link: String,
}

/// Searches a site by words.
///
/// One request to the site, remembered for ten minutes. Channels, artists, live streams and what is not out yet are
/// left out.
#[cfg_attr(test, utoipa::path(get, path = "/api/v1/search", tag = "v1",
    params(
        ("q" = String, Query, description = "Words, at most 200 characters"),
        ("site" = Option<String>, Query, description = "`youtube`, `youtube_music`, `soundcloud` or `bandcamp`; by default the one of the setting `search.site`"),
        ("limit" = Option<u8>, Query, description = "1 to 25, 10 by default"),
    ),
    responses(V1Refusals, (status = 200, description = "What the site found", body = SearchReply))))]
pub(in crate::http) async fn search(
    State(http): State<Http>,
    request: Parts,
) -> Result<Response, V1> {
    let query = Query::of(&request.uri).only(&["q", "site", "limit"])?;
    let (at, limit) = (place(&query)?, limit(&query)?);
    let missing = || Refusal::bad_request("what is searched for? ask for /api/v1/search?q=WORDS");
    let words = query.get("q").ok_or_else(missing)?;
    if request.method == Method::HEAD {
        // The site is not asked.
        http.app().check_search(&words, at)?;
        return Ok([(CONTENT_TYPE, HeaderValue::from_static("application/json"))].into_response());
    }
    let Searched { words, at, hits } = http.app().search(&words, at).await?;
    let addresses = Addresses::of(&http, Caller::of(&request)?);
    let result = |hit| ResultReply::new(hit, &addresses);
    let results = hits.iter().take(limit).map(result).collect();
    Ok(Json(SearchReply {
        query: words,
        site: at.as_str(),
        results,
    })
    .into_response())
}

fn place(query: &Query<'_>) -> Result<Option<SearchSite>, Refusal> {
    let unknown = || {
        let known = SearchSite::ALL.map(SearchSite::as_str).join(", ");
        Refusal::bad_request(format!(
            "there is no such site to search; use one of {known}"
        ))
    };
    query
        .get("site")
        .map(|word| SearchSite::parse(&word).ok_or_else(unknown))
        .transpose()
}

fn limit(query: &Query<'_>) -> Result<usize, Refusal> {
    let Some(text) = query.get("limit") else {
        return Ok(RESULTS);
    };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let limit = text
        .parse()
        .ok()
        .filter(|limit| digits && (1..=MOST_RESULTS).contains(limit));
    limit.ok_or_else(|| {
        Refusal::bad_request(format!("limit is out of range; use 1 to {MOST_RESULTS}"))
    })
}

impl ResultReply {
    fn new(hit: &Hit, addresses: &Addresses) -> Self {
        // Songs are remembered for their covers, lists are not.
        let cover_url = match hit.kind {
            HitKind::Song => addresses.cover(&hit.id, hit.cover_url.as_ref()),
            HitKind::Collection => addresses.cover_at_site(hit.cover_url.as_ref()),
        };
        Self {
            kind: hit.kind.as_str(),
            site: hit.id.site(),
            id: hit.id.id().to_owned(),
            title: hit.title.clone(),
            artist: hit.artist.clone(),
            album: hit.album.clone(),
            duration: hit.duration.map(|length| length.as_secs_f64()),
            cover_url,
            link: hit.link.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn site_and_limit_are_known_words_and_numbers_or_refused() {
        let read = |text: &str| {
            let uri: http::Uri = format!("/x?{text}").parse().expect("a path");
            let query = Query::of(&uri);
            Some((place(&query).ok()?, limit(&query).ok()?))
        };
        assert_eq!(read("q=x"), Some((None, 10)));
        assert_eq!(
            read("site=youtube_music&limit=25"),
            Some((Some(SearchSite::YouTubeMusic), 25))
        );
        for bad in [
            "site=",
            "site=YouTube",
            "site=vimeo",
            "limit=",
            "limit=0",
            "limit=26",
            "limit=%2B5",
            "limit=-1",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
