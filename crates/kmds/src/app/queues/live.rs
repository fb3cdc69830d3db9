//! The queues in memory: how far each was played, and which of its songs are near.
//!
//! Owns the limits for all queues together, and where a queue stands once a client reads a song. Guards them by one
//! lock, held for a few lines, never across an await: an eviction takes it while the catalog is locked, so nothing is
//! asked of the store under it. The queue's task sees a change when its bell is rung.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kmds_extract::{Failure, Kind, TrackId};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::super::api::{Key, PlayQueueStats};
use crate::store::PlayQueue;

/// Queues of one service.
const MOST_QUEUES: usize = 1_000;
/// Songs of all queues together; a row of the catalog each.
const MOST_SONGS: usize = 100_000;
/// A client that reads one of so many next songs moves its queue there. One that is passed over by that stays held
/// ([`super::PLAYED_KEPT`]).
const NEXT_SONGS: usize = 2;
/// When a client told that there are too many queues may come back.
const FULL_RETRY: Duration = Duration::from_secs(60);

/// All queues.
#[derive(Debug, Default)]
pub(in crate::app) struct Queues {
    pub(super) live: Mutex<Live>,
    /// Held during each change of a queue, from its first read to its last write.
    pub(super) turn: tokio::sync::Mutex<()>,
}

/// What the lock guards.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) queues: HashMap<String, LiveQueue>,
    /// In which queues a song is near.
    pub(super) near: HashMap<TrackId, HashSet<String>>,
}

/// One queue in memory.
#[derive(Debug)]
pub(super) struct LiveQueue {
    pub(super) facts: PlayQueue,
    /// `facts.begun` as the catalog has it.
    pub(super) noted_begun: usize,
    /// Rises with each order of the songs: what was found for an earlier one is of no use.
    pub(super) order: u64,
    /// What became of the songs that are near, and of those that were passed over, by place.
    pub(super) seen: BTreeMap<usize, SongNote>,
    /// The near songs by place, and those that were just played.
    pub(super) near: Vec<(usize, Key)>,
    /// Near songs that were not begun, and are ready.
    pub(super) ready: usize,
    /// Songs that wait for it since an earlier run, until its first look: it tells which of them are near.
    pub(super) left_over: Vec<Key>,
    /// Rung when its task has to look again.
    pub(super) bell: Arc<Notify>,
}

/// What is known of a song of a queue.
#[derive(Debug, Clone, Default)]
pub(super) struct SongNote {
    pub(super) key: Option<Key>,
    /// It was asked for, for this order of the songs.
    pub(super) accepted: bool,
    /// Its site did not tell of it.
    pub(super) failure: Option<(Failure, tokio::time::Instant)>,
}

impl Queues {
    pub(super) fn facts(&self, name: &str) -> Option<PlayQueue> {
        let live = self.live.lock();
        live.queues.get(name).map(|queue| queue.facts.clone())
    }

    /// Refuses a queue that would be one too many.
    pub(super) fn check_room(&self, name: &str, songs: usize) -> Result<(), Failure> {
        let live = self.live.lock();
        let others = live
            .queues
            .values()
            .filter(|queue| queue.facts.name != name);
        let (count, sum) = others.fold((0, 0), |(count, sum), queue| {
            (count + 1, sum + queue.facts.songs)
        });
        if count < MOST_QUEUES && sum + songs <= MOST_SONGS {
            return Ok(());
        }
        let sentence = format!(
            "there are {count} queues of {sum} songs; at most {MOST_QUEUES} queues of {MOST_SONGS} songs together are kept. End some, or try again when they have ended"
        );
        Err(Failure::new(Kind::QueueFull, sentence).after(FULL_RETRY))
    }

    /// A client asks for the audio of this song: the queues of which it is one of the next songs are at it now. Their
    /// tasks note it.
    pub(in crate::app) fn begin(&self, track: &TrackId) {
        let mut live = self.live.lock();
        let Live { queues, near } = &mut *live;
        for name in near.get(track).into_iter().flatten() {
            let Some(queue) = queues.get_mut(name) else {
                continue;
            };
            let now = queue.facts.begun;
            let (begun, next): (Vec<_>, Vec<_>) =
                queue.near.iter().partition(|(place, _)| *place < now);
            let is_played =
                |(place, key): &&(usize, Key)| *place + 1 == now && key.track() == track;
            if begun.iter().any(is_played) {
                continue;
            }
            let mut next = next.iter().take(NEXT_SONGS);
            if let Some((place, _)) = next.find(|(_, key)| key.track() == track) {
                queue.facts.begun = place + 1;
                queue.bell.notify_one();
            }
        }
    }

    pub(in crate::app) fn is_near(&self, track: &TrackId) -> bool {
        self.live.lock().near.contains_key(track)
    }

    /// All queues, by name.
    pub(in crate::app) fn stats(&self) -> Vec<PlayQueueStats> {
        let live = self.live.lock();
        let queues = live.queues.values().map(|queue| PlayQueueStats {
            name: queue.facts.name.clone(),
            begun: queue.facts.begun,
            total: queue.facts.songs,
            ahead: queue.facts.ahead,
            ready: queue.ready,
            until: format!("{:.0}", queue.facts.until),
        });
        let mut queues: Vec<_> = queues.collect();
        queues.sort_by(|one, other| one.name.cmp(&other.name));
        queues
    }

    /// A near song is gone: the queues look which one takes its place, or bring it again.
    pub(in crate::app) fn look_again(&self, track: &TrackId) {
        let live = self.live.lock();
        for name in live.near.get(track).into_iter().flatten() {
            if let Some(queue) = live.queues.get(name) {
                queue.bell.notify_one();
            }
        }
    }
}

impl Live {
    /// Makes these the near songs of a queue; those that were, and those that an earlier run left.
    pub(super) fn set_near(&mut self, name: &str, near: Vec<(usize, Key)>) -> Vec<Key> {
        let Some(queue) = self.queues.get_mut(name) else {
            return Vec::new();
        };
        let before = std::mem::replace(&mut queue.near, near);
        for (_, key) in &before {
            if let Some(names) = self.near.get_mut(key.track()) {
                names.remove(name);
                if names.is_empty() {
                    self.near.remove(key.track());
                }
            }
        }
        for (_, key) in &queue.near {
            let names = self.near.entry(key.track().clone()).or_default();
            names.insert(name.to_owned());
        }
        let before = before.into_iter().map(|(_, key)| key);
        before.chain(std::mem::take(&mut queue.left_over)).collect()
    }
}

/// A queue, what was seen of its songs, and those that are near.
pub(super) type Looked = (PlayQueue, BTreeMap<usize, SongNote>, Vec<(usize, Key)>);

impl Queues {
    pub(super) fn look(&self, name: &str) -> Option<Looked> {
        let live = self.live.lock();
        let queue = live.queues.get(name)?;
        Some((queue.facts.clone(), queue.seen.clone(), queue.near.clone()))
    }
}
