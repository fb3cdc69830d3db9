//! Songs as rows: accepting, listing, states, removing.
//!
//! Owns the parts that need more than the catalog: whether a ready song's file is still whole, whether there can be
//! room for a new song, and the files of a removed one. Everything here runs on a thread that may wait, never on the
//! runtime's.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use kmds_extract::{Failure, Track, TrackId};

use super::catalog::{
    Accepted, AcceptedRow, FetchedList, Filter, Found, Listing, Row, Started, State, Stats,
    blocking,
};
use super::error::StoreError;
use super::key::Key;
use super::shared::{Shared, StoreConfig};
use super::{Store, evict, published, recover};

/// Calls that make one call of the catalog, on a thread that may wait.
macro_rules! calls_of_the_catalog {
    ($($(#[$doc:meta])* $name:ident($($given:ident: $kind:ty),*) -> $out:ty;)*) => {$(
        $(#[$doc])*
        /// # Errors
        /// The catalog's own.
        pub async fn $name(&self, $($given: &$kind),*) -> Result<$out, StoreError> {
            $(let $given = $given.to_owned();)*
            self.shared.catalog.with(move |catalog| catalog.$name($(&$given),*)).await
        }
    )*};
}

impl Store {
    calls_of_the_catalog! {
        row(key: Key) -> Option<Row>;
        /// All renditions of a track, the oldest first.
        renditions(track: TrackId) -> Vec<Row>;
        /// The newest metadata of a song, from a list or alone. Its streams are not kept.
        track(track: TrackId) -> Option<Track>;
        /// A song as it was when it was fetched alone, and the time: its album and numbers do not come from a list.
        track_alone(track: TrackId) -> Option<(Track, Timestamp)>;
        /// The song with this page, by [`Track::link`].
        track_by_link(link: str) -> Option<TrackId>;
        /// The song of a canonical or human file name. The row may be evicted or deleted.
        find_name(name: str) -> Found;
        /// Moves it to the front of the queue, also for the next restart.
        promote(key: Key) -> ();
    }

    /// `false` if there is no such row. Forgets an earlier failure.
    /// # Errors
    /// The catalog's own.
    pub async fn set_state(&self, key: &Key, state: State) -> Result<bool, StoreError> {
        let key = key.clone();
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.set_state(&key, state))
            .await
    }

    /// Sets `queued`, at the end of the queue or at its front.
    /// # Errors
    /// The catalog's own.
    pub async fn requeue(&self, key: &Key, first: bool) -> Result<bool, StoreError> {
        let key = key.clone();
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.requeue(&key, first))
            .await
    }

    /// The evicted ones of these keys, in their order.
    /// # Errors
    /// The catalog's own.
    pub async fn evicted_of(&self, keys: &[Key]) -> Result<Vec<Key>, StoreError> {
        let keys = keys.to_vec();
        let catalog = &self.shared.catalog;
        catalog.with(move |catalog| catalog.evicted_of(keys)).await
    }

    /// Sets `queued`, at the end of the queue, for this fetch; `false` if the song is not evicted.
    /// # Errors
    /// The catalog's own.
    pub async fn requeue_for(&self, key: &Key, requester: String) -> Result<bool, StoreError> {
        let key = key.clone();
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.requeue_for(&key, &requester))
            .await
    }

    /// Records a fetch of a list.
    /// # Errors
    /// The catalog's own.
    pub async fn note_list(&self, list: FetchedList) -> Result<(), StoreError> {
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.note_list(&list, Timestamp::now()))
            .await
    }

    /// The fetches of the list with this id, or with this canonical link; the newest first.
    /// # Errors
    /// The catalog's own.
    pub async fn fetches_of(
        &self,
        id: &str,
        link: Option<String>,
    ) -> Result<Vec<FetchedList>, StoreError> {
        let id = id.to_owned();
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.fetches_of(&id, link.as_deref()))
            .await
    }

    /// The rows of songs that wait or run, in queue order.
    /// # Errors
    /// The catalog's own.
    pub async fn pending_rows(&self) -> Result<Vec<Row>, StoreError> {
        self.shared.catalog.with(|catalog| catalog.pending()).await
    }

    /// Sets `deleted` if the song waits or runs; else returns `false`.
    /// # Errors
    /// The catalog's own.
    pub async fn delete_pending(&self, key: &Key) -> Result<bool, StoreError> {
        let key = key.clone();
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.delete_pending(&key))
            .await
    }

    /// Sets `downloading`, with the facts from the download.
    /// # Errors
    /// The catalog's own.
    pub async fn started(&self, key: &Key, started: Started) -> Result<bool, StoreError> {
        let key = key.clone();
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.started(&key, &started))
            .await
    }

    /// Sets `failed`, at this time; a song that was deleted meanwhile stays deleted.
    /// # Errors
    /// The catalog's own.
    pub async fn fail(
        &self,
        key: &Key,
        failure: Failure,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let key = key.clone();
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.fail(&key, &failure, at))
            .await
    }

    /// Newest first; `before` is an earlier page's [`Listing::next`].
    /// # Errors
    /// The catalog's own.
    pub async fn list(
        &self,
        filter: Filter,
        limit: usize,
        before: Option<i64>,
    ) -> Result<Listing, StoreError> {
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| catalog.list(&filter, limit, before))
            .await
    }

    /// Records that a listener reads; written at most once a minute.
    /// # Errors
    /// The catalog's own.
    pub async fn touch_read(&self, key: &Key) -> Result<(), StoreError> {
        let key = key.clone();
        let catalog = &self.shared.catalog;
        catalog
            .with(move |catalog| published::touch(catalog, &key))
            .await
    }

    /// Makes every song a row, in one transaction, before a client is told about them. A ready song whose file is not
    /// as it was published is queued again, like evicted, deleted and failed ones (final failures rest for ten
    /// minutes). At most `room` of them may be newly queued.
    /// # Errors
    /// [`StoreError::QueueFull`]; [`StoreError::DiskFull`] when the drive can never hold any of those newly queued; or
    /// the catalog's own: then none was accepted.
    pub async fn accept_within(
        &self,
        songs: Vec<Accepted>,
        room: usize,
    ) -> Result<Vec<AcceptedRow>, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || accept(&shared, &songs, room)).await
    }

    /// [`Store::accept_within`] without a bound.
    /// # Errors
    /// As there: then none was accepted.
    pub async fn accept(&self, songs: Vec<Accepted>) -> Result<Vec<AcceptedRow>, StoreError> {
        self.accept_within(songs, usize::MAX).await
    }

    /// The songs to continue after a restart, in queue order. First it finishes publishes that a kill interrupted.
    /// # Errors
    /// The catalog's own.
    pub async fn pending(&self) -> Result<Vec<Row>, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let rows = shared.catalog().pending()?;
            match recover::interrupted(&shared, &rows)? {
                0 => Ok(rows),
                _ => shared.catalog().pending(),
            }
        })
        .await
    }

    /// # Errors
    /// The catalog's own.
    pub async fn stats(&self) -> Result<Stats, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let catalog = shared.catalog();
            let free_bytes = shared.free_bytes();
            let StoreConfig {
                max_bytes,
                min_free_bytes,
                ..
            } = shared.config;
            Ok(Stats {
                max_bytes,
                min_free_bytes,
                free_bytes,
                ..catalog.stats()?
            })
        })
        .await
    }

    /// Removes a rendition's file and partial and keeps a `deleted` row: cancel its job first. `false` if unknown.
    /// # Errors
    /// [`StoreError::Busy`] while it is being written; else the drive's or the catalog's own.
    pub async fn delete(&self, key: &Key) -> Result<bool, StoreError> {
        let (shared, key) = (Arc::clone(&self.shared), key.clone());
        blocking(move || delete(&shared, &key, |_| true)).await
    }

    /// Removes the files of a song whose row says deleted. If a client asked for it again meanwhile, it stays. `ran`:
    /// it was being written when it was deleted, and may have been published since.
    /// # Errors
    /// As [`Store::delete`].
    pub async fn purge(&self, key: &Key, ran: bool) -> Result<(), StoreError> {
        let (shared, key) = (Arc::clone(&self.shared), key.clone());
        let is_left =
            move |row: &Row| row.state == State::Deleted || (ran && row.state == State::Ready);
        blocking(move || delete(&shared, &key, is_left).map(drop)).await
    }
}

