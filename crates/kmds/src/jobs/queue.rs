//! Which song is downloaded next. Pure: it starts nothing, and the caller passes in the time.
//!
//! Owns the order over all lanes ([`super::lane`]), and the limit for all of them together. Songs that a client waits
//! for go first, then those that clients will play next, one queue after the other; then one song of each requester in
//! turn, so that a long list never starves a single song.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tokio::time::Instant;

use super::lane::{Lane, LaneId, LaneStats, Requester};
use crate::store::Key;

#[derive(Debug)]
pub struct Queue {
    lanes: BTreeMap<LaneId, Lane>,
    limit: usize,
    waiting: HashMap<Key, Waiting>,
    /// The songs that clients will play next, for each queue in its order. A queue that had its turn goes to the end.
    /// Songs that do not wait are skipped.
    coming: VecDeque<(Requester, Vec<Key>)>,
    /// Waiting songs that have their own earliest start time.
    not_before: HashMap<Key, Instant>,
}

/// A song that waits; there may be thousands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub requester: Requester,
    /// Its length, as far as it is known.
    pub total: Option<u64>,
    lane: LaneId,
}

impl Queue {
    pub fn new(limit: usize, lanes: impl IntoIterator<Item = (LaneId, usize)>) -> Self {
        let lanes = lanes
            .into_iter()
            .map(|(id, limit)| (id, Lane::new(limit)))
            .collect();
        Self {
            lanes,
            limit,
            waiting: HashMap::new(),
            coming: VecDeque::new(),
            not_before: HashMap::new(),
        }
    }

