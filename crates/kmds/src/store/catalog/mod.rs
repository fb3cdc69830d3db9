//! The embedded database: which songs clients asked for, their states, and the files on the drive.
//!
//! Owns every SQL statement, one connection, and what happens when the file is damaged. It does not touch the cache
//! folder and does not await: callers run it outside the runtime's thread.

mod accept;
mod fetches;
mod handle;
mod holds;
mod list;
mod names;
mod open;
#[cfg(test)]
mod plans;
mod queues;
mod ready;
mod rows;
mod schema;
mod search;
mod statement;
mod sums;
mod tracks;

use jiff::Timestamp;
use kmds_extract::{Failure, Format, Track, TrackId};
use rusqlite::{Connection, OptionalExtension as _, named_params, params};

use super::error::StoreError;
use super::key::Key;

pub use accept::{Accepted, AcceptedRow};
pub use fetches::FetchedList;
pub(super) use handle::{CatalogHandle, blocking};
pub use holds::{Held, HeldSum, Holder};
pub(super) use open::{Check, News, Unchecked};
pub use queues::{PlayQueue, SongName};
pub(super) use ready::{Candidate, ReadyFile};
pub use rows::{Row, State};
pub use search::{Filter, Found, Listed, Listing, Stats};
pub use sums::WrongSum;

use names::name_once;
use rows::{COLUMNS, read_row, read_track};
use statement::{KeyColumns, NEXT_ORDER, NO_FAILURE, OF_KEY, prepare, sql, update};
use tracks::{Overwrite, write_track};

/// Before all others in the queue.
const FIRST_ORDER: &str = "(SELECT MIN(queue_order) - 1 FROM renditions)";

pub(super) struct Catalog {
    connection: Connection,
}

/// The facts that a download learns when it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// The format of the file that will be on the drive.
    pub format: Format,
    pub total_bytes: Option<u64>,
    /// [`kmds_extract::Stream::label`].
    pub stream: String,
}

impl Catalog {
    pub(super) fn row(&self, key: &Key) -> Result<Option<Row>, StoreError> {
        row_in(&self.connection, key).map_err(sql("read a song"))
    }

    pub(super) fn renditions(&self, track: &TrackId) -> Result<Vec<Row>, StoreError> {
        let statement = format!(
            "SELECT {COLUMNS} FROM renditions r WHERE r.site = ?1 AND r.id = ?2 ORDER BY r.seq"
        );
        self.rows(
            &statement,
            params![track.site().as_str(), track.id()],
            "read a song",
        )
    }

    /// The unfinished songs, in queue order.
    pub(super) fn pending(&self) -> Result<Vec<Row>, StoreError> {
        let statement = format!(
            "SELECT {COLUMNS} FROM renditions r WHERE r.state IN ('queued', 'downloading', 'converting')"
        );
        let mut rows = self.rows(&statement, [], "read the queue")?;
        rows.sort_by_key(|row| (row.queue_order, row.seq));
        Ok(rows)
    }

    #[cfg_attr(test, track_caller)]
    fn rows(
        &self,
        statement: &str,
        bound: impl rusqlite::Params,
        what: &'static str,
    ) -> Result<Vec<Row>, StoreError> {
        let mut statement = prepare(&self.connection, statement).map_err(sql(what))?;
        let rows = statement.query_map(bound, read_row).map_err(sql(what))?;
        rows.collect::<Result<_, _>>().map_err(sql(what))
    }

    pub(super) fn track(&self, track: &TrackId) -> Result<Option<Track>, StoreError> {
        let text: Option<String> = prepare(
            &self.connection,
            "SELECT metadata FROM tracks WHERE site = ?1 AND id = ?2",
        )
        .and_then(|mut statement| {
            statement
                .query_row(params![track.site().as_str(), track.id()], |row| row.get(0))
                .optional()
        })
        .map_err(sql("read a song"))?;
        Ok(text.as_deref().and_then(read_track))
    }

