//! From metadata to rows, names and jobs.
//!
//! Owns what a fetch writes: each song becomes a row, all in one transaction, before the client gets its answer; its
//! names; its job. This module never asks a site: [`super::resolve`] does.

use std::sync::Arc;
use std::time::Duration;

use kmds_extract::choose::Accept;
use kmds_extract::{
    Codec, Collection, Container, Entry, Failure, Format, Kind, Resolved, Site, Track,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::api::{
    FetchAsk, Fetched, Key, Known, ListFacts, Missing, Prefetch, Song, State, Stored,
};
use super::long_lists::LONG_LIST_SONGS;
use super::target::Target;
use super::{App, Inner, too_slow};
use crate::jobs::names::{self, Unique};
use crate::jobs::{Requester, Status, formats, store_failure};
use crate::store::{Accepted, AcceptedRow, FetchedList, Rendition, Row, StoreError};

/// How long a client should wait after the answer that the queue is full.
const QUEUE_RETRY: Duration = Duration::from_secs(60);

/// What is known about a reply before its songs are rows.
struct Answer<'a> {
    id: String,
    site: Site,
    link: String,
    /// The requested link, in its canonical form.
    asked: String,
    list: Option<ListFacts>,
    /// Held once, by all requests for the same list.
    tracks: Vec<&'a Track>,
    unavailable: Vec<Missing>,
    truncated: bool,
}

impl App {
    /// Resolves a link, remembers its songs and queues their downloads.
    /// # Errors
    /// [`Failure`]: the link, the site or our own limits refuse. If no song of a list is available, the error is that
    /// of the first song.
    pub async fn fetch(&self, ask: FetchAsk) -> Result<Fetched, Failure> {
        let target = self.inner.resolver.read(&ask.link, ask.whole_list)?;
        let deadline = Instant::now() + self.inner.resolver.limit(&target);
        self.fetch_target(ask, &target, deadline).await
    }

    /// The longest time that a client waits for a link.
    #[must_use]
    pub fn longest_fetch(&self) -> Duration {
        self.inner.recipes.current().time.fetch_list
    }

    /// How many of the songs of a reply were queued at once.
    #[must_use]
    pub fn ahead(&self, prefetch: Option<Prefetch>, fetched: &Fetched) -> usize {
        self.inner.ahead(prefetch, fetched.list.is_some())
    }

    /// Checks whether KMDS accepts a link; no site is asked.
    /// # Errors
    /// As [`App::fetch`].
    pub fn check_link(&self, link: &str, whole_list: bool) -> Result<(), Failure> {
        self.inner.resolver.read(link, whole_list).map(drop)
    }

    /// What is known about a link already; no site is asked, and nothing is queued.
    /// # Errors
    /// The link is not accepted, or its refusal is remembered.
    pub async fn known(&self, ask: &FetchAsk) -> Result<Known, Failure> {
        let inner = &self.inner;
        let target = inner.resolver.read(&ask.link, ask.whole_list)?;
        let Some(answer) = inner.resolver.remembered(&target).await else {
            return Ok(Known::Nothing);
        };
        let accept = ask.accept.as_ref().unwrap_or(&inner.accept);
        match &*answer? {
            Resolved::Track(track) => {
                let rows = inner
                    .store
                    .renditions(&track.id)
                    .await
                    .map_err(store_failure)?;
                let row = rows
                    .into_iter()
                    .find(|row| !row.key.is_copy() && row.accept == *accept);
                Ok(row.map_or(Known::Nothing, |row| Known::Song(row.key)))
            }
            Resolved::Collection(_) => Ok(Known::List),
        }
    }

    async fn fetch_target(
        &self,
        ask: FetchAsk,
        target: &Target,
        deadline: Instant,
    ) -> Result<Fetched, Failure> {
        let inner = &self.inner;
        let accept = ask.accept.clone().unwrap_or_else(|| inner.accept.clone());
        let resolving = inner.resolver.resolve(target, &accept);
        let resolved = timeout_at(deadline, resolving)
            .await
            .map_err(|_| too_slow())??;
        let answer = read(&resolved, target.key());
        if answer.tracks.is_empty() {
            return Err(no_song(&answer));
        }
        if answer.tracks.len() < LONG_LIST_SONGS {
            let taking = inner.take(answer, &accept, ask.prefetch, None);
            return timeout_at(deadline, taking)
                .await
                .unwrap_or_else(|_| Err(too_slow()));
        }
        let same = format!("{} {accept:?} {:?}", target.key(), ask.prefetch);
        let take = |place| inner.take(answer, &accept, ask.prefetch, place);
        inner.long_lists.reply(same, deadline, take).await
    }
}

