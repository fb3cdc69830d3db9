//! The embedded database: what has been asked for, where it stands, and what lies on the drive.
//!
//! Owns every SQL statement, one connection, and what happens when the file is damaged. Hides SQLite.
//! Never touches the cache folder, never awaits: callers run it off the runtime's thread.

mod accept;
mod rows;
mod schema;
mod search;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use kmds_extract::{Codec, Container, Track, TrackId};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};

use super::error::{SpaceLimit, StoreError};
use super::key::Key;

pub use accept::{Accepted, AcceptedRow};
pub use rows::{Failure, Row, State};
pub use search::{Filter, Found, Listed, Listing, Stats};

use rows::{COLUMNS, read_key, read_row, read_track, word};

pub(super) struct Catalog {
    connection: Connection,
}

/// A catalog and how it came about.
pub(super) struct Opened {
    pub(super) catalog: Catalog,
    /// Without tables before: what lies on the drive has to be read in.
    pub(super) empty: bool,
    /// Where a damaged database now lies.
    pub(super) set_aside: Option<PathBuf>,
}

/// A file that stands on the drive, for its row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ReadyFile {
    pub(super) key: Key,
    pub(super) ext: String,
    pub(super) size_bytes: u64,
    pub(super) sha256: String,
    pub(super) mtime_ns: i64,
    pub(super) etag: String,
    pub(super) validator: String,
    pub(super) stream: String,
    pub(super) container: Container,
    pub(super) codec: Codec,
    pub(super) bitrate_bps: Option<u32>,
    pub(super) duration_ms: Option<u64>,
    pub(super) published_at: Timestamp,
    pub(super) human_name: String,
}

/// What a download found out when it began.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// Of the file that will stand on the drive.
    pub ext: String,
    pub total_bytes: Option<u64>,
    /// [`kmds_extract::Stream::label`].
    pub stream: String,
}

/// A file that could leave the drive.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    pub(super) key: Key,
    pub(super) ext: String,
    pub(super) size_bytes: u64,
    pub(super) read_at: Timestamp,
}

