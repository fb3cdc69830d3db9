//! Holds: which files are not evicted, for whom, and until when.
//!
//! Owns the table `holds`. A hold belongs to a key and a holder, and ends by itself at its time; ended ones are removed
//! when the next one is written. A hold may exist before its file does. This module touches no file:
//! [`crate::store::evict`] asks here before it removes one.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use kmds_extract::TrackId;
use rusqlite::{Connection, named_params, params};
use serde::Serialize;

use super::Catalog;
use super::rows::{read_format, read_key, time_back};
use super::statement::{KeyColumns, OF_KEY, prepare, sql, update};
use crate::store::error::StoreError;
use crate::store::key::Key;

/// The owner of a hold. Two holders of one file do not see each other: the file stays until the last hold has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A client, by its own name; all clients without a name count as one.
    Client(String),
    /// A queue of songs that will be played, by its name.
    Queue(String),
    /// The operator's pin, for good.
    Pin,
}

impl Holder {
    /// As the catalog keeps it.
    fn text(&self) -> String {
        match self {
            Self::Client(name) => format!("client {name}"),
            Self::Queue(name) => format!("queue {name}"),
            Self::Pin => PIN.to_owned(),
        }
    }
}

const PIN: &str = "pin";

/// How long a file is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The end of the last hold that has one.
    pub until: Option<Timestamp>,
    /// It is kept for good.
    pub pinned: bool,
}

/// The files that all holds together keep on the drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct HeldSum {
    pub files: u64,
    pub bytes: u64,
    /// How many of the files are kept for good.
    pub pinned: u64,
}

/// The condition for holds that have not ended.
const LIVE: &str = "(h.until IS NULL OR h.until > :now)";

impl Catalog {
    /// Keeps a file until `until` (`None`: until the hold is released), and records a reader. If a hold of this holder
    /// ends later, that one stays. `false` if the catalog has no such song.
    pub(in crate::store) fn hold(
        &mut self,
        key: &Key,
        holder: &Holder,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let what = "note a hold";
        let transaction = self.connection.transaction().map_err(sql(what))?;
        remove_ended(&transaction, now).map_err(sql(what))?;
        let is_known = write(&transaction, key, holder, until, now).map_err(sql(what))?;
        transaction.commit().map_err(sql(what))?;
        Ok(is_known)
    }

    /// Makes these keys the only ones of this holder, in one change. Unknown keys are skipped.
    pub(in crate::store) fn hold_only(
        &mut self,
        keys: &[Key],
        holder: &Holder,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let what = "note holds";
        let transaction = self.connection.transaction().map_err(sql(what))?;
        remove_ended(&transaction, now).map_err(sql(what))?;
        remove_of(&transaction, holder).map_err(sql(what))?;
        for key in keys {
            write(&transaction, key, holder, until, now).map_err(sql(what))?;
        }
        transaction.commit().map_err(sql(what))
    }

    /// Ends this holder's hold on a key. `false` if there was none.
    pub(in crate::store) fn release(&self, key: &Key, holder: &Holder) -> Result<bool, StoreError> {
        let statement = format!("DELETE FROM holds WHERE {OF_KEY} AND holder = :holder");
        let key = KeyColumns::of(key);
        prepare(&self.connection, &statement)
            .and_then(|mut statement| {
                let holder = named_params! {":holder": holder.text()};
                statement.execute(key.and(holder).as_slice())
            })
            .map(|count| count > 0)
            .map_err(sql("end a hold"))
    }

    /// Ends all holds of this holder.
    pub(in crate::store) fn release_all(&self, holder: &Holder) -> Result<(), StoreError> {
        remove_of(&self.connection, holder).map_err(sql("end holds"))
    }

    /// Ends every hold on a key: its file was removed by a client.
    pub(in crate::store) fn release_key(&self, key: &Key) -> Result<(), StoreError> {
        let statement = format!("DELETE FROM holds WHERE {OF_KEY}");
        let key = KeyColumns::of(key);
        prepare(&self.connection, &statement)
            .and_then(|mut statement| statement.execute(key.and(&[]).as_slice()))
            .map(drop)
            .map_err(sql("end holds"))
    }

