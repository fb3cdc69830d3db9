//! From metadata to rows, names and jobs.
//!
//! Owns what `/fetch` leaves behind: every song a row in one transaction, before anybody is told; its names; its job.
//! Hides the catalog. Never asks a site.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kmds_extract::choose::Accept;
use kmds_extract::{Codec, Collection, Container, Entry, Format, Kind, Resolved, Site, Track};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::flight::Job;
use super::names::{self, Unique};
use super::resolve::Target;
use super::words::{
    FetchAsk, Fetched, Key, Known, ListFacts, Missing, Prefetch, Song, State, Stored,
};
use super::{App, Failure, Inner, forms, store_failure};
use crate::store::{Accepted, Rendition, Row, StoreError};

/// When a client told that the queue is full may come back.
const QUEUE_RETRY: Duration = Duration::from_secs(60);

/// From so many songs on a list is long: it costs some KB a song until its reply is written.
const LONG_LIST_SONGS: usize = 200;
/// Long lists held at once, each until the last of its replies is written.
const LONG_LISTS_AT_ONCE: usize = 4;
/// When a client that got no place for its long list may come back: a reply that is not read is given up after 10 s.
const LONG_LIST_RETRY: Duration = Duration::from_secs(10);

/// Songs of lists with a window that are kept in mind.
const WINDOW_SONGS: usize = 10_000;

/// A list of which only some songs are queued ahead of the one being read.
#[derive(Debug)]
pub struct Window {
    keys: Vec<Key>,
    ahead: usize,
}

/// What is known of a reply before its songs are rows.
struct Answer<'a> {
    id: String,
    site: Site,
    link: String,
    list: Option<ListFacts>,
    /// Held once, by all who asked for the same.
    tracks: Vec<&'a Track>,
    unavailable: Vec<Missing>,
    truncated: bool,
}

impl App {
    /// Resolves a link, remembers its songs and queues their downloads.
    /// # Errors
    /// [`Failure`]: the link, the site or our own limits refuse. A list none of whose songs can be had is its first
    /// song's failure.
    pub async fn fetch(&self, ask: FetchAsk) -> Result<Fetched, Failure> {
        let target = self.inner.resolver.read(&ask.link, ask.whole_list)?;
        let deadline = Instant::now() + self.inner.resolver.limit(&target);
        self.fetch_target(ask, &target, deadline).await
    }

    /// Whether a link is one that is taken; nobody is asked.
    /// # Errors
    /// As [`App::fetch`].
    pub fn check_link(&self, link: &str, whole_list: bool) -> Result<(), Failure> {
        self.inner.resolver.read(link, whole_list).map(drop)
    }

    /// What is known of a link already; nobody is asked, and nothing is queued.
    /// # Errors
    /// The link is none that is taken, or its refusal is remembered.
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
        let answer = read(&resolved);
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
        let waiting = Waiting {
            lists: &inner.long_lists,
            group: inner.long_lists.board(&same),
            same: &same,
        };
        let take = async || {
            let _turn = inner.long_lists.turn.lock().await;
            let room = Arc::clone(&inner.long_lists.room)
                .acquire_owned()
                .await
                .ok()
                .map(Arc::new);
            // Who comes from now on asks anew: songs may be removed while these are taken.
            inner.long_lists.forget(&same, &waiting.group);
            inner.take(answer, &accept, ask.prefetch, room).await
        };
        match timeout_at(deadline, waiting.group.get_or_init(take)).await {
            Ok(fetched) => fetched.clone(),
            Err(_) if inner.long_lists.is_waiting(&same, &waiting.group) => Err(lists_full()),
            Err(_) => Err(too_slow()),
        }
    }
}

fn too_slow() -> Failure {
    Failure::new(
        Kind::Timeout,
        "the site did not answer in time; try again later",
    )
}

/// The places for long lists did not become free in time.
fn lists_full() -> Failure {
    let sentence = format!(
        "{LONG_LISTS_AT_ONCE} long lists are being replied to already; try again when one is done"
    );
    Failure::new(Kind::QueueFull, sentence).after(LONG_LIST_RETRY)
}

type Group = Arc<OnceCell<Result<Fetched, Failure>>>;

/// Long lists that are being replied to. Who asks for the same one while it waits for its turn gets the same reply.
pub(super) struct LongLists {
    /// One is taken at a time: its rows are held several times over meanwhile.
    turn: tokio::sync::Mutex<()>,
    room: Arc<Semaphore>,
    waiting: Mutex<HashMap<String, Group>>,
}

impl Default for LongLists {
    fn default() -> Self {
        let room = Arc::new(Semaphore::new(LONG_LISTS_AT_ONCE));
        Self {
            turn: tokio::sync::Mutex::default(),
            room,
            waiting: Mutex::default(),
        }
    }
}

impl LongLists {
    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Group>> {
        self.waiting.lock()
    }

    fn board(&self, same: &str) -> Group {
        Arc::clone(self.waiting().entry(same.to_owned()).or_default())
    }

    /// Whether this group has no place yet.
    fn is_waiting(&self, same: &str, group: &Group) -> bool {
        let waiting = self.waiting();
        let have = waiting.get(same);
        have.is_some_and(|have| Arc::ptr_eq(have, group))
    }

    fn forget(&self, same: &str, group: &Group) {
        if self.is_waiting(same, group) {
            self.waiting().remove(same);
        }
    }
}

/// One who waits for a long list; the last one to give up leaves nothing behind.
struct Waiting<'a> {
    lists: &'a LongLists,
    group: Group,
    same: &'a str,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Ours and the map's.
        if Arc::strong_count(&self.group) <= 2 {
            self.lists.forget(self.same, &self.group);
        }
    }
}

