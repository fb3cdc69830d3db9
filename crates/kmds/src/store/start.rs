//! Opening the store.
//!
//! Owns the state folder's lock (held until the process ends), the folder's permissions, this installation's name, the
//! check for a drive that is not mounted, and what happens when the catalog is new or was damaged. Runs on its caller's
//! thread, and walks the cache folder only to rebuild a lost catalog.

use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use tokio::sync::Notify;

use super::cache_folder::CacheFolder;
use super::catalog::{Catalog, CatalogHandle, Check, News};
use super::claims::Claims;
use super::error::{StoreError, io, state_io};
use super::layout::{Layout, nearest_folder};
use super::mount::DRIVE_NOTE;
use super::recent::Recent;
use super::recover;
use super::shared::{Access, IN_USE, InUse, Shared, StoreConfig};
use super::spot::is_not_ours;
use crate::random;

/// Files of the state folder.
const DATABASE: &str = "kmds.db";
const INSTANCE: &str = "instance";

/// How long to wait for an earlier process that is about to end.
const LOCK_WAIT: Duration = Duration::from_secs(3);

/// Opens the store to work with it. Makes missing folders and files.
pub(super) fn open(config: StoreConfig) -> Result<Shared, StoreError> {
    make_private_folder(&config.state_dir).map_err(state_io("make state.dir"))?;
    let state_lock = lock(&config.state_dir)?;
    let instance = instance(&config.state_dir)?;
    let (layout, cache) = places(&config, &instance);
    take_cache(&cache, &layout, &config)?;
    let database = config.state_dir.join(DATABASE);
    make_private(&database)?;
    let (in_use, was_closed) = InUse::begin(&config.state_dir);
    let check = if was_closed {
        Check::IfSmall
    } else {
        Check::Whole
    };
    let opened = Catalog::open(&database, check)?;
    keep_private(&config.state_dir);
    let (catalog, news) = (CatalogHandle::new(opened.catalog), opened.news);
    let shared = Shared {
        claims: Arc::new(Claims::new(config.reader_pause)),
        recent: Recent::default(),
        config,
        layout,
        cache,
        catalog,
        boot_id: boot_id(),
        instance,
        access: Access::Work,
        unchecked: opened.unchecked,
        over_budget: Notify::new(),
        in_use,
        on_eviction: OnceLock::new(),
        _state_lock: Some(state_lock),
    };
    fill(&shared, &news)?;
    shared.in_use.opened();
    Ok(shared)
}

/// Opens the store only to read it, with or without a running service. It makes no folder, mark or note: a service
/// whose drive is away would take a new folder for its drive.
pub(super) fn look(config: StoreConfig) -> Result<Shared, StoreError> {
    let database = config.state_dir.join(DATABASE);
    let was_used = database.exists();
    if !was_used {
        // The first start will make it.
        can_be_made(&config.state_dir).map_err(state_io("make state.dir"))?;
    }
    if !was_used || config.cache_dir.exists() {
        can_be_made(&config.cache_dir).map_err(io("make the work folder inside cache.dir"))?;
    }
    let instance = known_instance(&config.state_dir).unwrap_or_else(random::id);
    let (layout, cache) = places(&config, &instance);
    if is_away(&layout, &config) {
        await_drive(&cache, &layout);
    } else {
        // If it is missing, each later call says so.
        let _ = cache.find();
    }
    let path = if was_used {
        &database
    } else {
        Path::new(":memory:")
    };
    let opened = Catalog::look(path)?;
    let (catalog, news) = (CatalogHandle::new(opened.catalog), opened.news);
    let shared = Shared {
        claims: Arc::new(Claims::new(config.reader_pause)),
        recent: Recent::default(),
        config,
        layout,
        cache,
        catalog,
        boot_id: boot_id(),
        instance,
        access: Access::Look {
            is_unused: !was_used,
        },
        unchecked: opened.unchecked,
        over_budget: Notify::new(),
        in_use: InUse::nothing(),
        on_eviction: OnceLock::new(),
        _state_lock: None,
    };
    fill(&shared, &news)?;
    Ok(shared)
}

fn places(config: &StoreConfig, instance: &str) -> (Layout, CacheFolder) {
    let layout = Layout::new(&config.cache_dir, &config.state_dir, instance);
    let cache = CacheFolder::new(config.cache_dir.clone(), layout.work().clone());
    (layout, cache)
}

/// Reads the drive into a catalog that has no songs yet.
fn fill(shared: &Shared, news: &News) -> Result<(), StoreError> {
    if *news == News::None {
        return Ok(());
    }
    let found = recover::rebuild(shared)?;
    match news {
        News::Damaged { set_aside } => tracing::warn!(
            songs = found,
            set_aside = %set_aside.display(),
            "the catalog was damaged; it was set aside and rebuilt from the sidecars on the drive"
        ),
        News::New if found > 0 => tracing::info!(
            songs = found,
            "a new catalog was made from the sidecars on the drive"
        ),
        News::New | News::None => {}
    }
    Ok(())
}

/// Tests whether a missing folder could be made, by making another one beside it that is removed at once.
fn can_be_made(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if folder.exists() {
        return Err(std::io::ErrorKind::NotADirectory.into());
    }
    let nearest = nearest_folder(folder).ok_or(std::io::ErrorKind::NotFound)?;
    let trial = nearest.join(format!(".kmds-trial-{}", random::id()));
    fs::create_dir(&trial)?;
    fs::remove_dir(&trial)
}

/// Whether the cache folder's drive is not mounted: it was on a file system of its own, is not any more, and lacks our
/// mark.
fn is_away(layout: &Layout, config: &StoreConfig) -> bool {
    was_on_its_own(config)
        && !is_on_its_own(&config.cache_dir, &config.state_dir)
        && !config.cache_dir.join(layout.work().to_string()).is_dir()
}

