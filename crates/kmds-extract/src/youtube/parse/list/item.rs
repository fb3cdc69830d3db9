//! One song of a list, in the old layout and the new (field notes, 4.3).
//!
//! Owns both shapes and the meaning of their badges. An unavailable song is not dropped: it keeps its place.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::{Thumbnail, Thumbnails, clock};
use crate::failure::Kind;
use crate::json::lenient::{Flag, Number, Obj, Present, Seq, Text};
use crate::link::youtube::VideoId;
use crate::stream::LONGEST;

#[derive(Debug)]
pub(crate) struct Item {
    /// Missing for some unavailable songs.
    pub video: Option<VideoId>,
    pub title: Option<String>,
    pub byline: Option<Byline>,
    pub duration: Option<Duration>,
    /// 1-based, where the page says.
    pub place: Option<u32>,
    pub thumbnails: Vec<Thumbnail>,
    pub state: ItemState,
}

/// The channel as the site writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Byline {
    pub name: String,
    /// The text links to a channel, so it names one.
    pub linked: bool,
}

impl Byline {
    /// On songs that name no channel, counts and dates stand in its place.
    pub(super) fn new(name: String, linked: bool) -> Option<Self> {
        (linked || !counts_or_dates(&name)).then_some(Self { name, linked })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ItemState {
    Playable,
    Unavailable(Kind),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(in crate::youtube::parse) struct Old {
    video_id: Text,
    title: Text,
    index: Text,
    short_byline_text: LinkedText,
    length_seconds: Number,
    length_text: Text,
    is_playable: Flag,
    badges: Seq<Obj<Badge>>,
    thumbnail: Obj<Thumbnails>,
    thumbnail_overlays: Seq<Obj<Overlay>>,
    upcoming_event_data: Present,
}

/// A text, and whether it leads to a channel.
#[derive(Debug, Default)]
pub(super) struct LinkedText {
    pub text: Text,
    pub linked: bool,
}

impl<'de> Deserialize<'de> for LinkedText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Value::deserialize(deserializer)?;
        let linked = leads_to_channel(&written);
        Ok(Self {
            text: Text::deserialize(written).unwrap_or_default(),
            linked,
        })
    }
}

fn leads_to_channel(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(leads_to_channel),
        Value::Object(fields) => fields.iter().any(|(name, field)| {
            let id = field.as_str().filter(|_| name == "browseId");
            id.is_some_and(|id| id.starts_with("UC")) || leads_to_channel(field)
        }),
        _ => false,
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Badge {
    metadata_badge_renderer: Obj<BadgeText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BadgeText {
    style: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Overlay {
    thumbnail_overlay_time_status_renderer: Obj<TimeStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TimeStatus {
    text: Text,
    style: Text,
}

impl Item {
    /// `None` for a place that names neither a video nor a title.
    pub(in crate::youtube::parse) fn from_old(old: Old) -> Option<Self> {
        let title = old.title.unchanged();
        let video = VideoId::parse(&old.video_id.0);
        if video.is_none() && title.is_none() {
            return None;
        }
        let duration = old
            .length_seconds
            .0
            .map(Duration::from_secs)
            .or_else(|| clock(&old.length_text.0));
        let badges: Vec<&str> = old
            .badges
            .iter()
            .filter_map(|badge| {
                badge
                    .as_ref()?
                    .metadata_badge_renderer
                    .as_ref()?
                    .style
                    .get()
            })
            .chain(
                old.thumbnail_overlays
                    .iter()
                    .filter_map(|it| it.as_ref())
                    .flat_map(Overlay::words),
            )
            .collect();
        // A missing flag counts as a refusal only where everything else is missing too.
        let byline = old.short_byline_text.text.owned();
        let playable = old
            .is_playable
            .0
            .unwrap_or(duration.is_some() || byline.is_some());
        // Any uploader may call a song "Private video"; really private ones have neither length nor byline.
        let named = title.as_deref().filter(|_| duration.is_none() || !playable);
        let mut state = state(named, &badges);
        if state == ItemState::Playable {
            if old.upcoming_event_data.0 {
                state = ItemState::Unavailable(Kind::Unreleased);
            } else if video.is_none() || !playable {
                state = ItemState::Unavailable(Kind::Unavailable);
            }
        }
        Some(Self {
            video,
            title,
            byline: byline.and_then(|name| Byline::new(name, old.short_byline_text.linked)),
            duration: duration.filter(|length| !length.is_zero() && *length <= LONGEST),
            place: old.index.0.trim().replace(',', "").parse().ok(),
            thumbnails: listed(old.thumbnail),
            state,
        })
    }
}

impl Overlay {
    fn words(&self) -> impl Iterator<Item = &str> {
        let status = self.thumbnail_overlay_time_status_renderer.as_ref();
        status
            .into_iter()
            .flat_map(|it| [it.style.get(), it.text.get()])
            .flatten()
    }
}

fn listed(thumbnail: Obj<Thumbnails>) -> Vec<Thumbnail> {
    thumbnail
        .0
        .map(|it| {
            it.thumbnails
                .0
                .into_iter()
                .filter_map(|one| one.0)
                .collect()
        })
        .unwrap_or_default()
}

/// The state of a song, from its title and badges.
fn state(title: Option<&str>, badges: &[&str]) -> ItemState {
    let title_says = match title.unwrap_or_default().trim() {
        "[Private video]" | "Private video" => Some(Kind::Private),
        "[Deleted video]" | "Deleted video" => Some(Kind::NotFound),
        "[Unavailable]" => Some(Kind::Unavailable),
        _ => None,
    };
    let badge_says = badges.iter().find_map(|badge| {
        let badge = badge.to_uppercase();
        if badge.contains("MEMBERS_ONLY") || badge == "MEMBERS ONLY" {
            Some(Kind::MembersOnly)
        } else if badge == "LIVE" || badge == "LIVE NOW" || badge.contains("BADGE_STYLE_TYPE_LIVE")
        {
            Some(Kind::Live)
        } else if badge == "UPCOMING" || badge == "PREMIERE" {
            Some(Kind::Unreleased)
        } else {
            None
        }
    });
    title_says
        .or(badge_says)
        .map_or(ItemState::Playable, ItemState::Unavailable)
}

/// The new layout, read from one item's own JSON tree, which is freed at once: its badges are in too many places.
#[derive(Debug, Default)]
pub(in crate::youtube::parse) struct Lockup(pub Option<Item>);

impl<'de> Deserialize<'de> for Lockup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|lockup| Self(from_lockup(&lockup)))
    }
}

fn from_lockup(lockup: &Value) -> Option<Item> {
    if lockup.get("contentType").and_then(Value::as_str) != Some("LOCKUP_CONTENT_TYPE_VIDEO") {
        return None;
    }
    let text = |at: &str| {
        lockup
            .pointer(at)
            .and_then(Value::as_str)
            .filter(|text| !text.trim().is_empty())
    };
    let title = text("/metadata/lockupMetadataViewModel/title/content").map(str::to_owned);
    let video = text("/contentId").and_then(|id| VideoId::parse(id.trim()));
    if video.is_none() && title.is_none() {
        return None;
    }
    let mut badges = Vec::new();
    badge_words(lockup, false, &mut badges);
    let image = lockup
        .pointer("/contentImage/thumbnailViewModel/image/sources")
        .cloned()
        .unwrap_or_default();
    let sources: Seq<Obj<Thumbnail>> = serde_json::from_value(image).unwrap_or_default();
    let duration = badges
        .iter()
        .find_map(|badge| clock(badge))
        .filter(|length| !length.is_zero());
    let state = match state(title.as_deref().filter(|_| duration.is_none()), &badges) {
        ItemState::Playable if video.is_none() => ItemState::Unavailable(Kind::Unavailable),
        state => state,
    };
    Some(Item {
        video,
        byline: channel_of(lockup),
        duration,
        place: None,
        thumbnails: sources.0.into_iter().filter_map(|one| one.0).collect(),
        title,
        state,
    })
}

/// A song of a list of Shorts, in its old layout or its new. It names neither channel nor length.
#[derive(Debug, Default)]
pub(super) struct Short(pub Option<Item>);

impl<'de> Deserialize<'de> for Short {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|short| Self(from_short(&short)))
    }
}

