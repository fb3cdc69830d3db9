//! A track's or an album's page → [`Release`].
//!
//! Owns the places of the data in the page: `data-tralbum` for nearly all, `data-embed` and `ld+json` for a track's
//! album, `data-band` for the band (field notes, 3 to 5). It asks no site, and does not judge what can be played.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::answer::Landing;
use super::release::{Release, Song, duration};
use super::stream::Files;
use super::{date, html, requests};
use crate::error::ExtractError;
use crate::json::{self, fields};
use crate::link::{BandcampLink, Link};
use crate::site::Site;

#[derive(Deserialize)]
struct Tralbum {
    #[serde(default, deserialize_with = "fields::text")]
    item_type: Option<String>,
    #[serde(default, deserialize_with = "fields::number")]
    id: Option<u64>,
    #[serde(default, deserialize_with = "fields::text")]
    url: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    artist: Option<String>,
    #[serde(default, deserialize_with = "fields::number")]
    art_id: Option<u64>,
    #[serde(default, deserialize_with = "fields::text")]
    album_url: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    album_release_date: Option<String>,
    #[serde(default, deserialize_with = "fields::flag")]
    is_preorder: bool,
    #[serde(default, deserialize_with = "fields::flag")]
    album_is_preorder: bool,
    #[serde(default, deserialize_with = "fields::flag")]
    tralbum_subscriber_only: bool,
    current: Option<Current>,
    #[serde(default, deserialize_with = "fields::list")]
    trackinfo: Option<Vec<TrackInfo>>,
}

#[derive(Deserialize)]
struct Current {
    #[serde(default, rename = "type", deserialize_with = "fields::text")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "fields::number")]
    id: Option<u64>,
    #[serde(default, deserialize_with = "fields::text")]
    title: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    artist: Option<String>,
    #[serde(default, deserialize_with = "fields::number")]
    art_id: Option<u64>,
    #[serde(default, deserialize_with = "fields::number")]
    band_id: Option<u64>,
    #[serde(default, deserialize_with = "fields::number")]
    album_id: Option<u64>,
    #[serde(default, deserialize_with = "fields::number")]
    track_number: Option<u64>,
    #[serde(default, deserialize_with = "fields::text")]
    release_date: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    publish_date: Option<String>,
}

#[derive(Deserialize, Default)]
struct TrackInfo {
    #[serde(default, deserialize_with = "fields::number")]
    track_id: Option<u64>,
    #[serde(default, deserialize_with = "fields::number")]
    id: Option<u64>,
    #[serde(default, deserialize_with = "fields::text")]
    title: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    artist: Option<String>,
    #[serde(default, deserialize_with = "fields::number")]
    track_num: Option<u64>,
    #[serde(default, deserialize_with = "fields::amount")]
    duration: Option<f64>,
    #[serde(default, deserialize_with = "fields::text")]
    title_link: Option<String>,
    #[serde(default)]
    file: Files,
    #[serde(default, deserialize_with = "fields::flag")]
    unreleased_track: bool,
    #[serde(default, deserialize_with = "fields::flag")]
    album_preorder: bool,
}

#[derive(Deserialize, Default)]
struct Embed {
    #[serde(default, deserialize_with = "fields::text")]
    album_title: Option<String>,
    #[serde(default, deserialize_with = "fields::text")]
    artist: Option<String>,
}

#[derive(Deserialize, Default)]
struct Band {
    #[serde(default, deserialize_with = "fields::number")]
    id: Option<u64>,
    #[serde(default, deserialize_with = "fields::text")]
    name: Option<String>,
}

#[derive(Deserialize, Default)]
struct LinkedData {
    #[serde(default, deserialize_with = "fields::text")]
    name: Option<String>,
    #[serde(default, rename = "inAlbum", deserialize_with = "fields::value")]
    in_album: Option<InAlbum>,
}

#[derive(Deserialize)]
struct InAlbum {
    #[serde(default, deserialize_with = "fields::text")]
    name: Option<String>,
}

/// Reads the page that `asked` led to.
/// # Errors
/// `unsupported_link` for a band's page, `page_changed` for anything we cannot read.
pub(super) fn release(
    page: &str,
    landing: Landing,
    asked: &BandcampLink,
) -> Result<Release, ExtractError> {
    let Some(escaped) = html::attribute(page, "data-tralbum") else {
        // A band without releases has no such attribute; an unfinished release is not a band page.
        let is_band_page =
            html::attribute(page, "data-band").is_some() && !page.contains("data-tralbum=\"");
        return Err(if is_band_page {
            band_page(page, &landing)
        } else {
            changed("data-tralbum")
        });
    };
    let tralbum: Tralbum =
        json::read(html::unescape(escaped).as_bytes()).map_err(|_| changed("data-tralbum"))?;
    let Some(current) = &tralbum.current else {
        return Err(band_page(page, &landing));
    };
    let link = match landing {
        Landing::Release(link) => link,
        Landing::BandPage(band) => tralbum
            .url
            .as_deref()
            .and_then(|url| on_band(url, &band))
            .unwrap_or(asked.clone()),
    };
    let is_album = match tralbum.item_type.as_deref().or(current.kind.as_deref()) {
        Some("album") => true,
        Some("track") => false,
        _ => link.is_list(),
    };
    build(page, tralbum, link, is_album).map(Release::counted)
}