impl Catalog {
    /// Opens the database, or makes one; a damaged one is renamed to `kmds.db.damaged-N` and a new one made.
    /// # Errors
    /// [`StoreError::Catalog`] when the file cannot be opened at all or was written by a later release.
    pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
        match connect(path) {
            Ok((connection, found)) => Self::opened(connection, found, None),
            Err(error) if is_damage(&error) => {
                let set_aside = set_aside(path)?;
                let (connection, found) = connect(path).map_err(sql("be made anew"))?;
                Self::opened(connection, found, Some(set_aside))
            }
            Err(error) => Err(sql("be opened")(error)),
        }
    }

    fn opened(connection: Connection, found: schema::Found, set_aside: Option<PathBuf>) -> Result<Opened, StoreError> {
        if found == schema::Found::Newer {
            let reason = "it was written by a later KMDS; install that one, or name another state.dir".to_owned();
            return Err(StoreError::Catalog { what: "be opened", reason });
        }
        Ok(Opened { catalog: Self { connection }, empty: found == schema::Found::Nothing, set_aside })
    }

    pub(super) fn row(&self, key: &Key) -> Result<Option<Row>, StoreError> {
        row_in(&self.connection, key).map_err(sql("read a song"))
    }

    pub(super) fn rows_of(&self, track: &TrackId) -> Result<Vec<Row>, StoreError> {
        let statement = format!("SELECT {COLUMNS} FROM renditions r WHERE r.site = ?1 AND r.id = ?2 ORDER BY r.seq");
        self.rows(&statement, params![track.site().as_str(), track.id()], "read a song")
    }

    /// Work to go on with, in queue order.
    pub(super) fn pending(&self) -> Result<Vec<Row>, StoreError> {
        let statement = format!(
            "SELECT {COLUMNS} FROM renditions r WHERE r.state IN ('queued', 'downloading', 'converting') \
             ORDER BY r.queue_order, r.seq"
        );
        self.rows(&statement, [], "read the queue")
    }

    pub(super) fn ready(&self) -> Result<Vec<Row>, StoreError> {
        let statement = format!("SELECT {COLUMNS} FROM renditions r WHERE r.state = 'ready' ORDER BY r.seq");
        self.rows(&statement, [], "read what is ready")
    }

    fn rows(&self, statement: &str, bound: impl rusqlite::Params, what: &'static str) -> Result<Vec<Row>, StoreError> {
        let mut statement = self.connection.prepare_cached(statement).map_err(sql(what))?;
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
    pub(super) fn track_alone(&self, track: &TrackId) -> Result<Option<(Track, Timestamp)>, StoreError> {
        let found: Option<(Option<String>, Option<i64>)> = self
            .connection
            .query_row(
                "SELECT alone, alone_at FROM tracks WHERE site = ?1 AND id = ?2",
                params![track.site().as_str(), track.id()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()
            .map_err(sql("read a song"))?;
        let Some((Some(text), at)) = found else { return Ok(None) };
        let at = at.and_then(rows::time_back).unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(read_track(&text).map(|track| (track, at)))
    }

    /// The song, asked for alone before, whose own page this is.
    pub(super) fn track_by_link(&self, link: &str) -> Result<Option<TrackId>, StoreError> {
        let found: Option<(String, String)> = self
            .connection
            .prepare_cached("SELECT site, id FROM tracks WHERE json_extract(alone, '$.link') = ?1 LIMIT 1")
            .and_then(|mut statement| statement.query_row([link], |row| Ok((row.get(0)?, row.get(1)?))).optional())
            .map_err(sql("look a link up"))?;
        Ok(found.and_then(|(site, id)| TrackId::new(kmds_extract::Site::parse(&site)?, &id)))
    }

    /// `false` if there is no such row. Leaving `failed` forgets the failure.
    pub(super) fn set_state(&self, key: &Key, state: State) -> Result<bool, StoreError> {
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE renditions SET state = ?4, failure_kind = NULL, failure_sentence = NULL, \
                 failure_retryable = NULL, failed_at = NULL WHERE site = ?1 AND id = ?2 AND rendition = ?3",
            )
            .and_then(|mut statement| {
                statement.execute(params![key.track().site().as_str(), key.track().id(), key.slug(), state.as_str()])
            })
            .map_err(sql("note a song's state"))?;
        Ok(changed > 0)
    }

    /// Puts a song at the end of the queue again (at its front with `first`).
    pub(super) fn requeue(&self, key: &Key, first: bool) -> Result<bool, StoreError> {
        let order = if first { "(SELECT MIN(queue_order) - 1 FROM renditions)" } else { accept::NEXT_ORDER };
        let statement =
            format!("UPDATE renditions SET queue_order = {order} WHERE site = ?1 AND id = ?2 AND rendition = ?3");
        self.connection
            .prepare_cached(&statement)
            .and_then(|mut statement| {
                statement.execute(params![key.track().site().as_str(), key.track().id(), key.slug()])
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
                statement.execute(params![key.track().site().as_str(), key.track().id(), key.slug()])
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
                    started.ext,
                    started.total_bytes,
                    started.stream
                ])
            })
            .map_err(sql("note a started download"))?;
        Ok(changed > 0)
    }

    pub(super) fn fail(&self, key: &Key, failure: &Failure) -> Result<bool, StoreError> {
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
                    failure.retryable,
                    failure.at.as_millisecond()
                ])
            })
            .map_err(sql("note a failure"))?;
        Ok(changed > 0)
    }

    /// Notes a reader, unless one was noted after `unless_after`.
    pub(super) fn touch_read(&self, key: &Key, now: Timestamp, unless_after: Timestamp) -> Result<(), StoreError> {
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

    /// Marks a file as standing on the drive, making the row if there is none. Other ready rows of the same file (two forms
    /// asked for, one container arrived) follow.
    pub(super) fn set_ready(&mut self, file: &ReadyFile) -> Result<(), StoreError> {
        let what = "note a published file";
        let transaction = self.connection.transaction().map_err(sql(what))?;
        write_ready(&transaction, file).map_err(sql(what))?;
        if !file.key.is_copy() {
            let canonical = format!("{}.{}", file.key.track(), file.ext);
            accept::name_once(&transaction, &canonical, &file.human_name, &file.key).map_err(sql(what))?;
            for key in sharing(&transaction, &file.key, &file.ext).map_err(sql(what))? {
                let etag = super::key::etag(&key, &file.validator, file.size_bytes);
                write_ready(&transaction, &ReadyFile { key, etag, ..file.clone() }).map_err(sql(what))?;
            }
        }
        transaction.commit().map_err(sql(what))
    }

    /// Keeps a track's metadata if none is known (read back from a sidecar).
    pub(super) fn keep_track(&self, track: &Track) -> Result<(), StoreError> {
        accept::write_track(&self.connection, track, accept::Overwrite::No, Timestamp::now())
            .map_err(sql("keep a song"))
    }

    /// The ready rows whose file this is: the key's own, and those that share it.
    pub(super) fn rows_of_file(&self, key: &Key, ext: &str) -> Result<Vec<Key>, StoreError> {
        let mut keys =
            if key.is_copy() { Vec::new() } else { sharing(&self.connection, key, ext).map_err(sql("read a song"))? };
        keys.push(key.clone());
        Ok(keys)
    }

    pub(super) fn note_mtime(&self, key: &Key, mtime_ns: i64) -> Result<(), StoreError> {
        self.connection
            .execute(
                "UPDATE renditions SET mtime_ns = ?4 WHERE site = ?1 AND id = ?2 AND rendition = ?3",
                params![key.track().site().as_str(), key.track().id(), key.slug(), mtime_ns],
            )
            .map(drop)
            .map_err(sql("note a file's time"))
    }

    /// Ready files, the least recently read first.
    pub(super) fn candidates(&self) -> Result<Vec<Candidate>, StoreError> {
        let what = "read what could be evicted";
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT site, id, rendition, ext, size, MAX(COALESCE(last_read, 0), COALESCE(published_at, 0)) AS used \
                 FROM renditions WHERE state = 'ready' ORDER BY used, seq",
            )
            .map_err(sql(what))?;
        let rows = statement
            .query_map([], |row| {
                Ok(Candidate {
                    key: read_key(row, 0)?,
                    ext: row.get(3)?,
                    size_bytes: row.get::<_, Option<u64>>(4)?.unwrap_or(0),
                    read_at: rows::time_back(row.get(5)?).unwrap_or(Timestamp::UNIX_EPOCH),
                })
            })
            .map_err(sql(what))?;
        rows.collect::<Result<_, _>>().map_err(sql(what))
    }

    /// Bytes of all ready files, each file once.
    pub(super) fn ready_bytes(&self) -> Result<u64, StoreError> {
        self.connection
            .query_row(
                "SELECT COALESCE(SUM(size), 0) FROM (SELECT MAX(size) AS size FROM renditions WHERE state = 'ready' \
                 GROUP BY site, id, ext, CASE WHEN rendition LIKE '%.r' THEN rendition ELSE '' END)",
                [],
                |row| row.get(0),
            )
            .map_err(sql("add up what is ready"))
    }

    /// What the origin remembered: key, value, seconds since 1970.
    pub(super) fn memory(&self) -> Result<Vec<(String, String, u64)>, StoreError> {
        let what = "read what was remembered";
        let mut statement = self.connection.prepare("SELECT key, value, stored_unix FROM memory").map_err(sql(what))?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(sql(what))?;
        rows.collect::<Result<_, _>>().map_err(sql(what))
    }

    /// An empty value forgets.
    pub(super) fn remember(&self, key: &str, value: &str, stored_unix: u64) -> Result<(), StoreError> {
        let done = if value.is_empty() {
            self.connection.execute("DELETE FROM memory WHERE key = ?1", [key])
        } else {
            self.connection
                .execute("INSERT OR REPLACE INTO memory VALUES (?1, ?2, ?3)", params![key, value, stored_unix])
        };
        done.map(drop).map_err(sql("remember a value"))
    }
}

