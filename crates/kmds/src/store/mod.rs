//! The store: what has been asked for, what is arriving, and what lies on the drive.
//!
//! Owns the cache folder, the catalog in the state folder, and every byte written to either. Hides SQL, the order of
//! renames, resuming, and eviction. Never speaks to a site, never reads a container, never decides what to download.
//!
//! | module | its secret |
//! | --- | --- |
//! | [`key`], [`layout`] | names: of renditions, files, and folders (see `Layout` for the on-disk layout) |
//! | [`catalog`] | the embedded database |
//! | [`lease`], [`partial`], [`reader`] | one writer, many waiting readers of a growing file |
//! | [`publish`], [`sidecar`] | from a partial to a finished file, in what order |
//! | [`evict`] | what leaves when the budget is full |
//! | [`recover`], [`tidy`] | what an earlier run, or somebody else, left on the drive |
//! | [`drive`] | what the drive can do |
//! | [`beneath`] | how a name on the drive is reached, which others write to |

mod beneath;
pub mod catalog;
mod drive;
mod error;
mod evict;
mod in_use;
mod key;
mod layout;
mod lease;
mod partial;
mod publish;
mod reader;
mod recover;
mod sidecar;
mod start;
mod tidy;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kmds_extract::{Failure, Format, Track, TrackId};

pub use catalog::{
    Accepted, AcceptedRow, Filter, Found, Listed, Listing, Row, Started, State, Stats,
};
pub use drive::DriveReport;
pub(crate) use error::io as drive_error;
pub use error::{SpaceLimit, StoreError};
pub use key::{CopyForm, Key, Rendition, etag};
pub use lease::{Kept, Lease, Mark, validator_of};
pub use partial::{Outcome, Partial, Progress};
pub use publish::{Checked, Publish};
pub use reader::{Published, READ_BYTES, Reader};
pub use sidecar::Sidecar;
pub use tidy::{Owner, Tidied};

use beneath::{Cache, Spot};
use catalog::Catalog;
use error::io;
use in_use::InUse;
use layout::Layout;
use parking_lot::{Mutex, MutexGuard};
use tidy::Standing;

/// A song's last reader is noted at most so often: eviction needs no finer clock, and the drive no more writes.
const TOUCH_EVERY: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// Less than this on the drive of the catalog is as good as nothing: a list of some hundred songs needs more.
const STATE_LEAST_BYTES: u64 = 1 << 20;

/// The store's part of the settings (docs/settings.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// The shared drive.
    pub cache_dir: PathBuf,
    /// Local: SQLite and network drives do not mix.
    pub state_dir: PathBuf,
    /// The cache folder as clients see it; `Cache_Path` is relative without.
    pub client_path: Option<String>,
    /// Of finished and arriving files together.
    pub max_bytes: u64,
    /// Since a file was last read.
    pub max_age: Option<Duration>,
    /// What downloads leave free on the drive.
    pub min_free_bytes: u64,
    /// After which a reader that reads nothing keeps no file on the drive; [`READER_PAUSE`].
    pub reader_pause: Duration,
}

/// Neither a player that is paused nor a client that means harm may keep others from having room. A slow one may pause for
/// longer, since the kernel holds megabytes for it: nothing is lost by that, for it keeps its open file.
pub const READER_PAUSE: Duration = Duration::from_secs(60);

/// The one door to drive and catalog. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    config: StoreConfig,
    layout: Layout,
    cache: Cache,
    /// Whoever runs SQL, or moves a published file, holds this. Only threads that may wait take it, and only while they
    /// work: a task that held it while it waited for such a thread would wait for ever once all of them wait for it.
    catalog: Mutex<Catalog>,
    in_use: Arc<InUse>,
    boot_id: String,
    instance: String,
    _state_lock: Option<File>,
}

