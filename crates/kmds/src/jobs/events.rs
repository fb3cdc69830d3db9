//! The changes of songs, for clients that follow the event stream.
//!
//! Owns the last events of this process, and wakes subscribers. For a subscriber that does not read, only a number is
//! kept: when it reads again, it gets the oldest event that is still kept. Nothing here waits for a subscriber.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kmds_extract::{Kind, Loudness};
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::store::{Key, State};

/// Events that are kept for `Last-Event-ID`: 200 bytes each.
const KEPT: usize = 1024;
/// Least time between two progress events of one song.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// One line of the event stream.
#[derive(Debug, Clone)]
pub struct Event {
    /// Grows by one; events of one process only.
    pub id: u64,
    pub name: EventName,
    pub key: Key,
    pub state: State,
    pub received: u64,
    pub total: Option<u64>,
    /// Once it is known which stream arrives.
    pub loudness_db: Option<Loudness>,
    pub kind: Option<Kind>,
    pub reason: Option<String>,
    pub origin: Origin,
}

/// Whose work an event tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Own,
    /// This node's, for another one, which tells of the song itself.
    ForNode,
    /// Another node's.
    OfNode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventName {
    /// A change of state.
    Track,
    /// More bytes, at most 4 a second per track.
    Progress,
}

#[derive(Debug)]
pub struct Board {
    inner: Mutex<BoardState>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct BoardState {
    kept: VecDeque<Arc<Event>>,
    next: u64,
    progress_told: HashMap<Key, Instant>,
}

/// The facts of an event.
#[derive(Debug, Clone)]
pub struct News<'a> {
    pub key: &'a Key,
    pub state: State,
    pub received: u64,
    pub total: Option<u64>,
    pub loudness_db: Option<Loudness>,
    pub failure: Option<(Kind, String)>,
    pub origin: Origin,
}

impl Board {
    pub fn new() -> Self {
        Self {
            inner: Mutex::new(BoardState {
                next: 1,
                ..BoardState::default()
            }),
            newest: watch::Sender::new(0),
        }
    }

    fn inner(&self) -> MutexGuard<'_, BoardState> {
        self.inner.lock()
    }

    /// A change of state.
    pub fn state(&self, news: &News<'_>) {
        self.inner().progress_told.remove(news.key);
        self.tell(news, EventName::Track);
    }

    /// More bytes; most calls send no event.
    pub fn progress(&self, news: &News<'_>) {
        let now = Instant::now();
        {
            let mut inner = self.inner();
            let told = inner.progress_told.get(news.key);
            if told.is_some_and(|told| now.duration_since(*told) < PROGRESS_EVERY) {
                return;
            }
            inner.progress_told.insert(news.key.clone(), now);
        }
        self.tell(news, EventName::Progress);
    }

    /// What another node tells of a song that has no job here. What is known already is passed over: the song was made
    /// here, or two nodes tell of it.
    pub fn of_node(&self, news: &News<'_>, name: EventName) {
        let last = {
            let inner = self.inner();
            let mut told = inner.kept.iter().rev();
            told.find(|event| event.key == *news.key && event.name == EventName::Track)
                .map(|event| event.state)
        };
        let was_over = matches!(last, Some(State::Ready | State::Failed));
        // A node that has the song from here tells late that it arrives: what ended is begun again in the queue only.
        let is_late = was_over && matches!(news.state, State::Downloading | State::Converting);
        match name {
            EventName::Track if last != Some(news.state) && !is_late => self.state(news),
            EventName::Progress if !was_over => self.progress(news),
            EventName::Track | EventName::Progress => {}
        }
    }

    fn tell(&self, news: &News<'_>, name: EventName) {
        let mut inner = self.inner();
        let id = inner.next;
        inner.next += 1;
        inner.kept.push_back(Arc::new(Event {
            id,
            name,
            key: news.key.clone(),
            state: news.state,
            received: news.received,
            total: news.total,
            loudness_db: news.loudness_db,
            kind: news.failure.as_ref().map(|(kind, _)| *kind),
            reason: news.failure.as_ref().map(|(_, reason)| reason.clone()),
            origin: news.origin,
        }));
        if inner.kept.len() > KEPT {
            inner.kept.pop_front();
        }
        drop(inner);
        self.newest.send_replace(id);
    }

    /// The kept events after `last`; without `last`, new ones only.
    pub fn subscribe(self: &Arc<Self>, last: Option<u64>) -> Events {
        let newest = self.newest.subscribe();
        let now = *newest.borrow();
        // A number from before a restart may be higher than ours: then all kept events are new.
        let next = last.map_or(now + 1, |last| if last <= now { last + 1 } else { 1 });
        Events {
            board: Arc::clone(self),
            newest,
            next,
        }
    }
}

