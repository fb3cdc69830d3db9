//! Lists of which only a window of songs is queued: the song that is being read, and some behind it.
//!
//! Owns, in memory, the songs of such lists in their order. One lock, never held across an await. Queues nothing
//! itself.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use kmds_extract::{Format, TrackId};
use parking_lot::Mutex;

use crate::jobs::Requester;
use crate::store::Key;

/// Songs of lists with a window that are remembered, beside those of the newest list.
const MOST_SONGS: usize = 10_000;

/// The windows of all lists.
#[derive(Debug, Default)]
pub(super) struct Windows(Mutex<WindowMap>);

#[derive(Debug, Default)]
struct WindowMap {
    /// The oldest first.
    windows: VecDeque<Arc<Window>>,
    /// For each song that moves a window: the newest window, and the song's place there.
    places: HashMap<Key, WindowPlace>,
}

type WindowPlace = (Arc<Window>, usize);

#[derive(Debug)]
struct Window {
    /// The keys of the rows, in the order of the list.
    keys: Vec<Key>,
    ahead: usize,
    requester: Requester,
}

/// The songs of a list that are to be queued, for the fetch that asked for the list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) keys: Vec<Key>,
    pub(super) requester: Requester,
}

impl Windows {
    /// Records a list of which the first `ahead` songs are queued; a list that is queued whole has no window.
    pub(super) fn keep(&self, keys: Vec<Key>, ahead: usize, requester: Requester) {
        let mut inner = self.0.lock();
        inner.retain(|window| window.keys != keys);
        if !(1..keys.len()).contains(&ahead) {
            return;
        }
        // The songs of lists that are forgotten are queued when a client asks for them.
        while inner.songs() > MOST_SONGS
            && let Some(oldest) = inner.windows.front().cloned()
        {
            inner.retain(|window| !std::ptr::eq(window, &*oldest));
        }
        let window = Arc::new(Window {
            keys,
            ahead,
            requester,
        });
        inner.places.extend(places(&window));
        inner.windows.push_back(window);
    }

    /// Forgets the lists of these fetches.
    pub(super) fn end(&self, requesters: &[Requester]) {
        let mut inner = self.0.lock();
        inner.retain(|window| !requesters.contains(&window.requester));
    }

    /// Reading these songs no longer moves a window: they are played in another order.
    pub(super) fn leave(&self, tracks: &[TrackId]) {
        let mut inner = self.0.lock();
        if inner.places.is_empty() {
            return;
        }
        for key in tracks.iter().flat_map(originals) {
            inner.places.remove(&key);
        }
    }

    /// The songs to queue while this song, or a copy of it, is read.
    pub(super) fn behind(&self, key: &Key) -> Behind {
        let found = {
            let inner = self.0.lock();
            let of_copy = key.is_copy().then(|| originals(key.track()));
            let mut keys = of_copy.into_iter().flatten();
            let found = inner.places.get(key);
            found
                .or_else(|| keys.find_map(|key| inner.places.get(&key)))
                .cloned()
        };
        found.map_or_else(Behind::default, |(window, at)| Behind {
            keys: window
                .keys
                .iter()
                .skip(at + 1)
                .take(window.ahead)
                .cloned()
                .collect(),
            requester: window.requester,
        })
    }
}

impl WindowMap {
    fn songs(&self) -> usize {
        self.windows.iter().map(|window| window.keys.len()).sum()
    }

    /// Forgets the other windows. A song that is also in an older window moves that one from now on.
    fn retain(&mut self, stays: impl Fn(&Window) -> bool) {
        self.windows.retain(|window| stays(window));
        let moved = self.places.extract_if(|_, (window, _)| !stays(window));
        let moved: HashSet<Key> = moved.map(|(key, _)| key).collect();
        if moved.is_empty() {
            return;
        }
        let places = self.windows.iter().flat_map(places);
        self.places
            .extend(places.filter(|(key, _)| moved.contains(key)));
    }
}

/// The songs of a window. If a song is in it twice, the first place counts: it comes last here.
fn places(window: &Arc<Window>) -> impl Iterator<Item = (Key, WindowPlace)> {
    let places = window.keys.iter().enumerate().rev();
    places.map(|(place, key)| (key.clone(), (Arc::clone(window), place)))
}

fn originals(track: &TrackId) -> impl Iterator<Item = Key> {
    Format::ALL
        .map(|format| Key::original(track.clone(), format))
        .into_iter()
}

#[cfg(test)]
mod tests {
    use kmds_extract::{Format, Site, TrackId};

    use super::*;

    fn keys(count: usize) -> Vec<Key> {
        let key = |number: usize| {
            let id = TrackId::new(Site::YouTube, &number.to_string());
            Key::original(id.expect("an id"), Format::M4a)
        };
        (0..count).map(key).collect()
    }

    #[test]
    fn a_window_moves_with_the_song_that_is_read_and_ends_with_the_list() {
        let (windows, keys) = (Windows::default(), keys(5));
        windows.keep(keys.clone(), 2, 7);
        let behind = |key| windows.behind(key).keys;
        assert_eq!(behind(&keys[0]), keys[1..3]);
        assert_eq!(behind(&keys[3]), keys[4..]);
        assert!(behind(&keys[4]).is_empty());
        windows.end(&[7]);
        assert!(behind(&keys[0]).is_empty());
        windows.keep(keys.clone(), 2, 7);
        windows.keep(keys.clone(), 5, 8);
        assert!(behind(&keys[1]).is_empty(), "all are queued");
        windows.keep(keys.clone(), 2, 9);
        windows.keep(keys[1..].to_vec(), 1, 10);
        assert_eq!(behind(&keys[1]), keys[2..3], "the newest list counts");
        windows.end(&[10]);
        assert_eq!(behind(&keys[1]), keys[2..4]);
        windows.leave(&[keys[1].track().clone()]);
        assert!(behind(&keys[1]).is_empty(), "it is played in another order");
        assert_eq!(behind(&keys[0]), keys[1..3]);
    }
}
