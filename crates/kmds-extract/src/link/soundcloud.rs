//! SoundCloud links.
//!
//! Owns which pages of SoundCloud are songs or sets, the embeds and numeric ids that name the same, and their canonical
//! form (field notes, 2). Path words that only look like songs are refused. It does not follow a short link, which
//! needs a request.

use super::{LinkError, Parts};
use crate::site::Site;

/// A song, a set, or a short link that becomes one of them. User names and slugs are lower case of `a-z 0-9 - _`,
/// tokens `s-` and letters or digits, whose case counts. Only parsing makes one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SoundCloudLink {
    Track {
        user: String,
        slug: String,
        token: Option<String>,
    },
    Set {
        user: String,
        slug: String,
        token: Option<String>,
    },
    TrackById {
        id: u64,
        token: Option<String>,
    },
    SetById {
        id: u64,
        token: Option<String>,
    },
    Short {
        code: String,
    },
}

/// First path parts that are areas of the site, not users.
const AREAS: [&str; 14] = [
    "discover",
    "stream",
    "search",
    "you",
    "charts",
    "upload",
    "settings",
    "messages",
    "notifications",
    "stations",
    "tags",
    "pages",
    "feed",
    "oembed",
];
/// Second path parts that are lists of a user, not songs.
const USER_LISTS: [&str; 10] = [
    "tracks",
    "albums",
    "sets",
    "reposts",
    "likes",
    "spotlight",
    "comments",
    "followers",
    "following",
    "popular-tracks",
];
/// Third path parts that are lists about a song.
const TRACK_LISTS: [&str; 3] = ["albums", "sets", "recommended"];

const GIVE_A_TRACK: &str =
    "this is a page of a user or of the site, not a song; give the link of a track or a set";
const SYSTEM_LIST: &str =
    "stations, charts and lists made by SoundCloud itself are not supported; give a track or a set";
const INVALID: LinkError = LinkError::InvalidId {
    site: Site::SoundCloud,
};

impl SoundCloudLink {
    /// `https`, the plain host, no query but the token of a numeric id.
    #[must_use]
    pub fn canonical(&self) -> String {
        let part = |token: &Option<String>| {
            token
                .as_ref()
                .map(|token| format!("/{token}"))
                .unwrap_or_default()
        };
        let query = |token: &Option<String>| {
            token
                .as_ref()
                .map(|token| format!("?secret_token={token}"))
                .unwrap_or_default()
        };
        match self {
            Self::Track { user, slug, token } => {
                format!("https://soundcloud.com/{user}/{slug}{}", part(token))
            }
            Self::Set { user, slug, token } => {
                format!("https://soundcloud.com/{user}/sets/{slug}{}", part(token))
            }
            Self::TrackById { id, token } => {
                format!("https://api.soundcloud.com/tracks/{id}{}", query(token))
            }
            Self::SetById { id, token } => {
                format!("https://api.soundcloud.com/playlists/{id}{}", query(token))
            }
            Self::Short { code } => format!("https://on.soundcloud.com/{code}"),
        }
    }

    #[must_use]
    pub const fn is_list(&self) -> bool {
        matches!(self, Self::Set { .. } | Self::SetById { .. })
    }

    /// The secret part of a private song's or set's link.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::Track { token, .. }
            | Self::Set { token, .. }
            | Self::TrackById { token, .. }
            | Self::SetById { token, .. } => token.as_deref(),
            Self::Short { .. } => None,
        }
    }

    /// The same link with this token, unless it has its own.
    #[must_use]
    pub(crate) fn or_token(mut self, carried: Option<String>) -> Self {
        match &mut self {
            Self::Track { token, .. }
            | Self::Set { token, .. }
            | Self::TrackById { token, .. }
            | Self::SetById { token, .. } => *token = token.take().or(carried),
            Self::Short { .. } => {}
        }
        self
    }
}

/// Where on SoundCloud a host leads.
#[derive(Clone, Copy, PartialEq)]
enum HostRole {
    Site,
    Short,
    Api,
    Embed,
}

fn place(host: &str) -> Option<HostRole> {
    match host {
        "soundcloud.com" | "www.soundcloud.com" | "m.soundcloud.com" => Some(HostRole::Site),
        "on.soundcloud.com" => Some(HostRole::Short),
        "api.soundcloud.com" | "api-v2.soundcloud.com" => Some(HostRole::Api),
        "w.soundcloud.com" | "player.soundcloud.com" | "p.soundcloud.com" => Some(HostRole::Embed),
        _ => None,
    }
}

pub(super) fn owns(host: &str) -> bool {
    place(host).is_some()
}

pub(super) fn parse(parts: &Parts) -> Result<SoundCloudLink, LinkError> {
    match place(&parts.host).ok_or(LinkError::NotOurs)? {
        HostRole::Embed => embed(parts),
        plain => parse_at(plain, parts),
    }
}

fn parse_at(place: HostRole, parts: &Parts) -> Result<SoundCloudLink, LinkError> {
    let segments = parts.segments().ok_or(INVALID)?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match place {
        HostRole::Site => page(&segments),
        HostRole::Short => match segments[..] {
            [code] if is_code(code) => Ok(SoundCloudLink::Short {
                code: code.to_owned(),
            }),
            _ => Err(INVALID),
        },
        HostRole::Api => by_id(&segments, parts),
        // SoundCloud makes no embed in an embed.
        HostRole::Embed => Err(INVALID),
    }
}

