//! The requests that Bandcamp answers, as values.
//!
//! Owns their URLs and headers: a browser's User-Agent and language, and never a cookie, because play limits count per
//! visitor. It sends nothing.

use crate::origin::{Method, PageRequest};
use crate::recipes::BandcampRecipe;
use crate::site::Site;

/// Names of the pages in logs and errors.
pub(super) const RELEASE_PAGE: &str = "release page";
pub(super) const MOBILE_ANSWER: &str = "mobile answer";
pub(super) const PLAYER_PAGE: &str = "embedded player page";
pub(super) const PLAYLIST_PAGE: &str = "playlist page";
pub(super) const SEARCH: &str = "search answer";

/// Upper bound of a page in bytes: 62 songs make 457 KB (field notes, 3).
const PAGE_BYTES: usize = 8 << 20;

/// Used instead of an unknown band id; the mobile interface needs one, but not the true one (field notes, 9).
pub(super) const ANY_BAND: u64 = 1;

/// What a bare id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Release {
    Track(u64),
    Album(u64),
}

/// The page of a track or an album.
pub(super) fn release_page(url: &str, recipe: &BandcampRecipe) -> PageRequest {
    get(RELEASE_PAGE, url.to_owned(), recipe)
}

pub(super) fn playlist_page(url: &str, recipe: &BandcampRecipe) -> PageRequest {
    get(PLAYLIST_PAGE, url.to_owned(), recipe)
}

/// The mobile app's answer about a release: 2 KB for a track, where its page has 200.
pub(super) fn mobile(
    release: Release,
    band_id: Option<u64>,
    recipe: &BandcampRecipe,
) -> PageRequest {
    let (id, letter) = match release {
        Release::Track(id) => (id, 't'),
        Release::Album(id) => (id, 'a'),
    };
    let band = band_id.unwrap_or(ANY_BAND);
    let base = &recipe.mobile_api;
    let url =
        format!("{base}/tralbum_details?band_id={band}&tralbum_id={id}&tralbum_type={letter}");
    get(MOBILE_ANSWER, url, recipe)
}

/// The page behind an embedded player, for bare ids.
pub(super) fn player_page(release: Release, recipe: &BandcampRecipe) -> PageRequest {
    let url = match release {
        Release::Track(id) => format!("https://bandcamp.com/EmbeddedPlayer/track={id}"),
        Release::Album(id) => format!("https://bandcamp.com/EmbeddedPlayer/album={id}"),
    };
    get(PLAYER_PAGE, url, recipe)
}

/// Songs, albums and bands for words: the request of the site's own search field while a person types.
pub(super) fn search(words: &str, recipe: &BandcampRecipe) -> PageRequest {
    let body = serde_json::json!({"search_text": words, "search_filter": "", "full_page": false, "fan_id": null});
    let asked =
        get(SEARCH, recipe.search_api.clone(), recipe).header("Content-Type", "application/json");
    PageRequest {
        method: Method::Post,
        body: Some(body.to_string().into_bytes()),
        ..asked
    }
}

fn get(page: &'static str, url: String, recipe: &BandcampRecipe) -> PageRequest {
    let mut request = PageRequest::get(Site::Bandcamp, page, url)
        .header("User-Agent", recipe.user_agent.as_str())
        .header("Accept-Language", recipe.language.as_str());
    request.max_bytes = PAGE_BYTES;
    request
}