    /// Gives a lane places that only songs take for which a client waits. They do not count in the limit of all lanes.
    pub fn spare(&mut self, id: LaneId, places: usize) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.spare(places);
        }
    }

    /// Adds a song after the others of its requester; a waiting song keeps its place.
    pub fn push(&mut self, key: Key, requester: Requester, total: Option<u64>) {
        self.push_into(LaneId::of(&key), key, requester, total);
    }

    /// The same in a lane that is not the one of its site.
    pub fn push_into(&mut self, id: LaneId, key: Key, requester: Requester, total: Option<u64>) {
        let Some(lane) = self.lanes.get_mut(&id) else {
            return;
        };
        if self.waiting.contains_key(&key) {
            return;
        }
        self.waiting.insert(
            key.clone(),
            Waiting {
                requester,
                total,
                lane: id,
            },
        );
        lane.push(key, requester);
    }

    /// Moves a waiting song before all songs that no client waits for; false if it does not wait.
    pub fn promote(&mut self, key: &Key) -> bool {
        let Some(lane) = self
            .waiting
            .get(key)
            .and_then(|song| self.lanes.get_mut(&song.lane))
        else {
            return false;
        };
        lane.promote(key);
        true
    }

    /// Moves a song that has just been pushed before the others of its requester, whose turn is next.
    pub fn bring_forward(&mut self, key: &Key) {
        let song = self.waiting.get(key);
        if let Some(lane) = song.and_then(|song| self.lanes.get_mut(&song.lane)) {
            lane.bring_forward(key);
        }
    }

    pub fn remove(&mut self, key: &Key) -> bool {
        let Some(song) = self.waiting.remove(key) else {
            return false;
        };
        self.not_before.remove(key);
        if let Some(lane) = self.lanes.get_mut(&song.lane) {
            lane.remove(key);
        }
        true
    }

    /// Sets the songs that a queue plays next; an empty list ends the queue's turns.
    pub fn come(&mut self, queue: Requester, keys: Vec<Key>) {
        match self.coming.iter().position(|(who, _)| *who == queue) {
            Some(at) if keys.is_empty() => drop(self.coming.remove(at)),
            Some(at) => {
                if let Some(queue) = self.coming.get_mut(at) {
                    queue.1 = keys;
                }
            }
            None if keys.is_empty() => {}
            None => self.coming.push_back((queue, keys)),
        }
    }

    /// The next song that may start; it counts as running until [`Self::done`].
    pub fn start_next(&mut self, now: Instant) -> Option<(Key, Waiting)> {
        let running: usize = self.lanes.values().map(Lane::counted).sum();
        let has_place = running < self.limit;
        let key = self.next_wanted(now, has_place).or_else(|| {
            let has_place = has_place && self.lanes.values().any(|lane| lane.is_free(now));
            let coming = has_place.then(|| self.next_coming(now))?;
            coming.or_else(|| self.next_in_turn(now))
        })?;
        let song = self.waiting.remove(&key)?;
        if let Some(lane) = self.lanes.get_mut(&song.lane) {
            lane.start();
        }
        self.not_before.remove(&key);
        Some((key, song))
    }

    /// A song that a client waits for, in any lane. `has_place`: not all places of all lanes are taken.
    fn next_wanted(&mut self, now: Instant, has_place: bool) -> Option<Key> {
        let may = may_start(&self.not_before, now);
        let is_free = |lane: &&mut Lane| (has_place && lane.is_free(now)) || lane.has_spare(now);
        let mut lanes = self.lanes.values_mut().filter(is_free);
        lanes.find_map(|lane| lane.next_wanted(may))
    }

    /// The first song of the next queue whose lane is free.
    fn next_coming(&mut self, now: Instant) -> Option<Key> {
        let may = may_start(&self.not_before, now);
        let starts = |key: &&Key| {
            let song = self.waiting.get(key);
            let lane = song.and_then(|song| self.lanes.get(&song.lane));
            lane.is_some_and(|lane| lane.is_free(now)) && may(key)
        };
        let mut queues = self.coming.iter().enumerate();
        let (at, key) = queues.find_map(|(at, (_, keys))| Some((at, keys.iter().find(starts)?)))?;
        let key = key.clone();
        if let Some(queue) = self.coming.remove(at) {
            self.coming.push_back(queue);
        }
        let lane = self.waiting.get(&key).map(|song| song.lane);
        if let Some(lane) = lane.and_then(|lane| self.lanes.get_mut(&lane)) {
            lane.take_out(&key);
        }
        Some(key)
    }

    /// One song of the next requester in turn, in the lane that has the least to do.
    fn next_in_turn(&mut self, now: Instant) -> Option<Key> {
        let may = may_start(&self.not_before, now);
        self.lanes
            .values_mut()
            .filter(|lane| lane.is_free(now) && lane.has_in_turn(may))
            .min_by_key(|lane| lane.running())?
            .next_in_turn(may)
    }

    /// A song that waits.
    pub fn waits(&self, key: &Key) -> Option<Waiting> {
        self.waiting.get(key).copied()
    }

    /// The earliest time at which a song that waits may start, if that is later than `now`.
    pub fn waits_until(&self, key: &Key, now: Instant) -> Option<Instant> {
        let lane = self.lanes.get(&self.waiting.get(key)?.lane)?;
        lane.paused_until()
            .max(self.not_before.get(key).copied())
            .filter(|until| *until > now)
    }

    /// A song that ran in this lane runs no more.
    pub fn done(&mut self, lane: LaneId) {
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.done();
        }
    }

    /// A running song gives its place to the next song of its lane and takes one of another lane; false if none is free
    /// there.
    pub fn move_running(&mut self, from: LaneId, to: LaneId) -> bool {
        let Some(there) = self.lanes.get_mut(&to).filter(|lane| lane.has_place()) else {
            return false;
        };
        there.start();
        if let Some(lane) = self.lanes.get_mut(&from) {
            lane.done();
        }
        true
    }

    /// No song of the same site starts before `until`.
    pub fn pause(&mut self, key: &Key, until: Instant) {
        if let Some(lane) = self.lanes.get_mut(&LaneId::of(key)) {
            lane.pause(until);
        }
    }

    /// This song does not start before `until`; the others of its site do.
    pub fn hold_back(&mut self, key: &Key, until: Instant) {
        self.not_before.insert(key.clone(), until);
    }

    /// When the earliest pause that keeps songs waiting ends.
    pub fn next_end_of_pause(&self, now: Instant) -> Option<Instant> {
        let lanes = self
            .lanes
            .values()
            .filter(|lane| lane.has_waiting())
            .filter_map(Lane::paused_until);
        lanes
            .chain(self.not_before.values().copied())
            .filter(|until| *until > now)
            .min()
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn stats(&self, now: Instant) -> Vec<LaneStats> {
        self.lanes
            .iter()
            .map(|(id, lane)| lane.stats(*id, now))
            .collect()
    }
}

