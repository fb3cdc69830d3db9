//! YouTube links.
//!
//! Owns the hosts, paths and id alphabets of section 1 of the field notes: what is a video, a list, a mix, an album;
//! also wrapped links and HTML leftovers in queries. Its only results are checked ids.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::{LinkError, Parts, unwrap};
use crate::site::Site;

const LONG_HOSTS: [&str; 9] = [
    "youtube.com",
    "www.youtube.com",
    "m.youtube.com",
    "music.youtube.com",
    "gaming.youtube.com",
    "youtubekids.com",
    "www.youtubekids.com",
    "youtube-nocookie.com",
    "www.youtube-nocookie.com",
];
const SHORT_HOSTS: [&str; 3] = ["youtu.be", "www.youtu.be", "y2u.be"];
const CONSENT_HOST: &str = "consent.youtube.com";
const MUSIC_HOST: &str = "music.youtube.com";

/// Lists that only their owner sees (field notes, 1.2).
const PRIVATE_LISTS: [&str; 4] = ["WL", "LL", "LM", "HL"];
/// A finite list although it starts like a mix.
const EDITORIAL_PREFIX: &str = "RDCLAK5uy_";
const ALBUM_PREFIX: &str = "MPREb_";
/// Punctuation that chats and prose leave after a pasted link.
const TRAILING_PUNCTUATION: &[char] = &[
    ')', ']', '}', '>', ',', '.', ';', ':', '!', '?', '\'', '"', '…',
];

/// A video's id: 11 of `A-Z a-z 0-9 - _`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VideoId([u8; VideoId::LENGTH]);

impl VideoId {
    const LENGTH: usize = 11;

    /// Reads exactly one id, nothing before or after it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; Self::LENGTH] = text.as_bytes().try_into().ok()?;
        bytes.iter().copied().all(is_id_byte).then_some(Self(bytes))
    }

    /// Reads an id in a link: the text after it is cut off, unless it could belong to the id.
    fn from_link(text: &str) -> Result<Self, LinkError> {
        let end = text
            .bytes()
            .position(|byte| !is_id_byte(byte))
            .unwrap_or(text.len());
        text.get(..end).and_then(Self::parse).ok_or(INVALID)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The video's own page, for people and for the second engine.
    #[must_use]
    pub fn link(&self) -> String {
        format!("https://www.youtube.com/watch?v={self}")
    }
}

impl fmt::Display for VideoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A list's id: one or more of `A-Z a-z 0-9 - _`, case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListId(String);

impl ListId {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (!text.is_empty() && text.bytes().all(is_id_byte)).then(|| Self(text.to_owned()))
    }

    fn from_link(text: &str) -> Result<Self, LinkError> {
        Self::parse(text.trim_end_matches(TRAILING_PUNCTUATION)).ok_or(INVALID)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An album of YouTube Music: the order of its songs is their track number.
    #[must_use]
    pub fn is_album(&self) -> bool {
        self.0.starts_with("OLAK5uy_")
    }

    #[must_use]
    pub fn is_private(&self) -> bool {
        PRIVATE_LISTS.contains(&self.as_str())
    }

    /// YouTube makes it anew for each request, without an end.
    #[must_use]
    pub fn is_mix(&self) -> bool {
        self.0.starts_with("RD") && !self.0.starts_with(EDITORIAL_PREFIX)
    }

    /// The video that a mix starts from, if its id has it.
    #[must_use]
    pub fn seed(&self) -> Option<VideoId> {
        if !self.is_mix() {
            return None;
        }
        ["RDAMVM", "RDMM", "RD"]
            .iter()
            .find_map(|prefix| self.0.strip_prefix(prefix).and_then(VideoId::parse))
    }
}

impl fmt::Display for ListId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The list in which a video was opened. It is only a hint: a video is the same video in any list, so hints are all
/// equal, and neither the canonical form nor any cache key has them.
#[derive(Debug, Clone, Default)]
pub struct ListHint(pub Option<ListId>);

