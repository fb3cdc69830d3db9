//! What Bandcamp says about a bare id → [`Release`]: the mobile app's answer, and the embedded player's page.
//!
//! Owns both wire shapes (field notes, 9 and 13). It asks no site, and does not judge what can be played.

use serde::Deserialize;

use super::release::{Release, Song, duration};
use super::requests::{self, Release as Wanted};
use super::stream::Files;
use super::{answer, date, html};
use crate::error::ExtractError;
use crate::json::{self, fields};
use crate::link::{BandcampLink, Link};
use crate::site::Site;

#[derive(Deserialize)]
struct Mobile {
    #[serde(default, deserialize_with = "fields::flag")]
    error: bool,
    #[serde(default, deserialize_with = "fields::text")]
    error_message: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    title: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    bandcamp_url: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    tralbum_artist: Option<String>,
    #[serde(default, deserialize_with = "fields::number")]
    art_id: Option<u64>,
    #[serde(default, deserialize_with = "fields::number")]
    album_id: Option<u64>,
    #[serde(default, deserialize_with = "fields::text")]
    album_title: Option<String>,
    #[serde(default, deserialize_with = "fields::number")]
    release_date: Option<u64>,
    #[serde(default, deserialize_with = "fields::flag")]
    is_preorder: bool,
    #[serde(default, deserialize_with = "fields::value")]
    band: Option<MobileBand>,
    #[serde(default, deserialize_with = "fields::list")]
    tracks: Option<Vec<MobileTrack>>,
}

#[derive(Deserialize)]
struct MobileBand {
    #[serde(default, deserialize_with = "fields::number")]
    band_id: Option<u64>,
    #[serde(default, deserialize_with = "fields::text")]
    name: Option<String>,
}

#[derive(Deserialize, Default)]
struct MobileTrack {
    #[serde(default, deserialize_with = "fields::number")]
    track_id: Option<u64>,
    #[serde(default, deserialize_with = "fields::text")]
    title: Option<String>,
    #[serde(default, deserialize_with = "fields::number")]
    track_num: Option<u64>,
    #[serde(default, deserialize_with = "fields::amount")]
    duration: Option<f64>,
    #[serde(default)]
    streaming_url: Files,
    #[serde(default, deserialize_with = "fields::number")]
    art_id: Option<u64>,
}

#[derive(Deserialize)]
struct Player {
    #[serde(default, deserialize_with = "fields::text")]
    album_title: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    artist: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    linkback: Option<String>,
    #[serde(default, deserialize_with = "fields::number")]
    art_id: Option<u64>,
    #[serde(default, deserialize_with = "fields::list")]
    tracks: Option<Vec<PlayerTrack>>,
}

#[derive(Deserialize, Default)]
struct PlayerTrack {
    #[serde(default, deserialize_with = "fields::number")]
    id: Option<u64>,
    #[serde(default, deserialize_with = "fields::text")]
    title: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    artist: Option<String>,
    #[serde(default, deserialize_with = "fields::amount")]
    duration: Option<f64>,
    #[serde(default)]
    file: Files,
    #[serde(default, deserialize_with = "fields::text")]
    title_link: Option<String>,
    #[serde(default, deserialize_with = "fields::number")]
    art_id: Option<u64>,
}