impl Shared {
    /// The catalog, for as long as the guard lives. Waits: never on the runtime's thread.
    fn catalog(&self) -> MutexGuard<'_, Catalog> {
        // A panic in the middle of a change rolled its transaction back.
        self.catalog.lock()
    }

    /// Bytes an ordinary user may still write to the drive; `None` where it does not say.
    fn free_bytes(&self) -> Option<u64> {
        self.cache.space().map(|(free, _)| free)
    }

    /// Somebody may have removed it.
    fn make_work_folder(&self) -> Result<(), StoreError> {
        self.cache
            .make_folder(self.layout.work())
            .map_err(io("make the work folder inside cache.dir"))
    }
}

/// A temporary file on the cache's drive, gone with this. It is reached by this alone: others may write to the drive.
#[derive(Debug)]
pub struct Scratch {
    pub file: Arc<File>,
    spot: Spot,
    shared: Arc<Shared>,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.shared.cache.remove(&self.spot);
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the catalog and makes the folders; runs on the caller's thread, and is quick unless the catalog was lost.
    /// # Errors
    /// [`StoreError::Busy`] if another process uses the state folder; else the drive's or the catalog's own.
    pub fn open(config: StoreConfig) -> Result<Self, StoreError> {
        start::open(config, start::Access::Exclusive).map(|shared| Self {
            shared: Arc::new(shared),
        })
    }

    /// Opens the catalog beside a running server, to look at it only.
    /// # Errors
    /// As [`Store::open`], but never busy.
    pub fn inspect(config: StoreConfig) -> Result<Self, StoreError> {
        start::open(config, start::Access::LookOnly).map(|shared| Self {
            shared: Arc::new(shared),
        })
    }

    /// Makes catalog and drive agree. Slow on a large cache; meant to run once after the start.
    /// # Errors
    /// The drive's or the catalog's own; what was done stays done.
    pub async fn tidy(&self) -> Result<Tidied, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || tidy::run(&shared)).await
    }

    /// Tries what publishing needs of the drive.
    /// # Errors
    /// Only if the runtime is shutting down.
    pub async fn probe_drive(&self) -> Result<DriveReport, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            Ok(drive::probe(
                &shared.cache,
                shared.layout.work(),
                shared.config.min_free_bytes,
            ))
        })
        .await
    }

    /// Whether the catalog takes another song.
    /// # Errors
    /// [`StoreError::StateFull`] when its drive is full, or as good as; else the catalog's own.
    pub async fn probe_catalog(&self) -> Result<(), StoreError> {
        self.with(|shared, catalog| {
            let found = rustix::fs::statvfs(shared.layout.state())
                .ok()
                .filter(|found| found.f_blocks > 0);
            if found.is_some_and(|found| {
                found.f_bavail.saturating_mul(found.f_frsize) < STATE_LEAST_BYTES
            }) {
                return Err(StoreError::StateFull);
            }
            catalog.try_writing()
        })
        .await
    }

    /// Reads every sidecar into the catalog; returns how many songs were found.
    /// # Errors
    /// The catalog's own.
    pub async fn rebuild(&self) -> Result<usize, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || recover::rebuild(&shared)).await
    }

    /// Hashes every finished file; `false` for those that were not as published, which are evicted.
    /// # Errors
    /// The drive's or the catalog's own.
    pub async fn verify(&self) -> Result<HashMap<Key, bool>, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || tidy::verify(&shared)).await
    }

    /// Evicts what is older than `cache.max_age`; returns how many files. Also removes partial files that nobody will go
    /// on with.
    /// # Errors
    /// The drive's or the catalog's own.
    pub async fn prune(&self) -> Result<usize, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            tidy::sweep_partials(&shared)?;
            evict::expire(&shared, &mut shared.catalog())
        })
        .await
    }

    /// Local folder for what the service keeps beside the catalog (covers).
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        self.shared.layout.state()
    }

    /// A temporary file on the cache's drive.
    /// # Errors
    /// The drive's own.
    pub async fn scratch(&self, name: &str) -> Result<Scratch, StoreError> {
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let spot = self
            .shared
            .layout
            .work()
            .join(&format!("scratch-{}-{name}", std::process::id()));
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            shared.make_work_folder()?;
            let file = shared
                .cache
                .create(&spot)
                .map_err(io("make a temporary file"))?;
            Ok(Scratch {
                file: Arc::new(file),
                spot,
                shared,
            })
        })
        .await
    }

    /// `Cache_Path`: where the finished file will stand, as the client sees it.
    #[must_use]
    pub fn cache_path(&self, key: &Key, format: Format) -> String {
        layout::client_view(
            self.shared.config.client_path.as_deref(),
            &key.relative_path(format),
        )
    }

    /// The same on this machine.
    #[must_use]
    pub fn local_path(&self, key: &Key, format: Format) -> PathBuf {
        self.shared.layout.local_path(key, format)
    }
}

