//! The meaning of an answer before its content is read: statuses, challenges, redirects that lead off the site.
//!
//! Owns the first half of the failure table (field notes, 17). It reads no release.

use super::requests;
use crate::error::ExtractError;
use crate::failure::Kind;
use crate::link::{BandcampLink, Link};
use crate::origin::{OriginError, Page};
use crate::recipes::BandcampRecipe;
use crate::site::Site;

/// Accepts only a page that can be read.
/// # Errors
/// One row of the failure table each: `bot_check`, `rate_limited`, `not_found`, `unsupported_link`, `origin_failed`.
pub(super) fn readable(
    answer: Result<Page, OriginError>,
    page: &'static str,
    now_unix: u64,
    recipe: &BandcampRecipe,
) -> Result<Page, ExtractError> {
    let answer = answer.map_err(|error| match error {
        // Only a redirect can lead to a foreign host: links are checked before they are sent.
        OriginError::NotAllowed(_) => led_away(),
        other => other.at(Site::Bandcamp, page),
    })?;
    match answer.status {
        429 => Err(ExtractError::RateLimited {
            site: Site::Bandcamp,
            retry_after: answer.retry_after(now_unix),
        }),
        // The mobile interface reports unknown ids with 200: its 404 says that the interface itself has moved.
        404 | 410 if page != requests::MOBILE_ANSWER => Err(not_found()),
        // The delivery network blocks with 406 too.
        403 | 406 => Err(bot_check(recipe)),
        _ if is_challenge(&answer.body, recipe) => Err(bot_check(recipe)),
        200..=299 => Ok(answer),
        300..=399 => Err(led_away()),
        status @ 400..=499 => Err(ExtractError::OriginRefused {
            site: Site::Bandcamp,
            page,
            status,
        }),
        status => Err(ExtractError::OriginFailed {
            site: Site::Bandcamp,
            page,
            reason: format!("HTTP {status}"),
        }),
    }
}

/// The release that a page answered as, after redirects.
/// # Errors
/// `unsupported_link` when the redirect left the bands' hosts.
pub(super) fn landed(page: &Page) -> Result<Landing, ExtractError> {
    match Link::parse(&page.final_url) {
        Ok(Link::Bandcamp(link @ (BandcampLink::Track { .. } | BandcampLink::Album { .. }))) => {
            Ok(Landing::Release(link))
        }
        _ => band_of(&page.final_url)
            .map(Landing::BandPage)
            .ok_or_else(led_away),
    }
}

/// Where a request for a release ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Landing {
    Release(BandcampLink),
    /// Another page of this band; its content tells whether it is a release.
    BandPage(String),
}

/// Whether the site itself answered, after redirects.
pub(super) fn is_on_the_site(page: &Page) -> bool {
    url::Url::parse(&page.final_url).is_ok_and(|url| {
        url.scheme() == "https"
            && url
                .host_str()
                .is_some_and(|host| host == "bandcamp.com" || host.ends_with(".bandcamp.com"))
    })
}

fn band_of(url: &str) -> Option<String> {
    let url = url::Url::parse(url)
        .ok()
        .filter(|url| url.scheme() == "https")?;
    let band = url.host_str()?.strip_suffix(".bandcamp.com")?;
    (!band.is_empty() && !band.contains('.') && band != "www" && band != "daily")
        .then(|| band.to_owned())
}

/// The challenge comes with 200, is about 3 KB long and must never count as a changed page.
fn is_challenge(body: &[u8], recipe: &BandcampRecipe) -> bool {
    // A mobile answer is as short, and a song may have any name.
    body.len() < recipe.challenge_bytes && !body.trim_ascii_start().starts_with(b"{") && {
        let text = String::from_utf8_lossy(body);
        recipe
            .challenge_marks
            .iter()
            .any(|mark| text.contains(mark.as_str()))
    }
}

fn bot_check(recipe: &BandcampRecipe) -> ExtractError {
    ExtractError::BotCheck {
        site: Site::Bandcamp,
        retry_after: Some(recipe.bot_pause),
    }
}

pub(super) fn not_found() -> ExtractError {
    ExtractError::Refused {
        site: Site::Bandcamp,
        kind: Kind::NotFound,
        reason: "this release does not exist, or is no longer public".to_owned(),
        title: None,
    }
}

pub(super) fn led_away() -> ExtractError {
    ExtractError::UnsupportedLink {
        reason:
            "Bandcamp: the link leads to another site; open the page, use its bandcamp.com link"
                .to_owned(),
    }
}
