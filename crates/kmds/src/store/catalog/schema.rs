//! The catalog's tables and how they grew.
//!
//! Owns `CREATE TABLE` and the migrations; `PRAGMA user_version` counts those applied. A released migration is never
//! edited: later ones are appended, each with the catalog of its release in `tests/store/released`. Times are
//! milliseconds since 1970, sizes are bytes.

use rusqlite::Connection;

pub(super) const MIGRATIONS: [&str; 6] = [
    FIRST,
    HOLDS,
    SUMS_AND_SEARCH,
    LISTS,
    QUEUES,
    REMOVALS_AND_SIZES,
];

const FIRST: &str = r"
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
";

const HOLDS: &str = r"
CREATE TABLE holds (
    holder TEXT NOT NULL,               -- Holder::text
    site TEXT NOT NULL,
    id TEXT NOT NULL,
    rendition TEXT NOT NULL,
    until INTEGER,                      -- NULL: until it is released
    PRIMARY KEY (holder, site, id, rendition)
) WITHOUT ROWID;
";

/// The fetched lists, so that the waiting songs of one can be ended.
const LISTS: &str = r"
CREATE TABLE lists (                    -- a row for each fetch of a list, of the newest
    site TEXT NOT NULL,
    id TEXT NOT NULL,                   -- the site's id of the list
    requester TEXT NOT NULL,            -- of its songs' renditions
    asked TEXT NOT NULL,                -- the link that was asked for, in its one form
    link TEXT NOT NULL,                 -- the list's own link in its one form
    fetched_at INTEGER NOT NULL,
    PRIMARY KEY (site, id, requester)
) WITHOUT ROWID;
CREATE INDEX lists_by_time ON lists (fetched_at);
";

