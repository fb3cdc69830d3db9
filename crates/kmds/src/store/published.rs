//! Published files: whether a file is unchanged since it was published, and opening it for reading.
//!
//! Owns that check, which accepting, serving and tidying use. A changed file is never served: it is evicted. Files are
//! read without the catalog's lock, because the drive may be slow; if the row changed meanwhile, the row is right.

use std::fs::File;
use std::sync::Arc;

use jiff::Timestamp;
use kmds_extract::Format;

use super::cache_folder::if_there;
use super::catalog::{Candidate, Catalog, Row, State, blocking};
use super::error::{StoreError, io};
use super::hash::{mtime_ns, sha256};
use super::key::Key;
use super::layout::Layout;
use super::reader::{Published, Reader};
use super::shared::Shared;
use super::spot::is_not_ours;
use super::{Store, evict};

/// Least time between two records of a song's last reader: eviction needs no finer clock, and the drive no more writes.
const TOUCH_EVERY: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

impl Store {
    /// Whether the drive has another file than this ready row says, or none. It reads only the file's metadata.
    pub async fn is_changed(&self, row: &Row) -> bool {
        let shared = Arc::clone(&self.shared);
        let (spot, bytes) = (Layout::audio(&row.key, row.format), row.size_bytes);
        let look = move || Ok(shared.cache.look(&spot));
        // If the drive does not answer, nothing is concluded.
        let found = blocking(look).await;
        matches!(found, Ok(Ok(found)) if found.map(|found| found.bytes) != bytes)
    }

    /// Opens a finished file and records the reader. A changed file is never served: it is evicted.
    /// # Errors
    /// [`StoreError::Gone`] if it is not ready or not there; [`StoreError::Io`] if the drive does not answer.
    pub async fn open_published(&self, key: &Key) -> Result<Published, StoreError> {
        let row = self
            .row(key)
            .await?
            .filter(|row| row.state == State::Ready)
            .ok_or(StoreError::Gone)?;
        let (shared, looked_at) = (Arc::clone(&self.shared), row.clone());
        // Without the catalog's lock: a touched file is hashed, and the drive may be slow.
        let (standing, file) = blocking(move || open_standing(&shared, &looked_at)).await?;
        let shared = Arc::clone(&self.shared);
        blocking(move || open_published(&shared, &mut shared.catalog(), row, standing, file)).await
    }
}

fn open_published(
    shared: &Shared,
    catalog: &mut Catalog,
    seen: Row,
    standing: FileState,
    file: Option<File>,
) -> Result<Published, StoreError> {
    let key = &seen.key;
    let row = catalog
        .row(key)?
        .filter(|row| row.state == State::Ready)
        .ok_or(StoreError::Gone)?;
    if row.published_at != seen.published_at {
        // Published again since: the check of the old file does not count.
        return Err(StoreError::Gone);
    }
    if let FileState::Touched { mtime_ns } = standing {
        let _ = catalog.note_mtime(key, mtime_ns);
    }
    let Some(file) = file else {
        evict::evict(shared, catalog, &file_of(&row), State::Evicted)?;
        return Err(StoreError::Gone);
    };
    // If the catalog cannot be written, the file is served all the same.
    if let Err(error) = touch(catalog, key) {
        tracing::debug!(%error, song = %key, "a reader could not be recorded");
    }
    if shared.config.is_shared {
        shared.recent.note_read(key.track());
    }
    let size_bytes = row.size_bytes.unwrap_or(0);
    Ok(Published {
        reader: Reader::whole(file, size_bytes, shared.claims.hold(key)),
        size_bytes,
        etag: row.etag.clone().unwrap_or_default(),
        modified: row.published_at.unwrap_or(row.accepted_at),
        content_type: row.format.content_type(),
        row,
    })
}

pub(super) fn touch(catalog: &Catalog, key: &Key) -> Result<(), StoreError> {
    let now = Timestamp::now();
    catalog.touch_read(
        key,
        now,
        now.checked_sub(TOUCH_EVERY).unwrap_or(Timestamp::MIN),
    )
}

/// Whether a ready row's file is on the drive as it was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileState {
    Whole,
    /// Whole, but with another time than in the row.
    Touched {
        mtime_ns: i64,
    },
    Missing,
    /// Another program wrote into it.
    Changed,
}

/// Whether a file of the right length is there, without reading it.
pub(super) fn looks_whole(shared: &Shared, row: &Row) -> bool {
    match shared.cache.look(&Layout::audio(&row.key, row.format)) {
        Ok(found) => {
            found.is_some_and(|found| found.is_plain && Some(found.bytes) == row.size_bytes)
        }
        // If the drive does not answer, the file counts as whole; if a link is in its way, it does not.
        Err(error) => !is_not_ours(&error),
    }
}

/// # Errors
/// [`StoreError::Io`] when the drive does not answer: then nothing is known.
pub(super) fn standing(shared: &Shared, row: &Row) -> Result<FileState, StoreError> {
    let found = match shared.cache.look(&Layout::audio(&row.key, row.format)) {
        Err(error) if is_not_ours(&error) => return Ok(FileState::Changed),
        found => found.map_err(io("look at a file"))?,
    };
    Ok(match found {
        None => FileState::Missing,
        Some(found) if !found.is_plain || Some(found.bytes) != row.size_bytes => FileState::Changed,
        Some(found) if Some(found.mtime_ns) == row.mtime_ns => FileState::Whole,
        Some(_) => open_standing(shared, row)?.0,
    })
}

/// The same, with the open file if it is whole: so the checked file is the one that will be read.
/// # Errors
/// As [`standing`].
fn open_standing(shared: &Shared, row: &Row) -> Result<(FileState, Option<File>), StoreError> {
    let file = match shared.cache.open(&Layout::audio(&row.key, row.format)) {
        Err(error) if is_not_ours(&error) => return Ok((FileState::Changed, None)),
        opened => if_there(opened).map_err(io("open a file"))?,
    };
    let Some(file) = file else {
        return Ok((FileState::Missing, None));
    };
    let metadata = file.metadata().map_err(io("look at a file"))?;
    if Some(metadata.len()) != row.size_bytes {
        return Ok((FileState::Changed, None));
    }
    let found = mtime_ns(&metadata);
    if Some(found) == row.mtime_ns {
        return Ok((FileState::Whole, Some(file)));
    }
    Ok(match Some(sha256(&file)?) == row.sha256 {
        true => (FileState::Touched { mtime_ns: found }, Some(file)),
        false => (FileState::Changed, None),
    })
}

/// The file of a row, as a candidate for eviction.
pub(super) fn file_of(row: &Row) -> Candidate {
    Candidate {
        key: row.key.clone(),
        format: row.format,
        size_bytes: row.size_bytes.unwrap_or(0),
        read_at: Timestamp::UNIX_EPOCH,
    }
}

/// `None`: it is missing, or not a plain file.
pub(super) fn hash_of(
    shared: &Shared,
    key: &Key,
    format: Format,
) -> Result<Option<String>, StoreError> {
    match shared.cache.open(&Layout::audio(key, format)) {
        Err(error) if is_not_ours(&error) => Ok(None),
        other => if_there(other)
            .map_err(io("read a file back"))?
            .map(|file| sha256(&file))
            .transpose(),
    }
}