fn read(resolved: &Resolved, asked: String) -> Answer<'_> {
    match resolved {
        Resolved::Track(track) => Answer {
            id: track.id.id().to_owned(),
            site: track.id.site(),
            link: track.link.clone(),
            asked,
            list: None,
            tracks: vec![track],
            unavailable: Vec::new(),
            truncated: false,
        },
        Resolved::Collection(list) => read_list(list, asked),
    }
}

fn read_list(list: &Collection, asked: String) -> Answer<'_> {
    let mut tracks = Vec::new();
    let mut unavailable = Vec::new();
    for entry in &list.entries {
        match entry {
            Entry::Track(track) => tracks.push(&**track),
            Entry::Unavailable(missing) => unavailable.push(Missing {
                title: missing
                    .title
                    .clone()
                    .or_else(|| missing.error.title().map(str::to_owned)),
                number: missing.number,
                failure: Failure::from(&missing.error),
            }),
        }
    }
    Answer {
        id: list.id.clone(),
        site: list.site,
        link: list.link.clone(),
        asked,
        list: Some(ListFacts {
            title: list.title.clone(),
            artist: list.artist.clone(),
            cover_url: list.cover_url.clone(),
            total: list.entries.len(),
        }),
        tracks,
        unavailable,
        truncated: list.truncated,
    }
}

/// The part of a track that the catalog and replies have: stream URLs expire and are long.
fn without_streams(track: &Track) -> Track {
    let Track {
        id,
        source,
        link,
        title,
        artist,
        album,
        ..
    } = track;
    Track {
        artist: artist.clone(),
        album: album.clone(),
        album_artist: track.album_artist.clone(),
        number: track.number,
        total: track.total,
        duration: track.duration,
        cover_url: track.cover_url.clone(),
        date: track.date.clone(),
        loudness_db: track.loudness_db,
        offered: track.offered.clone(),
        withheld: track.withheld.clone(),
        ..Track::new(id.clone(), source.clone(), link.clone(), title.clone())
    }
}

/// No song of a list is available: the first reason that is not "gone", else 404; an empty list is 404 too
/// (docs/api.md, "POST /fetch").
fn no_song(answer: &Answer<'_>) -> Failure {
    let telling = answer
        .unavailable
        .iter()
        .find(|missing| missing.failure.kind != Kind::NotFound);
    let first = telling.or(answer.unavailable.first());
    match first {
        Some(missing) => {
            let sentence = format!(
                "no song of the list is available: {}",
                missing.failure.sentence
            );
            Failure {
                retry_after: missing.failure.retry_after,
                ..Failure::new(missing.failure.kind, sentence)
            }
        }
        None => Failure::new(Kind::NotFound, "the list is empty"),
    }
}

impl Inner {
    /// The songs of an answer as rows, names and jobs.
    async fn take(
        &self,
        answer: Answer<'_>,
        accept: &Accept,
        prefetch: Option<Prefetch>,
        room: Option<Arc<OwnedSemaphorePermit>>,
    ) -> Result<Fetched, Failure> {
        let requester = self.table.new_requester();
        let accepting = self.accept(&answer, accept, prefetch, requester);
        let songs = Arc::new(accepting.await?);
        let Answer {
            id,
            site,
            link,
            list,
            unavailable,
            truncated,
            ..
        } = answer;
        Ok(Fetched {
            id,
            site,
            link,
            list,
            songs,
            unavailable,
            truncated,
            room,
        })
    }