impl PartialEq for ListHint {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for ListHint {}
impl Hash for ListHint {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// A page of YouTube.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum YouTubeLink {
    Video {
        id: VideoId,
        /// It is empty if the link names a private list.
        list: ListHint,
    },
    /// A finite list: playlist, album, uploads of a channel.
    List(ListId),
    Mix {
        list: ListId,
        seed: Option<VideoId>,
    },
    /// `MPREb_` + 11: an album of YouTube Music, whose list has to be asked for.
    MusicAlbum(String),
    PrivateList(ListId),
    /// `UC…`, `@handle`, `c/name` or `user/name`.
    Channel(String),
}

impl YouTubeLink {
    /// The canonical form of this link; parsing it gives an equal link.
    #[must_use]
    pub fn canonical(&self) -> String {
        match self {
            Self::Video { id, .. } => id.link(),
            Self::Mix {
                list,
                seed: Some(seed),
            } if list.seed() != Some(*seed) => {
                format!("https://www.youtube.com/playlist?list={list}&v={seed}")
            }
            Self::List(list) | Self::PrivateList(list) | Self::Mix { list, .. } => {
                format!("https://www.youtube.com/playlist?list={list}")
            }
            Self::MusicAlbum(id) => format!("https://music.youtube.com/browse/{id}"),
            Self::Channel(name) if name.starts_with("UC") => {
                format!("https://www.youtube.com/channel/{name}")
            }
            Self::Channel(name) => format!("https://www.youtube.com/{name}"),
        }
    }

    /// The whole list of a video that was opened in one; any other link as it is.
    #[must_use]
    pub fn whole_list(self) -> Self {
        match self {
            Self::Video {
                id,
                list: ListHint(Some(list)),
            } => Self::of_list(list, Some(id)),
            other => other,
        }
    }

    #[must_use]
    pub const fn is_list(&self) -> bool {
        !matches!(self, Self::Video { .. })
    }