fn row_in(connection: &Connection, key: &Key) -> Result<Option<Row>, rusqlite::Error> {
    let statement = format!("SELECT {COLUMNS} FROM renditions r WHERE r.site = ?1 AND r.id = ?2 AND r.rendition = ?3");
    connection
        .prepare_cached(&statement)?
        .query_row(params![key.track().site().as_str(), key.track().id(), key.slug()], read_row)
        .optional()
}

/// Other plain renditions of the same track that are ready with the same extension: the same file.
fn sharing(connection: &Connection, key: &Key, ext: &str) -> Result<Vec<Key>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT site, id, rendition FROM renditions WHERE site = ?1 AND id = ?2 AND rendition <> ?3 AND ext = ?4 \
         AND state = 'ready' AND rendition NOT LIKE '%.r'",
    )?;
    let bound = params![key.track().site().as_str(), key.track().id(), key.slug(), ext];
    let keys = statement.query_map(bound, |row| read_key(row, 0))?;
    keys.collect()
}

fn write_ready(connection: &Connection, file: &ReadyFile) -> Result<(), rusqlite::Error> {
    let canonical = format!("{}.{}", file.key.track(), file.ext);
    let statement = format!(
        "INSERT INTO renditions (site, id, rendition, state, ext, size, total, sha256, mtime_ns, etag, validator, \
         stream, container, codec, bitrate_bps, duration_ms, published_at, accepted_at, requester, queue_order, accept, \
         canonical_name, human_name) \
         VALUES (?1, ?2, ?3, 'ready', ?4, ?5, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?15, '', {}, '', ?16, ?17) \
         ON CONFLICT (site, id, rendition) DO UPDATE SET state = 'ready', ext = ?4, size = ?5, total = ?5, \
         sha256 = ?6, mtime_ns = ?7, etag = ?8, validator = ?9, stream = ?10, container = ?11, codec = ?12, \
         bitrate_bps = ?13, duration_ms = ?14, published_at = ?15, failure_kind = NULL, failure_sentence = NULL, \
         failure_retryable = NULL, failed_at = NULL",
        accept::NEXT_ORDER
    );
    connection.prepare_cached(&statement)?.execute(params![
        file.key.track().site().as_str(),
        file.key.track().id(),
        file.key.slug(),
        file.ext,
        file.size_bytes,
        file.sha256,
        file.mtime_ns,
        file.etag,
        file.validator,
        file.stream,
        word(&file.container),
        word(&file.codec),
        file.bitrate_bps,
        file.duration_ms,
        file.published_at.as_millisecond(),
        canonical,
        file.human_name,
    ])?;
    Ok(())
}