/// Whether the note in the state folder says so.
fn was_on_its_own(config: &StoreConfig) -> bool {
    let note = fs::read(config.state_dir.join(DRIVE_NOTE));
    note.is_ok_and(|dir| dir == config.cache_dir.as_os_str().as_bytes())
}

/// Nothing is written until the drive with our mark is there. `/readyz` says so.
fn await_drive(cache: &CacheFolder, layout: &Layout) {
    cache.wait_for_mark();
    if let Err(away) = cache.names::<Vec<_>>(layout.work()) {
        tracing::warn!("{away}");
    }
}

/// Makes the cache folder and marks it as ours, unless its drive is not mounted.
fn take_cache(
    cache: &CacheFolder,
    layout: &Layout,
    config: &StoreConfig,
) -> Result<(), StoreError> {
    if is_away(layout, config) {
        await_drive(cache, layout);
        return Ok(());
    }
    match cache.take() {
        // An operator may fix it while the service runs; until then no file can be stored.
        Err(error) if is_not_ours(&error) => tracing::warn!("{error}"),
        taken => taken.map_err(io("make the work folder inside cache.dir"))?,
    }
    let note = config.state_dir.join(DRIVE_NOTE);
    let is_own = is_on_its_own(&config.cache_dir, &config.state_dir);
    let noted = match (is_own, was_on_its_own(config)) {
        (true, false) => {
            let new = config.state_dir.join("cache-drive-new");
            write_whole(&note, &new, config.cache_dir.as_os_str().as_bytes())
        }
        (false, true) => fs::remove_file(&note),
        _ => Ok(()),
    };
    noted.map_err(state_io("write to state.dir"))
}

/// Whether it is neither on the system's drive nor on that of the state folder, like a network drive or a disk for
/// music.
pub(super) fn is_on_its_own(cache_dir: &Path, state_dir: &Path) -> bool {
    let drive = |path: &Path| fs::metadata(path).map(|about| about.dev()).ok();
    let nearest = cache_dir.ancestors().find_map(drive);
    nearest.is_some_and(|found| {
        Some(found) != drive(Path::new("/")) && Some(found) != drive(state_dir)
    })
}

fn make_private_folder(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// SQLite gives its other files the permissions of this one.
fn make_private(database: &Path) -> Result<(), StoreError> {
    let made = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(database);
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(state_io("make the catalog in state.dir")(error))
        }
        _ => Ok(()),
    }
}

/// Only the service's user may read which songs clients asked for, and the sites' data. An earlier release let all
/// users read it. Files that are not ours by name and owner stay as they are.
fn keep_private(state_dir: &Path) {
    let ours = |name: &str| {
        name.starts_with(DATABASE)
            || ["memory.json", INSTANCE, "lock", DRIVE_NOTE, IN_USE].contains(&name)
    };
    let inside = fs::read_dir(state_dir).into_iter().flatten().flatten();
    let files = inside
        .filter(|entry| entry.file_name().to_str().is_some_and(ours))
        .map(|entry| entry.path());
    let narrowed: Vec<String> = [state_dir.to_owned()]
        .into_iter()
        .chain(files)
        .filter(|path| narrow(path).unwrap_or(false))
        .map(|path| path.display().to_string())
        .collect();
    if !narrowed.is_empty() {
        tracing::info!(files = ?narrowed, "could be read by others on this machine; now only by the service's user");
    }
}

/// Removes all rights of other users on this; `false` if they had none, or it is not ours.
fn narrow(path: &Path) -> std::io::Result<bool> {
    let about = fs::symlink_metadata(path)?;
    let is_ours =
        about.uid() == rustix::process::geteuid().as_raw() && (about.is_file() || about.is_dir());
    if !is_ours || about.mode() & 0o077 == 0 {
        return Ok(false);
    }
    fs::set_permissions(path, Permissions::from_mode(about.mode() & 0o700))?;
    Ok(true)
}

/// Two processes on one catalog would write the same partial files. The lock is the kernel's: it ends with the process.
fn lock(state_dir: &Path) -> Result<File, StoreError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(state_dir.join("lock"));
    let file = file.map_err(state_io("open the lock in state.dir"))?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(25));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StoreError::Busy {
                    what: "state.dir".to_owned(),
                });
            }
            // The drive has no locks: it is better to run without one.
            Err(_) => return Ok(file),
        }
    }
}

/// This installation's name: 16 hex digits, made once. It is kept beside the catalog, so that a lost catalog loses no
/// partial files.
fn instance(state_dir: &Path) -> Result<String, StoreError> {
    if let Some(known) = known_instance(state_dir) {
        return Ok(known);
    }
    let (path, name) = (state_dir.join(INSTANCE), random::id());
    write_whole(&path, &state_dir.join("instance-new"), name.as_bytes())
        .map_err(state_io("write to state.dir"))?;
    Ok(name)
}

fn known_instance(state_dir: &Path) -> Option<String> {
    let known = fs::read_to_string(state_dir.join(INSTANCE)).ok()?;
    let known = known.trim();
    let is_one = known.len() == 16 && known.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| known.to_owned())
}

/// Writes a small file so that it is either the old or the new one, never half.
pub(super) fn write_whole(path: &Path, temporary: &Path, text: &[u8]) -> std::io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(temporary)?;
    std::io::Write::write_all(&mut file, text)?;
    file.sync_all()?;
    drop(file);
    fs::rename(temporary, path)
}

/// Changes with each start of the machine; empty if the kernel does not tell it, so that no unflushed byte is trusted.
fn boot_id() -> String {
    let told = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let told = told.trim();
    if told.is_empty() {
        format!("unknown-{}", std::process::id())
    } else {
        told.to_owned()
    }
}