/// `soundcloud:tracks:123`, alone: `None` when the text is no such name at all.
pub(super) fn parse_urn(text: &str) -> Option<Result<SoundCloudLink, LinkError>> {
    let rest = text.strip_prefix("soundcloud:")?;
    Some(match rest.split_once(':') {
        Some(("tracks", id)) => number(id).map(|id| SoundCloudLink::TrackById { id, token: None }),
        Some(("playlists", id)) => number(id).map(|id| SoundCloudLink::SetById { id, token: None }),
        Some(("users", _)) => Err(unsupported(GIVE_A_TRACK)),
        Some(("system-playlists", _)) => Err(unsupported(SYSTEM_LIST)),
        _ => Err(INVALID),
    })
}

/// `/user/slug`, `/user/sets/slug`, and all that looks like them.
fn page(segments: &[&str]) -> Result<SoundCloudLink, LinkError> {
    let lower: Vec<String> = segments
        .iter()
        .map(|part| part.to_ascii_lowercase())
        .collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let (&user, rest) = lower.split_first().ok_or(LinkError::NotOurs)?;
    if AREAS.contains(&user) || user == "player" {
        return Err(unsupported(SYSTEM_LIST));
    }
    if !is_name(user) {
        return Err(INVALID);
    }
    let token = |at: usize| {
        segments
            .get(at)
            .filter(|text| is_token(text))
            .map(|text| (*text).to_owned())
            .ok_or(INVALID)
    };
    let user = user.to_owned();
    match *rest {
        [] => Err(unsupported(GIVE_A_TRACK)),
        ["sets", slug] if is_name(slug) => Ok(SoundCloudLink::Set {
            user,
            slug: slug.to_owned(),
            token: None,
        }),
        ["sets", slug, _] if is_name(slug) => Ok(SoundCloudLink::Set {
            user,
            slug: slug.to_owned(),
            token: Some(token(3)?),
        }),
        ["sets", _, ..] => Err(INVALID),
        [list, ..] if USER_LISTS.contains(&list) => Err(unsupported(GIVE_A_TRACK)),
        [slug] if is_name(slug) => Ok(SoundCloudLink::Track {
            user,
            slug: slug.to_owned(),
            token: None,
        }),
        [slug, list] if is_name(slug) && TRACK_LISTS.contains(&list) => {
            Err(unsupported(GIVE_A_TRACK))
        }
        [slug, _] if is_name(slug) => Ok(SoundCloudLink::Track {
            user,
            slug: slug.to_owned(),
            token: Some(token(2)?),
        }),
        _ => Err(INVALID),
    }
}

/// `/tracks/123`, `/playlists/soundcloud:playlists:123`.
fn by_id(segments: &[&str], parts: &Parts) -> Result<SoundCloudLink, LinkError> {
    let token = carried_token(parts)?;
    match *segments {
        ["tracks", id] => Ok(SoundCloudLink::TrackById {
            id: number(id.strip_prefix("soundcloud:tracks:").unwrap_or(id))?,
            token,
        }),
        ["playlists", id] => Ok(SoundCloudLink::SetById {
            id: number(id.strip_prefix("soundcloud:playlists:").unwrap_or(id))?,
            token,
        }),
        ["users", ..] => Err(unsupported(GIVE_A_TRACK)),
        _ => Err(INVALID),
    }
}

/// `w.soundcloud.com/player/?url=…`: the link inside must itself be SoundCloud's.
fn embed(parts: &Parts) -> Result<SoundCloudLink, LinkError> {
    if parts.segments().as_deref() != Some(&["player".to_owned()]) {
        return Err(INVALID);
    }
    let token = carried_token(parts)?;
    let inner = parts.query_value("url").ok_or(INVALID)?;
    if let Some(link) = parse_urn(&inner) {
        return link.map(|link| link.or_token(token));
    }
    let inner = Some(inner)
        .filter(|inner| !inner.starts_with("//"))
        .and_then(|inner| super::unwrap(&inner));
    let inner = inner.ok_or(LinkError::NotOurs)?;
    parse_at(place(&inner.host).ok_or(LinkError::NotOurs)?, &inner).map(|link| link.or_token(token))
}

fn carried_token(parts: &Parts) -> Result<Option<String>, LinkError> {
    match parts
        .query_value("secret_token")
        .filter(|token| !token.is_empty())
    {
        Some(token) if is_token(&token) => Ok(Some(token)),
        Some(_) => Err(INVALID),
        None => Ok(None),
    }
}

const fn unsupported(reason: &'static str) -> LinkError {
    LinkError::Unsupported {
        site: Site::SoundCloud,
        reason,
    }
}

fn number(text: &str) -> Result<u64, LinkError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|id| digits && *id > 0)
        .ok_or(INVALID)
}

fn is_name(text: &str) -> bool {
    let legal = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
    };
    (1..=255).contains(&text.len()) && text.bytes().all(legal)
}

/// `s-` and letters or digits.
pub(crate) fn is_token(text: &str) -> bool {
    text.strip_prefix("s-").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

fn is_code(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
