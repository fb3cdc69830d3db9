//! Rows of files that are on the drive.
//!
//! Owns what is written when a song becomes ready, which rows share one file, and the order of eviction. It touches no
//! file.

use std::ops::ControlFlow;

use jiff::Timestamp;
use kmds_extract::{Codec, Container, Format, TrackId};
use rusqlite::{Connection, OptionalExtension as _, named_params, params};

use super::Catalog;
use super::names::name_once;
use super::rows::{COLUMNS, Row, read_format, read_key, read_row, time_back};
use super::statement::{IS_COPY, KeyColumns, NEXT_ORDER, NO_FAILURE, OF_KEY, prepare, sql, update};
use crate::store::error::StoreError;
use crate::store::key::{Key, etag};

/// A file on the drive, for its row.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::store) struct ReadyFile {
    pub(in crate::store) key: Key,
    pub(in crate::store) format: Format,
    pub(in crate::store) size_bytes: u64,
    pub(in crate::store) sha256: String,
    pub(in crate::store) mtime_ns: i64,
    pub(in crate::store) etag: String,
    pub(in crate::store) validator: String,
    pub(in crate::store) stream: String,
    pub(in crate::store) container: Container,
    pub(in crate::store) codec: Codec,
    pub(in crate::store) bitrate_bps: Option<u32>,
    pub(in crate::store) duration_ms: Option<u64>,
    pub(in crate::store) published_at: Timestamp,
    pub(in crate::store) human_name: String,
}

/// A file that could be evicted.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::store) struct Candidate {
    pub(in crate::store) key: Key,
    pub(in crate::store) format: Format,
    pub(in crate::store) size_bytes: u64,
    pub(in crate::store) read_at: Timestamp,
}

/// Rows of one page, when all rows are read.
const PAGE_ROWS: i64 = 256;

/// When a file was last used: SQLite compares this text with that of the index `renditions_by_use`.
macro_rules! used {
    ($row:literal) => {
        concat!(
            "MAX(COALESCE(",
            $row,
            ".last_read, 0), COALESCE(",
            $row,
            ".published_at, 0))"
        )
    };
}

impl ReadyFile {
    /// The file of a ready row, as `key`'s own.
    pub(in crate::store) fn of(row: &Row, key: &Key) -> Option<Self> {
        let (validator, size_bytes) = (row.validator.clone()?, row.size_bytes?);
        Some(Self {
            key: key.clone(),
            format: row.format,
            size_bytes,
            sha256: row.sha256.clone()?,
            mtime_ns: row.mtime_ns?,
            etag: etag(key, &validator, size_bytes),
            validator,
            stream: row.stream.clone().unwrap_or_default(),
            container: row.container?,
            codec: row.codec?,
            bitrate_bps: row.bitrate_bps,
            duration_ms: row
                .duration
                .and_then(|length| u64::try_from(length.as_millis()).ok()),
            published_at: row.published_at?,
            human_name: row.human_name.clone(),
        })
    }
}

impl Catalog {
    /// Rows after this `seq`, a page at a time: ten thousand at once would be most of our memory. With the `seq` up to
    /// which the page goes, or `None` at the end.
    pub(in crate::store) fn page_after(
        &self,
        seq: i64,
    ) -> Result<Option<(Vec<Row>, i64)>, StoreError> {
        let what = "read what is known";
        let last: Option<i64> = prepare(&self.connection, "SELECT MAX(seq) FROM renditions")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(sql(what))?;
        if last.is_none_or(|last| last <= seq) {
            return Ok(None);
        }
        let end = seq.saturating_add(PAGE_ROWS);
        // By `seq` and not by number of rows: then no page reads more than this, with any rows.
        let statement = format!(
            "SELECT {COLUMNS} FROM renditions r WHERE r.seq > ?1 AND r.seq <= ?2 ORDER BY r.seq"
        );
        Ok(Some((self.rows(&statement, [seq, end], what)?, end)))
    }

