//! The queues that clients play from: their songs in order, and how far they were played.
//!
//! Owns the tables `queues` and `queue_songs`. A song stands there as its client sent it, a link or `site/id`: which
//! file that leads to is found when the song comes near. Which files a queue keeps is told by `holds`.

use std::collections::HashSet;

use jiff::Timestamp;
use kmds_extract::TrackId;
use kmds_extract::choose::Accept;
use rusqlite::{Connection, named_params, params};

use super::rows::{Row, State, time_back};
use super::statement::{prepare, sql, update};
use super::{Catalog, StoreError};
use crate::store::key::Key;

/// A queue without its songs.
#[derive(Debug, Clone, PartialEq)]
pub struct PlayQueue {
    pub name: String,
    /// The requester in the rows of its songs.
    pub requester: u64,
    /// Songs that are made ready before they are played.
    pub ahead: usize,
    /// The formats that its client plays; `None`: the form that was asked for last.
    pub accept: Option<Accept>,
    /// Songs that its client has begun to play.
    pub begun: usize,
    /// Songs in all.
    pub songs: usize,
    pub until: Timestamp,
}

/// How a client names a song that may be known.
#[derive(Debug, Clone)]
pub enum SongName {
    Id(TrackId),
    /// Its canonical link.
    Link(String),
}

impl Catalog {
    /// For each song the row that a client asked for last.
    pub(in crate::store) fn newest_of(
        &self,
        songs: &[Option<SongName>],
    ) -> Result<Vec<Option<Row>>, StoreError> {
        let newest = |song: &Option<SongName>| {
            let id = match song {
                Some(SongName::Id(id)) => Some(id.clone()),
                Some(SongName::Link(link)) => self.track_by_link(link)?,
                None => None,
            };
            let rows = id.map_or(Ok(Vec::new()), |id| self.renditions(&id))?;
            let is_plain = |row: &Row| row.state != State::Deleted && !row.key.is_copy();
            Ok(rows.into_iter().rfind(is_plain))
        };
        songs.iter().map(newest).collect()
    }

    /// The forms of a song that a client removed after this queue was written.
    pub(in crate::store) fn removed_since(
        &self,
        queue: &str,
        song: &TrackId,
    ) -> Result<Vec<Key>, StoreError> {
        let what = "read what was removed";
        let removed = "SELECT rendition FROM renditions WHERE site = ?2 AND id = ?3 AND +state = 'deleted' \
             AND +queue_order > (SELECT written FROM queues WHERE name = ?1)";
        let mut statement = prepare(&self.connection, removed).map_err(sql(what))?;
        let slugs = statement
            .query_map(params![queue, song.site().as_str(), song.id()], |row| {
                row.get::<_, String>(0)
            })
            .map_err(sql(what))?;
        let keys = slugs.filter_map(|slug| {
            let key = slug.map(|slug| Key::from_slug(song.clone(), &slug));
            key.transpose()
        });
        keys.collect::<Result<_, _>>().map_err(sql(what))
    }

    /// Writes a queue and its songs, and replaces the earlier ones.
    pub(in crate::store) fn put_queue(
        &mut self,
        queue: &PlayQueue,
        songs: &[String],
    ) -> Result<(), StoreError> {
        let what = "note a queue";
        let transaction = self.connection.transaction().map_err(sql(what))?;
        let accept = queue.accept.as_ref();
        let row = named_params! {
            ":name": queue.name,
            ":requester": queue.requester,
            ":ahead": queue.ahead,
            ":accept": accept.map(|accept| serde_json::to_string(accept).unwrap_or_default()),
            ":begun": queue.begun,
            ":songs": queue.songs,
            ":until": queue.until.as_millisecond(),
        };
        let write = || -> Result<(), rusqlite::Error> {
            prepare(
                &transaction,
                "INSERT OR REPLACE INTO queues (name, requester, ahead, accept, begun, songs, until, written) \
                 VALUES (:name, :requester, :ahead, :accept, :begun, :songs, :until, \
                 (SELECT COALESCE(MAX(queue_order), 0) FROM renditions))",
            )?
            .execute(row)?;
            prepare(&transaction, "DELETE FROM queue_songs WHERE queue = ?1")?
                .execute([&queue.name])?;
            let mut insert = prepare(
                &transaction,
                "INSERT INTO queue_songs (queue, place, song) VALUES (?1, ?2, ?3)",
            )?;
            for (place, song) in songs.iter().enumerate() {
                insert.execute(params![queue.name, place, song])?;
            }
            Ok(())
        };
        write().map_err(sql(what))?;
        transaction.commit().map_err(sql(what))
    }