fn from_short(short: &Value) -> Option<Item> {
    let text = |places: [&str; 2]| {
        let mut found = places.iter().filter_map(|at| short.pointer(at)?.as_str());
        found.find(|text| !text.trim().is_empty())
    };
    let video = text([
        "/videoId",
        "/onTap/innertubeCommand/reelWatchEndpoint/videoId",
    ]);
    let title = text([
        "/headline/simpleText",
        "/overlayMetadata/primaryText/content",
    ]);
    Some(Item {
        video: Some(VideoId::parse(video?)?),
        title: title.map(str::to_owned),
        byline: None,
        duration: None,
        place: None,
        thumbnails: Vec::new(),
        state: ItemState::Playable,
    })
}

/// The channel among a lockup's rows: what leads to a channel, else the first text, if that is none of the others.
/// Songs of courses and of a channel's own lists name no channel, and begin with their views (field notes, 4.3).
fn channel_of(lockup: &Value) -> Option<Byline> {
    let rows = lockup.pointer(
        "/metadata/lockupMetadataViewModel/metadata/contentMetadataViewModel/metadataRows",
    )?;
    let parts = || {
        let rows = rows.as_array().into_iter().flatten();
        rows.filter_map(|row| row.get("metadataParts")?.as_array())
            .flatten()
            .filter_map(|part| part.get("text"))
    };
    let said = |text: &Value| {
        !text
            .get("content")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .trim()
            .is_empty()
    };
    let linked = parts().find(|text| said(text) && leads_to_channel(text));
    let first = || parts().next().filter(|text| said(text));
    let name = linked.or_else(first)?.get("content")?.as_str()?;
    Byline::new(name.to_owned(), linked.is_some())
}