/// Accepts songs on a thread that may wait.
fn accept(
    shared: &Shared,
    songs: &[Accepted],
    room: usize,
) -> Result<Vec<AcceptedRow>, StoreError> {
    // By its length: opening a file checks more, and a whole list waits for this. A song that becomes ready after this
    // check was just published.
    let tracks = songs.iter().map(|song| song.key.track());
    let ready = shared.catalog().ready_of(tracks)?;
    let broken: HashSet<Key> = ready
        .into_iter()
        .filter(|row| !published::looks_whole(shared, row))
        .map(|row| row.key)
        .collect();
    let mut catalog = shared.catalog();
    let most = evict::Most::of(shared, &catalog)?;
    let may_queue = |queued: &[&Accepted]| {
        if queued.len() > room {
            return Err(StoreError::QueueFull);
        }
        // The size of a copy is known when its original is there.
        let originals = queued.iter().filter(|song| !song.key.is_copy());
        let needs = originals.map(|song| song.approximate_bytes);
        most.holds_any(needs)
    };
    let whole = |row: &Row| !broken.contains(&row.key);
    catalog.accept(songs, whole, may_queue, Timestamp::now())
}

/// Removes a song whose row `is_meant`. The catalog is locked from the check to the end, so a song that a client asks
/// for meanwhile is queued after this.
fn delete(shared: &Shared, key: &Key, is_meant: impl Fn(&Row) -> bool) -> Result<bool, StoreError> {
    let mut catalog = shared.catalog();
    if shared.claims.is_writing(key) {
        return Err(StoreError::Busy {
            what: key.to_string(),
        });
    }
    let Some(row) = catalog.row(key)?.filter(is_meant) else {
        return Ok(false);
    };
    shared.remove_part(key)?;
    shared.remove_part(&key.raw())?;
    // The caller may have recorded the deletion before, so that the song is not published meanwhile.
    if matches!(row.state, State::Ready | State::Deleted) {
        evict::evict(
            shared,
            &mut catalog,
            &published::file_of(&row),
            State::Deleted,
        )
        .inspect_err(|_| evict::still_there(shared, &mut catalog, &row))?;
    }
    catalog.release_key(key)?;
    catalog.set_state(key, State::Deleted)
}
