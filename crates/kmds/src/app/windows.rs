//! Lists of which only a window of songs is queued: the song that is being read, and some behind it.
//!
//! Owns, in memory, which songs stand behind which. One lock, never held across an await. Queues nothing itself.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::Key;

/// Songs of lists with a window that are kept in mind.
const MOST_SONGS: usize = 10_000;

/// The windows of all lists, by song.
#[derive(Debug, Default)]
pub(super) struct Windows(Mutex<HashMap<Key, Arc<Window>>>);

#[derive(Debug)]
struct Window {
    keys: Vec<Key>,
    ahead: usize,
}

impl Windows {
    /// Notes a list of which the first `ahead` songs are queued; one that is queued as a whole has no window.
    pub(super) fn keep(&self, keys: Vec<Key>, ahead: usize) {
        let mut windows = self.0.lock();
        if windows.len() > MOST_SONGS {
            // Lists that no client reads on: their songs are queued when a client asks for them.
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

    pub(super) fn forget(&self, key: &Key) {
        self.0.lock().remove(key);
    }

    /// The songs that are to be queued while this one is read.
    pub(super) fn behind(&self, key: &Key) -> Vec<Key> {
        let window = self.0.lock().get(key).cloned();
        let Some(window) = window else {
            return Vec::new();
        };
        let mut behind = window.keys.iter().skip_while(|have| *have != key);
        behind.next();
        behind.take(window.ahead).cloned().collect()
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
        windows.keep(keys.clone(), 2);
        assert_eq!(windows.behind(&keys[0]), keys[1..3]);
        assert_eq!(windows.behind(&keys[3]), keys[4..]);
        assert!(windows.behind(&keys[4]).is_empty());
        windows.forget(&keys[0]);
        assert!(windows.behind(&keys[0]).is_empty());
        windows.keep(keys.clone(), 5);
        assert!(windows.behind(&keys[1]).is_empty(), "all are queued");
    }
}
