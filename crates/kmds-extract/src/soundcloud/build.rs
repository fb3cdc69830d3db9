//! Raw tracks and sets → tracks and collections, or the reason of a refusal.
//!
//! Owns metadata rules (artist, album, artwork, date; field notes, 5) and the decision whether a song can be played
//! (6). Pure: it sends no request.

use crate::error::ExtractError;
use crate::failure::Kind;
use crate::link::{Link, SoundCloudLink};
use crate::recipes::SoundCloudRecipe;
use crate::site::Site;
use crate::stream;
use crate::track::{Collection, Entry, Source, Track, TrackId, Unavailable};

use super::formats::{self, milliseconds};
use super::parse::{RawSet, RawTrack};

const SITE: Site = Site::SoundCloud;
/// Albums, by any of the site's names for them; other sets are a user's own selection.
const ALBUM_TYPES: [&str; 4] = ["album", "ep", "single", "compilation"];

/// Why a song is not offered.
pub enum Unfit {
    For(ExtractError),
    /// No usable encoding is listed, and no reason: perhaps the site still processes the song. It is worth one more
    /// request.
    NothingListed,
}

impl From<ExtractError> for Unfit {
    fn from(error: ExtractError) -> Self {
        Self::For(error)
    }
}

impl Unfit {
    /// The error after the second request.
    pub fn at_last(self) -> ExtractError {
        match self {
            Self::For(error) => error,
            Self::NothingListed => ExtractError::OriginFailed {
                site: SITE,
                page: "track answer",
                reason: "it lists no usable audio; the song may still be processed".to_owned(),
            },
        }
    }
}

/// The facts that a song in a set takes from the set.
pub struct Frame<'a> {
    pub set: &'a RawSet,
    /// 1-based.
    pub number: u32,
    pub total: u32,
    pub token: Option<&'a str>,
    pub stub_policy: Option<&'a str>,
}

pub const fn changed(page: &'static str, field: &'static str) -> ExtractError {
    ExtractError::PageChanged {
        site: SITE,
        page,
        field,
    }
}

fn refused(kind: Kind, reason: impl Into<String>, title: Option<&str>) -> ExtractError {
    ExtractError::Refused {
        site: SITE,
        kind,
        reason: reason.into(),
        title: title.map(str::to_owned),
    }
}

pub fn not_found(what: &str) -> ExtractError {
    refused(
        Kind::NotFound,
        format!("this {what} does not exist: it was deleted or is private"),
        None,
    )
}

pub fn dead_link() -> ExtractError {
    refused(
        Kind::NotFound,
        "this short link no longer works; open it in a browser and copy the link there",
        None,
    )
}

pub fn drm_only(title: &str) -> ExtractError {
    refused(
        Kind::DrmOnly,
        "this song is only served with DRM and cannot be downloaded",
        Some(title),
    )
}

/// Judges one song; `token` is the secret of the link it was asked by, `frame` its place in a set.
/// What the site says about the song comes before what its answer lacks.
pub fn track(
    raw: &RawTrack,
    token: Option<&str>,
    frame: Option<&Frame<'_>>,
    recipe: &SoundCloudRecipe,
) -> Result<Track, Unfit> {
    let id = raw.id.ok_or(changed("track answer", "id"))?;
    let title = raw
        .title
        .as_deref()
        .ok_or(changed("track answer", "title"))?;
    let policy = raw
        .policy
        .as_deref()
        .or_else(|| frame.and_then(|frame| frame.stub_policy));
    if let Some(error) = policy.and_then(|policy| forbidden(policy, raw)) {
        return Err(error.into());
    }
    if raw.media.is_none() {
        return Err(changed("track answer", "media").into());
    }
    if raw.streamable == Some(false)
        || raw
            .state
            .as_deref()
            .is_some_and(|state| state != "finished")
    {
        let reason = "this song cannot be played yet: it is still processed, or streaming is switched off for it";
        return Err(refused(Kind::Unavailable, reason, Some(title)).into());
    }
    let secret = secret(
        raw,
        token.or_else(|| frame.and_then(|frame| frame.token)),
        frame.is_some(),
    );
    let formats = formats::sort_out(raw, id, secret.as_deref(), recipe);
    if formats.streams.is_empty() {
        return Err(match (formats.encrypted, formats.snipped) {
            (true, _) => drm_only(title).into(),
            (false, true) => preview_only(raw).into(),
            (false, false) => Unfit::NothingListed,
        });
    }
    let track = assembled(raw, id, title, secret, frame)?;
    let of_stream = formats.streams.first().and_then(|stream| stream.duration);
    Ok(Track {
        duration: track.duration.or(of_stream),
        offered: stream::formats(&formats.streams),
        streams: formats.streams,
        ..track
    })
}

/// The refusal by the policy; `None` if the song may be played.
pub fn forbidden(policy: &str, raw: &RawTrack) -> Option<ExtractError> {
    let title = raw.title.as_deref();
    match policy {
        "ALLOW" | "MONETIZE" => None,
        "SNIP" => Some(preview_only(raw)),
        "BLOCK" => Some(refused(
            Kind::GeoBlocked,
            "this song is blocked in the country of this server's address",
            title,
        )),
        word => {
            let word: String = word.chars().filter(|c| !c.is_control()).take(40).collect();
            Some(refused(
                Kind::Unavailable,
                format!("this song has the policy \"{word}\", which is unknown here"),
                title,
            ))
        }
    }
}

fn preview_only(raw: &RawTrack) -> ExtractError {
    let whole = milliseconds(raw.full_duration).map_or_else(String::new, |length| {
        let seconds = (length.as_secs_f64()).round() as u64;
        format!(
            "; the whole song is {}:{:02} long",
            seconds / 60,
            seconds % 60
        )
    });
    let reason = format!("only a preview of 30 s is free, the song needs SoundCloud Go+{whole}");
    refused(Kind::PreviewOnly, reason, raw.title.as_deref())
}

