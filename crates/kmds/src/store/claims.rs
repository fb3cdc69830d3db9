//! Which files are being written and read now.
//!
//! Owns the table of this process's leases and readers. An entry ends when its [`super::lease::Lease`] or [`ReadHold`]
//! is dropped. A reader that reads nothing for `reader_pause` has no claim on its file until it reads again. The lock
//! is held for one read or one change; meanwhile no other lock is taken, except those of the readers' times.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::error::StoreError;
use super::key::Key;
use super::partial::Partial;
use kmds_extract::TrackId;

#[derive(Debug)]
pub(super) struct Claims {
    /// After this long without a read, a reader keeps its open file, but the file may be evicted.
    reader_pause: Duration,
    /// Invariant: one entry for each living lease, one seat for each living reader.
    tables: Mutex<Tables>,
    /// Tells that a claim has ended or become smaller: more may be evicted, or claimed, than before.
    let_go: Notify,
}

#[derive(Debug, Default)]
struct Tables {
    writing: HashMap<Key, Writing>,
    reading: Vec<Arc<Seat>>,
}

#[derive(Debug)]
struct Seat {
    key: Key,
    /// When it last read.
    read_at: Mutex<Instant>,
}

impl Seat {
    fn counts(&self, pause: Duration) -> bool {
        self.ends(pause).is_some()
    }

    /// When its claim ends; `None` if it has no claim now.
    fn ends(&self, pause: Duration) -> Option<Instant> {
        let end = self.read_at.lock().checked_add(pause)?;
        (Instant::now() < end).then_some(end)
    }
}

#[derive(Debug, Default)]
struct Writing {
    partial: Option<Arc<Partial>>,
    /// Bytes promised to this download, written ones included.
    reserved: u64,
}

/// The space that running downloads claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Claimed {
    /// From the budget: all bytes that they will have written.
    pub(super) whole: u64,
    /// From the drive: the bytes that are still to be written.
    pub(super) unwritten: u64,
}

impl Claims {
    pub(super) fn new(reader_pause: Duration) -> Self {
        Self {
            reader_pause,
            tables: Mutex::default(),
            let_go: Notify::new(),
        }
    }

    /// When the next reader's claim ends, if it reads nothing until then. No event tells of that.
    pub(super) fn next_pause(&self) -> Option<Instant> {
        let tables = self.tables();
        let ends = tables
            .reading
            .iter()
            .filter_map(|seat| seat.ends(self.reader_pause));
        ends.min()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // A panic elsewhere leaves the tables consistent: each change is one statement.
        self.tables.lock()
    }

    pub(super) fn begin_writing(&self, key: &Key) -> Result<(), StoreError> {
        match self.tables().writing.entry(key.clone()) {
            std::collections::hash_map::Entry::Occupied(_) => Err(StoreError::Busy {
                what: key.to_string(),
            }),
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(Writing::default());
                Ok(())
            }
        }
    }

    pub(super) fn end_writing(&self, key: &Key) {
        self.tables().writing.remove(key);
        self.let_go.notify_waiters();
    }

    /// The next end of a lease or a reader, or a claim that becomes smaller; once it is enabled, it misses none since it
    /// was made.
    pub(super) fn let_go(&self) -> Notified<'_> {
        self.let_go.notified()
    }

    pub(super) fn set_partial(&self, key: &Key, partial: Option<Arc<Partial>>) {
        if let Some(writing) = self.tables().writing.get_mut(key) {
            writing.partial = partial;
        }
    }

    /// Returns how much it was before.
    pub(super) fn set_reserved(&self, key: &Key, bytes: u64) -> u64 {
        let mut tables = self.tables();
        tables
            .writing
            .get_mut(key)
            .map_or(0, |writing| std::mem::replace(&mut writing.reserved, bytes))
    }

    /// From now on this download claims no more than what it has written.
    pub(super) fn give_back(&self, key: &Key) {
        if self.set_reserved(key, 0) > 0 {
            self.let_go.notify_waiters();
        }
    }

    pub(super) fn partial(&self, key: &Key) -> Option<Arc<Partial>> {
        self.tables().writing.get(key)?.partial.clone()
    }

    /// The claims of all other downloads.
    pub(super) fn claimed_beside(&self, key: Option<&Key>) -> Claimed {
        let mut claimed = Claimed::default();
        for (_, writing) in self
            .tables()
            .writing
            .iter()
            .filter(|(have, _)| Some(*have) != key)
        {
            let written = writing
                .partial
                .as_ref()
                .map_or(0, |partial| partial.progress().written);
            claimed.whole = claimed.whole.saturating_add(writing.reserved.max(written));
            claimed.unwritten = claimed
                .unwritten
                .saturating_add(writing.reserved.saturating_sub(written));
        }
        claimed
    }

    pub(super) fn is_writing(&self, key: &Key) -> bool {
        self.tables().writing.contains_key(key)
    }

    pub(super) fn is_writing_track(&self, track: &TrackId) -> bool {
        self.tables().writing.keys().any(|key| key.track() == track)
    }

    /// Whether any file but this song's is being read or written.
    pub(super) fn is_any_beside(&self, key: &Key) -> bool {
        let tables = self.tables();
        self.read_keys(&tables)
            .chain(tables.writing.keys())
            .any(|have| have != key)
    }

    /// Tracks with a file that is being read or written.
    pub(super) fn busy_tracks(&self) -> HashSet<TrackId> {
        let tables = self.tables();
        tables
            .writing
            .keys()
            .chain(self.read_keys(&tables))
            .map(|key| key.track().clone())
            .collect()
    }

    fn read_keys<'t>(&self, tables: &'t Tables) -> impl Iterator<Item = &'t Key> {
        let pause = self.reader_pause;
        tables
            .reading
            .iter()
            .filter(move |seat| seat.counts(pause))
            .map(|seat| &seat.key)
    }

    pub(super) fn hold(self: &Arc<Self>, key: &Key) -> ReadHold {
        let seat = Arc::new(Seat {
            key: key.clone(),
            read_at: Mutex::new(Instant::now()),
        });
        self.tables().reading.push(Arc::clone(&seat));
        ReadHold {
            claims: Arc::clone(self),
            seat,
        }
    }
}

/// One reader, while it lives.
#[derive(Debug)]
pub(super) struct ReadHold {
    claims: Arc<Claims>,
    seat: Arc<Seat>,
}

impl ReadHold {
    /// Records a read; its claim begins again if it had ended.
    pub(super) fn reads(&self) {
        *self.seat.read_at.lock() = Instant::now();
    }
}

impl Drop for ReadHold {
    fn drop(&mut self) {
        let mut tables = self.claims.tables();
        if let Some(place) = tables
            .reading
            .iter()
            .position(|seat| Arc::ptr_eq(seat, &self.seat))
        {
            tables.reading.swap_remove(place);
        }
        if !tables.reading.iter().any(|seat| seat.key == self.seat.key) {
            self.claims.let_go.notify_waiters();
        }
    }
}
