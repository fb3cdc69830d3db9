//! YouTube: from a link to a track or a list.
//!
//! Owns which flow answers which link. Client identities, visitor ids and continuations each have their own module. It
//! downloads nothing, and requests no page that is made for browsers.
//!
//! | link | requests |
//! | --- | --- |
//! | video | 1 `player`, and 1 `visitor_id` every few hours |
//! | list | 1 `browse` per 100 songs |
//! | mix | 1 `next` |
//! | words | 1 `search` |
//! | album of YouTube Music | 1 `browse` for its list's id, then as a list |

mod identity;
mod itag;
mod list;
mod parse;
mod requests;
mod script;
mod search;
mod video;

use std::time::Duration;

pub(crate) use search::{music as search_music, videos as search};

use crate::error::ExtractError;
use crate::failure::Kind;
use crate::link::youtube::{VideoId, YouTubeLink};
use crate::origin::{Origin, Page};
use crate::recipes::Recipes;
use crate::site::Site;
use crate::track::{Collection, Resolved, Track};

/// Resolves a link. A video that is refused for the native client has its metadata, no streams, and [`Track::withheld`]
/// set.
/// # Errors
/// See [`ExtractError`].
pub async fn resolve(
    at: &YouTubeLink,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Resolved, ExtractError> {
    match at {
        YouTubeLink::Video { id, .. } => video::resolve(*id, origin, recipes)
            .await
            .map(|track| Resolved::Track(Box::new(track))),
        YouTubeLink::List(list) => list::resolve(list, origin, recipes).await,
        YouTubeLink::Mix { list, seed } => list::mix(list, *seed, origin, recipes).await,
        YouTubeLink::MusicAlbum(id) => list::album(id, origin, recipes).await,
        YouTubeLink::PrivateList(_) => Err(refused(
            Kind::Private,
            "this list is private; make it public or unlisted, or paste its songs",
            None,
        )),
        YouTubeLink::Channel(_) => Err(ExtractError::UnsupportedLink {
            reason: "YouTube: this is a channel; paste the link of a song or a playlist".to_owned(),
        }),
    }
}

/// See [`crate::resume`].
/// # Errors
/// See [`ExtractError`].
pub async fn resume(
    so_far: Collection,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Option<Collection>, ExtractError> {
    list::resume(so_far, origin, recipes).await
}

/// Asks for one video again, for fresh stream URLs. For one that is refused for the native client, one more call may
/// bring a stream with video and audio ([`Stream::muxed`](crate::Stream::muxed)).
/// # Errors
/// [`ExtractError::Withheld`] where that has none; else see [`ExtractError`].
pub async fn refresh(
    video: &str,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Track, ExtractError> {
    let id = VideoId::parse(video).ok_or_else(|| ExtractError::UnsupportedLink {
        reason: "YouTube: this video id cannot be right".to_owned(),
    })?;
    video::refresh(id, origin, recipes).await
}

/// The identity of the file behind a media URL, as in the validators of native streams: a download of the same file
/// continues with a URL of any engine or client.
#[must_use]
pub fn file_of(url: &str) -> Option<String> {
    parse::streams::file_of(url)
}

/// The audio of this client ([`Stream::client`](crate::Stream::client)) ends at a wall: it is not used for an hour.
/// Returns whether another client is left.
pub fn walled(client: &str, origin: &impl Origin, recipes: &Recipes) -> bool {
    match recipes
        .youtube
        .identities
        .iter()
        .find(|identity| identity.name == client)
    {
        Some(identity) => {
            identity::switch_off(identity, origin);
            identity::is_one_left(origin, recipes)
        }
        None => {
            let scripted = &recipes.youtube.script.identity;
            if scripted.name == client {
                script::leave(origin, recipes);
            }
            scripted.name == client && identity::is_one_left(origin, recipes)
        }
    }
}

/// Bytes that a song of this length will have as itag 140, estimated from a list's page (field notes, 4.3).
#[must_use]
pub fn estimated_size(duration: Option<Duration>, recipes: &Recipes) -> Option<u64> {
    let bytes = f64::from(recipes.youtube.aac_bitrate_bps) / 8.0 * duration?.as_secs_f64();
    Some(bytes.round() as u64)
}

fn refused(kind: Kind, reason: &str, title: Option<String>) -> ExtractError {
    ExtractError::Refused {
        site: Site::YouTube,
        kind,
        reason: reason.to_owned(),
        title,
    }
}

fn page_changed(page: &'static str, field: &'static str) -> ExtractError {
    ExtractError::PageChanged {
        site: Site::YouTube,
        page,
        field,
    }
}

/// The error of HTTP 403 and 429, which are about this address.
fn limited(page: &Page, origin: &impl Origin, recipes: &Recipes) -> ExtractError {
    let wait = page
        .retry_after(origin.now_unix())
        .unwrap_or(recipes.youtube.limited_wait);
    ExtractError::RateLimited {
        site: Site::YouTube,
        retry_after: Some(wait),
    }
}

/// The error of a status without its own rule in a flow.
fn by_status(
    page: &Page,
    name: &'static str,
    origin: &impl Origin,
    recipes: &Recipes,
) -> ExtractError {
    match page.status {
        403 | 429 => limited(page, origin, recipes),
        401 => ExtractError::OriginRefused {
            site: Site::YouTube,
            page: name,
            status: page.status,
        },
        404 => refused(
            Kind::NotFound,
            "there is no such page; it was deleted or never existed",
            None,
        ),
        500.. => ExtractError::OriginFailed {
            site: Site::YouTube,
            page: name,
            reason: format!("HTTP {}", page.status),
        },
        _ => page_changed(name, "HTTP status"),
    }
}