/// Whether a song's own start time has come.
fn may_start(not_before: &HashMap<Key, Instant>, now: Instant) -> impl Fn(&Key) -> bool + Copy {
    move |key| not_before.get(key).is_none_or(|until| *until <= now)
}

#[cfg(test)]
mod tests {
    use kmds_extract::{Format, Site, TrackId};
    use std::time::Duration;

    use super::*;

    fn song(site: Site, id: usize) -> Key {
        Key::original(
            TrackId::new(site, &id.to_string()).expect("an id"),
            Format::M4a,
        )
    }

    fn lanes() -> [(LaneId, usize); 2] {
        [
            (LaneId::Site(Site::YouTube), 1),
            (LaneId::Site(Site::SoundCloud), 2),
        ]
    }

    fn queue() -> Queue {
        Queue::new(3, lanes())
    }

    fn start(queue: &mut Queue, now: Instant) -> Option<Key> {
        queue.start_next(now).map(|(key, _)| key)
    }

    #[test]
    fn a_place_of_another_lane_is_taken_only_while_one_is_free() {
        let from = LaneId::Site(Site::SoundCloud);
        let places = (LaneId::Conversions, 1);
        let mut queue = Queue::new(4, lanes().into_iter().chain([places]));
        let now = Instant::now();
        for id in 0..4 {
            queue.push(song(Site::SoundCloud, id), 1, None);
        }
        assert!(start(&mut queue, now).is_some() && start(&mut queue, now).is_some());
        assert_eq!(start(&mut queue, now), None, "its two places are taken");
        assert!(queue.move_running(from, LaneId::Conversions));
        assert!(start(&mut queue, now).is_some(), "one became free");
        assert!(!queue.move_running(from, LaneId::Conversions), "no place");
        assert_eq!(start(&mut queue, now), None);
        queue.done(LaneId::Conversions);
        assert_eq!(start(&mut queue, now), None, "the lane of the site is full");
        assert!(queue.move_running(from, LaneId::Conversions));
        assert!(start(&mut queue, now).is_some());
    }

    #[test]
    fn one_song_is_not_starved_by_a_list_of_500() {
        let mut queue = queue();
        (0..500).for_each(|id| queue.push(song(Site::YouTube, id), 1, None));
        let now = Instant::now();
        assert_eq!(start(&mut queue, now), Some(song(Site::YouTube, 0)));
        queue.push(song(Site::YouTube, 999), 2, None);
        queue.done(LaneId::of(&song(Site::YouTube, 0)));
        let second = start(&mut queue, now);
        queue.done(LaneId::of(&song(Site::YouTube, 0)));
        let third = start(&mut queue, now);
        assert!(
            [second, third].contains(&Some(song(Site::YouTube, 999))),
            "within one turn"
        );
    }

    #[test]
    fn a_song_that_a_client_waits_for_goes_first() {
        let mut queue = queue();
        (0..10).for_each(|id| queue.push(song(Site::YouTube, id), 1, None));
        assert!(queue.promote(&song(Site::YouTube, 7)));
        assert_eq!(
            start(&mut queue, Instant::now()),
            Some(song(Site::YouTube, 7))
        );
        assert!(!queue.promote(&song(Site::YouTube, 7)), "it runs already");
    }

    #[test]
    fn what_clients_play_next_goes_behind_what_they_wait_for_and_before_the_rest_each_queue_in_turn()
     {
        let mut queue = Queue::new(100, [(LaneId::Site(Site::YouTube), 100)]);
        let key = |id| song(Site::YouTube, id);
        (0..10).for_each(|id| queue.push(key(id), 1, None));
        queue.come(7, vec![key(5), key(4), key(99), key(6)]);
        queue.come(8, vec![key(9), key(5)]);
        queue.promote(&key(2));
        let now = Instant::now();
        let order: Vec<Key> = std::iter::from_fn(|| start(&mut queue, now))
            .take(7)
            .collect();
        assert_eq!(order, [2, 5, 9, 4, 6, 0, 1].map(key));
        queue.come(7, Vec::new());
        queue.come(8, vec![key(8)]);
        assert_eq!(start(&mut queue, now), Some(key(8)));
        queue.come(8, Vec::new());
        assert!(queue.coming.is_empty());
    }

