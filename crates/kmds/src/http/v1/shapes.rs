//! The snake_case replies of the v1 API: every key of them.

use std::time::SystemTime;

use kmds_extract::{Kind, Loudness, Site};
use serde::Serialize;

use super::super::links::Addresses;
use super::super::reply::seconds;
#[cfg(test)]
use super::super::schemas::{form_schema, kind_schema, track_state_schema};
use crate::app::{Failure, Fetched, ListFacts, Listing, Missing, Song, State, Stored};

/// A resolved link.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(in crate::http) struct FetchReply {
    id: String,
    #[cfg_attr(test, schema(value_type = String))]
    site: Site,
    /// The link in its one form.
    link: String,
    /// Set for lists only.
    #[cfg_attr(test, schema(required = true))]
    collection: Option<CollectionReply>,
    tracks: Vec<TrackReply>,
    unavailable: Vec<MissingReply>,
    /// The site's list is longer than what is returned.
    truncated: bool,
    links: PlayLinksReply,
}

/// Paths on this server that give the whole of a link in one request; signed where tokens are needed, so that a player
/// or a browser's download can open them.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct PlayLinksReply {
    /// For a song its audio, for a list a playlist of streaming addresses.
    play: String,
    /// One archive of the songs as the site has them.
    zip: String,
    /// One archive of tagged copies, as `Artist/Album/01 Title`.
    library_zip: String,
}

/// Several resolved links.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(in crate::http) struct FetchManyReply {
    /// The links that were resolved, in the order of the request.
    links: Vec<LinkReply>,
    /// The tracks of all links, one link after the other.
    tracks: Vec<TrackReply>,
    /// The links that failed, in the order of the request.
    failures: Vec<LinkFailureReply>,
}

/// The answer to one link (`url`), or to several (`urls`), as `/openapi.json` describes it.
#[cfg(test)]
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only described")]
pub(in crate::http) enum FetchAnswer {
    One(FetchReply),
    Several(FetchManyReply),
}

/// One resolved link of several.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct LinkReply {
    /// As it was sent.
    url: String,
    id: String,
    #[cfg_attr(test, schema(value_type = String))]
    site: Site,
    /// The link in its one form.
    link: String,
    /// Set for lists only.
    #[cfg_attr(test, schema(required = true))]
    collection: Option<CollectionReply>,
    /// How many of `tracks` are this link's.
    track_count: usize,
    unavailable: Vec<MissingReply>,
    /// The site's list is longer than what is returned.
    truncated: bool,
    links: PlayLinksReply,
}

/// One link of several that failed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct LinkFailureReply {
    /// As it was sent.
    url: String,
    #[serde(flatten)]
    failure: FailureReply,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct CollectionReply {
    title: Option<String>,
    artist: Option<String>,
    cover_url: Option<String>,
    /// Songs of the list, unavailable ones included.
    total: usize,
}

/// One song, and its form that was asked for last; `forms` has all of them.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(in crate::http) struct TrackFormsReply {
    #[serde(flatten)]
    track: TrackReply,
    /// The oldest first.
    forms: Vec<FormReply>,
}

/// One form of a song, and its file.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(in crate::http) struct FormReply {
    /// The requested form; it belongs to the key and stays, even if another container arrives.
    #[cfg_attr(test, schema(schema_with = form_schema))]
    form: &'static str,
    /// `original`, or the name of the copy: `mp3`, `original-tagged`.
    rendition: String,
    /// `evicted`: known, but neither here nor on its way.
    #[cfg_attr(test, schema(schema_with = track_state_schema))]
    state: State,
    /// The path of the finished file, now or later: relative to the cache folder, or absolute with `cache.client_path`.
    path: String,
    /// The file is there. Until then `path` is a prediction: another container may arrive.
    path_final: bool,
    /// Only for a finished file.
    size_bytes: Option<u64>,
    sha256: Option<String>,
    /// The file is not evicted before; null if no hold with an end is on it. RFC 3339.
    held_until: Option<String>,
    /// The file is never evicted.
    pinned: bool,
    links: LinksReply,
}

