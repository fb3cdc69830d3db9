//! Accepting songs: every row is there before `/fetch` replies.
//!
//! Owns what a new request means for a song in any state (docs/api.md) and the names given out. It starts no work: the
//! caller does, for the rows that say so.

use jiff::Timestamp;
use kmds_extract::choose::Accept;
use kmds_extract::{Format, Track};
use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::names::name;
use super::ready::{ReadyFile, sharing, write_ready};
use super::rows::{Row, State};
use super::statement::{IS_COPY, KeyColumns, NEXT_ORDER, NO_FAILURE, prepare, sql, update};
use super::tracks::{Overwrite, write_track};
use super::{Catalog, row_in};
use crate::store::error::StoreError;
use crate::store::key::{Key, Rendition};

/// One song of a `/fetch`.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    pub track: Track,
    pub key: Key,
    /// Part of a list: its album and numbers belong to the list, and are not those of the single song.
    pub listed: bool,
    /// `{site}-{id}.{ext}`, as in the reply.
    pub canonical_name: String,
    /// `File_Name`, as in the reply.
    pub human_name: String,
    /// The expected format of the file.
    pub format: Format,
    /// The length, if the site states it already.
    pub total_bytes: Option<u64>,
    /// The same, or an estimate: it shows at once if there can be no room for the song.
    pub approximate_bytes: Option<u64>,
    pub accept: Accept,
    /// The fetch that asked for it, so that fetches take turns.
    pub requester: String,
    /// `false`: the song is known, but waits for a reader (`prefetch` window).
    pub enqueue: bool,
}

/// A row after accepting.
#[derive(Debug, Clone, PartialEq)]
pub struct AcceptedRow {
    pub row: Row,
    /// This request put it into the queue: the caller starts a job.
    pub newly_queued: bool,
}

impl Catalog {
    /// One transaction for all songs, or none if `may_queue` refuses the newly queued ones. `whole` tells whether a
    /// ready row's file is on the drive as it should be.
    pub(in crate::store) fn accept(
        &mut self,
        songs: &[Accepted],
        whole: impl Fn(&Row) -> bool,
        may_queue: impl FnOnce(&[&Accepted]) -> Result<(), StoreError>,
        now: Timestamp,
    ) -> Result<Vec<AcceptedRow>, StoreError> {
        let what = "accept songs";
        let transaction = self.connection.transaction().map_err(sql(what))?;
        let of_queues = Self::queue_numbers(&transaction).map_err(sql(what))?;
        let mut rows = Vec::with_capacity(songs.len());
        for song in songs {
            let seen = if song.listed {
                Overwrite::Listed
            } else {
                Overwrite::Alone
            };
            write_track(&transaction, &song.track, seen, now).map_err(sql(what))?;
            let row = accept_one(&transaction, song, &whole, now).map_err(sql(what))?;
            let number = row.as_ref().map(|done| &done.row.requester);
            if number.is_some_and(|number| of_queues.contains(number))
                && !of_queues.contains(&song.requester)
                && let Some(done) = &row
            {
                hand_over(&transaction, &done.row, song).map_err(sql(what))?;
            }
            rows.push(row);
        }
        let is_new = |row: &Option<AcceptedRow>| row.as_ref().is_some_and(|row| row.newly_queued);
        let queued: Vec<&Accepted> = songs
            .iter()
            .zip(&rows)
            .filter(|(_, row)| is_new(row))
            .map(|(song, _)| song)
            .collect();
        may_queue(&queued)?;
        transaction.commit().map_err(sql(what))?;
        rows.into_iter()
            .collect::<Option<_>>()
            .ok_or(StoreError::Gone)
    }
}

fn accept_one(
    connection: &Connection,
    song: &Accepted,
    whole: impl Fn(&Row) -> bool,
    now: Timestamp,
) -> Result<Option<AcceptedRow>, rusqlite::Error> {
    let wanted = if song.enqueue {
        State::Queued
    } else {
        State::Evicted
    };
    let known = row_in(connection, &song.key)?;
    if known.is_none()
        && let Some(key) = same_wish(connection, song)?
    {
        let song = Accepted {
            key,
            ..song.clone()
        };
        return accept_one(connection, &song, whole, now);
    }
    let next = match &known {
        None => {
            insert(connection, song, wanted, now)?;
            Some(wanted)
        }
        Some(row) => {
            let next = next_state(row, song.enqueue, &whole, now);
            if let Some(next) = next {
                restart(connection, song, next)?;
            }
            next
        }
    };
    let shared = next.is_some() && share(connection, &song.key, &whole)?;
    let names = named_params! {
        ":canonical_name": song.canonical_name,
        ":human_name": song.human_name,
    };
    name(
        connection,
        &song.canonical_name,
        &song.human_name,
        &song.key,
    )?;
    // When a list is fetched again, most of its songs are unchanged.
    let is_as_it_was = |row: &Row| {
        (&row.canonical_name, &row.human_name) == (&song.canonical_name, &song.human_name)
    };
    if let Some(row) = known.filter(|row| next.is_none() && is_as_it_was(row)) {
        return Ok(Some(AcceptedRow {
            row,
            newly_queued: false,
        }));
    }
    let set = "canonical_name = :canonical_name, human_name = :human_name";
    update(connection, &song.key, set, "TRUE", names)?;
    let newly_queued = next == Some(State::Queued) && !shared;
    Ok(row_in(connection, &song.key)?.map(|row| AcceptedRow { row, newly_queued }))
}