fn connect(path: &Path) -> Result<(Connection, schema::Found), rusqlite::Error> {
    let mut connection = Connection::open(path)?;
    let found = schema::prepare(&mut connection)?;
    if found == schema::Found::Tables {
        let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
                Some(verdict),
            ));
        }
        connection.prepare(&format!("SELECT {COLUMNS} FROM renditions r, tracks, names, human_names, memory"))?;
    }
    Ok((connection, found))
}

/// Whether the file is no database of ours; anything else (no right to open it, a full disk) is no damage.
fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown | ErrorCode::TypeMismatch)
    )
}

fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let with = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let target = (1..).map(|n: u32| with(&format!(".damaged-{n}"))).find(|target| !target.exists());
    let target = target.unwrap_or_else(|| with(".damaged"));
    std::fs::rename(path, &target).map_err(super::error::io("set the damaged catalog aside"))?;
    for suffix in ["-wal", "-shm"] {
        // What the log holds belongs to the damaged file; a missing one is none.
        let _ = std::fs::remove_file(with(suffix));
    }
    Ok(target)
}

fn sql(what: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::DiskFull { need_bytes: 1, have_bytes: 0, limit: SpaceLimit::Drive },
        _ => StoreError::Catalog { what, reason: error.to_string() },
    }
}