/// One song in one form.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(in crate::http) struct TrackReply {
    #[cfg_attr(test, schema(value_type = String))]
    site: Site,
    id: String,
    #[serde(flatten)]
    form: FormReply,
    /// The song's own page.
    link: String,
    title: String,
    artist: Option<String>,
    album: Option<String>,
    album_artist: Option<String>,
    /// 1-based place in the album or list.
    track_number: Option<u32>,
    track_total: Option<u32>,
    duration_seconds: Option<f64>,
    /// `YYYY-MM-DD`.
    date: Option<String>,
    /// Decibels above −14 LUFS, as the site measured it; null where it does not tell.
    #[cfg_attr(test, schema(value_type = Option<f64>))]
    loudness_db: Option<Loudness>,
    cover_url: Option<String>,
    received_bytes: u64,
    total_bytes: Option<u64>,
    /// Exact where the site states it.
    approximate_bytes: Option<u64>,
    failure: Option<FailureReply>,
    /// For people.
    file_name: String,
    canonical_name: String,
    /// The same as `path`.
    cache_path: String,
    /// Facts of a finished file.
    stored: Option<StoredReply>,
}

/// Paths on this server. All but `track` and `cover` lead to one form, for ever.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct LinksReply {
    #[serde(rename = "self")]
    #[cfg_attr(test, schema(rename = "self"))]
    itself: String,
    /// The song with all its forms.
    track: String,
    audio: String,
    stream: String,
    cover: String,
    tunnel: String,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct FailureReply {
    #[cfg_attr(test, schema(schema_with = kind_schema))]
    kind: Kind,
    reason: String,
    retryable: bool,
    retry_after_seconds: Option<u64>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct StoredReply {
    size_bytes: u64,
    sha256: String,
    container: &'static str,
    codec: &'static str,
    bitrate_bps: Option<u32>,
    /// RFC 3339.
    published: String,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
struct MissingReply {
    title: Option<String>,
    track_number: u32,
    #[cfg_attr(test, schema(schema_with = kind_schema))]
    kind: Kind,
    reason: String,
    retryable: bool,
}

/// A page of the known tracks.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(in crate::http) struct ListReply {
    tracks: Vec<TrackReply>,
    /// For the next call; null at the end.
    #[cfg_attr(test, schema(required = true))]
    cursor: Option<String>,
}

impl FetchReply {
    /// Around these tracks.
    pub(super) fn new(fetched: &Fetched, tracks: Vec<TrackReply>, addresses: &Addresses) -> Self {
        Self {
            id: fetched.id.clone(),
            site: fetched.site,
            link: fetched.link.clone(),
            collection: CollectionReply::of(fetched, addresses),
            tracks,
            unavailable: fetched.unavailable.iter().map(MissingReply::new).collect(),
            truncated: fetched.truncated,
            links: PlayLinksReply::new(fetched, addresses),
        }
    }
}

impl PlayLinksReply {
    fn new(fetched: &Fetched, addresses: &Addresses) -> Self {
        let path = |archive| addresses.play_path(&fetched.link, fetched.list.is_some(), archive);
        Self {
            play: path(None),
            zip: path(Some("zip")),
            library_zip: path(Some("library")),
        }
    }
}

impl FetchManyReply {
    /// Around these tracks, which are those of `fetched`, one link after the other.
    pub(super) fn new(
        fetched: &[(String, Fetched)],
        failures: &[(String, Failure)],
        tracks: Vec<TrackReply>,
        addresses: &Addresses,
    ) -> Self {
        let failed = |(url, failure): &(String, Failure)| LinkFailureReply {
            url: url.clone(),
            failure: FailureReply::new(failure),
        };
        Self {
            links: fetched
                .iter()
                .map(|(url, fetched)| LinkReply::new(url, fetched, addresses))
                .collect(),
            tracks,
            failures: failures.iter().map(failed).collect(),
        }
    }
}

impl LinkReply {
    fn new(url: &str, fetched: &Fetched, addresses: &Addresses) -> Self {
        Self {
            url: url.to_owned(),
            id: fetched.id.clone(),
            site: fetched.site,
            link: fetched.link.clone(),
            collection: CollectionReply::of(fetched, addresses),
            track_count: fetched.songs.len(),
            unavailable: fetched.unavailable.iter().map(MissingReply::new).collect(),
            truncated: fetched.truncated,
            links: PlayLinksReply::new(fetched, addresses),
        }
    }
}

impl ListReply {
    pub(super) fn new(listing: &Listing, addresses: &Addresses) -> Self {
        let tracks = listing
            .songs
            .iter()
            .map(|song| TrackReply::new(song, addresses))
            .collect();
        Self {
            tracks,
            cursor: listing.cursor.clone(),
        }
    }
}

impl CollectionReply {
    fn of(fetched: &Fetched, addresses: &Addresses) -> Option<Self> {
        let ListFacts {
            title,
            artist,
            total,
            ..
        } = fetched.list.clone()?;
        Some(Self {
            title,
            artist,
            cover_url: addresses.list_cover(fetched),
            total,
        })
    }
}

impl TrackFormsReply {
    pub(super) fn new(song: &Song, forms: &[Song], addresses: &Addresses) -> Self {
        Self {
            track: TrackReply::new(song, addresses),
            forms: forms
                .iter()
                .map(|form| FormReply::new(form, addresses))
                .collect(),
        }
    }
}

impl FormReply {
    fn new(song: &Song, addresses: &Addresses) -> Self {
        let stored = song.stored.as_ref();
        let until = song.held.and_then(|held| held.until);
        Self {
            form: song.form().ext(),
            rendition: song.key.word(),
            state: song.state,
            path: song.cache_path.clone(),
            path_final: song.state == State::Ready,
            size_bytes: stored.map(|stored| stored.size_bytes),
            sha256: stored.map(|stored| stored.sha256.clone()),
            held_until: until.map(|until| rfc3339(until.into())),
            pinned: song.held.is_some_and(|held| held.pinned),
            links: LinksReply::new(song, addresses),
        }
    }
}

impl LinksReply {
    fn new(song: &Song, addresses: &Addresses) -> Self {
        let id = song.key.track();
        let (site, id) = (id.site().as_str(), id.id());
        let track = format!("/api/v1/tracks/{site}/{id}");
        let itself = format!("{track}/{}", song.key.address());
        let audio = addresses.open_path(format!("{itself}/audio"));
        let joint = if audio.contains('?') { '&' } else { '?' };
        Self {
            stream: format!("{audio}{joint}stream=1"),
            audio,
            cover: addresses.cover_link(song.key.track()),
            tunnel: addresses.tunnel_path(&song.canonical_name),
            track: addresses.path(&track),
            itself: addresses.path(&itself),
        }
    }
}

impl TrackReply {
    pub(super) fn new(song: &Song, addresses: &Addresses) -> Self {
        let track = song.track.clone();
        Self {
            site: track.id.site(),
            id: track.id.id().to_owned(),
            form: FormReply::new(song, addresses),
            link: track.link,
            title: track.title,
            artist: track.artist,
            album: track.album,
            album_artist: track.album_artist,
            track_number: track.number,
            track_total: track.total,
            duration_seconds: track.duration.map(seconds),
            date: track.date,
            loudness_db: track.loudness_db,
            cover_url: addresses.cover(&track.id, track.cover_url.as_ref()),
            received_bytes: song.received,
            total_bytes: song.total,
            approximate_bytes: song.approximate_size,
            failure: song.failure.as_ref().map(FailureReply::new),
            file_name: song.file_name.clone(),
            canonical_name: song.canonical_name.clone(),
            cache_path: song.cache_path.clone(),
            stored: song.stored.as_ref().map(StoredReply::new),
        }
    }
}

impl FailureReply {
    pub(super) fn new(failure: &Failure) -> Self {
        Self {
            kind: failure.kind,
            reason: failure.sentence.clone(),
            retryable: failure.retryable(),
            retry_after_seconds: failure.retry_after.map(|wait| wait.as_secs()),
        }
    }
}

impl StoredReply {
    fn new(stored: &Stored) -> Self {
        let Stored {
            size_bytes,
            sha256,
            container,
            codec,
            bitrate_bps,
            published,
        } = stored.clone();
        Self {
            size_bytes,
            sha256,
            container,
            codec,
            bitrate_bps,
            published: rfc3339(published),
        }
    }
}

/// UTC, to the second.
pub(super) fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(
        |_| String::new(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

impl MissingReply {
    fn new(missing: &Missing) -> Self {
        Self {
            title: missing.title.clone(),
            track_number: missing.number,
            kind: missing.failure.kind,
            reason: missing.failure.sentence.clone(),
            retryable: missing.failure.retryable(),
        }
    }
}