fn build(
    page: &str,
    tralbum: Tralbum,
    link: BandcampLink,
    is_album: bool,
) -> Result<Release, ExtractError> {
    let embed: Embed = json_attribute(page, "data-embed");
    let band: Band = json_attribute(page, "data-band");
    let current = tralbum.current.ok_or(changed("current"))?;
    let infos = tralbum.trackinfo.ok_or(changed("trackinfo"))?;
    let on_an_album = current.album_id.is_some() || tralbum.album_url.is_some();
    let lone = if is_album {
        Lone::default()
    } else {
        lone(page, &embed, &current, on_an_album)
    };
    let id = tralbum
        .id
        .or(current.id)
        .or(infos.first().and_then(TrackInfo::id).filter(|_| !is_album));
    let numbered = is_album || on_an_album || lone.album.is_some();
    let own_number = current.track_number.filter(|_| !is_album);
    let day = |text: Option<String>| text.and_then(|text| date::day_of_text(&text));
    // A song that is out before its album, or a postponed album: the later date counts.
    let released = day(current.release_date).max(day(tralbum.album_release_date));
    Ok(Release {
        is_album,
        id: id.ok_or(changed("id"))?,
        title: current.title.or(embed.album_title.filter(|_| is_album)),
        artist: tralbum
            .artist
            .or(current.artist)
            .or(embed.artist)
            .or(band.name),
        album: lone.album,
        art_id: tralbum.art_id.or(current.art_id),
        date: released.or_else(|| day(current.publish_date)),
        preorder: tralbum.is_preorder || tralbum.album_is_preorder,
        members_only: tralbum.tralbum_subscriber_only,
        band_id: current.band_id.or(band.id),
        link,
        bare_title: lone.bare_title,
        songs: infos
            .into_iter()
            .map(|song| song.read(numbered, own_number))
            .collect(),
    })
}

/// The facts that only a track's own page has.
#[derive(Default)]
struct Lone {
    album: Option<String>,
    bare_title: Option<String>,
}

fn lone(page: &str, embed: &Embed, current: &Current, on_an_album: bool) -> Lone {
    let linked: LinkedData = html::ld_json(page)
        .and_then(|text| json::read(text.as_bytes()).ok())
        .unwrap_or_default();
    let linked_album = linked.in_album.and_then(|album| album.name);
    // A single may be "in an album" of its own name there.
    let linked_album =
        linked_album.filter(|name| on_an_album || Some(name) != current.title.as_ref());
    Lone {
        album: embed.album_title.clone().or(linked_album),
        bare_title: linked.name,
    }
}

impl TrackInfo {
    fn id(&self) -> Option<u64> {
        self.track_id.or(self.id)
    }

    fn read(self, numbered: bool, own_number: Option<u64>) -> Song {
        let number = own_number.or(self.track_num).filter(|_| numbered);
        Song {
            id: self.id(),
            title: self.title,
            artist: self.artist,
            number: number.and_then(|number| u32::try_from(number).ok()),
            duration: duration(self.duration),
            files: self.file,
            unreleased: self.unreleased_track,
            preorder: self.album_preorder,
            page: self.title_link,
            art_id: None,
        }
    }
}

/// An attribute with additional facts: if it is absent or broken, it adds nothing.
fn json_attribute<T: Default + DeserializeOwned>(page: &str, name: &str) -> T {
    html::attribute(page, name)
        .and_then(|escaped| json::read(html::unescape(escaped).as_bytes()).ok())
        .unwrap_or_default()
}

const fn changed(field: &'static str) -> ExtractError {
    ExtractError::PageChanged {
        site: Site::Bandcamp,
        page: requests::RELEASE_PAGE,
        field,
    }
}

/// The release that `url` names, which may stand on the band's own domain.
fn on_band(url: &str, band: &str) -> Option<BandcampLink> {
    let path = match Link::parse(url) {
        Ok(Link::Bandcamp(link)) => return Some(link),
        _ => url::Url::parse(url).ok()?.path().to_owned(),
    };
    release_of(&path, band)
}

/// A track or an album by a path, or a whole link, of a band's page.
fn release_of(href: &str, band: &str) -> Option<BandcampLink> {
    let whole = if href.starts_with('/') {
        format!("https://{band}.bandcamp.com{href}")
    } else {
        href.to_owned()
    };
    match Link::parse(&whole) {
        Ok(Link::Bandcamp(link @ (BandcampLink::Track { .. } | BandcampLink::Album { .. }))) => {
            Some(link)
        }
        _ => None,
    }
}

/// The grid begins with the release that the band shows first: its newest one, unless it has pinned another.
fn newest(page: &str, landing: &Landing) -> Option<String> {
    let Landing::BandPage(band) = landing else {
        return None;
    };
    let (_, grid) = page.split_once("id=\"music-grid\"")?;
    release_of(&html::unescape(html::attribute(grid, "href")?), band).map(|link| link.canonical())
}

/// A band's page is many releases (field notes, 11).
fn band_page(page: &str, landing: &Landing) -> ExtractError {
    let newest = newest(page, landing)
        .map(|link| format!("; its newest is {link}"))
        .unwrap_or_default();
    ExtractError::UnsupportedLink {
        reason: format!(
            "Bandcamp: this is a band's page, not a song; give the link of one track or album{newest}"
        ),
    }
}
