//! The store: the songs that clients asked for, the files that arrive, and the files on the drive.
//!
//! Owns the cache folder, the catalog in the state folder, and every byte written to either. SQL, the order of renames,
//! resuming and eviction are inside. It contacts no site, reads no container, and does not decide what to download.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`key`], [`layout`] | names: of renditions, files, and folders (see `Layout` for the on-disk layout) |
//! | [`catalog`] | the embedded database, and the threads that its work is done on |
//! | [`songs`], [`queues`] | what the application asks of the rows; the queues that clients play from |
//! | [`lease`], [`partial`], [`reader`] | one writer, many waiting readers of a growing file |
//! | [`publish`], [`sidecar`] | from a partial to a finished file, in what order |
//! | [`published`], [`mod@hash`] | whether a finished file is as it was published; opening it |
//! | [`claims`], [`holds`], [`evict`] | files in use now; files that clients keep; files to remove when the cache is full |
//! | [`recover`], [`compare`], [`tidy`] | what an earlier run, or another program, left on the drive |
//! | [`shared_drive`], [`needed`], [`recent`] | a drive that several instances share: what the others have left there; which songs each needs |
//! | [`start`], [`drive`] | opening the store; what the drive can do |
//! | [`cache_folder`], [`mount`], [`spot`] | files on the shared drive; is the drive there; paths on it |
//! | [`busy`] | a call that the drive refuses for a moment, made again |
//! | [`shared`] | what these modules share, and the order of their locks |

mod busy;
mod cache_folder;
pub mod catalog;
mod claims;
mod compare;
mod drive;
mod error;
mod evict;
mod hash;
mod holds;
mod key;
mod layout;
mod lease;
mod mount;
mod music_folder;
mod needed;
mod partial;
mod publish;
mod published;
mod queues;
mod reader;
mod recent;
mod recover;
mod shared;
mod shared_drive;
mod sidecar;
mod songs;
mod spot;
mod start;
mod tidy;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kmds_extract::Format;

pub use catalog::{
    Accepted, AcceptedRow, FetchedList, Filter, Found, Held, HeldSum, Holder, Listed, Listing,
    PlayQueue, Row, SongName, Started, State, Stats, WrongSum,
};
pub use drive::DriveReport;
pub(crate) use error::io as drive_error;
pub use error::{SpaceLimit, StoreError};
pub use key::{CopyForm, Key, Rendition, etag};
pub use lease::{Kept, Lease, Mark, validator_of};
pub use music_folder::{MusicError, MusicFolder, Put};
pub use partial::{Outcome, Partial, Progress};
pub use publish::{Checked, Publish};
pub use reader::{FileSpan, Published, READ_BYTES, Reader};
pub use sidecar::Sidecar;
pub use tidy::{Owner, Tidied, Verified};

use catalog::blocking;
use compare::{Comparison, Page};
use error::io;
use shared::Shared;
pub use shared::{READER_PAUSE, Scratch, StoreConfig};
pub use shared_drive::{OnDrive, PROBE};

/// Less free space than this on the drive of the catalog counts as none: a list of some hundred songs needs more.
const STATE_LEAST_BYTES: u64 = 1 << 20;

/// The only access to drive and catalog.
#[derive(Debug, Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

impl Store {
    /// Opens the catalog and makes the folders; runs on the caller's thread, and is quick unless the catalog was lost.
    /// # Errors
    /// [`StoreError::Busy`] if another process uses the state folder; else the drive's or the catalog's own.
    pub fn open(config: StoreConfig) -> Result<Self, StoreError> {
        start::open(config).map(|shared| Self {
            shared: Arc::new(shared),
        })
    }

    /// Opens the existing store only to read it, even while a server runs: no folder, mark or note is made.
    /// # Errors
    /// As [`Store::open`], but never busy.
    pub fn inspect(config: StoreConfig) -> Result<Self, StoreError> {
        start::look(config).map(|shared| Self {
            shared: Arc::new(shared),
        })
    }