    /// The song as it was when it was fetched alone, and the time of that fetch.
    pub(super) fn track_alone(
        &self,
        track: &TrackId,
    ) -> Result<Option<(Track, Timestamp)>, StoreError> {
        let found: Option<(Option<String>, Option<i64>)> = prepare(
            &self.connection,
            "SELECT alone, alone_at FROM tracks WHERE site = ?1 AND id = ?2",
        )
        .and_then(|mut statement| {
            statement
                .query_row(params![track.site().as_str(), track.id()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()
        })
        .map_err(sql("read a song"))?;
        let Some((Some(text), at)) = found else {
            return Ok(None);
        };
        let at = at
            .and_then(rows::time_back)
            .unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(read_track(&text).map(|track| (track, at)))
    }

    /// The song with this page, if it was fetched alone before.
    pub(super) fn track_by_link(&self, link: &str) -> Result<Option<TrackId>, StoreError> {
        let found: Option<(String, String)> = prepare(
            &self.connection,
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

    /// `false` if there is no such row, or it was deleted: a running job must not bring it back. Leaving `failed`
    /// removes the failure.
    pub(super) fn set_state(&self, key: &Key, state: State) -> Result<bool, StoreError> {
        // A removal is numbered as what is asked for: queues that were written before leave the song out (`queues`).
        let order = if state == State::Deleted {
            format!("queue_order = IIF(state = 'deleted', queue_order, {NEXT_ORDER}),")
        } else {
            String::new()
        };
        let set = format!("state = :state, {order} {NO_FAILURE}");
        let only_if = "(state <> 'deleted' OR :state IN ('deleted', 'evicted'))";
        let values = named_params! {":state": state.as_str()};
        update(&self.connection, key, &set, only_if, values).map_err(sql("note a song's state"))
    }

    /// Puts a song at the end of the queue again (at its front with `first`).
    pub(super) fn requeue(&self, key: &Key, first: bool) -> Result<bool, StoreError> {
        let order = if first { FIRST_ORDER } else { NEXT_ORDER };
        self.set_order(key, order)?;
        self.set_state(key, State::Queued)
    }

    /// Moves a song to the front of the queue, in any state.
    pub(super) fn promote(&self, key: &Key) -> Result<(), StoreError> {
        self.set_order(key, FIRST_ORDER)
    }

    fn set_order(&self, key: &Key, order: &str) -> Result<(), StoreError> {
        let set = format!("queue_order = {order}");
        update(&self.connection, key, &set, "TRUE", &[])
            .map(drop)
            .map_err(sql("move a song in the queue"))
    }

    pub(super) fn started(&self, key: &Key, started: &Started) -> Result<bool, StoreError> {
        self.set_state(key, State::Downloading)?;
        let set = "ext = :ext, total = :total, stream = :stream";
        let values = named_params! {
            ":ext": started.format.ext(),
            ":total": started.total_bytes,
            ":stream": started.stream,
        };
        let what = "note a started download";
        let noted = update(&self.connection, key, set, "state <> 'deleted'", values);
        let noted = noted.map_err(sql(what))?;
        // From now on replies have the names of the arriving file, which may have another format than expected.
        if noted && !key.is_copy() {
            self.name_arriving(key, started.format).map_err(sql(what))?;
        }
        Ok(noted)
    }

    fn name_arriving(&self, key: &Key, format: Format) -> Result<(), rusqlite::Error> {
        let Some(row) = row_in(&self.connection, key)? else {
            return Ok(());
        };
        let stem = row.human_name.rsplit_once('.');
        let human = format!(
            "{}.{format}",
            stem.map_or(&*row.human_name, |(stem, _)| stem)
        );
        let canonical = format!("{}.{format}", key.track());
        name_once(&self.connection, &canonical, &human, key)
    }

    pub(super) fn fail(
        &self,
        key: &Key,
        failure: &Failure,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let set = "state = 'failed', failure_kind = :kind, failure_sentence = :sentence, \
             failure_retryable = :retryable, failed_at = :at";
        let values = named_params! {
            ":kind": failure.kind.as_str(),
            ":sentence": failure.sentence,
            ":retryable": failure.retryable(),
            ":at": at.as_millisecond(),
        };
        update(&self.connection, key, set, "state <> 'deleted'", values)
            .map_err(sql("note a failure"))
    }

    /// Records a reader, unless one was recorded after `unless_after`.
    pub(super) fn touch_read(
        &self,
        key: &Key,
        now: Timestamp,
        unless_after: Timestamp,
    ) -> Result<(), StoreError> {
        let only_if = "(last_read IS NULL OR last_read < :unless_after)";
        let values = named_params! {
            ":now": now.as_millisecond(),
            ":unless_after": unless_after.as_millisecond(),
        };
        update(&self.connection, key, "last_read = :now", only_if, values)
            .map(drop)
            .map_err(sql("note a reader"))
    }

    /// Keeps a track's metadata if none is known (read back from a sidecar).
    pub(super) fn keep_track(&self, track: &Track) -> Result<(), StoreError> {
        write_track(&self.connection, track, Overwrite::No, Timestamp::now())
            .map_err(sql("keep a song"))
    }

    /// Writes a value that is there already: an error would also meet the next song.
    pub(super) fn try_writing(&self) -> Result<(), StoreError> {
        let version: u32 = prepare(&self.connection, "PRAGMA user_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(sql("be read"))?;
        self.connection
            .pragma_update(None, "user_version", version)
            .map_err(sql("be written"))
    }
}

fn row_in(connection: &Connection, key: &Key) -> Result<Option<Row>, rusqlite::Error> {
    let statement = format!("SELECT {COLUMNS} FROM renditions r WHERE {OF_KEY}");
    let key = KeyColumns::of(key);
    prepare(connection, &statement)?
        .query_row(key.and(&[]).as_slice(), read_row)
        .optional()
}
