//! Queues that clients play from: the songs in the order in which they will be played.
//!
//! Owns what clients may do with a queue: write it, look at it, end it. Memory ([`live`]) has how far each queue was
//! played and which of its songs are near; the catalog has the songs ([`crate::store::PlayQueue`]), and the holds. A
//! queue has a task ([`advance`]), which makes the near songs ready and ends the queue in its time; without a queue
//! nothing runs. A change of a queue holds `turn`, which is taken before the lock of `live`.
//!
//! KMDS does not see who reads a file by its path, nor for which queue a client reads. A song counts as begun when a
//! client asks for its audio, or waits for its file, while it is one of the two next songs: then the queue is at this
//! song, and never goes back. A client that goes elsewhere writes the queue anew. What KMDS reads for itself (archives,
//! the music library) moves none.

mod advance;
mod entry;
mod live;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kmds_extract::choose::Accept;
use kmds_extract::{Failure, Kind};
use tokio::sync::Notify;

use super::api::{Holder, Key, Song, State};
use super::{App, Inner};
use crate::jobs::{Requester, store_failure};
use crate::store::{PlayQueue, Row};
use entry::Entry;
use live::LiveQueue;

pub(super) use live::Queues;

/// Songs before the next one that stay held: the one that is played, and the one before it, which may still be
/// sounding.
const PLAYED_KEPT: usize = 2;
/// Rows that are looked up while the catalog is locked.
const ROWS_AT_ONCE: usize = 200;
/// What a client asks of a queue.
#[derive(Debug, Clone)]
pub struct QueueAsk {
    /// Links, or `site/id`.
    pub songs: Vec<String>,
    /// Songs that are made ready before they are played.
    pub ahead: usize,
    /// What the client plays; `None`: the form that a client asked for last.
    pub accept: Option<Accept>,
    /// It ends after so long, unless it is written again.
    pub length: Duration,
}

/// Which songs of a queue are shown.
#[derive(Debug, Clone, Copy)]
pub struct QueuePage {
    /// The place of the first one; `None`: the first one that is still held.
    pub from: Option<usize>,
    pub limit: usize,
}

/// A queue as it is now.
#[derive(Debug, Clone)]
pub struct QueueShown {
    pub name: String,
    pub ahead: usize,
    pub begun: usize,
    pub until: std::time::SystemTime,
    /// Songs in all.
    pub total: usize,
    /// The place of the first of `songs`.
    pub from: usize,
    pub songs: Vec<QueueSong>,
}

/// A song of a queue.
#[derive(Debug, Clone)]
pub struct QueueSong {
    /// As it was sent.
    pub song: String,
    /// `Evicted`: neither here nor on its way.
    pub state: State,
    /// Set for a song that is near, or was just played, once it is known.
    pub track: Option<Song>,
    pub failure: Option<Failure>,
}

impl App {
    /// Writes a queue, in the place of the one of this name.
    /// # Errors
    /// A song that is no link to a song, by its place; too many queues; or the catalog failed.
    pub async fn put_queue(
        &self,
        name: &str,
        ask: QueueAsk,
        page: QueuePage,
    ) -> Result<QueueShown, Failure> {
        let (app, name) = (self.clone(), name.to_owned());
        // A client that leaves meanwhile does not stop it halfway.
        let putting = tokio::spawn(async move {
            app.write_queue(&name, ask).await?;
            app.queue(&name, page).await
        });
        let shown = putting.await.unwrap_or_else(|_| Err(broken()))?;
        shown.ok_or_else(broken)
    }