/// The catalog.
impl Store {
    /// Makes every song a row, in one transaction, before anybody is told about them. A ready song whose file is not as it
    /// was published is queued again, like evicted, deleted and failed ones (final failures rest for ten minutes).
    /// At most `room` of them may be newly queued.
    /// # Errors
    /// [`StoreError::QueueFull`]; [`StoreError::DiskFull`] when the drive can never hold any of those newly queued; or the
    /// catalog's own: then none was accepted.
    pub async fn accept_within(
        &self,
        songs: Vec<Accepted>,
        room: usize,
    ) -> Result<Vec<AcceptedRow>, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            // By its length: whoever opens a file looks more closely, and a whole list waits for this. What becomes ready
            // after the look was just published.
            let tracks = songs.iter().map(|song| song.key.track());
            let broken: HashSet<Key> = {
                let ready = shared.catalog().ready_of(tracks)?;
                ready
                    .into_iter()
                    .filter(|row| !tidy::looks_whole(&shared, row))
                    .map(|row| row.key)
                    .collect()
            };
            let mut catalog = shared.catalog();
            let most = evict::Most::of(&shared, &catalog)?;
            catalog.accept(
                &songs,
                room,
                most,
                |row| !broken.contains(&row.key),
                Timestamp::now(),
            )
        })
        .await
    }

    /// [`Store::accept_within`] without a bound.
    /// # Errors
    /// As there: then none was accepted.
    pub async fn accept(&self, songs: Vec<Accepted>) -> Result<Vec<AcceptedRow>, StoreError> {
        self.accept_within(songs, usize::MAX).await
    }

    /// # Errors
    /// The catalog's own, here and below.
    pub async fn row(&self, key: &Key) -> Result<Option<Row>, StoreError> {
        let key = key.clone();
        self.with(move |_, catalog| catalog.row(&key)).await
    }

    /// All renditions of a track, the oldest first.
    /// # Errors
    /// The catalog's own.
    pub async fn renditions(&self, track: &TrackId) -> Result<Vec<Row>, StoreError> {
        let track = track.clone();
        self.with(move |_, catalog| catalog.rows_of(&track)).await
    }

    /// A song as last seen, in a list or alone. Its streams are not kept.
    /// # Errors
    /// The catalog's own.
    pub async fn track(&self, track: &TrackId) -> Result<Option<Track>, StoreError> {
        let track = track.clone();
        self.with(move |_, catalog| catalog.track(&track)).await
    }

    /// A song as it was when asked for alone, and when: its album and numbers are no list's.
    /// # Errors
    /// The catalog's own.
    pub async fn track_alone(
        &self,
        track: &TrackId,
    ) -> Result<Option<(Track, Timestamp)>, StoreError> {
        let track = track.clone();
        self.with(move |_, catalog| catalog.track_alone(&track))
            .await
    }

    /// The song whose own page this is, by [`Track::link`].
    /// # Errors
    /// The catalog's own.
    pub async fn track_by_link(&self, link: &str) -> Result<Option<TrackId>, StoreError> {
        let link = link.to_owned();
        self.with(move |_, catalog| catalog.track_by_link(&link))
            .await
    }

    /// What a canonical or human file name leads to. The row may be evicted or deleted.
    /// # Errors
    /// The catalog's own.
    pub async fn find_name(&self, name: &str) -> Result<Found, StoreError> {
        let name = name.to_owned();
        self.with(move |_, catalog| catalog.find_name(&name)).await
    }

    /// `false` if there is no such row. Forgets an earlier failure.
    /// # Errors
    /// The catalog's own.
    pub async fn set_state(&self, key: &Key, state: State) -> Result<bool, StoreError> {
        let key = key.clone();
        self.with(move |_, catalog| catalog.set_state(&key, state))
            .await
    }

    /// To `queued`, at the end of the queue or at its front.
    /// # Errors
    /// The catalog's own.
    pub async fn requeue(&self, key: &Key, first: bool) -> Result<bool, StoreError> {
        let key = key.clone();
        self.with(move |_, catalog| catalog.requeue(&key, first))
            .await
    }

    /// To the front of the queue, for the next restart too.
    /// # Errors
    /// The catalog's own.
    pub async fn promote(&self, key: &Key) -> Result<(), StoreError> {
        let key = key.clone();
        self.with(move |_, catalog| catalog.promote(&key)).await
    }

    /// To `downloading`, with what the download found out.
    /// # Errors
    /// The catalog's own.
    pub async fn started(&self, key: &Key, started: Started) -> Result<bool, StoreError> {
        let key = key.clone();
        self.with(move |_, catalog| catalog.started(&key, &started))
            .await
    }

    /// To `failed`, at this time; a song deleted meanwhile stays deleted.
    /// # Errors
    /// The catalog's own.
    pub async fn fail(
        &self,
        key: &Key,
        failure: Failure,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let key = key.clone();
        self.with(move |_, catalog| catalog.fail(&key, &failure, at))
            .await
    }

    /// Work to go on with after a restart, in queue order. First finishes what a kill interrupted while publishing.
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

    /// Notes that somebody reads; written at most once a minute.
    /// # Errors
    /// The catalog's own.
    pub async fn touch_read(&self, key: &Key) -> Result<(), StoreError> {
        let key = key.clone();
        self.with(move |_, catalog| touch(catalog, &key)).await
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
        self.with(move |_, catalog| catalog.list(&filter, limit, before))
            .await
    }

    /// # Errors
    /// The catalog's own.
    pub async fn stats(&self) -> Result<Stats, StoreError> {
        self.with(|shared, catalog| {
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
        let key = key.clone();
        self.with(move |shared, catalog| {
            if shared.in_use.is_writing(&key) {
                return Err(StoreError::Busy {
                    what: key.to_string(),
                });
            }
            let Some(row) = catalog.row(&key)? else {
                return Ok(false);
            };
            lease::remove_part(shared, &key)?;
            lease::remove_part(shared, &key.raw())?;
            // The caller may have noted the deletion before, so that nobody publishes the song meanwhile.
            if matches!(row.state, State::Ready | State::Deleted) {
                evict::evict(shared, catalog, &tidy::file_of(&row), State::Deleted)
                    .inspect_err(|_| evict::still_there(shared, catalog, &row))?;
            }
            catalog.set_state(&key, State::Deleted)
        })
        .await
    }

    /// Removes what a song noted as deleted has left. One that was asked for again meanwhile stays.
    /// # Errors
    /// As [`Store::delete`].
    pub async fn purge(&self, key: &Key) -> Result<(), StoreError> {
        let row = self.row(key).await?;
        // Ready: it was being published when it was deleted.
        match row.map(|row| row.state) {
            Some(State::Deleted | State::Ready) => self.delete(key).await.map(drop),
            _ => Ok(()),
        }
    }

    /// What the origin remembered of earlier runs: key, value, seconds since 1970.
    /// # Errors
    /// The catalog's own.
    pub async fn memory(&self) -> Result<Vec<(String, String, u64)>, StoreError> {
        self.with(|_, catalog| catalog.memory()).await
    }

    /// Keeps a value for the origin's next run; an empty one forgets.
    /// # Errors
    /// The catalog's own.
    pub async fn remember(
        &self,
        key: &str,
        value: &str,
        stored_unix: u64,
    ) -> Result<(), StoreError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.with(move |_, catalog| catalog.remember(&key, &value, stored_unix))
            .await
    }

    /// Runs `work` on a thread that may wait, with the catalog in hand.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, &mut Catalog) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || work(&shared, &mut shared.catalog())).await
    }
}