/// A subscription.
#[derive(Debug)]
pub struct Events {
    board: Arc<Board>,
    newest: watch::Receiver<u64>,
    next: u64,
}

impl Events {
    /// The next event, waiting for it; `None` when the service stops. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        let next = self.next;
        self.newest.wait_for(|newest| *newest >= next).await.ok()?;
        let inner = self.board.inner();
        let oldest = inner.kept.front()?.id;
        let at = usize::try_from(self.next.saturating_sub(oldest)).ok()?;
        let event = Arc::clone(inner.kept.get(at)?);
        drop(inner);
        self.next = event.id + 1;
        Some(event)
    }
}

#[cfg(test)]
mod tests {
    use kmds_extract::{Format, Site, TrackId};

    use super::*;

    fn news(key: &Key, received: u64) -> News<'_> {
        News {
            key,
            state: State::Downloading,
            received,
            total: None,
            loudness_db: None,
            failure: None,
            origin: Origin::Own,
        }
    }

    fn key() -> Key {
        Key::original(
            TrackId::new(Site::YouTube, "a").expect("an id"),
            Format::M4a,
        )
    }

    #[tokio::test]
    async fn a_subscriber_resumes_where_it_left_off() {
        let board = Arc::new(Board::new());
        let key = key();
        (0..5).for_each(|bytes| board.state(&news(&key, bytes)));
        let mut events = board.subscribe(Some(3));
        assert_eq!(events.next().await.map(|event| event.id), Some(4));
        assert_eq!(events.next().await.map(|event| event.id), Some(5));
    }

    #[tokio::test]
    async fn the_end_of_a_song_is_told_once_although_another_node_tells_late_that_it_arrives() {
        let board = Arc::new(Board::new());
        let key = key();
        let at = |state, origin| News {
            state,
            origin,
            ..news(&key, 0)
        };
        let made_here = [State::Queued, State::Downloading, State::Ready];
        made_here
            .iter()
            .for_each(|state| board.state(&at(*state, Origin::ForNode)));
        for state in [State::Downloading, State::Ready] {
            board.of_node(&at(state, Origin::OfNode), EventName::Track);
        }
        assert_eq!(*board.newest.borrow(), 3);
        for state in made_here {
            board.of_node(&at(state, Origin::OfNode), EventName::Track);
        }
        assert_eq!(*board.newest.borrow(), 6, "it is fetched again");
    }

    #[tokio::test]
    async fn a_subscriber_that_never_reads_finds_the_oldest_event_kept() {
        let board = Arc::new(Board::new());
        let key = key();
        let mut events = board.subscribe(None);
        (0..3000).for_each(|bytes| board.state(&news(&key, bytes)));
        assert_eq!(
            events.next().await.map(|event| event.id),
            Some(3000 - KEPT as u64 + 1)
        );
    }

    #[tokio::test]
    async fn progress_is_told_at_most_four_times_a_second() {
        let board = Arc::new(Board::new());
        let key = key();
        (0..1000).for_each(|bytes| board.progress(&news(&key, bytes)));
        assert_eq!(*board.newest.borrow(), 1);
    }
}
