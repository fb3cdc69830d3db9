//! The embedded database: what has been asked for, where it stands, and what lies on the drive.
//!
//! Owns every SQL statement, one connection, and what happens when the file is damaged. Hides SQLite.
//! Never touches the cache folder, never awaits: callers run it off the runtime's thread.

mod accept;
mod open;
mod ready;
mod rows;
mod schema;
mod search;

use jiff::Timestamp;
use kmds_extract::{Failure, Format, Track, TrackId};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};

use super::error::StoreError;
use super::key::Key;

pub use accept::{Accepted, AcceptedRow};
pub(super) use ready::{Candidate, ReadyFile};
pub use rows::{Row, State};
pub use search::{Filter, Found, Listed, Listing, Stats};

use rows::{COLUMNS, read_row, read_track};

pub(super) struct Catalog {
    connection: Connection,
}

/// What a download found out when it began.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// Of the file that will stand on the drive.
    pub format: Format,
    pub total_bytes: Option<u64>,
    /// [`kmds_extract::Stream::label`].
    pub stream: String,
}

impl Catalog {
    pub(super) fn row(&self, key: &Key) -> Result<Option<Row>, StoreError> {
        row_in(&self.connection, key).map_err(sql("read a song"))
    }

    pub(super) fn rows_of(&self, track: &TrackId) -> Result<Vec<Row>, StoreError> {
        let statement = format!(
            "SELECT {COLUMNS} FROM renditions r WHERE r.site = ?1 AND r.id = ?2 ORDER BY r.seq"
        );
        self.rows(
            &statement,
            params![track.site().as_str(), track.id()],
            "read a song",
        )
    }

    /// Work to go on with, in queue order.
    pub(super) fn pending(&self) -> Result<Vec<Row>, StoreError> {
        let statement = format!(
            "SELECT {COLUMNS} FROM renditions r WHERE r.state IN ('queued', 'downloading', 'converting') \
             ORDER BY r.queue_order, r.seq"
        );
        self.rows(&statement, [], "read the queue")
    }

