//! What other instances have left on a drive that they share with this one.
//!
//! Owns taking it over: a finished file becomes this catalog's too, by its sidecar, and stays the same file; of a
//! partial file the bytes that are sure are copied, since the instance that wrote it may still live. Never writes into
//! a file of another instance.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use kmds_extract::{Format, Track};

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

/// Bytes of a file that are copied for listeners at one go.
const COPIED_AT_ONCE: usize = 256 << 10;

/// Begins the name of a file by which two nodes find out whether they share a drive.
pub const PROBE: &str = ".kmds-probe-";

impl Lease {
    /// Ends the lease with the file that another instance has published of the same bytes; `Err` gives the lease back
    /// where none stands there. Readers of the growing file read on.
    /// # Errors
    /// The drive's or the catalog's own.
    pub async fn adopt(self, wanted: OnDrive) -> Result<Result<Row, Self>, StoreError> {
        let Some(partial) = self.partial() else {
            return Ok(Err(self));
        };
        let is_same = move |file: &ReadyFile| is_of(&partial, file);
        self.end_with(wanted, is_same, Outcome::Published).await
    }

    /// [`Self::adopt`] where this lease has only the beginning, which no node goes on with: the rest is copied for its
    /// readers. Readers of other bytes are told that the source changed.
    /// # Errors
    /// The drive's or the catalog's own.
    pub async fn adopt_instead(mut self, wanted: OnDrive) -> Result<Result<Row, Self>, StoreError> {
        let (shared, key, looked_for) =
            (Arc::clone(&self.shared), self.key.clone(), wanted.clone());
        let found = blocking(move || published(&shared, &key, &looked_for)).await?;
        let Some((_, file)) = found else {
            return Ok(Err(self));
        };
        let outcome = match self.copy_rest(&file).await {
            Ok(true) => Outcome::Published,
            Ok(false) => Outcome::Restarted,
            Err(error) => {
                tracing::warn!(%error, song = %self.key, "listeners are cut: the rest of the song could not be copied");
                Outcome::Restarted
            }
        };
        let is_same = move |again: &ReadyFile| again.sha256 == file.sha256;
        self.end_with(wanted, is_same, outcome).await
    }

    /// Appends what the growing file lacks of this one. `false` if it is another file, or has no reader.
    async fn copy_rest(&mut self, file: &ReadyFile) -> Result<bool, StoreError> {
        let Some(partial) = self.partial() else {
            return Ok(false);
        };
        if partial.validator() != file.validator || !partial.is_read() {
            return Ok(false);
        }
        let shared = Arc::clone(&self.shared);
        let audio = Layout::audio(&file.key, file.format);
        let whole = blocking(move || shared.cache.open(&audio).map_err(io("open a file"))).await?;
        let whole = Arc::new(whole);
        loop {
            let (at, from) = (partial.progress().written, Arc::clone(&whole));
            let piece = blocking(move || read_piece(&from, at).map_err(io("read a file"))).await?;
            if piece.is_empty() {
                return Ok(is_of(&partial, file));
            }
            self.write(piece).await?;
        }
    }

    /// Ends the lease with the published file, if it `is_same`.
    async fn end_with(
        self,
        wanted: OnDrive,
        is_same: impl Fn(&ReadyFile) -> bool + Send + 'static,
        outcome: Outcome,
    ) -> Result<Result<Row, Self>, StoreError> {
        blocking(move || {
            let Some(row) = adopt(&self.shared, &self.key, &wanted, Some(&is_same))? else {
                return Ok(Err(self));
            };
            if let Some(partial) = self.partial() {
                partial.end(outcome);
            }
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

/// The file of this key that stands on the drive.
fn published(
    shared: &Shared,
    key: &Key,
    wanted: &OnDrive,
) -> Result<Option<(Track, ReadyFile)>, StoreError> {
    let beside = recover::read_beside(shared, key, wanted.format)?;
    Ok(beside.filter(|(_, file)| {
        let is_wanted = wanted.sha256.as_ref().is_none_or(|sum| *sum == file.sha256);
        file.key == *key && is_wanted
    }))
}

/// `of_lease`: the caller has the right to write the key, and takes only such a file.
fn adopt(
    shared: &Shared,
    key: &Key,
    wanted: &OnDrive,
    of_lease: Option<&dyn Fn(&ReadyFile) -> bool>,
) -> Result<Option<Row>, StoreError> {
    let Some((track, file)) = published(shared, key, wanted)? else {
        return Ok(None);
    };
    if of_lease.is_some_and(|is_same| !is_same(&file)) {
        return Ok(None);
    }
    let mut catalog = shared.catalog();
    if of_lease.is_none() && shared.claims.is_writing(key) {
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

/// Empty at the end of the file.
fn read_piece(file: &File, at: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; COPIED_AT_ONCE];
    let read = file.read_at(&mut piece, at)?;
    piece.truncate(read);
    Ok(piece.into())
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