    /// Makes catalog and drive agree. Slow on a large cache; meant to run once after the start. It goes page by page
    /// and lets other tasks run between; if it is dropped, it stops after the current page.
    /// # Errors
    /// The drive's or the catalog's own; what was done stays done.
    pub async fn tidy(&self) -> Result<Tidied, StoreError> {
        let shared = Arc::clone(&self.shared);
        let mut comparison = blocking(move || Ok(Comparison::new(tidy::begin(&shared)?))).await?;
        loop {
            let shared = Arc::clone(&self.shared);
            let (back, page) = blocking(move || {
                let page = comparison.step(&shared)?;
                Ok((comparison, page))
            })
            .await?;
            comparison = back;
            match page {
                Page::Empty => {}
                Page::Full => tokio::time::sleep(compare::PAUSE).await,
                Page::Last => break,
            }
        }
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let mut tidied = comparison.tidied;
            tidy::end(&shared, &mut tidied)?;
            Ok(tidied)
        })
        .await
    }

    /// Tests what publishing needs of the drive.
    /// # Errors
    /// Only if the runtime is shutting down.
    pub async fn probe_drive(&self) -> Result<DriveReport, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || Ok(drive::report(&shared))).await
    }

    /// Checks that the catalog can take another song.
    /// # Errors
    /// [`StoreError::StateFull`] when its drive is full, or nearly full; else the catalog's own.
    pub async fn probe_catalog(&self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let found = rustix::fs::statvfs(shared.layout.state())
                .ok()
                .filter(|found| found.f_blocks > 0);
            if found.is_some_and(|found| {
                found.f_bavail.saturating_mul(found.f_frsize) < STATE_LEAST_BYTES
            }) {
                return Err(StoreError::StateFull);
            }
            shared.catalog().try_writing()
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

    /// Hashes every finished file; `false` for changed ones, which are evicted. Counts the catalog's sums again.
    /// # Errors
    /// The drive's or the catalog's own.
    pub async fn verify(&self) -> Result<Verified, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || tidy::verify(&shared)).await
    }

    /// Evicts files that are older than `cache.max_age`; returns how many files. Also removes partial files that no job
    /// continues.
    /// # Errors
    /// The drive's or the catalog's own.
    pub async fn prune(&self) -> Result<usize, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            tidy::sweep_partials(&shared)?;
            evict::expire_all(&shared)
        })
        .await
    }

    /// Waits until there is more than `cache.max_bytes`, which is so after it was lowered. Then evicts in batches until
    /// there is not, or until no file may be evicted.
    /// # Errors
    /// The catalog's own.
    pub async fn shrink(&self) -> Result<(), StoreError> {
        self.shared.over_budget.notified().await;
        loop {
            let shared = Arc::clone(&self.shared);
            if !blocking(move || evict::shrink(&shared)).await? {
                return Ok(());
            }
            tokio::time::sleep(compare::PAUSE).await;
        }
    }

    /// Local folder for the service's other files (covers).
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

    /// The folder of a music library, which need not be there yet.
    #[must_use]
    pub fn music_folder(&self, path: PathBuf) -> MusicFolder {
        MusicFolder::new(path, Arc::clone(&self.shared))
    }

    /// `Cache_Path`: the path of the finished file, as the client sees it.
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

/// Bytes.
impl Store {
    /// The right to write this key.
    /// # Errors
    /// [`StoreError::Busy`] while another lease of it lives.
    pub async fn lease(&self, key: &Key) -> Result<Lease, StoreError> {
        Lease::take(Arc::clone(&self.shared), key.clone()).await
    }

    /// The next end of a lease or a reader; once it is enabled, it misses none since it was made.
    pub fn let_go(&self) -> tokio::sync::futures::Notified<'_> {
        self.shared.claims.let_go()
    }

    /// The growing file of a key that is being written and has begun.
    #[must_use]
    pub fn partial(&self, key: &Key) -> Option<Arc<Partial>> {
        self.shared.claims.partial(key)
    }

    /// A reader of a growing file; it continues after publishing.
    #[must_use]
    pub fn open_reader(&self, partial: &Partial) -> Reader {
        Reader::growing(partial, self.shared.claims.hold(partial.key()))
    }
}