    /// The `seq` of the rows of these keys, in their order.
    pub(in crate::store) fn seqs_of(&self, keys: &[Key]) -> Result<Vec<Option<i64>>, StoreError> {
        let what = "read songs";
        let statement = format!("SELECT seq FROM renditions WHERE {OF_KEY}");
        // One transaction: alone, each of these would lock the file and let it go.
        let reading = self.connection.unchecked_transaction().map_err(sql(what))?;
        let mut statement = prepare(&reading, &statement).map_err(sql(what))?;
        let mut seq = |key| {
            let key = KeyColumns::of(key);
            statement
                .query_row(key.and(&[]).as_slice(), |row| row.get(0))
                .optional()
        };
        keys.iter().map(|key| seq(key).map_err(sql(what))).collect()
    }

    /// Ready rows of these tracks.
    pub(in crate::store) fn ready_of<'a>(
        &self,
        tracks: impl Iterator<Item = &'a TrackId>,
    ) -> Result<Vec<Row>, StoreError> {
        let statement = format!(
            "SELECT {COLUMNS} FROM renditions r WHERE r.site = ?1 AND r.id = ?2 AND +r.state = 'ready'"
        );
        let what = "read songs";
        // One transaction: alone, each of these would lock the file and let it go.
        let reading = self.connection.unchecked_transaction().map_err(sql(what))?;
        let mut statement = prepare(&reading, &statement).map_err(sql(what))?;
        let mut ready = Vec::new();
        for track in tracks {
            let rows = statement
                .query_map(params![track.site().as_str(), track.id()], read_row)
                .map_err(sql(what))?;
            for row in rows {
                ready.push(row.map_err(sql(what))?);
            }
        }
        Ok(ready)
    }

    /// Marks a file as being on the drive, and makes the row if there is none. Other ready rows of the same file (two
    /// forms requested, one container arrived) follow.
    pub(in crate::store) fn set_ready(&mut self, file: &ReadyFile) -> Result<(), StoreError> {
        let what = "note a published file";
        let transaction = self.connection.transaction().map_err(sql(what))?;
        write_ready(&transaction, file).map_err(sql(what))?;
        if !file.key.is_copy() {
            let canonical = format!("{}.{}", file.key.track(), file.format);
            name_once(&transaction, &canonical, &file.human_name, &file.key).map_err(sql(what))?;
            for key in sharing(&transaction, &file.key, file.format).map_err(sql(what))? {
                let own = etag(&key, &file.validator, file.size_bytes);
                write_ready(
                    &transaction,
                    &ReadyFile {
                        key,
                        etag: own,
                        ..file.clone()
                    },
                )
                .map_err(sql(what))?;
            }
        }
        transaction.commit().map_err(sql(what))
    }

    /// The ready rows whose file this is: the key's own, and those that share it.
    pub(in crate::store) fn rows_of_file(
        &self,
        key: &Key,
        format: Format,
    ) -> Result<Vec<Key>, StoreError> {
        let mut keys = if key.is_copy() {
            Vec::new()
        } else {
            sharing(&self.connection, key, format).map_err(sql("read a song"))?
        };
        keys.push(key.clone());
        Ok(keys)
    }

    pub(in crate::store) fn note_mtime(&self, key: &Key, mtime_ns: i64) -> Result<(), StoreError> {
        let values = named_params! {":mtime_ns": mtime_ns};
        update(
            &self.connection,
            key,
            "mtime_ns = :mtime_ns",
            "TRUE",
            values,
        )
        .map(drop)
        .map_err(sql("note a file's time"))
    }

    /// Ready files that `takes` accepts, the least recently read first, until it says to stop. A file shared by several
    /// rows comes once, at its latest use.
    pub(in crate::store) fn victims(
        &self,
        mut takes: impl FnMut(&Candidate) -> ControlFlow<(), bool>,
    ) -> Result<Vec<Candidate>, StoreError> {
        let what = "read what could be evicted";
        // The most recently used one of the rows that share a file represents it.
        let mut statement = prepare(
            &self.connection,
            concat!(
                "SELECT r.site, r.id, r.rendition, r.ext, r.size, ",
                used!("r"),
                " AS used FROM renditions r INDEXED BY renditions_by_use WHERE r.state = 'ready' \
                 AND NOT EXISTS (SELECT 1 FROM renditions o WHERE o.site = r.site AND o.id = r.id \
                 AND +o.state = 'ready' AND o.ext = r.ext \
                 AND IIF(o.rendition LIKE '%.r', o.rendition, '') = IIF(r.rendition LIKE '%.r', r.rendition, '') \
                 AND (",
                used!("o"),
                ", o.seq) > (",
                used!("r"),
                ", r.seq)) ORDER BY ",
                used!("r"),
                ", r.seq"
            ),
        )
        .map_err(sql(what))?;
        let rows = statement
            .query_map([], |row| {
                Ok(Candidate {
                    key: read_key(row)?,
                    format: read_format(row)?,
                    size_bytes: row.get::<_, Option<u64>>("size")?.unwrap_or(0),
                    read_at: time_back(row.get("used")?).unwrap_or(Timestamp::UNIX_EPOCH),
                })
            })
            .map_err(sql(what))?;
        let mut taken = Vec::new();
        for candidate in rows {
            let candidate = candidate.map_err(sql(what))?;
            match takes(&candidate) {
                ControlFlow::Continue(true) => taken.push(candidate),
                ControlFlow::Continue(false) => {}
                ControlFlow::Break(()) => break,
            }
        }
        Ok(taken)
    }
}

