//! The content of the catalog, as values.
//!
//! Owns [`Row`], [`State`] and how a row is read from SQL. It runs no statement.

use std::time::Duration;

use jiff::Timestamp;
use kmds_extract::choose::Accept;
use kmds_extract::{Codec, Container, Failure, Format, Kind, Site, Track, TrackId};
use rusqlite::types::{FromSql, Type};
use serde::{Deserialize, Serialize};

use crate::store::Key;

/// Where a rendition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Downloading,
        Self::Converting,
        Self::Ready,
        Self::Failed,
        Self::Evicted,
        Self::Deleted,
    ];

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

    /// The state for clients: a removed song is `evicted`.
    #[must_use]
    pub const fn shown(self) -> Self {
        match self {
            Self::Deleted => Self::Evicted,
            state => state,
        }
    }

    /// For clients that know five states: a song that is not here is `queued`, since a request queues it.
    #[must_use]
    pub const fn of_five(self) -> Self {
        match self.shown() {
            Self::Evicted => Self::Queued,
            state => state,
        }
    }

    /// Whether the job must continue after a restart.
    #[must_use]
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Queued | Self::Downloading | Self::Converting)
    }
}

/// A final failure is not tried again for this long (docs/api.md, "Kinds of failure").
const FINAL_FOR: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

/// One rendition of a track. Fields of the file are set once the arriving file is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub key: Key,
    /// Rises with each new rendition: the order of [`crate::store::Store::list`].
    pub seq: i64,
    pub state: State,
    /// Expected; once ready, that of the file.
    pub format: Format,
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
    pub failed_at: Option<Timestamp>,
    pub requester: String,
    /// Smaller goes first.
    pub queue_order: i64,
    pub accept: Accept,
    /// The canonical name in the last reply.
    pub canonical_name: String,
    /// The `File_Name` in the last reply.
    pub human_name: String,
}

impl Row {
    /// Whether a new fetch still gets this row's failure instead of another try.
    pub(in crate::store) fn failure_stands(&self, now: Timestamp) -> bool {
        let is_recent = |at| now.duration_since(at) < FINAL_FOR;
        self.failure
            .as_ref()
            .is_some_and(|failure| !failure.retryable())
            && self.failed_at.is_some_and(is_recent)
    }
}

/// Names the columns of a row once: their list for `SELECT`, and where each of them stands in it. Looking a column up
/// by its name in the row compares up to 29 names for each of 29 values.
macro_rules! columns {
    ($first:ident $(, $name:ident)*) => {
        /// What [`read_row`] reads, from a table called `r`.
        pub(super) const COLUMNS: &str =
            concat!("r.", stringify!($first) $(, ", r.", stringify!($name))*);

        #[expect(non_camel_case_types, reason = "they are the names of columns")]
        #[expect(dead_code, reason = "an earlier release reads `failure_retryable`; we only write it")]
        #[derive(Clone, Copy)]
        enum Column { $first $(, $name)* }
    };
}

columns!(
    site,
    id,
    rendition,
    seq,
    state,
    ext,
    size,
    total,
    sha256,
    mtime_ns,
    etag,
    validator,
    stream,
    container,
    codec,
    bitrate_bps,
    duration_ms,
    accepted_at,
    published_at,
    last_read,
    failure_kind,
    failure_sentence,
    failure_retryable,
    failed_at,
    requester,
    queue_order,
    accept,
    canonical_name,
    human_name
);

impl Column {
    fn of<T: FromSql>(self, row: &rusqlite::Row<'_>) -> Result<T, rusqlite::Error> {
        row.get(self as usize)
    }

    /// A time, if there is one.
    fn time(self, row: &rusqlite::Row<'_>) -> Result<Option<Timestamp>, rusqlite::Error> {
        Ok(self.of::<Option<i64>>(row)?.and_then(time_back))
    }

    /// One of `all`, by its word; `None` for a word that only another release knows.
    fn word<T: Copy, const N: usize>(
        self,
        row: &rusqlite::Row<'_>,
        all: [T; N],
        word: fn(T) -> &'static str,
    ) -> Result<Option<T>, rusqlite::Error> {
        let found: Option<String> = self.of(row)?;
        Ok(found.and_then(|found| all.into_iter().find(|one| word(*one) == found)))
    }
}