    /// Makes every song a row and, as far as `prefetch` says, a job.
    async fn accept(
        &self,
        answer: &Answer<'_>,
        accept: &Accept,
        prefetch: Option<Prefetch>,
        requester: Requester,
    ) -> Result<Vec<Song>, Failure> {
        let listed = answer.list.is_some();
        let ahead = self.ahead(prefetch, listed);
        let mut unique = Unique::default();
        let mut rows = Vec::with_capacity(answer.tracks.len());
        let mut sizes = Vec::with_capacity(answer.tracks.len());
        for (place, &track) in answer.tracks.iter().enumerate() {
            let expected = self.expected(track, accept, listed).await?;
            let format = expected.format;
            let stem = unique.stem(&names::stem(track), &track.id.to_string());
            rows.push(Accepted {
                key: Key::original(track.id.clone(), format),
                track: without_streams(track),
                listed,
                canonical_name: format!("{}.{format}", track.id),
                human_name: names::with_extension(&stem, format.ext()),
                format,
                total_bytes: expected.exact_size,
                approximate_bytes: expected.approximate_size,
                accept: accept.clone(),
                requester: requester.to_string(),
                enqueue: place < ahead,
            });
            sizes.push(expected.approximate_size);
        }
        let gate = self.gate.read().await;
        let accepted = self.accept_rows(rows).await?;
        if listed {
            // A row may stand under another key than the one that was expected.
            let keys = accepted.iter().map(|done| done.row.key.clone()).collect();
            self.windows.keep(keys, ahead, requester);
        }
        let mut songs = Vec::with_capacity(accepted.len());
        for ((done, track), size) in accepted.into_iter().zip(&answer.tracks).zip(sizes) {
            if done.row.state.is_pending() {
                self.table
                    .add(&done.row.key, requester, done.row.total_bytes);
            }
            songs.push(self.song(&done.row, without_streams(track), size));
        }
        drop(gate);
        // After the songs: they are queued even if their list cannot be recorded.
        if listed && let Err(error) = self.note_list(answer, requester).await {
            tracing::warn!(target: "kmds::app", %error, list = answer.id, "a list could not be recorded; its songs can only be ended one by one");
        }
        self.note_holds(None, &mut songs).await?;
        Ok(songs)
    }

    /// Makes songs rows, as many as may wait. The caller holds `gate` until those that are queued have their place in the table.
    async fn accept_rows(&self, rows: Vec<Accepted>) -> Result<Vec<AcceptedRow>, Failure> {
        let room = self.queue_max_songs.saturating_sub(self.table.waiting());
        match self.store.accept_within(rows, room).await {
            Err(StoreError::QueueFull) => Err(self.queue_full()),
            done => done.map_err(store_failure),
        }
    }

    /// Accepts a song of a queue, with the metadata from its site.
    pub(super) async fn take_song(
        &self,
        track: &Track,
        accept: &Accept,
        requester: Requester,
    ) -> Result<Song, Failure> {
        let resolved = Resolved::Track(Box::new(track.clone()));
        let answer = read(&resolved, track.link.clone());
        let songs = self.accept(&answer, accept, None, requester).await?;
        songs.into_iter().next().ok_or_else(|| no_song(&answer))
    }

    /// Makes one known song a row and, if that queues it, gives it a place in the table.
    pub(super) async fn accept_song(
        &self,
        song: Accepted,
        requester: Requester,
    ) -> Result<Row, Failure> {
        let _gate = self.gate.read().await;
        let rows = self.accept_rows(vec![song]).await?;
        let row = rows.into_iter().next().map(|done| done.row);
        let row = row.ok_or_else(|| store_failure(StoreError::Gone))?;
        if row.state.is_pending() {
            self.table.add(&row.key, requester, row.total_bytes);
        }
        Ok(row)
    }

    /// Records a list, so that its songs can be ended together.
    async fn note_list(&self, answer: &Answer<'_>, requester: Requester) -> Result<(), StoreError> {
        let own = self.resolver.read(&answer.link, true);
        let noted = FetchedList {
            site: answer.site,
            id: answer.id.clone(),
            asked: answer.asked.clone(),
            link: own.map_or_else(|_| answer.link.clone(), |target| target.key()),
            requester: requester.to_string(),
        };
        self.store.note_list(noted).await
    }

    /// How many songs of a resolved link are queued at once.
    pub(super) fn ahead(&self, prefetch: Option<Prefetch>, listed: bool) -> usize {
        match prefetch {
            None if listed => self.lists_prefetch,
            None | Some(Prefetch::All) => usize::MAX,
            Some(Prefetch::None) => 0,
            Some(Prefetch::Ahead(songs)) => songs,
        }
    }

