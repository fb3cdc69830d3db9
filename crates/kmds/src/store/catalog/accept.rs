//! Accepting songs: every row is there before `/fetch` replies.
//!
//! Owns what a new request means for a song in any state (docs/api.md) and the names given out.
//! Never starts work: the caller does, for the rows that say so.

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
    /// Part of a list: its album and numbers are the list's, and do not answer for the song alone.
    pub listed: bool,
    /// `{site}-{id}.{ext}` as the reply gives it out.
    pub canonical_name: String,
    /// `File_Name` as the reply gives it out.
    pub human_name: String,
    /// Expected of the file.
    pub format: Format,
    /// Length where the site states it already.
    pub total_bytes: Option<u64>,
    /// The same, or an estimate: to tell at once that there can be no room for it.
    pub approximate_bytes: Option<u64>,
    pub accept: Accept,
    /// Who asked, for fairness.
    pub requester: String,
    /// `false`: be known, but wait for a reader (`prefetch` window).
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
    /// One transaction for all, or for none when `may_queue` refuses those that would be newly queued. `whole` tells whether a
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
    // Most songs of a list that is asked for again are as they were.
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

/// A row of this song for a client with the same wishes, under the form that was expected when more was known of the song
/// (its streams) than now: the same request again, not another form.
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

/// A song that waits for a queue is a fetch's from now on: it does not end with the queue, in a later run either. Both ask for it
/// in this run ([`crate::jobs::Table`]); the queue asks again after a start.
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

/// What the client plays, as the catalog keeps it.
fn accept_text(song: &Accepted) -> String {
    serde_json::to_string(&song.accept).unwrap_or_default()
}

/// Once: what was asked for may stand on the drive already, under another form's name (M4A was asked for, MP3
/// was all there is, and now MP3 is asked for).
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

/// What a new request makes of a known song; `None` leaves it as it is.
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

/// A known song begins anew; of its old file only the length is kept, until the site tells it again.
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