/// "1.2M views", "No views", "2 years ago", "Streamed 3 weeks ago", "Premieres 01/02/2027", "1.2K watching", "12
/// lessons".
fn counts_or_dates(text: &str) -> bool {
    let text = text
        .split(['•', '·'])
        .next()
        .unwrap_or_default()
        .trim()
        .to_lowercase();
    let counted = text.starts_with(|c: char| c.is_ascii_digit()) || text.starts_with("no ");
    let unit = text.split_whitespace().next_back().unwrap_or_default();
    let is_unit = matches!(
        unit,
        "view"
            | "views"
            | "watching"
            | "waiting"
            | "ago"
            | "lesson"
            | "lessons"
            | "video"
            | "videos"
            | "episode"
            | "episodes"
    );
    let dated = [
        "streamed ",
        "premiered ",
        "premieres ",
        "scheduled for ",
        "updated ",
    ];
    (counted && is_unit && text.split_whitespace().count() <= 4)
        || dated.iter().any(|word| text.starts_with(word))
            && text.contains(|c: char| c.is_ascii_digit())
}

/// Every text inside an object whose name contains the word badge.
fn badge_words<'a>(value: &'a Value, inside: bool, words: &mut Vec<&'a str>) {
    match value {
        Value::String(word) if inside => words.push(word),
        Value::Array(items) => items
            .iter()
            .for_each(|item| badge_words(item, inside, words)),
        Value::Object(fields) => {
            for (name, field) in fields {
                badge_words(
                    field,
                    inside || name.to_lowercase().contains("badge"),
                    words,
                );
            }
        }
        _ => {}
    }
}