/// The songs that clients will play next.
const QUEUES: &str = r"
CREATE TABLE queues (
    name TEXT PRIMARY KEY,              -- of the client's choice
    requester INTEGER NOT NULL,         -- of its songs' renditions
    ahead INTEGER NOT NULL,             -- songs that are made ready before they are played
    accept TEXT,                        -- kmds_extract::choose::Accept as JSON; NULL: as a song was asked for last
    begun INTEGER NOT NULL,             -- songs that were begun
    songs INTEGER NOT NULL,
    until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE queue_songs (
    queue TEXT NOT NULL,
    place INTEGER NOT NULL,             -- from 0
    song TEXT NOT NULL,                 -- as it was sent: a link, or site/id
    PRIMARY KEY (queue, place)
) WITHOUT ROWID;
";

/// The change of the sums by a new row; every row that it is compared with is another row of its song. For the end of a
/// trigger on `renditions`.
macro_rules! row_enters {
    ($size:literal, $others:literal) => {
        concat!(r"
    INSERT INTO sums SELECT NEW.site, NEW.state, 1
        WHERE NEW.rendition NOT LIKE '%.r' AND NOT EXISTS (SELECT 1 FROM renditions
            WHERE site = NEW.site AND id = NEW.id AND +state = NEW.state AND seq <> NEW.seq AND rendition NOT LIKE '%.r')
        ON CONFLICT DO UPDATE SET number = number + excluded.number;
    INSERT INTO sums SELECT NEW.site, 'bytes', MAX(0, ", $size, r" - (SELECT COALESCE(MAX(", $others, r"), 0) FROM renditions
            WHERE site = NEW.site AND id = NEW.id AND +state = 'ready' AND seq <> NEW.seq AND ext = NEW.ext
            AND IIF(rendition LIKE '%.r', rendition, '') = IIF(NEW.rendition LIKE '%.r', NEW.rendition, '')))
        WHERE NEW.state = 'ready'
        ON CONFLICT DO UPDATE SET number = number + excluded.number;
")
    };
}

/// The change of the sums by a removed row.
macro_rules! row_leaves {
    ($size:literal, $others:literal) => {
        concat!(r"
    INSERT INTO sums SELECT OLD.site, OLD.state, -1
        WHERE OLD.rendition NOT LIKE '%.r' AND NOT EXISTS (SELECT 1 FROM renditions
            WHERE site = OLD.site AND id = OLD.id AND +state = OLD.state AND seq <> OLD.seq AND rendition NOT LIKE '%.r')
        ON CONFLICT DO UPDATE SET number = number + excluded.number;
    INSERT INTO sums SELECT OLD.site, 'bytes', -MAX(0, ", $size, r" - (SELECT COALESCE(MAX(", $others, r"), 0) FROM renditions
            WHERE site = OLD.site AND id = OLD.id AND +state = 'ready' AND seq <> OLD.seq AND ext = OLD.ext
            AND IIF(rendition LIKE '%.r', rendition, '') = IIF(OLD.rendition LIKE '%.r', OLD.rendition, '')))
        WHERE OLD.state = 'ready'
        ON CONFLICT DO UPDATE SET number = number + excluded.number;
")
    };
}

/// With these, no request, publish or eviction reads more rows than it needs: sums that triggers keep, an index for
/// every order, and a search by three letters at a time. A trigger `BEFORE INSERT` would also run for an insert that
/// becomes an update; these run once for each changed row.
const SUMS_AND_SEARCH: &str = concat!(
    r"
DROP INDEX renditions_by_state;
CREATE INDEX renditions_by_state ON renditions (state, site);  -- and seq, as every index
CREATE INDEX renditions_by_order ON renditions (queue_order);
CREATE INDEX renditions_by_use ON renditions (MAX(COALESCE(last_read, 0), COALESCE(published_at, 0))) WHERE state = 'ready';
CREATE INDEX holds_by_key ON holds (site, id, rendition);
CREATE INDEX holds_by_end ON holds (until);
CREATE TABLE sums (
    site TEXT NOT NULL,
    what TEXT NOT NULL,                 -- a state: songs with an original in it; bytes: of ready files, each once; tracks
    number INTEGER NOT NULL,
    PRIMARY KEY (site, what)
) WITHOUT ROWID;
CREATE VIEW counted AS                  -- the same from the rows
    SELECT site, state AS what, COUNT(DISTINCT id) AS number FROM renditions
        WHERE rendition NOT LIKE '%.r' GROUP BY site, state
    UNION ALL SELECT site, 'bytes', SUM(size) FROM (SELECT site, COALESCE(MAX(size), 0) AS size FROM renditions
        WHERE state = 'ready' GROUP BY site, id, ext, IIF(rendition LIKE '%.r', rendition, '')) GROUP BY site
    UNION ALL SELECT site, 'tracks', COUNT(*) FROM tracks GROUP BY site;
INSERT INTO sums SELECT site, what, number FROM counted;
CREATE VIRTUAL TABLE search USING fts5 (words, content = '', columnsize = 0, detail = none, tokenize = 'trigram case_sensitive 1');
CREATE VIRTUAL TABLE search_terms USING fts5vocab (search, row);
INSERT INTO search (rowid, words) SELECT r.seq, t.words || char(10, 10) FROM renditions r CROSS JOIN tracks t USING (site, id) ORDER BY r.seq;
CREATE TRIGGER row_comes AFTER INSERT ON renditions BEGIN",
    row_enters!("COALESCE(NEW.size, 0)", "size"),
    r"
    INSERT INTO search (rowid, words) SELECT NEW.seq, words || char(10, 10) FROM tracks WHERE site = NEW.site AND id = NEW.id;
END;
CREATE TRIGGER row_changes AFTER UPDATE OF state, ext, size ON renditions
WHEN OLD.state IS NOT NEW.state OR OLD.ext IS NOT NEW.ext OR OLD.size IS NOT NEW.size BEGIN",
    row_leaves!("COALESCE(OLD.size, 0)", "size"),
    row_enters!("COALESCE(NEW.size, 0)", "size"),
    r"
END;
CREATE TRIGGER row_goes AFTER DELETE ON renditions BEGIN",
    row_leaves!("COALESCE(OLD.size, 0)", "size"),
    r"
    INSERT INTO search (search, rowid, words)
        SELECT 'delete', OLD.seq, words || char(10, 10) FROM tracks WHERE site = OLD.site AND id = OLD.id;
END;
CREATE TRIGGER track_comes AFTER INSERT ON tracks BEGIN
    INSERT INTO sums VALUES (NEW.site, 'tracks', 1) ON CONFLICT DO UPDATE SET number = number + 1;
    INSERT INTO search (rowid, words)
        SELECT seq, NEW.words || char(10, 10) FROM renditions WHERE site = NEW.site AND id = NEW.id;
END;
CREATE TRIGGER track_changes AFTER UPDATE OF words ON tracks WHEN OLD.words IS NOT NEW.words BEGIN
    INSERT INTO search (search, rowid, words)
        SELECT 'delete', seq, OLD.words || char(10, 10) FROM renditions WHERE site = OLD.site AND id = OLD.id;
    INSERT INTO search (rowid, words)
        SELECT seq, NEW.words || char(10, 10) FROM renditions WHERE site = NEW.site AND id = NEW.id;
END;
CREATE TRIGGER track_goes AFTER DELETE ON tracks BEGIN
    UPDATE sums SET number = number - 1 WHERE site = OLD.site AND what = 'tracks';
    INSERT INTO search (search, rowid, words)
        SELECT 'delete', seq, OLD.words || char(10, 10) FROM renditions WHERE site = OLD.site AND id = OLD.id;
END;
"
);

/// What a client removed does not come back by a queue that was written before: `queues.written` is the highest
/// `renditions.queue_order` when the queue was written, and a removal gives its row the next one. And sums that a
/// damaged size cannot spoil: whatever stands there counts as whole bytes, from none to 2^50.
const REMOVALS_AND_SIZES: &str = concat!(
    r"
ALTER TABLE queues ADD COLUMN written INTEGER NOT NULL DEFAULT 0;
UPDATE queues SET written = (SELECT COALESCE(MAX(queue_order), 0) FROM renditions);
DROP TRIGGER row_comes;
DROP TRIGGER row_changes;
DROP TRIGGER row_goes;
DROP VIEW counted;
CREATE VIEW counted AS                  -- the sums from the rows
    SELECT site, state AS what, COUNT(DISTINCT id) AS number FROM renditions
        WHERE rendition NOT LIKE '%.r' GROUP BY site, state
    UNION ALL SELECT site, 'bytes', SUM(size) FROM (
        SELECT site, MAX(0, MIN(1 << 50, MAX(COALESCE(CAST(size AS INTEGER), 0)))) AS size FROM renditions
        WHERE state = 'ready' GROUP BY site, id, ext, IIF(rendition LIKE '%.r', rendition, '')) GROUP BY site
    UNION ALL SELECT site, 'tracks', COUNT(*) FROM tracks GROUP BY site;
DELETE FROM sums;
INSERT INTO sums SELECT site, what, number FROM counted;
CREATE TRIGGER row_comes AFTER INSERT ON renditions BEGIN",
    row_enters!(
        "MAX(0, MIN(1 << 50, COALESCE(CAST(NEW.size AS INTEGER), 0)))",
        "MAX(0, MIN(1 << 50, COALESCE(CAST(size AS INTEGER), 0)))"
    ),
    r"
    INSERT INTO search (rowid, words) SELECT NEW.seq, words || char(10, 10) FROM tracks WHERE site = NEW.site AND id = NEW.id;
END;
CREATE TRIGGER row_changes AFTER UPDATE OF state, ext, size ON renditions
WHEN OLD.state IS NOT NEW.state OR OLD.ext IS NOT NEW.ext OR OLD.size IS NOT NEW.size BEGIN",
    row_leaves!(
        "MAX(0, MIN(1 << 50, COALESCE(CAST(OLD.size AS INTEGER), 0)))",
        "MAX(0, MIN(1 << 50, COALESCE(CAST(size AS INTEGER), 0)))"
    ),
    row_enters!(
        "MAX(0, MIN(1 << 50, COALESCE(CAST(NEW.size AS INTEGER), 0)))",
        "MAX(0, MIN(1 << 50, COALESCE(CAST(size AS INTEGER), 0)))"
    ),
    r"
END;
CREATE TRIGGER row_goes AFTER DELETE ON renditions BEGIN",
    row_leaves!(
        "MAX(0, MIN(1 << 50, COALESCE(CAST(OLD.size AS INTEGER), 0)))",
        "MAX(0, MIN(1 << 50, COALESCE(CAST(size AS INTEGER), 0)))"
    ),
    r"
    INSERT INTO search (search, rowid, words)
        SELECT 'delete', OLD.seq, words || char(10, 10) FROM tracks WHERE site = OLD.site AND id = OLD.id;
END;
"
);

/// SQLite's page cache, in KiB (ARCHITECTURE.md, "Where memory goes").
const CACHE_KIB: i32 = 1_024;

/// Statements kept ready: a new song needs some twenty, and those that change a row bring its triggers along.
const STATEMENTS: usize = 32;

/// Sets the connection up and brings the tables to the newest version. Returns the version found.
pub(super) fn prepare(connection: &mut Connection) -> Result<FileContent, rusqlite::Error> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let version: usize =
        connection.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))? as usize;
    if version > MIGRATIONS.len() {
        // Before anything is written: this release does not know the schema of a later one.
        return Ok(FileContent::Newer);
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
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
        FileContent::Nothing
    } else {
        FileContent::Tables
    })
}

/// What the file held before [`prepare`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileContent {
    Nothing,
    Tables,
    /// Written by a later release: it must not be changed.
    Newer,
}