/// A row that was selected by [`COLUMNS`].
pub(super) fn read_row(row: &rusqlite::Row<'_>) -> Result<Row, rusqlite::Error> {
    let accept: String = Column::accept.of(row)?;
    Ok(Row {
        key: key_of(
            Column::site.of(row)?,
            Column::id.of(row)?,
            Column::rendition.of(row)?,
        )?,
        seq: Column::seq.of(row)?,
        state: Column::state
            .word(row, State::ALL, State::as_str)?
            .ok_or_else(|| unreadable("state"))?,
        format: Column::ext
            .word(row, Format::ALL, Format::ext)?
            .ok_or_else(|| unreadable("format"))?,
        size_bytes: Column::size.of(row)?,
        total_bytes: Column::total.of(row)?,
        sha256: Column::sha256.of(row)?,
        mtime_ns: Column::mtime_ns.of(row)?,
        etag: Column::etag.of(row)?,
        validator: Column::validator.of(row)?,
        stream: Column::stream.of(row)?,
        container: Column::container.word(row, Container::ALL, Container::as_str)?,
        codec: Column::codec.word(row, Codec::ALL, Codec::as_str)?,
        bitrate_bps: Column::bitrate_bps.of(row)?,
        duration: Column::duration_ms
            .of::<Option<u64>>(row)?
            .map(Duration::from_millis),
        accepted_at: Column::accepted_at
            .time(row)?
            .unwrap_or(Timestamp::UNIX_EPOCH),
        published_at: Column::published_at.time(row)?,
        last_read: Column::last_read.time(row)?,
        failure: read_failure(row)?,
        failed_at: Column::failed_at.time(row)?,
        requester: Column::requester.of(row)?,
        queue_order: Column::queue_order.of(row)?,
        accept: serde_json::from_str(&accept).unwrap_or_default(),
        canonical_name: Column::canonical_name.of(row)?,
        human_name: Column::human_name.of(row)?,
    })
}

fn read_failure(row: &rusqlite::Row<'_>) -> Result<Option<Failure>, rusqlite::Error> {
    let kind: Option<String> = Column::failure_kind.of(row)?;
    let sentence: Option<String> = Column::failure_sentence.of(row)?;
    Ok(kind.map(|kind| {
        let kind = Kind::parse(&kind).unwrap_or(Kind::Internal);
        Failure::new(kind, sentence.unwrap_or_default())
    }))
}

/// The key in the columns `site`, `id` and `rendition` of any table.
pub(super) fn read_key(row: &rusqlite::Row<'_>) -> Result<Key, rusqlite::Error> {
    key_of(row.get("site")?, row.get("id")?, row.get("rendition")?)
}

fn key_of(site: String, id: String, slug: String) -> Result<Key, rusqlite::Error> {
    Site::parse(&site)
        .and_then(|site| TrackId::new(site, &id))
        .and_then(|track| Key::from_slug(track, &slug))
        .ok_or_else(|| unreadable("key"))
}

/// The format in the column `ext`.
pub(super) fn read_format(row: &rusqlite::Row<'_>) -> Result<Format, rusqlite::Error> {
    let ext: String = row.get("ext")?;
    Format::parse(&ext).ok_or_else(|| unreadable("format"))
}

pub(super) fn read_track(text: &str) -> Option<Track> {
    serde_json::from_str(text).ok()
}

fn unreadable(what: &'static str) -> rusqlite::Error {
    let why = format!("no {what} we know");
    // The sentence names the column.
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, why.into())
}