    fn rows(
        &self,
        statement: &str,
        bound: impl rusqlite::Params,
        what: &'static str,
    ) -> Result<Vec<Row>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached(statement)
            .map_err(sql(what))?;
        let rows = statement.query_map(bound, read_row).map_err(sql(what))?;
        rows.collect::<Result<_, _>>().map_err(sql(what))
    }

    pub(super) fn track(&self, track: &TrackId) -> Result<Option<Track>, StoreError> {
        let text: Option<String> = self
            .connection
            .query_row(
                "SELECT metadata FROM tracks WHERE site = ?1 AND id = ?2",
                params![track.site().as_str(), track.id()],
                |row| row.get(0),
            )
            .optional()
            .map_err(sql("read a song"))?;
        Ok(text.as_deref().and_then(read_track))
    }

    /// The song as it was when asked for alone, and when that was.
    pub(super) fn track_alone(
        &self,
        track: &TrackId,
    ) -> Result<Option<(Track, Timestamp)>, StoreError> {
        let found: Option<(Option<String>, Option<i64>)> = self
            .connection
            .query_row(
                "SELECT alone, alone_at FROM tracks WHERE site = ?1 AND id = ?2",
                params![track.site().as_str(), track.id()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map_err(sql("read a song"))?;
        let Some((Some(text), at)) = found else {
            return Ok(None);
        };
        let at = at
            .and_then(rows::time_back)
            .unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(read_track(&text).map(|track| (track, at)))
    }

    /// The song, asked for alone before, whose own page this is.
    pub(super) fn track_by_link(&self, link: &str) -> Result<Option<TrackId>, StoreError> {
        let found: Option<(String, String)> = self
            .connection
            .prepare_cached(
                "SELECT site, id FROM tracks WHERE json_extract(alone, '$.link') = ?1 LIMIT 1",
            )
            .and_then(|mut statement| {
                statement
                    .query_row([link], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(sql("look a link up"))?;
        Ok(found.and_then(|(site, id)| TrackId::new(kmds_extract::Site::parse(&site)?, &id)))
    }

    /// `false` if there is no such row, or it was deleted: work that goes on must not bring it back. Leaving `failed` forgets
    /// the failure.
    pub(super) fn set_state(&self, key: &Key, state: State) -> Result<bool, StoreError> {
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE renditions SET state = ?4, failure_kind = NULL, failure_sentence = NULL, \
                 failure_retryable = NULL, failed_at = NULL WHERE site = ?1 AND id = ?2 AND rendition = ?3 \
                 AND (state <> 'deleted' OR ?4 IN ('deleted', 'evicted'))",
            )
            .and_then(|mut statement| {
                statement.execute(params![key.track().site().as_str(), key.track().id(), key.slug(), state.as_str()])
            })
            .map_err(sql("note a song's state"))?;
        Ok(changed > 0)
    }

    /// Puts a song at the end of the queue again (at its front with `first`).
    pub(super) fn requeue(&self, key: &Key, first: bool) -> Result<bool, StoreError> {
        let order = if first {
            "(SELECT MIN(queue_order) - 1 FROM renditions)"
        } else {
            accept::NEXT_ORDER
        };
        let statement = format!(
            "UPDATE renditions SET queue_order = {order} WHERE site = ?1 AND id = ?2 AND rendition = ?3"
        );
        self.connection
            .prepare_cached(&statement)
            .and_then(|mut statement| {
                statement.execute(params![
                    key.track().site().as_str(),
                    key.track().id(),
                    key.slug()
                ])
            })
            .map_err(sql("queue a song"))?;
        self.set_state(key, State::Queued)
    }

    /// Moves a song to the front of the queue, whatever its state.
    pub(super) fn promote(&self, key: &Key) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "UPDATE renditions SET queue_order = (SELECT MIN(queue_order) - 1 FROM renditions) \
                 WHERE site = ?1 AND id = ?2 AND rendition = ?3",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    key.track().site().as_str(),
                    key.track().id(),
                    key.slug()
                ])
            })
            .map(drop)
            .map_err(sql("move a song to the front"))
    }

    pub(super) fn started(&self, key: &Key, started: &Started) -> Result<bool, StoreError> {
        self.set_state(key, State::Downloading)?;
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE renditions SET ext = ?4, total = ?5, stream = ?6 \
                 WHERE site = ?1 AND id = ?2 AND rendition = ?3",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    key.track().site().as_str(),
                    key.track().id(),
                    key.slug(),
                    started.format.ext(),
                    started.total_bytes,
                    started.stream
                ])
            })
            .map_err(sql("note a started download"))?;
        Ok(changed > 0)
    }

    pub(super) fn fail(
        &self,
        key: &Key,
        failure: &Failure,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE renditions SET state = 'failed', failure_kind = ?4, failure_sentence = ?5, \
                 failure_retryable = ?6, failed_at = ?7 \
                 WHERE site = ?1 AND id = ?2 AND rendition = ?3 AND state <> 'deleted'",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    key.track().site().as_str(),
                    key.track().id(),
                    key.slug(),
                    failure.kind.as_str(),
                    failure.sentence,
                    failure.retryable(),
                    at.as_millisecond()
                ])
            })
            .map_err(sql("note a failure"))?;
        Ok(changed > 0)
    }

    /// Notes a reader, unless one was noted after `unless_after`.
    pub(super) fn touch_read(
        &self,
        key: &Key,
        now: Timestamp,
        unless_after: Timestamp,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "UPDATE renditions SET last_read = ?4 WHERE site = ?1 AND id = ?2 AND rendition = ?3 \
                 AND (last_read IS NULL OR last_read < ?5)",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    key.track().site().as_str(),
                    key.track().id(),
                    key.slug(),
                    now.as_millisecond(),
                    unless_after.as_millisecond()
                ])
            })
            .map(drop)
            .map_err(sql("note a reader"))
    }

    /// Keeps a track's metadata if none is known (read back from a sidecar).
    pub(super) fn keep_track(&self, track: &Track) -> Result<(), StoreError> {
        accept::write_track(
            &self.connection,
            track,
            accept::Overwrite::No,
            Timestamp::now(),
        )
        .map_err(sql("keep a song"))
    }

    /// Writes what stands there already: an error is what the next song would meet.
    pub(super) fn try_writing(&self) -> Result<(), StoreError> {
        let version: u32 = self
            .connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(sql("be read"))?;
        self.connection
            .pragma_update(None, "user_version", version)
            .map_err(sql("be written"))
    }

    /// What the origin remembered: key, value, seconds since 1970.
    pub(super) fn memory(&self) -> Result<Vec<(String, String, u64)>, StoreError> {
        let what = "read what was remembered";
        let mut statement = self
            .connection
            .prepare("SELECT key, value, stored_unix FROM memory")
            .map_err(sql(what))?;
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .map_err(sql(what))?;
        rows.collect::<Result<_, _>>().map_err(sql(what))
    }

    /// An empty value forgets.
    pub(super) fn remember(
        &self,
        key: &str,
        value: &str,
        stored_unix: u64,
    ) -> Result<(), StoreError> {
        let done = if value.is_empty() {
            self.connection
                .execute("DELETE FROM memory WHERE key = ?1", [key])
        } else {
            self.connection.execute(
                "INSERT OR REPLACE INTO memory VALUES (?1, ?2, ?3)",
                params![key, value, stored_unix],
            )
        };
        done.map(drop).map_err(sql("remember a value"))
    }
}

fn row_in(connection: &Connection, key: &Key) -> Result<Option<Row>, rusqlite::Error> {
    let statement = format!(
        "SELECT {COLUMNS} FROM renditions r WHERE r.site = ?1 AND r.id = ?2 AND r.rendition = ?3"
    );
    connection
        .prepare_cached(&statement)?
        .query_row(
            params![key.track().site().as_str(), key.track().id(), key.slug()],
            read_row,
        )
        .optional()
}

fn sql(what: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::StateFull,
        Some(ErrorCode::SystemIoFailure | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
            StoreError::Catalog {
                what,
                reason: format!("{error}; look at the drive of state.dir, and try again"),
            }
        }
        _ => StoreError::Catalog {
            what,
            reason: error.to_string(),
        },
    }
}