fn read(resolved: &Resolved) -> Answer<'_> {
    match resolved {
        Resolved::Track(track) => Answer {
            id: track.id.id().to_owned(),
            site: track.id.site(),
            link: track.link.clone(),
            list: None,
            tracks: vec![track],
            unavailable: Vec::new(),
            truncated: false,
        },
        Resolved::Collection(list) => read_list(list),
    }
}

fn read_list(list: &Collection) -> Answer<'_> {
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

/// What the catalog and replies tell of a song: where it is to be had expires, and weighs.
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
        withheld: track.withheld.clone(),
        ..Track::new(id.clone(), source.clone(), link.clone(), title.clone())
    }
}

/// No song of a list can be had: the first reason that is not "gone", else 404; an empty list is 404 too
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
                "none of the list's songs can be had: {}",
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
        prefetch: Prefetch,
        room: Option<Arc<OwnedSemaphorePermit>>,
    ) -> Result<Fetched, Failure> {
        let songs = Arc::new(self.accept(&answer, accept, prefetch).await?);
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
        prefetch: Prefetch,
    ) -> Result<Vec<Song>, Failure> {
        let recipes = self.recipes.current();
        let listed = answer.list.is_some();
        let ahead = match prefetch {
            Prefetch::All => usize::MAX,
            Prefetch::None => 0,
            Prefetch::Ahead(songs) => songs,
        };
        let requester = self.requesters.fetch_add(1, Ordering::Relaxed);
        let mut unique = Unique::default();
        let mut rows = Vec::with_capacity(answer.tracks.len());
        let mut sizes = Vec::with_capacity(answer.tracks.len());
        for (place, &track) in answer.tracks.iter().enumerate() {
            let mut expected = forms::expected(track, accept, self.opus, &recipes);
            if !listed && track.streams.is_empty() {
                let format = self
                    .format_before(track, accept)
                    .await?
                    .unwrap_or(expected.format);
                let approximate_size = forms::estimate(track, format, &recipes);
                expected = forms::Expected {
                    format,
                    approximate_size,
                    exact_size: None,
                };
            }
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
        self.keep_window(&rows, ahead);
        let room = self.queue_max_songs.saturating_sub(self.jobs.waiting());
        let accepted = match self.store.accept_within(rows, room).await {
            Err(StoreError::QueueFull) => return Err(self.queue_full()),
            done => done.map_err(store_failure)?,
        };
        let mut songs = Vec::with_capacity(accepted.len());
        for ((done, track), size) in accepted.into_iter().zip(&answer.tracks).zip(sizes) {
            if done.row.state.is_pending() {
                self.jobs
                    .add(&done.row.key, requester, done.row.total_bytes);
            }
            songs.push(self.song(&done.row, without_streams(track), size));
        }
        Ok(songs)
    }

    /// The format a known song had when the same was asked for: its streams are not asked for again just to guess.
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
            "{} songs are waiting already; try again when some are done",
            self.queue_max_songs
        );
        Failure::new(Kind::QueueFull, sentence).after(QUEUE_RETRY)
    }

    fn keep_window(&self, rows: &[Accepted], ahead: usize) {
        let keys: Vec<Key> = rows.iter().map(|row| row.key.clone()).collect();
        let mut windows = self.windows.lock();
        if windows.len() > WINDOW_SONGS {
            // Lists that nobody reads on: their songs are queued when somebody asks for them.
            windows.clear();
        }
        for key in &keys {
            windows.remove(key);
        }
        if (1..keys.len()).contains(&ahead) {
            let window = Arc::new(Window {
                keys: keys.clone(),
                ahead,
            });
            windows.extend(keys.into_iter().map(|key| (key, Arc::clone(&window))));
        }
    }

    /// Queues the songs behind the one that is read now, where only a window of its list is queued.
    pub(super) async fn move_window(&self, key: &Key) -> Result<(), Failure> {
        let window = self.windows.lock().get(key).cloned();
        let Some(window) = window else { return Ok(()) };
        let Some(at) = window.keys.iter().position(|have| have == key) else {
            return Ok(());
        };
        for next in window.keys.iter().skip(at + 1).take(window.ahead) {
            let row = self.store.row(next).await.map_err(store_failure)?;
            if row.is_some_and(|row| row.state == State::Evicted) {
                self.take_up(next, false).await?;
            }
        }
        Ok(())
    }

    /// Queues a known song (again).
    pub(super) async fn take_up(&self, key: &Key, first: bool) -> Result<Arc<Job>, Failure> {
        self.store
            .requeue(key, first)
            .await
            .map_err(store_failure)?;
        let requester = self.requesters.fetch_add(1, Ordering::Relaxed);
        Ok(self.jobs.enqueue(key, requester, None))
    }

    /// A row as clients see it, with what its job knows better.
    pub(super) fn song(&self, row: &Row, track: Track, approximate_size: Option<u64>) -> Song {
        let status = self.jobs.status(&row.key);
        let state = status
            .as_ref()
            .map_or_else(|| row.state.shown(), |status| status.state);
        let ready = state == State::Ready && row.state == State::Ready;
        let total = status
            .as_ref()
            .and_then(super::flight::Status::total)
            .or(row.total_bytes);
        let received = status.as_ref().map_or(0, super::flight::Status::received);
        // The names of what stands on the drive, else those given out.
        let human_name = forms::rename(&row.human_name, row.format.ext());
        let canonical_name = if row.key.is_copy() {
            row.canonical_name.clone()
        } else {
            format!("{}.{}", row.key.track(), row.format)
        };
        let cover_name = forms::rename(&human_name, "jpg");
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
            track,
        }
    }
}