/// Bytes.
impl Store {
    /// The right to write this key.
    /// # Errors
    /// [`StoreError::Busy`] while another lease of it lives.
    pub async fn lease(&self, key: &Key) -> Result<Lease, StoreError> {
        Lease::take(Arc::clone(&self.shared), key.clone()).await
    }

    /// The growing file of a key that is being written and has begun.
    #[must_use]
    pub fn partial(&self, key: &Key) -> Option<Arc<Partial>> {
        self.shared.in_use.partial(key)
    }

    /// A reader of a growing file; it goes on after publishing.
    #[must_use]
    pub fn open_reader(&self, partial: &Partial) -> Reader {
        Reader::growing(partial, self.shared.in_use.hold(partial.key()))
    }

    /// Whether the drive has another file than this ready row says, or none: one look, and nothing is read.
    pub async fn is_changed(&self, row: &Row) -> bool {
        let (shared, spot, bytes) = (
            Arc::clone(&self.shared),
            Layout::audio(&row.key, row.format),
            row.size_bytes,
        );
        let look = move || {
            Ok(shared
                .cache
                .look(&spot)
                .is_ok_and(|found| found.map(|found| found.bytes) != bytes))
        };
        blocking(look).await.unwrap_or(false)
    }

    /// Opens a finished file and notes the reader. A file that is not the one published is never served: it is evicted.
    /// # Errors
    /// [`StoreError::Gone`] if it is not ready or not there; [`StoreError::Io`] if the drive does not answer.
    pub async fn open_published(&self, key: &Key) -> Result<Published, StoreError> {
        let row = self
            .row(key)
            .await?
            .filter(|row| row.state == State::Ready)
            .ok_or(StoreError::Gone)?;
        let (shared, looked_at) = (Arc::clone(&self.shared), row.clone());
        // Not with the catalog in hand: a file that was touched is hashed, and the drive may take its time.
        let (standing, file) = blocking(move || tidy::open_standing(&shared, &looked_at)).await?;
        self.with(move |shared, catalog| open_published(shared, catalog, row, standing, file))
            .await
    }
}