/// Reads the mobile app's answer, which reports errors with HTTP 200.
/// # Errors
/// `not_found` when it says so, `page_changed` for anything we cannot read.
pub(super) fn mobile(body: &[u8], wanted: Wanted) -> Result<Release, ExtractError> {
    let read: Mobile =
        json::read(body).map_err(|_| changed(requests::MOBILE_ANSWER, "JSON object"))?;
    if read.error {
        let message = read.error_message.unwrap_or_default().to_ascii_lowercase();
        // Our stand-in for an unknown band was refused: that says nothing about the release.
        let stand_in_refused = message.contains(&format!("band_id {} ", requests::ANY_BAND));
        let missing = message.contains("not found") && !stand_in_refused;
        return Err(if missing {
            answer::not_found()
        } else {
            changed(requests::MOBILE_ANSWER, "tracks")
        });
    }
    let tracks = read
        .tracks
        .ok_or(changed(requests::MOBILE_ANSWER, "tracks"))?;
    let (is_album, id) = which(wanted);
    let numbered = is_album || read.album_id.is_some() || read.album_title.is_some();
    let (band_id, band_name) = read
        .band
        .map_or((None, None), |band| (band.band_id, band.name));
    Ok(Release {
        is_album,
        id,
        title: read.title,
        artist: read.tralbum_artist.or(band_name),
        album: read.album_title.filter(|_| !is_album),
        art_id: read.art_id,
        date: read.release_date.and_then(date::day_of_unix),
        preorder: read.is_preorder,
        members_only: false,
        band_id,
        link: public_link(read.bandcamp_url.as_deref(), wanted),
        bare_title: None,
        songs: tracks
            .into_iter()
            .map(|track| track.read(numbered))
            .collect(),
    })
}

/// Reads the page of an embedded player.
/// # Errors
/// `page_changed` for anything we cannot read.
pub(super) fn player(page: &str, wanted: Wanted) -> Result<Release, ExtractError> {
    let field = "data-player-data";
    let escaped = html::attribute(page, field).ok_or(changed(requests::PLAYER_PAGE, field))?;
    let read: Player = json::read(html::unescape(escaped).as_bytes())
        .map_err(|_| changed(requests::PLAYER_PAGE, field))?;
    let tracks = read
        .tracks
        .ok_or(changed(requests::PLAYER_PAGE, "tracks"))?;
    let (is_album, id) = which(wanted);
    let songs = tracks
        .into_iter()
        .map(|track| track.read(read.artist.as_deref()))
        .collect();
    Ok(Release {
        is_album,
        id,
        title: read.album_title.clone().filter(|_| is_album),
        artist: read.artist,
        album: read.album_title.filter(|_| !is_album),
        art_id: read.art_id,
        date: None,
        preorder: false,
        members_only: false,
        band_id: None,
        link: public_link(read.linkback.as_deref(), wanted),
        bare_title: None,
        songs,
    })
}

impl MobileTrack {
    fn read(self, numbered: bool) -> Song {
        Song {
            id: self.track_id,
            title: self.title,
            number: self
                .track_num
                .filter(|_| numbered)
                .and_then(|number| u32::try_from(number).ok()),
            duration: duration(self.duration),
            files: self.streaming_url,
            art_id: self.art_id,
            ..Song::default()
        }
    }
}

impl PlayerTrack {
    /// Players repeat the release's artist with every song.
    fn read(self, release_artist: Option<&str>) -> Song {
        Song {
            id: self.id,
            title: self.title,
            artist: self
                .artist
                .filter(|artist| Some(artist.as_str()) != release_artist),
            duration: duration(self.duration),
            files: self.file,
            page: self.title_link,
            art_id: self.art_id,
            ..Song::default()
        }
    }
}

const fn which(wanted: Wanted) -> (bool, u64) {
    match wanted {
        Wanted::Track(id) => (false, id),
        Wanted::Album(id) => (true, id),
    }
}

/// The release's page, if it is on a band's bandcamp.com host and of the wanted kind; else the id itself.
fn public_link(url: Option<&str>, wanted: Wanted) -> BandcampLink {
    match (url.map(Link::parse), wanted) {
        (Some(Ok(Link::Bandcamp(link @ BandcampLink::Track { .. }))), Wanted::Track(_))
        | (Some(Ok(Link::Bandcamp(link @ BandcampLink::Album { .. }))), Wanted::Album(_)) => link,
        (_, Wanted::Track(id)) => BandcampLink::TrackById { id },
        (_, Wanted::Album(id)) => BandcampLink::AlbumById { id },
    }
}

const fn changed(page: &'static str, field: &'static str) -> ExtractError {
    ExtractError::PageChanged {
        site: Site::Bandcamp,
        page,
        field,
    }
}
