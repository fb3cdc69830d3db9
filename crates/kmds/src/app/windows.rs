//! Lists of which only a window of songs is queued: the song that is being read, and some behind it.
//!
//! Owns, in memory, the songs of such lists in their order. One lock, never held across an await. Queues nothing itself.

use std::collections::VecDeque;
use std::sync::Arc;

use kmds_extract::Format;
use parking_lot::Mutex;

use crate::jobs::Requester;
use crate::store::Key;

/// Songs of lists with a window that are kept in mind, beside those of the newest list.
const MOST_SONGS: usize = 10_000;

/// The windows of all lists, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Windows(Mutex<VecDeque<Arc<Window>>>);

#[derive(Debug)]
struct Window {
    /// Of the rows, in the order of the list.
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
    /// Notes a list of which the first `ahead` songs are queued; one that is queued as a whole has no window.
    pub(super) fn keep(&self, keys: Vec<Key>, ahead: usize, requester: Requester) {
        let mut windows = self.0.lock();
        windows.retain(|window| window.keys != keys);
        if !(1..keys.len()).contains(&ahead) {
            return;
        }
        // The songs of lists that are forgotten are queued when a client asks for them.
        while windows
            .iter()
            .map(|window| window.keys.len())
            .sum::<usize>()
            > MOST_SONGS
        {
            windows.pop_front();
        }
        windows.push_back(Arc::new(Window {
            keys,
            ahead,
            requester,
        }));
    }

    /// Forgets the lists of these fetches.
    pub(super) fn end(&self, requesters: &[Requester]) {
        let mut windows = self.0.lock();
        windows.retain(|window| !requesters.contains(&window.requester));
    }

    /// The songs that are to be queued while this one, or a copy of it, is read.
    pub(super) fn behind(&self, key: &Key) -> Behind {
        let originals = Format::ALL.map(|format| Key::original(key.track().clone(), format));
        let is_read = |have: &Key| have == key || key.is_copy() && originals.contains(have);
        let found = {
            let windows = self.0.lock();
            // The newest list wins.
            windows.iter().rev().find_map(|window| {
                let at = window.keys.iter().position(is_read)?;
                Some((Arc::clone(window), at))
            })
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
    }
}