/// A row of this song for the same request, under the form that was expected when its streams were known: it is the
/// same form, not another one.
fn same_wish(connection: &Connection, song: &Accepted) -> Result<Option<Key>, rusqlite::Error> {
    if song.key.is_copy() {
        return Ok(None);
    }
    let statement = format!(
        "SELECT rendition FROM renditions WHERE site = :site AND id = :id AND accept = :accept \
         AND +state <> 'deleted' AND NOT {IS_COPY} ORDER BY state = 'ready' DESC LIMIT 1"
    );
    let track = song.key.track();
    let slug: Option<String> = prepare(connection, &statement)?
        .query_row(
            named_params! {
                ":site": track.site().as_str(),
                ":id": track.id(),
                ":accept": accept_text(song),
            },
            |row| row.get("rendition"),
        )
        .optional()?;
    Ok(slug
        .and_then(|slug| Key::from_slug(track.clone(), &slug))
        .filter(|key| *key != song.key))
}

/// A song that waits for a queue now belongs to a fetch: it does not end with the queue, also in a later run. In this
/// run both ask for it ([`crate::jobs::Table`]); the queue asks again after a start.
fn hand_over(connection: &Connection, row: &Row, song: &Accepted) -> Result<(), rusqlite::Error> {
    let only_if = "state IN ('queued', 'downloading', 'converting')";
    let values = named_params! {":requester": song.requester};
    update(
        connection,
        &row.key,
        "requester = :requester",
        only_if,
        values,
    )
    .map(drop)
}

/// The formats that the client plays, as text in the catalog.
fn accept_text(song: &Accepted) -> String {
    serde_json::to_string(&song.accept).unwrap_or_default()
}

/// Shares a file, once: the requested form may be on the drive already under another form's name (a client asked for
/// M4A, the site had only MP3, and now a client asks for MP3).
fn share(
    connection: &Connection,
    key: &Key,
    whole: impl Fn(&Row) -> bool,
) -> Result<bool, rusqlite::Error> {
    let Rendition::Original(format) = key.rendition() else {
        return Ok(false);
    };
    for sibling in sharing(connection, key, format)? {
        let file = row_in(connection, &sibling)?
            .filter(&whole)
            .and_then(|row| ReadyFile::of(&row, key));
        if let Some(file) = file {
            write_ready(connection, &file)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// The new state of a known song after a request; `None` leaves it as it is.
fn next_state(
    row: &Row,
    enqueue: bool,
    whole: impl Fn(&Row) -> bool,
    now: Timestamp,
) -> Option<State> {
    let again = match row.state {
        State::Queued | State::Downloading | State::Converting => false,
        State::Ready => !whole(row),
        State::Failed => !row.failure_stands(now),
        State::Evicted | State::Deleted => true,
    };
    match (again, enqueue, row.state) {
        (false, _, _) | (true, false, State::Evicted) => None,
        (true, true, _) => Some(State::Queued),
        (true, false, _) => Some(State::Evicted),
    }
}

fn insert(
    connection: &Connection,
    song: &Accepted,
    state: State,
    now: Timestamp,
) -> Result<(), rusqlite::Error> {
    let statement = format!(
        "INSERT INTO renditions (site, id, rendition, state, ext, total, accepted_at, requester, \
         queue_order, accept, canonical_name, human_name) \
         VALUES (:site, :id, :rendition, :state, :ext, :total, :now, :requester, \
         {NEXT_ORDER}, :accept, '', '')"
    );
    let values = named_params! {
        ":state": state.as_str(),
        ":ext": song.format.ext(),
        ":total": song.total_bytes,
        ":now": now.as_millisecond(),
        ":requester": song.requester,
        ":accept": accept_text(song),
    };
    let key = KeyColumns::of(&song.key);
    prepare(connection, &statement)?
        .execute(key.and(values).as_slice())
        .map(drop)
}

/// A known song starts again; only the length of its old file is kept, until the site tells it again.
fn restart(connection: &Connection, song: &Accepted, state: State) -> Result<(), rusqlite::Error> {
    let set = format!(
        "state = :state, requester = :requester, accept = :accept, \
         total = COALESCE(:total, CASE WHEN ext = :ext THEN COALESCE(size, total) END), ext = :ext, \
         queue_order = {NEXT_ORDER}, size = NULL, mtime_ns = NULL, etag = NULL, validator = NULL, \
         stream = NULL, container = NULL, codec = NULL, bitrate_bps = NULL, duration_ms = NULL, \
         published_at = NULL, {NO_FAILURE}"
    );
    let values = named_params! {
        ":state": state.as_str(),
        ":ext": song.format.ext(),
        ":total": song.total_bytes,
        ":requester": song.requester,
        ":accept": accept_text(song),
    };
    update(connection, &song.key, &set, "TRUE", values).map(drop)
}
