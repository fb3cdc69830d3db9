//! [`App::fetch`](super::App::fetch): from a link to rows, names and jobs.
//!
//! Owns what a fetch writes: each song becomes a row, all in one transaction, before the client gets its answer; its
//! names; its job. This module never asks a site: [`super::resolve`] does.

use std::sync::Arc;
use std::time::Duration;

use kmds_extract::choose::Accept;
use kmds_extract::{Failure, Format, Kind, Resolved, Track};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::api::{FetchAsk, Fetched, Key, Known, Prefetch, Song};
use super::contents::{Contents, without_streams};
use super::long_lists::LONG_LIST_SONGS;
use super::target::Target;
use super::{App, Inner, too_slow};
use crate::jobs::names::{self, Unique};
use crate::jobs::{Requester, formats, store_failure};
use crate::store::{Accepted, AcceptedRow, FetchedList, Rendition, Row, StoreError};

/// How long a client should wait after the answer that the queue is full.
const QUEUE_RETRY: Duration = Duration::from_secs(60);

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
        let contents = Contents::of(&resolved, target.key());
        if contents.tracks.is_empty() {
            return Err(contents.no_song());
        }
        if contents.tracks.len() < LONG_LIST_SONGS {
            let taking = inner.take(contents, &accept, ask.prefetch, None);
            return timeout_at(deadline, taking)
                .await
                .unwrap_or_else(|_| Err(too_slow()));
        }
        let same = format!("{} {accept:?} {:?}", target.key(), ask.prefetch);
        let take = |place| inner.take(contents, &accept, ask.prefetch, place);
        inner.long_lists.reply(same, deadline, take).await
    }
}

impl Inner {
    /// The songs of a link as rows, names and jobs.
    async fn take(
        &self,
        contents: Contents<'_>,
        accept: &Accept,
        prefetch: Option<Prefetch>,
        room: Option<Arc<OwnedSemaphorePermit>>,
    ) -> Result<Fetched, Failure> {
        let requester = self.table.new_requester();
        let accepting = self.accept(&contents, accept, prefetch, requester);
        let songs = Arc::new(accepting.await?);
        let Contents {
            id,
            site,
            link,
            list,
            unavailable,
            truncated,
            ..
        } = contents;
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
        contents: &Contents<'_>,
        accept: &Accept,
        prefetch: Option<Prefetch>,
        requester: Requester,
    ) -> Result<Vec<Song>, Failure> {
        let listed = contents.list.is_some();
        let ahead = self.ahead(prefetch, listed);
        let mut unique = Unique::default();
        let mut rows = Vec::with_capacity(contents.tracks.len());
        let mut sizes = Vec::with_capacity(contents.tracks.len());
        for (place, &track) in contents.tracks.iter().enumerate() {
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
        for ((done, track), size) in accepted.into_iter().zip(&contents.tracks).zip(sizes) {
            if done.row.state.is_pending() {
                self.table
                    .add(&done.row.key, requester, done.row.total_bytes);
            }
            songs.push(self.song(&done.row, without_streams(track), size));
        }
        drop(gate);
        // After the songs: they are queued even if their list cannot be recorded.
        if listed && let Err(error) = self.note_list(contents, requester).await {
            tracing::warn!(target: "kmds::app", %error, list = contents.id, "a list could not be recorded; its songs can only be ended one by one");
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
        let contents = Contents::of(&resolved, track.link.clone());
        let songs = self.accept(&contents, accept, None, requester).await?;
        songs.into_iter().next().ok_or_else(|| contents.no_song())
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
    async fn note_list(
        &self,
        contents: &Contents<'_>,
        requester: Requester,
    ) -> Result<(), StoreError> {
        let own = self.resolver.read(&contents.link, true);
        let noted = FetchedList {
            site: contents.site,
            id: contents.id.clone(),
            asked: contents.asked.clone(),
            link: own.map_or_else(|_| contents.link.clone(), |target| target.key()),
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
        let before = match self.format_before(track, accept).await? {
            None => self.form_at_others(&track.id, accept).await,
            before => before,
        };
        let format = before.unwrap_or(expected.format);
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
}
