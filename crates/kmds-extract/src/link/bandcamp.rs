//! Bandcamp links: a track or an album of a band, the band's own page, a bare id out of an embedded player, or a fan's
//! playlist.
//!
//! Owns which hosts and paths of Bandcamp name a song or an album, and their canonical form, without the letter case,
//! doubled slashes, queries and player settings of pasted links. A band's own domain is not accepted: only a request
//! could distinguish it from any other website.

use super::{LinkError, Parts};
use crate::site::Site;

/// A release or a list on Bandcamp. Bands are `[a-z0-9-]`, slugs `[a-z0-9_-]`, ids 1 to 10 digits; only parsing makes
/// one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BandcampLink {
    Track {
        band: String,
        slug: String,
    },
    Album {
        band: String,
        slug: String,
    },
    TrackById {
        id: u64,
    },
    AlbumById {
        id: u64,
    },
    /// A fan's list of songs: named by the fan and a slug, or by an id alone.
    Playlist {
        fan: Option<String>,
        name: String,
    },
    /// A band's page, which may redirect to its only release or show its current one.
    Band {
        band: String,
        page: BandPage,
    },
}

/// Where a band's releases are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BandPage {
    Root,
    Music,
    Releases,
}

const ARTISTS: &str = "this is a list of bands; give the link of one track or album";
const RADIO: &str = "radio shows are not supported; give the link of one track or album";
const NO_RELEASE: &str = "this page is neither a track nor an album; give the link of one";
const PRIVATE: &str =
    "private stream links are not supported; give the link of the public track or album";
const FILE: &str = "links to files expire; give the link of the track's or album's page";

impl BandcampLink {
    /// https, lower case, no query, no fragment, no trailing slash but that of a root.
    #[must_use]
    pub fn canonical(&self) -> String {
        match self {
            Self::Track { band, slug } => format!("https://{band}.bandcamp.com/track/{slug}"),
            Self::Album { band, slug } => format!("https://{band}.bandcamp.com/album/{slug}"),
            Self::TrackById { id } => format!("https://bandcamp.com/EmbeddedPlayer/track={id}"),
            Self::AlbumById { id } => format!("https://bandcamp.com/EmbeddedPlayer/album={id}"),
            Self::Playlist {
                fan: Some(fan),
                name,
            } => format!("https://bandcamp.com/{fan}/playlist/{name}"),
            Self::Playlist { fan: None, name } => format!("https://bandcamp.com/playlist/{name}"),
            Self::Band {
                band,
                page: BandPage::Root,
            } => format!("https://{band}.bandcamp.com/"),
            Self::Band {
                band,
                page: BandPage::Music,
            } => format!("https://{band}.bandcamp.com/music"),
            Self::Band {
                band,
                page: BandPage::Releases,
            } => format!("https://{band}.bandcamp.com/releases"),
        }
    }

    #[must_use]
    pub const fn is_list(&self) -> bool {
        matches!(
            self,
            Self::Album { .. } | Self::AlbumById { .. } | Self::Playlist { .. }
        )
    }
}

/// Bandcamp's own hosts and those of its files, with the dot: `evilbandcamp.com` belongs to another site.
pub(super) fn owns(host: &str) -> bool {
    ["bandcamp.com", "bcbits.com"].iter().any(|own| {
        host.strip_suffix(own)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

pub(super) fn parse(parts: &Parts) -> Result<BandcampLink, LinkError> {
    let path = parts.path.to_ascii_lowercase();
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    if parts.host == "bandcamp.com" {
        return on_the_site_itself(&segments, parts);
    }
    let Some(band) = parts.host.strip_suffix(".bandcamp.com") else {
        return unsupported(FILE);
    };
    if band == "daily" {
        return unsupported(NO_RELEASE);
    }
    if band == "www" || !is_band(band) {
        return Err(invalid());
    }
    let page = |page| {
        Ok(BandcampLink::Band {
            band: band.to_owned(),
            page,
        })
    };
    match segments.as_slice() {
        ["track", slug] if is_slug(slug) => Ok(BandcampLink::Track {
            band: band.to_owned(),
            slug: (*slug).to_owned(),
        }),
        ["album", slug] if is_slug(slug) => Ok(BandcampLink::Album {
            band: band.to_owned(),
            slug: (*slug).to_owned(),
        }),
        ["track" | "album", ..] => Err(invalid()),
        [] => page(BandPage::Root),
        ["music"] => page(BandPage::Music),
        ["releases"] => page(BandPage::Releases),
        ["artists"] => unsupported(ARTISTS),
        ["private", ..] => unsupported(PRIVATE),
        ["download" | "stream_redirect", ..] => unsupported(FILE),
        _ => unsupported(NO_RELEASE),
    }
}

/// `bandcamp.com` without a band: the embedded player names releases there, and fans have their playlists.
fn on_the_site_itself(segments: &[&str], parts: &Parts) -> Result<BandcampLink, LinkError> {
    match segments {
        ["embeddedplayer", settings @ ..] => embedded(settings),
        ["playlist", id] if is_name(id) => Ok(BandcampLink::Playlist {
            fan: None,
            name: (*id).to_owned(),
        }),
        [fan, "playlist", slug] if is_name(fan) && is_name(slug) => Ok(BandcampLink::Playlist {
            fan: Some((*fan).to_owned()),
            name: (*slug).to_owned(),
        }),
        ["track" | "album" | "playlist", ..] | [_, "playlist", ..] => Err(invalid()),
        ["radio", ..] => unsupported(RADIO),
        [] if parts.query_value("show").is_some() => unsupported(RADIO),
        ["download" | "stream_redirect", ..] => unsupported(FILE),
        _ => unsupported(NO_RELEASE),
    }
}

/// `key=value` path parts in any order; beside an album, the track only says where to start.
fn embedded(settings: &[&str]) -> Result<BandcampLink, LinkError> {
    let value = |key: &str| {
        settings.iter().find_map(|part| {
            part.split_once('=')
                .filter(|(name, _)| *name == key)
                .map(|(_, value)| value)
        })
    };
    match (value("album"), value("track")) {
        (Some(album), _) => Ok(BandcampLink::AlbumById { id: id(album)? }),
        (None, Some(track)) => Ok(BandcampLink::TrackById { id: id(track)? }),
        (None, None) => Err(invalid()),
    }
}

fn id(text: &str) -> Result<u64, LinkError> {
    let well_formed =
        (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|id| well_formed && *id > 0)
        .ok_or_else(invalid)
}

/// Exactly one label of a host name.
fn is_band(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// A fan's name, or what stands behind `playlist/`: a slug with something in it.
fn is_name(text: &str) -> bool {
    (1..=200).contains(&text.len()) && is_slug(text)
}

fn is_slug(text: &str) -> bool {
    text.bytes().all(|byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
    })
}

const fn unsupported(reason: &'static str) -> Result<BandcampLink, LinkError> {
    Err(LinkError::Unsupported {
        site: Site::Bandcamp,
        reason,
    })
}

const fn invalid() -> LinkError {
    LinkError::InvalidId {
        site: Site::Bandcamp,
    }
}
