//! The values that the parts of the store share.
//!
//! Owns [`Shared`]: settings, paths, the cache folder, the catalog, the claims of writers and readers. It lives as long
//! as a [`super::Store`], a lease, a reader or a temporary file does; the lock of the state folder ends with it.
//!
//! Locks, in the order in which they are taken: the catalog's, then that of [`Claims`], then those of one partial file
//! and of the cache folder's identity, which are held for one statement each. A published file is moved or removed only
//! while the catalog's lock is held, so that no other task sees a row and a file that disagree.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kmds_extract::TrackId;
use parking_lot::MutexGuard;
use tokio::sync::Notify;

use super::busy::patiently;
use super::cache_folder::CacheFolder;
use super::catalog::{Catalog, CatalogHandle, Unchecked};
use super::claims::Claims;
use super::error::{StoreError, io};
use super::key::Key;
use super::layout::Layout;
use super::recent::Recent;
use super::spot::Spot;

/// The store's part of the settings (docs/settings.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// The shared drive.
    pub cache_dir: PathBuf,
    /// Local: SQLite does not work reliably on network drives.
    pub state_dir: PathBuf,
    /// The cache folder as clients see it; without it `Cache_Path` is relative.
    pub client_path: Option<String>,
    /// The limit for finished and arriving files together.
    pub max_bytes: u64,
    /// The longest time since a file was last read.
    pub max_age: Option<Duration>,
    /// What downloads leave free on the drive.
    pub min_free_bytes: u64,
    /// The time after which a reader that reads nothing no longer keeps its file on the drive;
    /// [`READER_PAUSE`].
    pub reader_pause: Duration,
    /// Other instances work with this cache folder, as nodes of one cluster.
    pub is_shared: bool,
}

/// A paused player, or a hostile client, must not keep room from other songs. A slow client may pause for longer, since
/// the kernel holds megabytes for it; it loses nothing, because it keeps its open file.
pub const READER_PAUSE: Duration = Duration::from_secs(60);

/// What is called with a song that was evicted.
pub(super) type OnEviction = Box<dyn Fn(&TrackId) + Send + Sync>;

pub(crate) struct Shared {
    pub(super) config: StoreConfig,
    pub(super) layout: Layout,
    pub(super) cache: CacheFolder,
    pub(super) catalog: CatalogHandle,
    pub(super) claims: Arc<Claims>,
    /// On a drive that several instances share: what was read here.
    pub(super) recent: Recent,
    /// Tells that there is more than `cache.max_bytes`: [`super::Store::shrink`] waits for it.
    pub(super) over_budget: Notify,
    /// Changes with each start of the machine.
    pub(super) boot_id: String,
    /// The name of this installation, which its work folder has.
    pub(super) instance: String,
    pub(super) access: Access,
    /// The part of opening the catalog that may come later.
    pub(super) unchecked: Option<Unchecked>,
    pub(super) in_use: InUse,
    /// Is told of each song that is evicted; see [`super::Store::on_eviction`].
    pub(super) on_eviction: OnceLock<OnEviction>,
    pub(super) _state_lock: Option<File>,
}

/// A file in the state folder that is there while the catalog is in use. If a start finds it, the service or the
/// machine was interrupted, and the start reads the whole catalog before it is used.
#[derive(Debug)]
pub(super) struct InUse {
    /// `None`: this process only looks.
    file: Option<PathBuf>,
    keep: AtomicBool,
}

impl InUse {
    /// Makes the file; `false` if it was there.
    pub(super) fn begin(state_dir: &Path) -> (Self, bool) {
        let file = state_dir.join(IN_USE);
        // If it cannot be made, the next start only reads less.
        let made = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file);
        let was_there =
            matches!(&made, Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists);
        let begun = Self {
            file: Some(file),
            // Until the catalog is open, the next start must know what this one found.
            keep: AtomicBool::new(was_there),
        };
        (begun, !was_there)
    }

    pub(super) const fn nothing() -> Self {
        Self {
            file: None,
            keep: AtomicBool::new(false),
        }
    }

    /// The catalog is open: it is closed in good order unless something ends this process.
    pub(super) fn opened(&self) {
        self.keep.store(false, Ordering::Relaxed);
    }

    /// In every case the next start reads the whole catalog.
    pub(super) fn keep(&self) {
        self.keep.store(true, Ordering::Relaxed);
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(file) = self.file.take()
            && !self.keep.load(Ordering::Relaxed)
        {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// [`InUse`].
pub(super) const IN_USE: &str = "catalog-in-use";

/// What this process may do with the folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Work,
    /// Only look: make nothing, not even the work folder.
    Look {
        is_unused: bool,
    },
}

impl Shared {
    /// The catalog, while the guard exists. It waits: never call it on the runtime's thread.
    pub(super) fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock()
    }

    /// Bytes that an ordinary user may still write to the drive; `None` where it does not say.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        self.cache.space().map(|(free, _)| free)
    }

    /// Other programs may have removed it.
    pub(super) fn make_work_folder(&self) -> Result<(), StoreError> {
        self.cache
            .make_folder(self.layout.work())
            .map_err(io("make the work folder inside cache.dir"))
    }

    /// Removes a key's files in the work folder. The note goes first: bytes without a note are useless.
    pub(super) fn remove_part(&self, key: &Key) -> Result<(), StoreError> {
        let gone = |spot: &Spot| {
            patiently(|| self.cache.remove(spot)).map_err(io("remove a partial file"))
        };
        gone(&self.layout.note(key))?;
        gone(&self.layout.part(key))?;
        gone(&self.layout.staged(key))
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

/// A temporary file on the cache's drive, removed when this is dropped. Use the open file, not its name: other programs
/// write to the drive.
#[derive(Debug)]
pub struct Scratch {
    pub file: Arc<File>,
    pub(super) spot: Spot,
    pub(super) shared: Arc<Shared>,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.shared.cache.remove(&self.spot);
    }
}
