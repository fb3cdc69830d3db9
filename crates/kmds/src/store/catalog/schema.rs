//! The catalog's tables and how they grew.
//!
//! Owns `CREATE TABLE` and the migrations; `PRAGMA user_version` counts those applied. A released migration is never
//! edited: later ones are appended, each with the catalog of its release in `tests/store/released`. Times are milliseconds since 1970, sizes are bytes.

use rusqlite::Connection;

pub(super) const MIGRATIONS: [&str; 2] = [
    r"
CREATE TABLE tracks (
    site TEXT NOT NULL,
    id TEXT NOT NULL,
    metadata TEXT NOT NULL,             -- kmds_extract::Track as JSON, as last seen anywhere
    alone TEXT,                         -- the same, as last seen when the song was asked for alone
    alone_at INTEGER,
    words TEXT NOT NULL,                -- title, artist and album in lower case, to search in
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (site, id)
) WITHOUT ROWID;
CREATE INDEX tracks_by_link ON tracks (json_extract(alone, '$.link'));
CREATE TABLE renditions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    site TEXT NOT NULL,
    id TEXT NOT NULL,
    rendition TEXT NOT NULL,            -- Key::slug
    state TEXT NOT NULL,
    ext TEXT NOT NULL,                  -- what is expected; once ready: what arrived
    size INTEGER,
    total INTEGER,
    sha256 TEXT,
    mtime_ns INTEGER,                   -- of the published file, to notice changes made by others
    etag TEXT,
    validator TEXT,
    stream TEXT,
    container TEXT,
    codec TEXT,
    bitrate_bps INTEGER,
    duration_ms INTEGER,
    accepted_at INTEGER NOT NULL,
    published_at INTEGER,
    last_read INTEGER,
    failure_kind TEXT,
    failure_sentence TEXT,
    failure_retryable INTEGER,
    failed_at INTEGER,
    requester TEXT NOT NULL,
    queue_order INTEGER NOT NULL,
    accept TEXT NOT NULL,               -- kmds_extract::choose::Accept as JSON
    canonical_name TEXT NOT NULL,
    human_name TEXT NOT NULL,
    UNIQUE (site, id, rendition)
);
CREATE INDEX renditions_by_state ON renditions (state, queue_order);
CREATE TABLE names (
    name TEXT PRIMARY KEY,              -- {site}-{id}.{ext} as given out, for ever
    site TEXT NOT NULL,
    id TEXT NOT NULL,
    rendition TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE human_names (
    name TEXT NOT NULL,                 -- File_Name as given out
    canonical TEXT NOT NULL,
    site TEXT NOT NULL,
    id TEXT NOT NULL,
    rendition TEXT NOT NULL,
    PRIMARY KEY (name, canonical)
) WITHOUT ROWID;
CREATE TABLE memory (
    key TEXT PRIMARY KEY,               -- what the origin keeps between resolves
    value TEXT NOT NULL,
    stored_unix INTEGER NOT NULL
) WITHOUT ROWID;
",
    r"
CREATE TABLE holds (
    holder TEXT NOT NULL,               -- Holder::text
    site TEXT NOT NULL,
    id TEXT NOT NULL,
    rendition TEXT NOT NULL,
    until INTEGER,                      -- NULL: until it is released
    PRIMARY KEY (holder, site, id, rendition)
) WITHOUT ROWID;
",
];

/// SQLite's page cache, in KiB (ARCHITECTURE.md, "Where memory goes").
const CACHE_KIB: i32 = 1_024;

/// Sets the connection up and brings the tables to the newest version. Returns the version found.
pub(super) fn prepare(connection: &mut Connection) -> Result<Found, rusqlite::Error> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let version: usize =
        connection.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))? as usize;
    if version > MIGRATIONS.len() {
        // Before anything is written: what a later release made of this file is not known here.
        return Ok(Found::Newer);
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
    let transaction = connection.transaction()?;
    for (done, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        transaction.execute_batch(migration)?;
        transaction.pragma_update(
            None,
            "user_version",
            u32::try_from(done + 1).unwrap_or(u32::MAX),
        )?;
    }
    transaction.commit()?;
    Ok(if version == 0 {
        Found::Nothing
    } else {
        Found::Tables
    })
}

/// What the file held before [`prepare`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Tables,
    /// Written by a later release: not ours to touch.
    Newer,
}