    async fn write_queue(&self, name: &str, ask: QueueAsk) -> Result<(), Failure> {
        let inner = &self.inner;
        let mut tracks = Vec::new();
        for (place, song) in ask.songs.iter().enumerate() {
            let entry = inner.read_entry(song);
            let entry = entry.map_err(|failure| Failure {
                sentence: format!("songs[{place}]: {}", failure.sentence),
                ..failure
            })?;
            tracks.extend(entry.track());
        }
        let _turn = inner.queues.turn.lock().await;
        inner.queues.check_room(name, ask.songs.len())?;
        let before = inner.queues.facts(name);
        let requester = before.map(|before| before.requester);
        let facts = PlayQueue {
            name: name.to_owned(),
            requester: requester.unwrap_or_else(|| inner.table.new_requester()),
            ahead: ask.ahead,
            accept: ask.accept,
            begun: 0,
            songs: ask.songs.len(),
            until: end_of(ask.length),
        };
        let written = inner.store.put_queue(facts.clone(), ask.songs).await;
        written.map_err(store_failure)?;
        inner.windows.leave(&tracks);
        self.live(facts, Vec::new());
        // What is held and queued by this is told in the answer; the task goes on.
        inner.pass(name).await.map(drop)
    }

    /// The queue lives from now on, with the songs in a new order.
    fn live(&self, facts: PlayQueue, left_over: Vec<Key>) {
        let (name, requester) = (facts.name.clone(), facts.requester);
        let mut live = self.inner.queues.live.lock();
        if let Some(queue) = live.queues.get_mut(&name) {
            (queue.noted_begun, queue.facts) = (facts.begun, facts);
            queue.order += 1;
            queue.seen.clear();
            queue.bell.notify_one();
            return;
        }
        let bell = Arc::new(Notify::new());
        let queue = LiveQueue {
            noted_begun: facts.begun,
            facts,
            order: 0,
            seen: BTreeMap::new(),
            near: Vec::new(),
            ready: 0,
            left_over,
            bell: Arc::clone(&bell),
        };
        live.queues.insert(name.clone(), queue);
        drop(live);
        let inner = Arc::clone(&self.inner);
        self.until_stopped(async move { inner.follow(&name, requester, &bell).await });
    }

    /// A queue, with the state of some of its songs; `None` if there is none of this name.
    /// # Errors
    /// The catalog failed.
    pub async fn queue(&self, name: &str, page: QueuePage) -> Result<Option<QueueShown>, Failure> {
        let inner = &self.inner;
        let Some((facts, seen, near)) = inner.queues.look(name) else {
            return Ok(None);
        };
        let from = page.from;
        let from = from.unwrap_or_else(|| facts.begun.saturating_sub(PLAYED_KEPT));
        let songs = inner.store.queue_songs(name, from, page.limit).await;
        let songs = songs.map_err(store_failure)?;
        let near: HashMap<usize, Key> = near.into_iter().collect();
        let mut shown = Vec::with_capacity(songs.len());
        let rows = inner.rows_of_songs(&songs).await?;
        for ((place, song), row) in (from..).zip(songs).zip(rows) {
            let state = row.map_or(State::Evicted, |row| inner.state_of(&row));
            let seen = seen.get(&place);
            let failure = seen.and_then(|seen| seen.failure.as_ref());
            let mut entry = QueueSong {
                song,
                state,
                track: None,
                failure: failure.map(|(failure, _)| failure.clone()),
            };
            if entry.failure.is_some() {
                entry.state = State::Failed;
            }
            if let Some(key) = near.get(&place).or(seen.and_then(|seen| seen.key.as_ref()))
                && let Some(song) = self.song_in(key).await?
            {
                entry.state = song.state.shown();
                entry.failure = song.failure.clone();
                entry.track = Some(song);
            }
            shown.push(entry);
        }
        Ok(Some(QueueShown {
            name: facts.name,
            ahead: facts.ahead,
            begun: facts.begun,
            until: facts.until.into(),
            total: facts.songs,
            from,
            songs: shown,
        }))
    }

    /// Ends a queue: its songs are let go, and those that only wait for it do not start any more. `false` if there is
    /// none of this name.
    /// # Errors
    /// The catalog failed.
    pub async fn end_queue(&self, name: &str) -> Result<bool, Failure> {
        let (app, name) = (self.clone(), name.to_owned());
        let ending = tokio::spawn(async move {
            let _turn = app.inner.queues.turn.lock().await;
            app.inner.end_queue(&name).await
        });
        ending.await.unwrap_or_else(|_| Err(broken()))
    }