    fn of_list(list: ListId, video: Option<VideoId>) -> Self {
        if list.is_private() {
            Self::PrivateList(list)
        } else if list.is_mix() {
            // The song in the link; a mix can start at any of its songs.
            let seed = video.or(list.seed());
            Self::Mix { list, seed }
        } else {
            Self::List(list)
        }
    }
}

const INVALID: LinkError = LinkError::InvalidId {
    site: Site::YouTube,
};

const fn unsupported(reason: &'static str) -> LinkError {
    LinkError::Unsupported {
        site: Site::YouTube,
        reason,
    }
}

const NO_SONG: LinkError = unsupported(
    "this page is neither a song nor a list of songs; paste the link of a video or playlist",
);

const fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn bare(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

pub(super) fn owns(host: &str) -> bool {
    let host = bare(host);
    LONG_HOSTS.contains(&host) || SHORT_HOSTS.contains(&host) || host == CONSENT_HOST
}

pub(super) fn parse(parts: &Parts) -> Result<YouTubeLink, LinkError> {
    let wrapped = if bare(&parts.host) == CONSENT_HOST {
        Some(query(parts, "continue"))
    } else if LONG_HOSTS.contains(&bare(&parts.host))
        && parts.path.trim_matches('/') == "attribution_link"
    {
        Some(query(parts, "u"))
    } else {
        None
    };
    match wrapped {
        None => parse_direct(parts),
        Some(inner) => parse_direct(&inner.as_deref().and_then(unwrapped).ok_or(NO_SONG)?),
    }
}

/// The link inside another one: a path of the same site, or a whole link by all the rules again.
fn unwrapped(inner: &str) -> Option<Parts> {
    if inner.starts_with("//") {
        None
    } else if inner.starts_with('/') {
        unwrap(&format!("https://www.youtube.com{inner}"))
    } else {
        unwrap(inner)
    }
}

fn parse_direct(parts: &Parts) -> Result<YouTubeLink, LinkError> {
    let host = bare(&parts.host);
    let segments = parts.segments().ok_or(INVALID)?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    if SHORT_HOSTS.contains(&host) {
        short(parts, &segments)
    } else if LONG_HOSTS.contains(&host) {
        long(parts, host, &segments)
    } else {
        Err(NO_SONG)
    }
}

fn short(parts: &Parts, segments: &[&str]) -> Result<YouTubeLink, LinkError> {
    match (query(parts, "v").filter(|id| !id.is_empty()), segments) {
        (Some(id), _) => video(parts, &id),
        (None, ["playlist" | "watch", ..]) => list(parts),
        (None, [id, ..]) => video(parts, id),
        (None, []) => Err(NO_SONG),
    }
}

fn long(parts: &Parts, host: &str, segments: &[&str]) -> Result<YouTubeLink, LinkError> {
    match *segments {
        [] | ["watch_popup" | "movie"] => by_query(parts),
        ["watch"] => match query(parts, "v") {
            Some(id) if !id.is_empty() || query(parts, "list").is_none() => video(parts, &id),
            _ => list(parts),
        },
        ["embed"] | ["embed", "videoseries", ..] | ["playlist", ..] => list(parts),
        ["embed", "live_stream", ..] => Err(NO_SONG),
        [
            "watch" | "embed" | "v" | "e" | "w" | "shorts" | "live",
            id,
            ..,
        ] => video(parts, id),
        ["browse", id, ..] if host == MUSIC_HOST => browse(id),
        ["channel", id, ..] => channel_id(id),
        [kind @ ("c" | "user"), name, ..] => {
            channel_name(name).map(|name| YouTubeLink::Channel(format!("{kind}/{name}")))
        }
        [handle, ..] if handle.starts_with('@') => {
            channel_name(&handle[1..]).map(|name| YouTubeLink::Channel(format!("@{name}")))
        }
        _ => Err(NO_SONG),
    }
}

fn by_query(parts: &Parts) -> Result<YouTubeLink, LinkError> {
    query(parts, "v")
        .ok_or(NO_SONG)
        .and_then(|id| video(parts, &id))
}

fn video(parts: &Parts, id: &str) -> Result<YouTubeLink, LinkError> {
    let id = VideoId::from_link(id)?;
    let list = query(parts, "list")
        .and_then(|list| ListId::from_link(&list).ok())
        .filter(|list| !list.is_private());
    Ok(YouTubeLink::Video {
        id,
        list: ListHint(list),
    })
}

fn list(parts: &Parts) -> Result<YouTubeLink, LinkError> {
    let list = query(parts, "list")
        .ok_or(NO_SONG)
        .and_then(|list| ListId::from_link(&list))?;
    let beside = query(parts, "v").and_then(|id| VideoId::from_link(&id).ok());
    Ok(YouTubeLink::of_list(list, beside))
}

/// Pages of YouTube Music by id.
fn browse(id: &str) -> Result<YouTubeLink, LinkError> {
    if let Some(list) = id.strip_prefix("VL") {
        ListId::from_link(list).map(|list| YouTubeLink::of_list(list, None))
    } else if let Some(rest) = id.strip_prefix(ALBUM_PREFIX) {
        VideoId::from_link(rest)
            .map(|rest| YouTubeLink::MusicAlbum(format!("{ALBUM_PREFIX}{rest}")))
    } else if id.starts_with("UC") {
        channel_id(id)
    } else {
        Err(NO_SONG)
    }
}

fn channel_id(id: &str) -> Result<YouTubeLink, LinkError> {
    let fits = id.len() == 24 && id.starts_with("UC") && id.bytes().all(is_id_byte);
    fits.then(|| YouTubeLink::Channel(id.to_owned()))
        .ok_or(INVALID)
}

/// Percent-encoded again for the canonical form.
fn channel_name(name: &str) -> Result<String, LinkError> {
    let fits = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '·'))
        && !name.ends_with('.');
    const KEPT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.');
    fits.then(|| percent_encoding::utf8_percent_encode(name, KEPT).to_string())
        .ok_or(INVALID)
}

/// The first value of a key; `amp;key` counts too, from links copied out of HTML.
fn query(parts: &Parts, key: &str) -> Option<String> {
    parts
        .query_value(key)
        .or_else(|| parts.query_value(&format!("amp;{key}")))
}
