//! A fan's playlist: songs of many bands on one page.
//!
//! Owns the wire shape of its `data-blob` (field notes, 19). Its songs have no audio; each song's audio is requested
//! when its download starts. It asks for no second page: the first names all songs.

use serde::Deserialize;

use super::release::duration;
use super::{answer, html, requests};
use crate::error::ExtractError;
use crate::json::{self, fields};
use crate::link::{BandcampLink, Link};
use crate::origin::Page;
use crate::recipes::BandcampRecipe;
use crate::site::Site;
use crate::track::{BandcampSource, Collection, Entry, Source, Track, TrackId, Unavailable};

/// The most songs of one playlist.
const MOST_SONGS: usize = 5_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob {
    #[serde(default, deserialize_with = "fields::value")]
    app_data: Option<AppData>,
}

#[derive(Deserialize)]
struct AppData {
    #[serde(default, deserialize_with = "fields::text")]
    title: Option<String>,
    #[serde(default, deserialize_with = "fields::value")]
    tracklist: Option<TrackList>,
}

#[derive(Deserialize)]
struct TrackList {
    #[serde(default, deserialize_with = "fields::list")]
    tracks: Option<Vec<Listed>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(default, deserialize_with = "fields::number")]
    id: Option<u64>,
    #[serde(default, deserialize_with = "fields::text")]
    title: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    artist_name: Option<String>,
    #[serde(default, deserialize_with = "fields::value")]
    album: Option<ListedAlbum>,
    #[serde(default, deserialize_with = "fields::number")]
    band_id: Option<u64>,
    #[serde(default, deserialize_with = "fields::number")]
    art_id: Option<u64>,
    #[serde(default, deserialize_with = "fields::amount")]
    duration: Option<f64>,
    #[serde(default, deserialize_with = "fields::text")]
    url: Option<String>,
}

#[derive(Deserialize)]
struct ListedAlbum {
    #[serde(default, deserialize_with = "fields::text")]
    title: Option<String>,
}

/// Reads the page that `asked` led to.
/// # Errors
/// `unsupported_link` when it led off the site, `page_changed` for anything we cannot read.
pub(super) fn collection(
    page: &Page,
    asked: &BandcampLink,
    recipe: &BandcampRecipe,
) -> Result<Collection, ExtractError> {
    let changed = |field| ExtractError::PageChanged {
        site: Site::Bandcamp,
        page: requests::PLAYLIST_PAGE,
        field,
    };
    if !answer::is_on_the_site(page) {
        return Err(answer::led_away());
    }
    let text = page.text();
    let mut blobs = html::attributes(&text, "data-blob").peekable();
    blobs.peek().ok_or(changed("data-blob"))?;
    // Other parts of the page have their own blob.
    let (title, tracks) = blobs
        .filter_map(|escaped| json::read::<Blob>(html::unescape(escaped).as_bytes()).ok())
        .filter_map(|blob| blob.app_data)
        .find_map(|data| Some((data.title, data.tracklist?.tracks?)))
        .ok_or(changed("appData.tracklist.tracks"))?;
    let listed = tracks.len();
    let total = u32::try_from(listed).unwrap_or(u32::MAX);
    let entries: Vec<Entry> = (1..)
        .zip(tracks)
        .take(MOST_SONGS)
        .map(|(number, track)| track.entry(number, total, recipe))
        .collect();
    let link = asked.canonical();
    Ok(Collection {
        id: link.clone(),
        site: Site::Bandcamp,
        link,
        title,
        artist: None,
        cover_url: entries.iter().find_map(|entry| match entry {
            Entry::Track(track) => track.cover_url.clone(),
            Entry::Unavailable(_) => None,
        }),
        truncated: listed > entries.len(),
        entries,
        endless: false,
        rest: None,
    })
}

impl Listed {
    fn entry(self, number: u32, total: u32, recipe: &BandcampRecipe) -> Entry {
        let id = self
            .id
            .and_then(|id| Some((id, TrackId::new(Site::Bandcamp, &id.to_string())?)));
        let Some((track_id, id)) = id else {
            let error = ExtractError::PageChanged {
                site: Site::Bandcamp,
                page: requests::PLAYLIST_PAGE,
                field: "id",
            };
            return Entry::Unavailable(Unavailable {
                title: self.title,
                number,
                error,
            });
        };
        let page = match self.url.as_deref().map(Link::parse) {
            Some(Ok(Link::Bandcamp(link @ BandcampLink::Track { .. }))) => Some(link.canonical()),
            _ => None,
        };
        let link = page
            .clone()
            .unwrap_or_else(|| BandcampLink::TrackById { id: track_id }.canonical());
        let source = Source::Bandcamp(BandcampSource {
            page,
            track_id,
            band_id: self.band_id,
        });
        let title = self.title.unwrap_or_else(|| track_id.to_string());
        Entry::Track(Box::new(Track {
            artist: self.artist_name,
            album: self.album.and_then(|album| album.title),
            number: Some(number),
            total: Some(total),
            duration: duration(self.duration),
            cover_url: self
                .art_id
                .map(|art| format!("{}/a{art:010}_{}.jpg", recipe.cover_base, recipe.cover_size)),
            ..Track::new(id, source, link, title)
        }))
    }
}
