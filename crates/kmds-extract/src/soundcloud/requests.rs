//! The requests SoundCloud answers, as values.
//!
//! Owns paths, parameters and headers (field notes, 4). API calls come without a client id: [`with_client_id`] adds it
//! as late as possible, so that a renewed one can replace it. It sends nothing.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::origin::{PageRequest, Redirects};
use crate::recipes::SoundCloudRecipe;
use crate::site::Site;

/// Characters that must be escaped in a query value.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
/// The client id stands within the first 3 KB of its script, which has about 3 MB (field notes, 3).
const SCRIPT_HEAD: &str = "bytes=0-50000";

pub fn encode(value: &str) -> String {
    utf8_percent_encode(value, VALUE).to_string()
}

fn get(page: &'static str, url: String, recipe: &SoundCloudRecipe) -> PageRequest {
    PageRequest::get(Site::SoundCloud, page, url)
        .header("user-agent", &recipe.user_agent)
        .header("accept-language", &recipe.accept_language)
}

fn api_host(recipe: &SoundCloudRecipe) -> &str {
    recipe.api.trim_start_matches("https://")
}

pub fn home_page(recipe: &SoundCloudRecipe) -> PageRequest {
    get("home page", "https://soundcloud.com/".to_owned(), recipe).before(api_host(recipe))
}

pub fn script(url: &str, whole: bool, max_bytes: usize, recipe: &SoundCloudRecipe) -> PageRequest {
    let request = PageRequest {
        max_bytes,
        insist: false,
        ..get("asset script", url.to_owned(), recipe)
    };
    if whole {
        request
    } else {
        request.header("range", SCRIPT_HEAD)
    }
}

pub fn short_link(url: &str, recipe: &SoundCloudRecipe) -> PageRequest {
    PageRequest {
        redirects: Redirects::Show,
        ..get("short link", url.to_owned(), recipe)
    }
    .before(api_host(recipe))
}

pub fn resolve(canonical: &str, recipe: &SoundCloudRecipe) -> PageRequest {
    get(
        "resolve answer",
        format!("{}/resolve?url={}", recipe.api, encode(canonical)),
        recipe,
    )
}

pub fn track(id: u64, secret: Option<&str>, recipe: &SoundCloudRecipe) -> PageRequest {
    let secret = secret
        .map(|token| format!("?secret_token={}", encode(token)))
        .unwrap_or_default();
    get(
        "track answer",
        format!("{}/tracks/{id}{secret}", recipe.api),
        recipe,
    )
}

pub fn set(id: u64, secret: Option<&str>, recipe: &SoundCloudRecipe) -> PageRequest {
    let secret = secret
        .map(|token| format!("&secret_token={}", encode(token)))
        .unwrap_or_default();
    get(
        "set answer",
        format!(
            "{}/playlists/{id}?representation=compact{secret}",
            recipe.api
        ),
        recipe,
    )
}

/// A private set: the site tells its songs only to a request with its id and token.
pub struct SetSecret {
    pub set: u64,
    pub token: String,
}

pub fn tracks(ids: &[u64], secret: Option<&SetSecret>, recipe: &SoundCloudRecipe) -> PageRequest {
    let ids = ids.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let secret = secret
        .map(|secret| {
            format!(
                "&playlistId={}&playlistSecretToken={}",
                secret.set,
                encode(&secret.token)
            )
        })
        .unwrap_or_default();
    get(
        "tracks batch",
        format!("{}/tracks?ids={ids}{secret}", recipe.api),
        recipe,
    )
}

pub fn search(words: &str, limit: usize, recipe: &SoundCloudRecipe) -> PageRequest {
    let url = format!(
        "{}/search/tracks?q={}&limit={limit}&offset=0",
        recipe.api,
        encode(words)
    );
    get("search answer", url, recipe)
}

/// `url` as kept in a stream: the format URL with the track's authorization and token, and no client id.
pub fn format(url: &str, media_host: Option<&String>, recipe: &SoundCloudRecipe) -> PageRequest {
    PageRequest {
        next_host: media_host.cloned(),
        ..get("format answer", url.to_owned(), recipe)
    }
}

pub fn with_client_id(request: &PageRequest, id: &str) -> PageRequest {
    let joint = if request.url.contains('?') { '&' } else { '?' };
    PageRequest {
        url: format!("{}{joint}client_id={}", request.url, encode(id)),
        ..request.clone()
    }
}
