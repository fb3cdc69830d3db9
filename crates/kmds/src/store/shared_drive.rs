//! What other instances have left on a drive that they share with this one.
//!
//! Owns taking it over: a finished file becomes this catalog's too, by its sidecar, and stays the same file; of a partial
//! file the bytes that are sure are copied, since the instance that wrote it may still live. Never writes into a file of
//! another instance.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;

use kmds_extract::Format;

use super::cache_folder::{flush, if_there};
use super::catalog::{ReadyFile, Row, State, blocking};
use super::error::{StoreError, io};
use super::key::Key;
use super::layout::Layout;
use super::lease::{Lease, Note};
use super::partial::{Outcome, Partial};
use super::shared::Shared;
use super::spot::Spot;
use super::{Store, recover};

/// What is known of a finished file from another instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnDrive {
    pub format: Format,
    /// Lower-case hex; `None`: as the sidecar says.
    pub sha256: Option<String>,
}

impl Store {
    /// Makes the file that another instance has published of this key ready here too; `None` where none stands there.
    /// # Errors
    /// The drive's or the catalog's own.
    pub async fn adopt(&self, key: &Key, wanted: OnDrive) -> Result<Option<Row>, StoreError> {
        let (shared, key) = (Arc::clone(&self.shared), key.clone());
        blocking(move || adopt(&shared, &key, &wanted, None)).await
    }

    /// Whether a file of this name stands in the cache folder itself.
    pub async fn sees(&self, name: &str) -> bool {
        let is_one = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric());
        let spot = Spot::new(format!("{PROBE}{name}"));
        let shared = Arc::clone(&self.shared);
        let look = blocking(move || Ok(matches!(shared.cache.look(&spot), Ok(Some(_)))));
        is_one && look.await.unwrap_or(false)
    }
}

/// Begins the name of a file by which two nodes find out whether they share a drive.
pub const PROBE: &str = ".kmds-probe-";

impl Lease {
    /// Ends the lease with the file that another instance has published of the same bytes; `Err` gives the lease back where
    /// none stands there. Readers of the growing file read on.
    /// # Errors
    /// The drive's or the catalog's own.
    pub async fn adopt(self, wanted: OnDrive) -> Result<Result<Row, Self>, StoreError> {
        let Some(partial) = self.partial() else {
            return Ok(Err(self));
        };
        blocking(move || {
            let Some(row) = adopt(&self.shared, &self.key, &wanted, Some(&partial))? else {
                return Ok(Err(self));
            };
            partial.end(Outcome::Published);
            self.shared.remove_part(&self.key)?;
            drop(self);
            Ok(Ok(row))
        })
        .await
    }

    /// Copies what another instance has written of this key, as far as that is sure, where this one has nothing of it.
    /// Returns how many bytes.
    /// # Errors
    /// The drive's own.
    pub async fn inherit(&mut self) -> Result<u64, StoreError> {
        if self.kept().is_some() {
            return Ok(0);
        }
        let (shared, key) = (Arc::clone(&self.shared), self.key.clone());
        let bytes = blocking(move || inherit(&shared, &key)).await?;
        self.look_again().await?;
        Ok(bytes)
    }
}

/// `growing`: the bytes that have arrived here of it.
fn adopt(
    shared: &Shared,
    key: &Key,
    wanted: &OnDrive,
    growing: Option<&Partial>,
) -> Result<Option<Row>, StoreError> {
    let Some((track, file)) = recover::read_beside(shared, key, wanted.format)? else {
        return Ok(None);
    };
    let is_wanted = wanted.sha256.as_ref().is_none_or(|sum| *sum == file.sha256);
    let is_same = growing.is_none_or(|partial| is_of(partial, &file));
    if file.key != *key || !is_wanted || !is_same {
        return Ok(None);
    }
    let mut catalog = shared.catalog();
    if growing.is_none() && shared.claims.is_writing(key) {
        return Ok(None);
    }
    let stands = catalog.row(key)?;
    if stands.is_none_or(|row| row.state == State::Deleted) {
        return Ok(None);
    }
    catalog.keep_track(&track)?;
    catalog.set_ready(&file)?;
    catalog.row(key)
}

fn is_of(partial: &Partial, file: &ReadyFile) -> bool {
    let progress = partial.progress();
    progress.written == file.size_bytes && partial.validator() == file.validator
}

fn inherit(shared: &Shared, key: &Key) -> Result<u64, StoreError> {
    let all = Layout::all_work();
    let instances: Vec<String> = if_there(shared.cache.names(&all))
        .map_err(io("list the work folders"))?
        .unwrap_or_default();
    let others = instances.iter().map(|instance| all.join(instance));
    let others = others.filter(|folder| folder != shared.layout.work());
    let found = others.filter_map(|folder| {
        let note = folder.join(&format!("{}.note", key.work_name()));
        let part = folder.join(&format!("{}.part", key.work_name()));
        let (read, bytes) = Note::trusted(shared, &note, &part)?;
        Some((bytes, read, note, part))
    });
    let Some((bytes, read, note, part)) = found.max_by_key(|(bytes, ..)| *bytes) else {
        return Ok(0);
    };
    let Ok(from) = shared.cache.open(&part) else {
        return Ok(0);
    };
    shared.remove_part(key)?;
    shared.make_work_folder()?;
    let own = shared
        .cache
        .create(&shared.layout.part(key))
        .map_err(io("open a partial file"))?;
    let copied = copy(&from, &own, bytes).map_err(io("copy a partial file"))?;
    // The instance that wrote it may have begun anew meanwhile.
    let is_same = Note::trusted(shared, &note, &part)
        .is_some_and(|(again, left)| again.is_of(&read) && left >= bytes);
    if !copied || !is_same {
        shared.remove_part(key)?;
        return Ok(0);
    }
    read.taken_over(shared, bytes).write(shared, key)?;
    Ok(bytes)
}

/// Whether there were so many bytes.
fn copy(mut from: &File, mut to: &File, bytes: u64) -> io::Result<bool> {
    let copied = io::copy(&mut from.by_ref().take(bytes), &mut to)?;
    flush(to)?;
    Ok(copied == bytes)
}
