//! One lane of the queue: the songs that wait in it, in their order, and its places. Pure, as [`super::queue`].
//!
//! Owns the turns of the requesters and the pause that a site asked for. It does not know the other lanes.

use std::collections::VecDeque;

use kmds_extract::Site;
use tokio::time::Instant;

use crate::store::Key;

/// One number for each fetch, so that a list and a single song of the same client take turns.
pub type Requester = u64;

/// A lane: a site's downloads; the making of copies, which may wait for a download; songs that have arrived and are
/// still converted; songs that come from other nodes, which wait for downloads there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaneId {
    Site(Site),
    Copies,
    Conversions,
    Relays,
}

impl LaneId {
    pub fn of(key: &Key) -> Self {
        if key.is_copy() {
            Self::Copies
        } else {
            Self::Site(key.track().site())
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Site(site) => site.as_str(),
            Self::Copies => "copies",
            Self::Conversions => "conversions",
            Self::Relays => "relays",
        }
    }
}

/// How full a lane is.
#[derive(Debug, Clone)]
pub struct LaneStats {
    pub lane: LaneId,
    pub waiting: usize,
    pub running: usize,
    pub limit: usize,
    /// The site asked for a pause.
    pub paused_until: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Lane {
    limit: usize,
    /// So many places more for songs that a client waits for.
    spare: usize,
    running: usize,
    /// Songs that a client waits for, in order.
    wanted: VecDeque<Key>,
    /// The other songs, a queue for each requester; the requesters take turns.
    turns: VecDeque<(Requester, VecDeque<Key>)>,
    /// The site asked for a pause.
    paused_until: Option<Instant>,
}

impl Lane {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Adds a song after the others of its requester.
    pub(super) fn push(&mut self, key: Key, requester: Requester) {
        match self.turns.iter_mut().find(|(who, _)| *who == requester) {
            Some((_, songs)) => songs.push_back(key),
            None => self.turns.push_back((requester, VecDeque::from([key]))),
        }
    }

    /// Moves a song to the end of those that a client waits for.
    pub(super) fn promote(&mut self, key: &Key) {
        if !self.wanted.contains(key) {
            self.take_out(key);
            self.wanted.push_back(key.clone());
        }
    }

    /// Moves the last song of a requester before its others, and makes it this requester's turn.
    pub(super) fn bring_forward(&mut self, key: &Key) {
        let mut turns = self.turns.iter();
        let turn = turns.position(|(_, songs)| songs.back() == Some(key));
        if let Some((requester, mut songs)) = turn.and_then(|turn| self.turns.remove(turn)) {
            songs.rotate_right(1);
            self.turns.push_front((requester, songs));
        }
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.wanted.retain(|have| have != key);
        self.take_out(key);
    }

    /// So many places more for songs that a client waits for.
    pub(super) const fn spare(&mut self, places: usize) {
        self.spare = places;
    }

    /// A song takes a place.
    pub(super) const fn start(&mut self) {
        self.running += 1;
    }

    /// A song gives its place back.
    pub(super) const fn done(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    pub(super) const fn running(&self) -> usize {
        self.running
    }

    /// What counts in the limit of all lanes.
    pub(super) fn counted(&self) -> usize {
        self.running.min(self.limit)
    }

    pub(super) const fn has_place(&self) -> bool {
        self.running < self.limit
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.wanted.is_empty() || !self.turns.is_empty()
    }

    /// No song starts before `until`.
    pub(super) fn pause(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    pub(super) const fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    pub(super) fn stats(&self, id: LaneId, now: Instant) -> LaneStats {
        let in_turn = self.turns.iter().map(|(_, songs)| songs.len());
        LaneStats {
            lane: id,
            waiting: self.wanted.len() + in_turn.sum::<usize>(),
            running: self.running,
            limit: self.limit,
            paused_until: self.paused_until.filter(|until| *until > now),
        }
    }

    pub(super) fn has_in_turn(&self, may: impl Fn(&Key) -> bool) -> bool {
        self.turns.iter().flat_map(|(_, songs)| songs).any(may)
    }

    /// Whether a song may start now.
    pub(super) fn is_free(&self, now: Instant) -> bool {
        self.has_place() && !self.is_paused(now)
    }

    /// Whether a song that a client waits for may take a spare place now.
    pub(super) fn has_spare(&self, now: Instant) -> bool {
        self.spare > 0 && self.running < self.limit + self.spare && !self.is_paused(now)
    }

    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| until > now)
    }

    /// The first song that a client waits for; it leaves the lane, as in the next function.
    pub(super) fn next_wanted(&mut self, may: impl Fn(&Key) -> bool) -> Option<Key> {
        let at = self.wanted.iter().position(may)?;
        self.wanted.remove(at)
    }

    /// One song of the requester whose turn it is.
    pub(super) fn next_in_turn(&mut self, may: impl Fn(&Key) -> bool + Copy) -> Option<Key> {
        let turn = self
            .turns
            .iter()
            .position(|(_, songs)| songs.iter().any(may))?;
        let (requester, mut songs) = self.turns.remove(turn)?;
        let key = songs.iter().position(may).and_then(|at| songs.remove(at));
        if !songs.is_empty() {
            self.turns.push_back((requester, songs));
        }
        key
    }

    /// Takes a song out of its requester's turn.
    pub(super) fn take_out(&mut self, key: &Key) {
        for (_, songs) in &mut self.turns {
            songs.retain(|have| have != key);
        }
        self.turns.retain(|(_, songs)| !songs.is_empty());
    }
}