pub(super) fn time_back(ms: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(ms).ok()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::Path;

    use rusqlite::types::Value;

    use super::*;
    use crate::store::catalog::{Catalog, Check, Filter};

    /// A row of the catalog, in the order of [`COLUMNS`]; then the song as JSON.
    const GOOD: [&str; 30] = [
        "youtube",
        "M4gD1WSo5mA",
        "m4a",
        "#1",
        "ready",
        "m4a",
        "#1000",
        "#1000",
        "ab",
        "#7",
        "\"e\"",
        "v",
        "itag 140",
        "mp4",
        "aac",
        "#128000",
        "#61500",
        "#1790000000000",
        "#1790000000001",
        "#1790000000002",
        "-",
        "-",
        "-",
        "-",
        "10.0.0.1",
        "#1",
        "[\"m4a\"]",
        "youtube-M4gD1WSo5mA.m4a",
        "A Song.m4a",
        "{}",
    ];

    /// `#7` is a number, `%1.5` one with a fraction, `-` nothing, `!x` bytes, all else text.
    fn value(text: &str) -> Value {
        let rest = text.get(1..).unwrap_or_default();
        match text.as_bytes().first() {
            Some(b'#') => rest.parse().map_or(Value::Null, Value::Integer),
            Some(b'%') => rest.parse().map_or(Value::Null, Value::Real),
            Some(b'-') if rest.is_empty() => Value::Null,
            Some(b'!') => Value::Blob(rest.as_bytes().to_vec()),
            _ => Value::Text(text.to_owned()),
        }
    }

    /// Reading any row gives a row with safe names, or an error.
    #[test]
    fn fuzz_catalog() {
        thread_local! {
            static CATALOG: RefCell<Catalog> =
                RefCell::new(Catalog::open(Path::new(":memory:"), Check::Whole).expect("a catalog in memory").catalog);
        }
        kmds_fuzz::target("catalog", |input| {
            let text = String::from_utf8_lossy(input);
            let mut given = text.split('\n');
            // An empty line leaves the good value.
            let values = GOOD
                .map(|good| value(given.next().filter(|line| !line.is_empty()).unwrap_or(good)));
            CATALOG.with_borrow(|catalog| read_back(catalog, values));
        });
    }

    fn read_back(catalog: &Catalog, values: [Value; 30]) {
        let columns = COLUMNS.replace("r.", "");
        let row = format!(
            "INSERT INTO renditions ({columns}) VALUES ({})",
            vec!["?"; columns.split(',').count()].join(", ")
        );
        let [site, id, rendition, rest @ ..] = &values;
        let song = rest.last().expect("the song");
        let sql = &catalog.connection;
        let put = sql
            .prepare_cached(&row)
            .expect("our table")
            .execute(rusqlite::params_from_iter(&values[..29]));
        let track = "INSERT INTO tracks (site, id, metadata, alone, alone_at, words, changed_at) VALUES (?1, ?2, ?3, ?3, 0, '', 0)";
        let known = sql
            .prepare_cached(track)
            .expect("our table")
            .execute((site, id, song));
        let name = "INSERT INTO names (name, site, id, rendition) VALUES ('name', ?1, ?2, ?3)";
        let named = sql
            .prepare_cached(name)
            .expect("our table")
            .execute((site, id, rendition));
        if put.is_ok() && known.is_ok() && named.is_ok() {
            let good = TrackId::new(Site::YouTube, "M4gD1WSo5mA").expect("an id");
            let first = sql
                .query_row("SELECT MAX(seq) FROM renditions", [], |row| row.get(0))
                .unwrap_or(1_i64);
            let page = catalog.page_after(first.saturating_sub(1));
            let rows = [
                catalog.renditions(&good),
                catalog.pending(),
                page.map(|page| page.map_or_else(Vec::new, |(rows, _)| rows)),
            ];
            rows.into_iter()
                .flatten()
                .flatten()
                .for_each(|row| safe(&row));
            let listing = catalog.list(&Filter::default(), 10, None);
            listing
                .into_iter()
                .flat_map(|listing| listing.songs)
                .for_each(|song| safe(&song.row));
            let _ = (
                catalog.find_name("name"),
                catalog.stats(),
                catalog.track_alone(&good),
                catalog.ready_bytes(),
            );
            let _ = catalog.victims(|_| std::ops::ControlFlow::Continue(true));
        }
        // The sums first: an endless size, which only damage brings, leaves no number behind.
        sql.execute_batch(
            "DELETE FROM sums; DELETE FROM renditions; DELETE FROM tracks; DELETE FROM names",
        )
        .expect("our tables");
    }

    fn safe(row: &Row) {
        let path = row.key.relative_path(row.format);
        let (site, name) = path.split_once('/').expect("a folder and a name");
        assert!(
            Site::parse(site).is_some() && !name.contains(['/', '\\']) && !name.starts_with('.'),
            "{path}"
        );
        assert!(
            !row.accept.formats().is_empty(),
            "every client plays something"
        );
    }
}