    /// The holds of one track, or of all.
    pub(in crate::store) fn held(
        &self,
        track: Option<&TrackId>,
        now: Timestamp,
    ) -> Result<HashMap<Key, Held>, StoreError> {
        let what = "read what is held";
        let statement = format!(
            "SELECT site, id, rendition, MAX(until) AS until, MAX(until IS NULL) AS pinned FROM holds h \
             WHERE {LIVE} AND (:site IS NULL OR (site = :site AND id = :id)) GROUP BY site, id, rendition"
        );
        let mut statement = prepare(&self.connection, &statement).map_err(sql(what))?;
        let bound = named_params! {
            ":now": now.as_millisecond(),
            ":site": track.map(|track| track.site().as_str()),
            ":id": track.map(TrackId::id),
        };
        let rows = statement
            .query_map(bound, |row| {
                let held = Held {
                    until: row.get::<_, Option<i64>>("until")?.and_then(time_back),
                    pinned: row.get("pinned")?,
                };
                Ok((read_key(row)?, held))
            })
            .map_err(sql(what))?;
        rows.collect::<Result<_, _>>().map_err(sql(what))
    }

    /// The held files on the drive, by their paths in the cache folder: several rows may share a file.
    pub(in crate::store) fn held_files(
        &self,
        now: Timestamp,
    ) -> Result<HashSet<String>, StoreError> {
        let files = self.held_file_sizes(now)?;
        Ok(files.into_keys().collect())
    }

    pub(in crate::store) fn held_sum(&self, now: Timestamp) -> Result<HeldSum, StoreError> {
        let files = self.held_file_sizes(now)?;
        let mut sum = HeldSum::default();
        for (bytes, pinned) in files.into_values() {
            sum.files += 1;
            sum.bytes = sum.bytes.saturating_add(bytes);
            sum.pinned += u64::from(pinned);
        }
        Ok(sum)
    }

    /// Path, size, and whether it is kept for good.
    fn held_file_sizes(&self, now: Timestamp) -> Result<HashMap<String, (u64, bool)>, StoreError> {
        let what = "read what is held";
        let statement = format!(
            "SELECT site, id, rendition, ext, size, h.until IS NULL AS pinned \
             FROM holds h CROSS JOIN renditions r USING (site, id, rendition) WHERE {LIVE} AND +r.state = 'ready'"
        );
        let mut statement = prepare(&self.connection, &statement).map_err(sql(what))?;
        let rows = statement
            .query_map(named_params! {":now": now.as_millisecond()}, |row| {
                let path = read_key(row)?.relative_path(read_format(row)?);
                let size = row.get::<_, Option<u64>>("size")?.unwrap_or(0);
                Ok((path, size, row.get::<_, bool>("pinned")?))
            })
            .map_err(sql(what))?;
        let mut files = HashMap::new();
        for row in rows {
            let (path, size, pinned) = row.map_err(sql(what))?;
            let file = files.entry(path).or_insert((size, false));
            file.1 |= pinned;
        }
        Ok(files)
    }
}

fn remove_ended(connection: &Connection, now: Timestamp) -> Result<(), rusqlite::Error> {
    prepare(connection, "DELETE FROM holds WHERE until <= ?1")?
        .execute([now.as_millisecond()])
        .map(drop)
}

fn remove_of(connection: &Connection, holder: &Holder) -> Result<(), rusqlite::Error> {
    prepare(connection, "DELETE FROM holds WHERE holder = ?1")?
        .execute(params![holder.text()])
        .map(drop)
}

fn write(
    connection: &Connection,
    key: &Key,
    holder: &Holder,
    until: Option<Timestamp>,
    now: Timestamp,
) -> Result<bool, rusqlite::Error> {
    let read = named_params! {":now": now.as_millisecond()};
    if !update(
        connection,
        key,
        "last_read = :now",
        "state <> 'deleted'",
        read,
    )? {
        return Ok(false);
    }
    let key = KeyColumns::of(key);
    let values = named_params! {
        ":holder": holder.text(),
        ":until": until.map(Timestamp::as_millisecond),
    };
    prepare(
        connection,
        "INSERT INTO holds (holder, site, id, rendition, until) \
         VALUES (:holder, :site, :id, :rendition, :until) \
         ON CONFLICT (holder, site, id, rendition) DO UPDATE SET \
         until = IIF(until IS NULL OR :until IS NULL, NULL, MAX(until, :until))",
    )?
    .execute(key.and(values).as_slice())?;
    Ok(true)
}
