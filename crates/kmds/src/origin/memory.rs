//! Values that KMDS remembers between resolves and restarts: client ids, visitor ids.
//!
//! Owns a small JSON file in the state folder, replaced by one rename, readable by its owner only, and the locks that
//! let many resolves renew one value once. One task at a time writes the file, at most every [`WRITE_APART`]; dropping
//! the memory writes it too. KMDS can ask for every value again, so a broken or missing file is an empty memory.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use kmds_extract::origin::{Remembered, RenewGuard};
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

/// Least time between two writes of the file.
const WRITE_APART: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Serialize, Deserialize)]
struct MemoryValue {
    value: String,
    stored_unix: u64,
}

#[derive(Debug)]
pub(super) struct Memory {
    file: Option<PathBuf>,
    state: Mutex<MemoryState>,
    renewals: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Debug, Default)]
struct MemoryState {
    values: BTreeMap<String, MemoryValue>,
    /// Whether the file lacks something of `values`.
    dirty: bool,
    /// Whether a task is under way that will write.
    write_due: bool,
}

impl Memory {
    pub(super) fn open(file: Option<PathBuf>) -> Arc<Self> {
        let values = file.as_deref().map(read).unwrap_or_default();
        Arc::new(Self {
            file,
            state: Mutex::new(MemoryState {
                values,
                ..MemoryState::default()
            }),
            renewals: Mutex::new(HashMap::new()),
        })
    }

    pub(super) fn recall(&self, key: &str) -> Option<Remembered> {
        let state = self.state();
        let kept = state.values.get(key)?;
        Some(Remembered {
            value: kept.value.clone(),
            stored_unix: kept.stored_unix,
        })
    }

    pub(super) fn remember(self: &Arc<Self>, key: &str, value: &str, now_unix: u64) {
        let mut state = self.state();
        if value.is_empty() {
            if state.values.remove(key).is_none() {
                return;
            }
        } else {
            state.values.insert(
                key.to_owned(),
                MemoryValue {
                    value: value.to_owned(),
                    stored_unix: now_unix,
                },
            );
        }
        state.dirty = true;
        if self.file.is_none() || state.write_due {
            return;
        }
        // Without a runtime (a command that ends at once) the drop writes.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            state.write_due = true;
            runtime.spawn(write_soon(Arc::downgrade(self)));
        }
    }

    /// Waits until no other resolve renews `key`.
    pub(super) async fn renewing(&self, key: &str) -> RenewGuard {
        let lock = {
            let mut renewals = self.renewals.lock();
            renewals.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(renewals.entry(key.to_owned()).or_default())
        };
        RenewGuard::holding(lock.lock_owned().await)
    }

    fn write_now(&self) {
        let Some(file) = &self.file else { return };
        let text = {
            let mut state = self.state();
            if !std::mem::take(&mut state.dirty) {
                return;
            }
            serde_json::to_vec_pretty(&state.values)
        };
        let written = text
            .map_err(io::Error::from)
            .and_then(|text| replace(file, &text));
        if let Err(error) = written {
            tracing::warn!(file = %file.display(), %error, "the values learnt from the sites could not be stored");
        }
    }

    fn state(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.write_now();
    }
}

/// Writes the values learnt within one pause at once. Ends with its owner.
async fn write_soon(memory: Weak<Memory>) {
    tokio::time::sleep(WRITE_APART).await;
    if let Some(memory) = memory.upgrade() {
        memory.state().write_due = false;
        // A few hundred bytes on a local disk: not worth a thread.
        memory.write_now();
    }
}

fn read(file: &Path) -> BTreeMap<String, MemoryValue> {
    match std::fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!(file = %file.display(), %error, "starting with an empty memory of the sites");
            BTreeMap::new()
        }),
        Err(_) => BTreeMap::new(),
    }
}

fn replace(file: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", crate::random::nonce(8)));
    let temporary = file.with_file_name(name);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut out| out.write_all(text))
        .and_then(|()| std::fs::rename(&temporary, file));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("kmds-memory-{}", crate::random::nonce(12)));
        std::fs::create_dir(&folder).expect("folder");
        folder
    }

    #[test]
    fn what_is_remembered_survives_a_restart_readable_by_its_owner_only() {
        let folder = folder();
        let file = folder.join("sites.json");
        let memory = Memory::open(Some(file.clone()));
        memory.remember("soundcloud.client_id", "abc", 1_700_000_000);
        memory.remember("youtube.visitor.a", "xyz", 1_700_000_001);
        memory.remember("youtube.visitor.a", "", 1_700_000_002);
        drop(memory);
        assert_eq!(
            file.metadata().expect("written").permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            std::fs::read_dir(&folder).expect("folder").count(),
            1,
            "no temporary file stays"
        );

        let again = Memory::open(Some(file));
        let kept = again.recall("soundcloud.client_id").expect("kept");
        assert_eq!(
            (kept.value.as_str(), kept.stored_unix),
            ("abc", 1_700_000_000)
        );
        assert_eq!(
            again.recall("youtube.visitor.a"),
            None,
            "an empty value forgets"
        );
        std::fs::remove_dir_all(folder).expect("clean");
    }

    #[test]
    fn a_broken_file_is_an_empty_memory() {
        let folder = folder();
        let file = folder.join("sites.json");
        std::fs::write(&file, "{\"a\": {\"val").expect("written");
        assert_eq!(Memory::open(Some(file)).recall("a"), None);
        std::fs::remove_dir_all(folder).expect("clean");
    }

    #[tokio::test]
    async fn one_renews_a_key_while_the_others_wait() {
        let memory = Memory::open(None);
        let held = memory.renewing("a").await;
        let other_key = memory.renewing("b").await;
        let waiting = memory.renewing("a");
        tokio::pin!(waiting);
        let early = futures_util::future::poll_immediate(&mut waiting).await;
        assert!(early.is_none(), "the second waits for the first");
        drop((held, other_key));
        waiting.await;
    }
}
