//! Opening the store.
//!
//! Owns the state folder's lock, who may read it, this instance's name, and what happens when the catalog is new or was damaged.
//! Never walks the cache folder, except to rebuild a lost catalog.

use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::rand::SecureRandom as _;
use rustix::fs::{FlockOperation, flock};

use super::beneath::{Cache, DRIVE_NOTE, is_not_ours};
use super::catalog::{Catalog, CatalogHandle};
use super::claims::Claims;
use super::error::{StoreError, io, state_io};
use super::layout::Layout;
use super::shared::Shared;
use super::{StoreConfig, recover};

/// A predecessor that is about to end is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Exclusive,
    LookOnly,
}

pub(super) fn open(config: StoreConfig, access: Access) -> Result<Shared, StoreError> {
    make_private_folder(&config.state_dir).map_err(state_io("make state.dir"))?;
    let state_lock = if access == Access::Exclusive {
        Some(lock(&config.state_dir)?)
    } else {
        None
    };
    let instance = instance(&config.state_dir)?;
    let layout = Layout::new(&config.cache_dir, &config.state_dir, &instance);
    let cache = Cache::new(config.cache_dir.clone(), layout.work().clone());
    take_cache(&cache, &layout, &config)?;
    let database = config.state_dir.join("kmds.db");
    make_private(&database)?;
    let opened = Catalog::open(&database)?;
    keep_private(&config.state_dir);
    let claims = Arc::new(Claims::new(config.reader_pause));
    let shared = Shared {
        config,
        layout,
        cache,
        catalog: CatalogHandle::new(opened.catalog),
        claims,
        boot_id: boot_id(),
        instance,
        _state_lock: state_lock,
    };
    if opened.empty {
        let found = recover::rebuild(&shared)?;
        match &opened.set_aside {
            Some(aside) => tracing::warn!(
                songs = found,
                set_aside = %aside.display(),
                "the catalog was damaged; it was set aside and rebuilt from the sidecars on the drive"
            ),
            None if found > 0 => tracing::info!(
                songs = found,
                "a new catalog was made from the sidecars on the drive"
            ),
            None => {}
        }
    }
    Ok(shared)
}

/// Where the cache folder was on a file system of its own, and is not any more, and lacks our mark, its drive is not
/// mounted yet: then it is waited for, and nothing is written where it should be. `/readyz` says so.
fn take_cache(cache: &Cache, layout: &Layout, config: &StoreConfig) -> Result<(), StoreError> {
    let note = config.state_dir.join(DRIVE_NOTE);
    let is_own = is_on_its_own(&config.cache_dir, &config.state_dir);
    let was_own = fs::read(&note).is_ok_and(|dir| dir == config.cache_dir.as_os_str().as_bytes());
    if was_own && !is_own && !config.cache_dir.join(layout.work().to_string()).is_dir() {
        cache.wait_for_mark();
        tracing::warn!(
            "{}",
            cache
                .names::<Vec<_>>(layout.work())
                .err()
                .map(|away| away.to_string())
                .unwrap_or_default()
        );
        return Ok(());
    }
    match cache.take() {
        // It may be put right while we run; until then nothing can be kept.
        Err(error) if is_not_ours(&error) => tracing::warn!("{error}"),
        taken => taken.map_err(io("make the work folder inside cache.dir"))?,
    }
    let noted = match (is_on_its_own(&config.cache_dir, &config.state_dir), was_own) {
        (true, false) => {
            let new = config.state_dir.join("cache-drive-new");
            write_whole(&note, &new, config.cache_dir.as_os_str().as_bytes())
        }
        (false, true) => fs::remove_file(&note),
        _ => Ok(()),
    };
    noted.map_err(state_io("write to state.dir"))
}

/// Neither on the system's drive nor on that of the state folder: as a network drive is, or a disk for music.
fn is_on_its_own(cache_dir: &Path, state_dir: &Path) -> bool {
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

/// What the state folder holds is nobody else's business: which songs were asked for, what the sites gave us. An earlier
/// release left it open. Files that are not ours by name and owner are left as they are.
fn keep_private(state_dir: &Path) {
    let ours = |name: &str| {
        name.starts_with("kmds.db")
            || ["memory.json", "instance", "lock", DRIVE_NOTE].contains(&name)
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

/// Takes from others what they may do with this; `false` if that is nothing, or it is not ours.
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
            // No locks there: rather run than not.
            Err(_) => return Ok(file),
        }
    }
}

/// 16 hex digits, made once. Kept beside the catalog, so that a lost catalog loses no partial files.
fn instance(state_dir: &Path) -> Result<String, StoreError> {
    let path = state_dir.join("instance");
    let known = fs::read_to_string(&path).unwrap_or_default();
    let known = known.trim();
    if known.len() == 16 && known.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(known.to_owned());
    }
    let mut random = [0_u8; 8];
    ring::rand::SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| StoreError::Io {
            what: "make a name for this instance".to_owned(),
            source: Arc::new(std::io::Error::other("no random numbers")),
        })?;
    let name = crate::hex::encode(&random);
    write_whole(&path, &state_dir.join("instance-new"), name.as_bytes())
        .map_err(state_io("write to state.dir"))?;
    Ok(name)
}

/// Writes a small file so that it is either the old or the new one, never half.
fn write_whole(path: &Path, temporary: &Path, text: &[u8]) -> std::io::Result<()> {
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

/// Changes with each start of the machine; empty where the kernel does not tell, so that nothing unflushed is trusted.
fn boot_id() -> String {
    let told = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let told = told.trim();
    if told.is_empty() {
        format!("unknown-{}", std::process::id())
    } else {
        told.to_owned()
    }
}
