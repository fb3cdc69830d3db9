//! Opening the store.
//!
//! Owns the state folder's lock, this instance's name, and what happens when the catalog is new or was damaged.
//! Never walks the cache folder, except to rebuild a lost catalog.

use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ring::rand::SecureRandom as _;
use rustix::fs::{FlockOperation, flock};

use super::catalog::Catalog;
use super::error::{StoreError, io};
use super::in_use::InUse;
use super::layout::{Layout, write_whole};
use super::{Shared, StoreConfig, recover};

/// A predecessor that is about to end is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Exclusive,
    LookOnly,
}

pub(super) fn open(config: StoreConfig, access: Access) -> Result<Shared, StoreError> {
    fs::create_dir_all(&config.state_dir).map_err(io("make state.dir"))?;
    let state_lock = if access == Access::Exclusive { Some(lock(&config.state_dir)?) } else { None };
    let instance = instance(&config.state_dir)?;
    let layout = Layout::new(&config.cache_dir, &config.state_dir, &instance);
    layout.create()?;
    let opened = Catalog::open(&config.state_dir.join("kmds.db"))?;
    let in_use = Arc::new(InUse::new(config.reader_pause));
    let shared = Shared {
        config,
        layout,
        catalog: Mutex::new(opened.catalog),
        in_use,
        boot_id: boot_id(),
        instance,
        _state_lock: state_lock,
    };
    if opened.empty {
        let found = recover::rebuild(&shared, &mut shared.catalog())?;
        match &opened.set_aside {
            Some(aside) => tracing::warn!(
                songs = found,
                set_aside = %aside.display(),
                "the catalog was damaged; it was set aside and rebuilt from the sidecars on the drive"
            ),
            None if found > 0 => tracing::info!(songs = found, "a new catalog was made from the sidecars on the drive"),
            None => {}
        }
    }
    Ok(shared)
}

/// Two processes on one catalog would write the same partial files. The lock is the kernel's: it ends with the process.
fn lock(state_dir: &Path) -> Result<File, StoreError> {
    let file = File::options().create(true).truncate(false).write(true).open(state_dir.join("lock"));
    let file = file.map_err(io("open the lock in state.dir"))?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(25));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StoreError::Busy { what: "state.dir".to_owned() });
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
    ring::rand::SystemRandom::new().fill(&mut random).map_err(|_| StoreError::Io {
        what: "make a name for this instance".to_owned(),
        source: Arc::new(std::io::Error::other("no random numbers")),
    })?;
    let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    write_whole(&path, &state_dir.join("instance-new"), name.as_bytes(), true).map_err(io("write to state.dir"))?;
    Ok(name)
}

/// Changes with each start of the machine; empty where the kernel does not tell, so that nothing unflushed is trusted.
fn boot_id() -> String {
    let told = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let told = told.trim();
    if told.is_empty() { format!("unknown-{}", std::process::id()) } else { told.to_owned() }
}