/// Other originals of the same track that are ready with the same extension: the same file.
pub(super) fn sharing(
    connection: &Connection,
    key: &Key,
    format: Format,
) -> Result<Vec<Key>, rusqlite::Error> {
    let statement = format!(
        "SELECT site, id, rendition FROM renditions WHERE site = :site AND id = :id \
         AND rendition <> :rendition AND ext = :ext AND +state = 'ready' AND NOT {IS_COPY}"
    );
    let key = KeyColumns::of(key);
    let mut statement = prepare(connection, &statement)?;
    let format = named_params! {":ext": format.ext()};
    let keys = statement.query_map(key.and(format).as_slice(), read_key)?;
    keys.collect()
}

pub(super) fn write_ready(
    connection: &Connection,
    file: &ReadyFile,
) -> Result<(), rusqlite::Error> {
    let statement = format!(
        "INSERT INTO renditions (site, id, rendition, state, ext, size, total, sha256, mtime_ns, \
         etag, validator, stream, container, codec, bitrate_bps, duration_ms, published_at, \
         accepted_at, requester, queue_order, accept, canonical_name, human_name) \
         VALUES (:site, :id, :rendition, 'ready', :ext, :size, :size, :sha256, :mtime_ns, \
         :etag, :validator, :stream, :container, :codec, :bitrate_bps, :duration_ms, :published_at, \
         :published_at, '', {NEXT_ORDER}, '', :canonical_name, :human_name) \
         ON CONFLICT (site, id, rendition) DO UPDATE SET state = 'ready', ext = :ext, \
         size = :size, total = :size, sha256 = :sha256, mtime_ns = :mtime_ns, etag = :etag, \
         validator = :validator, stream = :stream, container = :container, codec = :codec, \
         bitrate_bps = :bitrate_bps, duration_ms = :duration_ms, published_at = :published_at, \
         {NO_FAILURE}"
    );
    let values = named_params! {
        ":ext": file.format.ext(),
        ":size": file.size_bytes,
        ":sha256": file.sha256,
        ":mtime_ns": file.mtime_ns,
        ":etag": file.etag,
        ":validator": file.validator,
        ":stream": file.stream,
        ":container": file.container.as_str(),
        ":codec": file.codec.as_str(),
        ":bitrate_bps": file.bitrate_bps,
        ":duration_ms": file.duration_ms,
        ":published_at": file.published_at.as_millisecond(),
        ":canonical_name": format!("{}.{}", file.key.track(), file.format),
        ":human_name": file.human_name,
    };
    let key = KeyColumns::of(&file.key);
    prepare(connection, &statement)?
        .execute(key.and(values).as_slice())
        .map(drop)
}
