//! What the catalog holds, as values.
//!
//! Owns [`Row`], [`State`], [`Failure`] and how a row is read from SQL. Never runs a statement.

use std::time::Duration;

use jiff::Timestamp;
use kmds_extract::choose::Accept;
use kmds_extract::{Codec, Container, Kind, Site, Track, TrackId};
use rusqlite::types::Type;

use crate::store::Key;

/// Where a rendition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    Queued,
    Downloading,
    Converting,
    Ready,
    Failed,
    /// Known but not on the drive; the next reader queues it again. Also a song accepted without being queued.
    Evicted,
    /// Removed by a client; only a new fetch brings it back.
    Deleted,
}

impl State {
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Downloading, Self::Converting, Self::Ready, Self::Failed, Self::Evicted, Self::Deleted];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Downloading => "downloading",
            Self::Converting => "converting",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Evicted => "evicted",
            Self::Deleted => "deleted",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Work that has to go on after a restart.
    #[must_use]
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Queued | Self::Downloading | Self::Converting)
    }
}

/// Why a rendition failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: Kind,
    /// A whole sentence for a person.
    pub sentence: String,
    pub retryable: bool,
    pub at: Timestamp,
}

/// Final failures are not tried again for this long (api 1, "What a state means").
const FINAL_FOR: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

impl Failure {
    /// Whether a new fetch must still be answered with this failure instead of another try.
    #[must_use]
    pub fn stands(&self, now: Timestamp) -> bool {
        !self.retryable && now.duration_since(self.at) < FINAL_FOR
    }
}

/// One rendition of a track. Fields of the file are set once it is known what arrives.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub key: Key,
    /// Rises with each new rendition: the order of [`crate::store::Store::list`].
    pub seq: i64,
    pub state: State,
    /// Expected; once ready, that of the file.
    pub ext: String,
    /// Bytes on the drive, when ready.
    pub size_bytes: Option<u64>,
    /// Bytes announced by the site.
    pub total_bytes: Option<u64>,
    /// Lower-case hex.
    pub sha256: Option<String>,
    pub(in crate::store) mtime_ns: Option<i64>,
    pub etag: Option<String>,
    pub validator: Option<String>,
    pub stream: Option<String>,
    pub container: Option<Container>,
    pub codec: Option<Codec>,
    pub bitrate_bps: Option<u32>,
    /// As measured in the file.
    pub duration: Option<Duration>,
    pub accepted_at: Timestamp,
    pub published_at: Option<Timestamp>,
    pub last_read: Option<Timestamp>,
    pub failure: Option<Failure>,
    pub requester: String,
    /// Smaller goes first.
    pub queue_order: i64,
    pub accept: Accept,
    /// The canonical name last given out.
    pub canonical_name: String,
    /// The `File_Name` last given out.
    pub human_name: String,
}

/// The columns [`read_row`] expects, in its order.
pub(super) const COLUMNS: &str = "r.site, r.id, r.rendition, r.seq, r.state, r.ext, r.size, r.total, r.sha256, \
     r.mtime_ns, r.etag, r.validator, r.stream, r.container, r.codec, r.bitrate_bps, r.duration_ms, r.accepted_at, \
     r.published_at, r.last_read, r.failure_kind, r.failure_sentence, r.failure_retryable, r.failed_at, r.requester, \
     r.queue_order, r.accept, r.canonical_name, r.human_name";

pub(super) fn read_row(row: &rusqlite::Row<'_>) -> Result<Row, rusqlite::Error> {
    let state: String = row.get(4)?;
    let accept: String = row.get(26)?;
    Ok(Row {
        key: read_key(row, 0)?,
        seq: row.get(3)?,
        state: State::parse(&state).ok_or_else(|| unreadable(4, "state"))?,
        ext: row.get(5)?,
        size_bytes: row.get(6)?,
        total_bytes: row.get(7)?,
        sha256: row.get(8)?,
        mtime_ns: row.get(9)?,
        etag: row.get(10)?,
        validator: row.get(11)?,
        stream: row.get(12)?,
        container: word_back(row.get(13)?),
        codec: word_back(row.get(14)?),
        bitrate_bps: row.get(15)?,
        duration: row.get::<_, Option<u64>>(16)?.map(Duration::from_millis),
        accepted_at: time_back(row.get(17)?).unwrap_or(Timestamp::UNIX_EPOCH),
        published_at: row.get::<_, Option<i64>>(18)?.and_then(time_back),
        last_read: row.get::<_, Option<i64>>(19)?.and_then(time_back),
        failure: read_failure(row)?,
        requester: row.get(24)?,
        queue_order: row.get(25)?,
        accept: serde_json::from_str(&accept).unwrap_or_default(),
        canonical_name: row.get(27)?,
        human_name: row.get(28)?,
    })
}

fn read_failure(row: &rusqlite::Row<'_>) -> Result<Option<Failure>, rusqlite::Error> {
    let Some(kind) = row.get::<_, Option<String>>(20)? else { return Ok(None) };
    Ok(Some(Failure {
        kind: word_back(Some(kind)).unwrap_or(Kind::Internal),
        sentence: row.get::<_, Option<String>>(21)?.unwrap_or_default(),
        retryable: row.get::<_, Option<bool>>(22)?.unwrap_or(true),
        at: row.get::<_, Option<i64>>(23)?.and_then(time_back).unwrap_or(Timestamp::UNIX_EPOCH),
    }))
}

/// A key from three columns: site, id, rendition.
pub(super) fn read_key(row: &rusqlite::Row<'_>, first: usize) -> Result<Key, rusqlite::Error> {
    let (site, id, slug): (String, String, String) = (row.get(first)?, row.get(first + 1)?, row.get(first + 2)?);
    Site::parse(&site)
        .and_then(|site| TrackId::new(site, &id))
        .and_then(|track| Key::from_slug(track, &slug))
        .ok_or_else(|| unreadable(first, "key"))
}

pub(super) fn read_track(text: &str) -> Option<Track> {
    serde_json::from_str(text).ok()
}

fn unreadable(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("no {what} we know").into())
}

/// Containers, codecs and kinds are stored as the word serde gives them.
pub(super) fn word(value: &impl serde::Serialize) -> Option<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Some(word),
        _ => None,
    }
}

fn word_back<T: serde::de::DeserializeOwned>(word: Option<String>) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(word?)).ok()
}

pub(super) fn time_back(ms: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(ms).ok()
}