/// The token to ask for this song with: its own, else the one of the link that named it.
/// A set's token opens only the private ones of its songs.
fn secret(raw: &RawTrack, token: Option<&str>, in_set: bool) -> Option<String> {
    let of_link = token.filter(|_| !in_set || raw.sharing.as_deref() == Some("private"));
    raw.secret_token.as_deref().or(of_link).map(str::to_owned)
}

fn assembled(
    raw: &RawTrack,
    id: u64,
    title: &str,
    secret: Option<String>,
    frame: Option<&Frame<'_>>,
) -> Result<Track, ExtractError> {
    let set = frame.map(|frame| frame.set);
    let username = raw.user.as_ref().and_then(|user| user.username.clone());
    let published = raw.publisher_metadata.as_ref();
    Ok(Track {
        id: TrackId::new(SITE, &id.to_string()).ok_or(changed("track answer", "id"))?,
        link: link(raw, id, secret.as_deref()),
        source: Source::SoundCloud { id, secret },
        title: title.to_owned(),
        artist: published
            .and_then(|published| published.artist.clone())
            .or(username),
        album: match set {
            Some(set) => set.title.clone(),
            None => published.and_then(|published| published.album_title.clone()),
        },
        album_artist: set.filter(|set| is_album(set)).and_then(set_artist),
        number: frame.map(|frame| frame.number),
        total: frame.map(|frame| frame.total),
        duration: formats::length(raw),
        cover_url: cover(raw),
        date: date(raw),
        streams: Vec::new(),
        loudness_db: None,
        offered: None,
        withheld: None,
    })
}

/// The song's own page as SoundCloud names it, if KMDS accepts that link; else its numeric form.
pub fn link(raw: &RawTrack, id: u64, secret: Option<&str>) -> String {
    let token = secret.map(str::to_owned);
    let page = raw
        .permalink_url
        .as_deref()
        .and_then(|url| match Link::parse(url) {
            Ok(Link::SoundCloud(link @ SoundCloudLink::Track { .. })) => {
                Some(link.or_token(token.clone()))
            }
            _ => None,
        });
    page.unwrap_or(SoundCloudLink::TrackById { id, token })
        .canonical()
}

fn is_album(set: &RawSet) -> bool {
    set.is_album == Some(true)
        || set
            .set_type
            .as_deref()
            .is_some_and(|kind| ALBUM_TYPES.contains(&kind))
}

pub fn set_artist(set: &RawSet) -> Option<String> {
    set.user.as_ref().and_then(|user| user.username.clone())
}

/// Its own cover, else the uploader's picture, in a set and alone; 500 px, which is always a JPEG.
pub fn cover(raw: &RawTrack) -> Option<String> {
    let avatar = || {
        raw.user
            .as_ref()
            .and_then(|user| user.avatar_url.as_deref())
    };
    raw.artwork_url.as_deref().or_else(avatar).and_then(sized)
}

pub fn sized(url: &str) -> Option<String> {
    let url = url
        .split(['?', '#'])
        .next()
        .filter(|url| url.starts_with("https://"))?;
    let name = url
        .rsplit_once('.')
        .and_then(|(name, _)| name.strip_suffix("-large"));
    Some(name.map_or_else(|| url.to_owned(), |name| format!("{name}-t500x500.jpg")))
}

fn date(raw: &RawTrack) -> Option<String> {
    [&raw.release_date, &raw.display_date]
        .into_iter()
        .flatten()
        .find_map(|text| {
            let day = text.get(..10)?;
            let digits = |at: std::ops::Range<usize>| {
                day.get(at)
                    .is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()))
            };
            let dashed = day.get(4..5) == Some("-") && day.get(7..8) == Some("-");
            (dashed && digits(0..4) && digits(5..7) && digits(8..10)).then(|| day.to_owned())
        })
}

/// An unavailable song of a set keeps its place.
pub fn entry(done: Result<Track, Unfit>, title: Option<String>, number: u32) -> Entry {
    match done {
        Ok(track) => Entry::Track(Box::new(track)),
        Err(unfit) => Entry::Unavailable(Unavailable {
            title,
            number,
            error: unfit.at_last(),
        }),
    }
}

/// A song that the set names and no batch has: it is gone if its batch had other songs, else `untold` has the reason.
pub fn missing(policy: Option<&str>, untold: Option<Option<&ExtractError>>) -> ExtractError {
    let blank = RawTrack::default();
    let by_policy = policy.filter(|policy| matches!(*policy, "SNIP" | "BLOCK"));
    by_policy
        .and_then(|policy| forbidden(policy, &blank))
        .unwrap_or_else(|| match untold {
            None => not_found("song"),
            Some(Some(error)) => error.clone(),
            Some(None) => ExtractError::OriginFailed {
                site: SITE,
                page: "tracks batch",
                reason: "the site told nothing about this song".to_owned(),
            },
        })
}

pub fn collection(set: &RawSet, id: u64, link: String, entries: Vec<Entry>) -> Collection {
    let first_cover = entries.iter().find_map(|entry| match entry {
        Entry::Track(track) => track.cover_url.clone(),
        Entry::Unavailable(_) => None,
    });
    Collection {
        id: id.to_string(),
        site: SITE,
        link,
        title: set.title.clone(),
        artist: set_artist(set),
        cover_url: set.artwork_url.as_deref().and_then(sized).or(first_cover),
        truncated: set
            .track_count
            .is_some_and(|count| count > entries.len() as u64),
        entries,
        endless: false,
        rest: None,
    }
}