    /// The expected form of a song before its download: from its streams, or as it was the last time.
    async fn expected(
        &self,
        track: &Track,
        accept: &Accept,
        listed: bool,
    ) -> Result<formats::Expected, Failure> {
        let recipes = self.recipes.current();
        let expected = formats::expected(track, accept, self.opus, &recipes);
        if listed || !track.streams.is_empty() {
            return Ok(expected);
        }
        let format = self
            .format_before(track, accept)
            .await?
            .unwrap_or(expected.format);
        Ok(formats::Expected {
            format,
            approximate_size: formats::estimate(track, format, &recipes),
            exact_size: None,
        })
    }

    /// The format that a known song had for the same request: the site is not asked for its streams only to predict the
    /// format.
    async fn format_before(
        &self,
        track: &Track,
        accept: &Accept,
    ) -> Result<Option<Format>, Failure> {
        let rows = self
            .store
            .renditions(&track.id)
            .await
            .map_err(store_failure)?;
        let before = rows.iter().filter(|row| row.accept == *accept);
        let mut formats = before.filter_map(|row| match row.key.rendition() {
            Rendition::Original(format) => Some(format),
            Rendition::Copy(_) | Rendition::Raw(_) => None,
        });
        Ok(formats.next())
    }

    pub(super) fn queue_full(&self) -> Failure {
        let sentence = format!(
            "{} songs are waiting already; try again when some of them are done",
            self.queue_max_songs
        );
        Failure::new(Kind::QueueFull, sentence).after(QUEUE_RETRY)
    }

    /// A client reads a song. If only a window of its list is queued, the songs after it are queued now. If the song is
    /// near in a queue of a client, that queue does this itself.
    pub(super) async fn move_window(&self, key: &Key) -> Result<(), Failure> {
        if self.queues.is_near(key.track()) {
            return Ok(());
        }
        let behind = self.windows.behind(key);
        if behind.keys.is_empty() {
            return Ok(());
        }
        let requester = behind.requester;
        let not_here = self.store.evicted_of(&behind.keys).await;
        for next in not_here.map_err(store_failure)? {
            self.demand.requeue_for(&next, requester).await?;
        }
        Ok(())
    }

    /// A row as clients see it, with newer values from its job.
    pub(super) fn song(&self, row: &Row, track: Track, approximate_size: Option<u64>) -> Song {
        let status = self.table.status(&row.key);
        let state = status
            .as_ref()
            .map_or_else(|| row.state.shown(), |status| status.state);
        let ready = state == State::Ready && row.state == State::Ready;
        let total = status.as_ref().and_then(Status::total).or(row.total_bytes);
        let received = status.as_ref().map_or(0, Status::received);
        // The names of the file on the drive, else the names in earlier replies.
        let human_name = names::rename(&row.human_name, row.format.ext());
        let canonical_name = if row.key.is_copy() {
            row.canonical_name.clone()
        } else {
            format!("{}.{}", row.key.track(), row.format)
        };
        let cover_name = names::rename(&human_name, "jpg");
        Song {
            key: row.key.clone(),
            state,
            received: if ready {
                row.size_bytes.unwrap_or(0)
            } else {
                received
            },
            total: if ready { row.size_bytes } else { total },
            failure: row
                .failure
                .as_ref()
                .filter(|_| state == State::Failed)
                .cloned(),
            approximate_size: if ready {
                row.size_bytes
            } else {
                total.or(approximate_size)
            },
            cache_path: self.store.cache_path(&row.key, row.format),
            format: row.format,
            file_name: human_name,
            cover_name,
            canonical_name,
            stored: ready.then(|| Stored {
                size_bytes: row.size_bytes.unwrap_or(0),
                sha256: row.sha256.clone().unwrap_or_default(),
                container: row.container.map_or("", Container::as_str),
                codec: row.codec.map_or("", Codec::as_str),
                bitrate_bps: row.bitrate_bps,
                published: row
                    .published_at
                    .map_or(std::time::UNIX_EPOCH, std::time::SystemTime::from),
            }),
            held: None,
            track,
        }
    }
}
