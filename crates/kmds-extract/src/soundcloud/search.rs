//! Words → songs.
//!
//! Owns how a result becomes a [`Hit`]. A song of which only a preview is free, or that is blocked
//! here, is a result that cannot be played. It asks once.

use super::api::Api;
use super::build::{self, changed};
use super::formats::milliseconds;
use super::parse::{self, RawTrack};
use super::requests;
use crate::error::ExtractError;
use crate::origin::Origin;
use crate::recipes::Recipes;
use crate::search::{Hit, HitKind, MOST_RESULTS};
use crate::site::Site;
use crate::track::{Source, TrackId};

const PAGE: &str = "search answer";

pub(crate) async fn search(
    words: &str,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Vec<Hit>, ExtractError> {
    let api = Api {
        origin,
        recipe: &recipes.soundcloud,
    };
    let answer = api
        .call(requests::search(words, MOST_RESULTS, api.recipe))
        .await?;
    match answer.status {
        404 => return Err(changed(PAGE, "HTTP status")),
        400 => return Err(api.refusal(&answer, PAGE)),
        _ => {}
    }
    let found = parse::search(&answer.body).map_err(|field| changed(PAGE, field))?;
    Ok(found.iter().filter_map(hit).collect())
}

fn hit(raw: &RawTrack) -> Option<Hit> {
    let id = raw.id?;
    let published = raw.publisher_metadata.as_ref();
    let username = || raw.user.as_ref().and_then(|user| user.username.clone());
    let is_preview = raw.policy.as_deref() == Some("SNIP");
    let whole = if is_preview {
        raw.full_duration
    } else {
        raw.duration
    };
    Some(Hit {
        kind: HitKind::Song,
        id: TrackId::new(Site::SoundCloud, &id.to_string())?,
        title: raw.title.clone()?,
        artist: published
            .and_then(|published| published.artist.clone())
            .or_else(username),
        album: published.and_then(|published| published.album_title.clone()),
        duration: milliseconds(whole),
        cover_url: build::cover(raw),
        link: build::link(raw, id, None),
        source: is_playable(raw).then_some(Source::SoundCloud { id, secret: None }),
    })
}

fn is_playable(raw: &RawTrack) -> bool {
    let forbidden = raw
        .policy
        .as_deref()
        .and_then(|policy| build::forbidden(policy, raw));
    let unfinished = raw
        .state
        .as_deref()
        .is_some_and(|state| state != "finished");
    forbidden.is_none() && raw.streamable != Some(false) && !unfinished
}
