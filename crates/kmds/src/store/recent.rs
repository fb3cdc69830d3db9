//! Songs that clients have read in the last minutes, for the other instances on a shared drive.
//!
//! Owns the times, and when they are to be written down again ([`super::needed`] writes them). One lock, held for a few
//! lines.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kmds_extract::TrackId;
use parking_lot::{Mutex, MutexGuard};

/// A song is spared for so long after it was read.
pub(super) const AFTER_READ: Duration = Duration::from_secs(600);
/// The note is written again after so long, for songs that are still read, and for pins.
const WRITTEN_EVERY: Duration = Duration::from_secs(150);
/// Songs that are remembered; others may be evicted like any song.
const MOST_READ: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Recent {
    times: Mutex<Times>,
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Times {
    /// Until when each song is spared.
    read: HashMap<TrackId, Timestamp>,
    written: Option<Instant>,
    has_changed: bool,
}

impl Recent {
    pub(super) fn note_read(&self, track: &TrackId) {
        let now = Timestamp::now();
        let mut times = self.times.lock();
        if times.read.len() >= MOST_READ {
            times.read.retain(|_, until| *until > now);
        }
        let is_known = times.read.contains_key(track);
        if is_known || times.read.len() < MOST_READ {
            times.read.insert(track.clone(), after(now, AFTER_READ));
            times.has_changed |= !is_known;
        }
    }

    /// What is held here has changed.
    pub(super) fn note_change(&self) {
        self.times.lock().has_changed = true;
    }

    pub(super) fn is_due(&self) -> bool {
        let times = self.times.lock();
        let is_old = times
            .written
            .is_none_or(|written| written.elapsed() > WRITTEN_EVERY);
        times.has_changed || is_old
    }

    /// The right to write the note. Taken before the lock of the catalog.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.writing.lock()
    }

    /// The songs, and until when each is spared. From now on they count as written down.
    pub(super) fn take(&self, now: Timestamp) -> Vec<(TrackId, Timestamp)> {
        let mut times = self.times.lock();
        times.read.retain(|_, until| *until > now);
        times.has_changed = false;
        times.written = Some(Instant::now());
        let read = times.read.iter();
        read.map(|(track, until)| (track.clone(), *until)).collect()
    }
}

pub(super) fn after(now: Timestamp, time: Duration) -> Timestamp {
    now.checked_add(time).unwrap_or(Timestamp::MAX)
}