    /// Records how many songs of a queue were begun.
    pub(in crate::store) fn begin_queue(&self, name: &str, begun: usize) -> Result<(), StoreError> {
        prepare(
            &self.connection,
            "UPDATE queues SET begun = ?2 WHERE name = ?1",
        )
        .and_then(|mut statement| statement.execute(params![name, begun]))
        .map(drop)
        .map_err(sql("note a queue"))
    }

    pub(in crate::store) fn forget_queue(&mut self, name: &str) -> Result<(), StoreError> {
        let what = "end a queue";
        let transaction = self.connection.transaction().map_err(sql(what))?;
        for statement in [
            "DELETE FROM queues WHERE name = ?1",
            "DELETE FROM queue_songs WHERE queue = ?1",
        ] {
            prepare(&transaction, statement)
                .and_then(|mut statement| statement.execute([name]))
                .map_err(sql(what))?;
        }
        transaction.commit().map_err(sql(what))
    }

    /// The numbers of all queues, as rows have them.
    pub(super) fn queue_numbers(
        connection: &Connection,
    ) -> Result<HashSet<String>, rusqlite::Error> {
        let numbers = "SELECT CAST(requester AS TEXT) FROM queues";
        prepare(connection, numbers)?
            .query_map([], |row| row.get(0))?
            .collect()
    }

    /// All queues, ended ones too.
    pub(in crate::store) fn queues(&self) -> Result<Vec<PlayQueue>, StoreError> {
        let what = "read the queues";
        let columns = "SELECT name, requester, ahead, accept, begun, songs, until FROM queues";
        let mut statement = prepare(&self.connection, columns).map_err(sql(what))?;
        let rows = statement
            .query_map([], |row| {
                let accept: Option<String> = row.get("accept")?;
                Ok(PlayQueue {
                    name: row.get("name")?,
                    requester: row.get("requester")?,
                    ahead: row.get("ahead")?,
                    accept: accept.and_then(|accept| serde_json::from_str(&accept).ok()),
                    begun: row.get("begun")?,
                    songs: row.get("songs")?,
                    until: time_back(row.get("until")?).unwrap_or(Timestamp::UNIX_EPOCH),
                })
            })
            .map_err(sql(what))?;
        rows.collect::<Result<_, _>>().map_err(sql(what))
    }

    /// Songs of a queue as they were sent, from this place on, `most` at most.
    pub(in crate::store) fn queue_songs(
        &self,
        name: &str,
        from: usize,
        most: usize,
    ) -> Result<Vec<String>, StoreError> {
        let what = "read a queue";
        let songs =
            "SELECT song FROM queue_songs WHERE queue = ?1 AND place >= ?2 ORDER BY place LIMIT ?3";
        let mut statement = prepare(&self.connection, songs).map_err(sql(what))?;
        let rows = statement
            .query_map(params![name, from, most], |row| row.get(0))
            .map_err(sql(what))?;
        rows.collect::<Result<_, _>>().map_err(sql(what))
    }

    /// Waiting songs for which no client asks any more become evicted.
    pub(in crate::store) fn unqueue(&mut self, keys: &[Key]) -> Result<(), StoreError> {
        let what = "take songs out of the queue";
        let transaction = self.connection.transaction().map_err(sql(what))?;
        for key in keys {
            let only_if = "state IN ('queued', 'downloading', 'converting')";
            update(&transaction, key, "state = 'evicted'", only_if, &[]).map_err(sql(what))?;
        }
        transaction.commit().map_err(sql(what))
    }
}