    #[test]
    fn a_queue_passes_over_a_site_that_pauses() {
        let mut queue = queue();
        let now = Instant::now();
        let [paused, other] = [song(Site::YouTube, 1), song(Site::SoundCloud, 1)];
        for key in [&paused, &other] {
            queue.push(key.clone(), 1, None);
        }
        queue.come(7, vec![paused.clone(), other.clone()]);
        queue.pause(&paused, now + Duration::from_secs(9));
        assert_eq!(start(&mut queue, now), Some(other));
        assert_eq!(start(&mut queue, now), None);
    }

    #[test]
    fn limits_of_site_and_total_hold() {
        let mut queue = Queue::new(2, lanes());
        for id in 0..5 {
            queue.push(song(Site::YouTube, id), 1, None);
            queue.push(song(Site::SoundCloud, id), 1, None);
        }
        let now = Instant::now();
        let started: Vec<Site> = std::iter::from_fn(|| start(&mut queue, now))
            .map(|key| key.track().site())
            .collect();
        assert_eq!(started, [Site::YouTube, Site::SoundCloud]);
        queue.done(LaneId::of(&song(Site::YouTube, 0)));
        assert!(start(&mut queue, now).is_some());
        assert_eq!(start(&mut queue, now), None);
    }

    #[test]
    fn a_paused_site_waits_and_the_others_go_on() {
        let mut queue = queue();
        let now = Instant::now();
        let end = now + Duration::from_secs(60);
        queue.push(song(Site::YouTube, 1), 1, None);
        queue.push(song(Site::SoundCloud, 1), 1, None);
        queue.pause(&song(Site::YouTube, 1), end);
        assert_eq!(start(&mut queue, now), Some(song(Site::SoundCloud, 1)));
        assert_eq!(start(&mut queue, now), None);
        assert_eq!(queue.next_end_of_pause(now), Some(end));
        assert_eq!(start(&mut queue, end), Some(song(Site::YouTube, 1)));
    }

    #[test]
    fn a_song_held_back_lets_the_others_of_its_site_go_first() {
        let mut queue = queue();
        let now = Instant::now();
        let end = now + Duration::from_secs(60);
        let [held, wanted, other] = [1, 2, 3].map(|id| song(Site::YouTube, id));
        for key in [&held, &wanted, &other] {
            queue.hold_back(key, end);
            queue.push(key.clone(), 1, None);
        }
        queue.promote(&wanted);
        queue.hold_back(&other, now);
        assert_eq!(start(&mut queue, now), Some(other.clone()));
        queue.done(LaneId::of(&other));
        assert_eq!(start(&mut queue, now), None);
        assert_eq!((queue.next_end_of_pause(now), queue.len()), (Some(end), 2));
        assert_eq!(start(&mut queue, end), Some(wanted.clone()));
        queue.done(LaneId::of(&wanted));
        assert!(queue.remove(&held));
        assert_eq!(queue.next_end_of_pause(now), None);
    }

    #[test]
    fn a_song_that_comes_back_untried_goes_before_the_others_of_its_list() {
        let mut queue = queue();
        let now = Instant::now();
        let key = |id| song(Site::YouTube, id);
        (0..3).for_each(|id| queue.push(key(id), 1, None));
        queue.push(key(9), 2, None);
        assert_eq!(start(&mut queue, now), Some(key(0)));
        queue.done(LaneId::of(&key(0)));
        queue.push(key(0), 1, None);
        queue.bring_forward(&key(0));
        for expected in [0, 9, 1, 2].map(key) {
            assert_eq!(start(&mut queue, now), Some(expected.clone()));
            queue.done(LaneId::of(&expected));
        }
    }

    #[test]
    fn a_removed_song_never_starts_and_a_repeated_one_starts_once() {
        let mut queue = queue();
        queue.push(song(Site::YouTube, 1), 1, None);
        queue.push(song(Site::YouTube, 1), 2, None);
        assert_eq!(queue.len(), 1);
        assert!(queue.remove(&song(Site::YouTube, 1)));
        assert_eq!(start(&mut queue, Instant::now()), None);
    }
}