    /// The queues of an earlier run go on. `pending` are the songs that wait, and for whom.
    pub(super) fn start_queues(&self, queues: Vec<PlayQueue>, pending: &[Row]) {
        let app = Arc::downgrade(&self.inner);
        self.inner.store.on_eviction(move |track| {
            if let Some(inner) = app.upgrade() {
                inner.queues.look_again(track);
            }
        });
        let numbers = queues.iter().map(|queue| (queue.requester, Vec::new()));
        let mut waiting: HashMap<Requester, Vec<Key>> = numbers.collect();
        for row in pending {
            let requester = row.requester.parse::<Requester>().ok();
            if let Some(keys) = requester.and_then(|number| waiting.get_mut(&number)) {
                keys.push(row.key.clone());
            }
        }
        for queue in queues {
            let left_over = waiting.remove(&queue.requester).unwrap_or_default();
            self.live(queue, left_over);
        }
    }
}

impl Inner {
    /// Notes in the catalog how far a queue was played. The caller holds `turn`: no other order takes its place
    /// meanwhile.
    async fn note_begun(&self, name: &str, begun: usize) -> Result<(), Failure> {
        let noted = |queue: &LiveQueue| queue.noted_begun == begun;
        if self.queues.live.lock().queues.get(name).is_none_or(noted) {
            return Ok(());
        }
        let done = self.store.begin_queue(name, begun).await;
        done.map_err(store_failure)?;
        if let Some(queue) = self.queues.live.lock().queues.get_mut(name) {
            queue.noted_begun = begun;
        }
        Ok(())
    }

    /// The caller holds `turn`.
    async fn end_queue(&self, name: &str) -> Result<bool, Failure> {
        let Some(facts) = self.queues.facts(name) else {
            return Ok(false);
        };
        let ended = self.store.forget_queue(name).await;
        ended.map_err(store_failure)?;
        let near = {
            let mut live = self.queues.live.lock();
            let near = live.set_near(name, Vec::new());
            let gone = live.queues.remove(name);
            gone.inspect(|queue| queue.bell.notify_one());
            near
        };
        self.table.come(facts.requester, Vec::new());
        self.let_go(&near, facts.requester).await?;
        let holder = Holder::Queue(name.to_owned());
        let released = self.store.release_all(&holder).await;
        released.map_err(store_failure)?;
        Ok(true)
    }

    /// Songs that left a queue: those that wait for it alone do not start any more.
    async fn let_go(&self, keys: &[Key], requester: Requester) -> Result<(), Failure> {
        if keys.is_empty() {
            return Ok(());
        }
        let _gate = self.gate.write().await;
        let left = self.table.leave(keys, requester);
        let keys = left.iter().map(|job| job.key.clone()).collect();
        let unqueued = self.store.unqueue(keys).await;
        for job in left {
            let gone = Failure::new(Kind::Cancelled, "the song left the queue it waited for");
            self.table.finish(&job, Err(gone), false);
            if self.table.status(&job.key).is_some() {
                // A client asked for it in this moment.
                let again = self.store.requeue(&job.key, true).await;
                again.map_err(store_failure)?;
            }
        }
        unqueued.map_err(store_failure)
    }

    /// The rows of songs as they were asked for last, as far as that can be told without a site.
    async fn rows_of_songs(&self, songs: &[String]) -> Result<Vec<Option<Row>>, Failure> {
        let entries: Vec<Option<Entry>> = songs
            .iter()
            .map(|song| self.read_entry(song).ok())
            .collect();
        let mut rows = Vec::with_capacity(songs.len());
        for part in entries.chunks(ROWS_AT_ONCE) {
            let part = part.iter().map(|entry| entry.as_ref().map(Entry::identity));
            let found = self.store.newest_of(part.collect()).await;
            rows.extend(found.map_err(store_failure)?);
        }
        Ok(rows)
    }

    /// What a row says, or its job, which knows better.
    fn state_of(&self, row: &Row) -> State {
        let status = self.table.status(&row.key);
        status.map_or_else(|| row.state.shown(), |status| status.state)
    }
}

fn end_of(length: Duration) -> Timestamp {
    let end = Timestamp::now().checked_add(length);
    end.unwrap_or(Timestamp::MAX)
}

fn broken() -> Failure {
    crate::jobs::internal("the work on the queue broke off")
}
