//! Words → songs and albums.
//!
//! Owns the wire shape of the site's suggestions. It leaves out bands and fans. Songs come first: a site that finds 25
//! albums and 20 songs lists the albums first, but a client searches here to play something. It asks once.

use serde::Deserialize;

use super::{answer, requests};
use crate::error::ExtractError;
use crate::json::{self, fields};
use crate::link::{BandcampLink, Link};
use crate::origin::Origin;
use crate::recipes::{BandcampRecipe, Recipes};
use crate::search::{Hit, HitKind};
use crate::site::Site;
use crate::track::{BandcampSource, Source, TrackId};

#[derive(Deserialize)]
struct Answer {
    #[serde(default, deserialize_with = "fields::value")]
    auto: Option<Auto>,
}

#[derive(Deserialize)]
struct Auto {
    #[serde(default, deserialize_with = "fields::list")]
    results: Option<Vec<RawResult>>,
}

#[derive(Deserialize, Default)]
struct RawResult {
    #[serde(default, rename = "type", deserialize_with = "fields::text")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "fields::number")]
    id: Option<u64>,
    #[serde(default, deserialize_with = "fields::text")]
    name: Option<String>,
    #[serde(default, deserialize_with = "fields::number")]
    band_id: Option<u64>,
    #[serde(default, deserialize_with = "fields::text")]
    band_name: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    album_name: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    item_url_path: Option<String>,
    #[serde(default, deserialize_with = "fields::number")]
    art_id: Option<u64>,
}

pub(crate) async fn search(
    words: &str,
    origin: &impl Origin,
    recipes: &Recipes,
) -> Result<Vec<Hit>, ExtractError> {
    let recipe = &recipes.bandcamp;
    let answer = origin.send(requests::search(words, recipe)).await;
    let page = answer::readable(answer, requests::SEARCH, origin.now_unix(), recipe)?;
    let changed = |field| ExtractError::PageChanged {
        site: Site::Bandcamp,
        page: requests::SEARCH,
        field,
    };
    let read: Answer = json::read(&page.body).map_err(|_| changed("JSON object"))?;
    let results = read
        .auto
        .and_then(|auto| auto.results)
        .ok_or(changed("results"))?;
    let hits: Vec<Hit> = results
        .into_iter()
        .filter_map(|found| hit(found, recipe))
        .collect();
    let (songs, albums): (Vec<Hit>, Vec<Hit>) =
        hits.into_iter().partition(|hit| hit.kind == HitKind::Song);
    Ok(songs.into_iter().chain(albums).collect())
}

fn hit(found: RawResult, recipe: &BandcampRecipe) -> Option<Hit> {
    let id = found.id?;
    let kind = match found.kind.as_deref()? {
        "t" => HitKind::Song,
        "a" => HitKind::Collection,
        _ => return None,
    };
    let page = match (found.item_url_path.as_deref().map(Link::parse), kind) {
        (Some(Ok(Link::Bandcamp(link @ BandcampLink::Track { .. }))), HitKind::Song)
        | (Some(Ok(Link::Bandcamp(link @ BandcampLink::Album { .. }))), HitKind::Collection) => {
            Some(link.canonical())
        }
        _ => None,
    };
    let by_id = match kind {
        HitKind::Song => BandcampLink::TrackById { id },
        HitKind::Collection => BandcampLink::AlbumById { id },
    };
    let source = BandcampSource {
        page: page.clone(),
        track_id: id,
        band_id: found.band_id,
    };
    Some(Hit {
        kind,
        id: TrackId::new(Site::Bandcamp, &id.to_string())?,
        title: found.name?.trim().to_owned(),
        artist: found.band_name,
        album: found.album_name.filter(|_| kind == HitKind::Song),
        duration: None,
        cover_url: found
            .art_id
            .map(|art| format!("{}/a{art:010}_{}.jpg", recipe.cover_base, recipe.cover_size)),
        link: page.unwrap_or_else(|| by_id.canonical()),
        source: (kind == HitKind::Song).then_some(Source::Bandcamp(source)),
    })
}