fn open_published(
    shared: &Shared,
    catalog: &mut Catalog,
    seen: Row,
    standing: Standing,
    file: Option<File>,
) -> Result<Published, StoreError> {
    let key = &seen.key;
    let row = catalog
        .row(key)?
        .filter(|row| row.state == State::Ready)
        .ok_or(StoreError::Gone)?;
    if row.published_at != seen.published_at {
        // Published anew since: what was seen of the old file does not count.
        return Err(StoreError::Gone);
    }
    if let Standing::Touched { mtime_ns } = standing {
        let _ = catalog.note_mtime(key, mtime_ns);
    }
    let Some(file) = file else {
        evict::evict(shared, catalog, &tidy::file_of(&row), State::Evicted)?;
        return Err(StoreError::Gone);
    };
    // A catalog that cannot be written keeps nobody from hearing what is there.
    if let Err(error) = touch(catalog, key) {
        tracing::debug!(%error, song = %key, "a reader could not be noted");
    }
    let size_bytes = row.size_bytes.unwrap_or(0);
    Ok(Published {
        reader: Reader::whole(file, size_bytes, shared.in_use.hold(key)),
        size_bytes,
        etag: row.etag.clone().unwrap_or_default(),
        modified: row.published_at.unwrap_or(row.accepted_at),
        content_type: row.format.content_type(),
        row,
    })
}

fn touch(catalog: &Catalog, key: &Key) -> Result<(), StoreError> {
    let now = Timestamp::now();
    catalog.touch_read(
        key,
        now,
        now.checked_sub(TOUCH_EVERY).unwrap_or(Timestamp::MIN),
    )
}

/// Runs `work` on a thread that may wait for the drive: the runtime has one thread only and must not.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(cut) => Err(StoreError::Io {
            what: "finish: the service is stopping".to_owned(),
            source: Arc::new(cut.into()),
        }),
    }
}
