//! Publishing: from a partial file to one that clients may open.
//!
//! Owns the order of the steps. The caller has checked the audio. Publishing runs on a thread that may wait; the
//! catalog's lock is held for steps 2 to 5. It finishes even if the future is dropped; the lease ends when the row is
//! ready.
//!
//! 1. flush the bytes; hash them; stage the sidecar in the work folder; close the file
//! 2. remove the sidecar of a file of ours that is about to be replaced
//! 3. rename the audio to its final name; where another program's file stands there, leave it and fail
//! 4. rename the sidecar beside it
//! 5. the row becomes ready; readers are told
//!
//! After a kill between 3 and 5 the staged sidecar or the one in place says what happened: see [`super::recover`]. No
//! owner is changed, nothing is locked or hard-linked, since network drives and FAT may not support that.

use std::time::Duration;

use jiff::Timestamp;
use kmds_extract::{Codec, Container, Format, Track};

use super::busy::{patiently, patiently_if};
use super::cache_folder::flush;
use super::catalog::{Catalog, ReadyFile, Row, State, blocking};
use super::error::{StoreError, io};
use super::evict;
use super::hash::{mtime_ns, sha256};
use super::key::{Key, etag};
use super::layout::Layout;
use super::lease::Lease;
use super::partial::{Outcome, Partial};
use super::published::hash_of;
use super::shared::Shared;
use super::sidecar::Sidecar;

/// The result of the caller's check of the audio (the store does not read containers).
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    pub container: Container,
    pub codec: Codec,
    pub duration: Option<Duration>,
    pub bitrate_bps: Option<u32>,
}

/// The data to publish with the bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Publish {
    pub track: Track,
    pub format: Format,
    /// `File_Name`, with extension.
    pub human_name: String,
    /// [`kmds_extract::Stream::label`].
    pub stream: String,
    pub checked: Checked,
}

impl Lease {
    /// Gives the whole file its final name, and sets its row to ready. It finishes even if the future is dropped.
    /// # Errors
    /// [`StoreError::Incomplete`] when the length is not what was announced, or zero. On any error there is no file
    /// under the final name, and the bytes are kept unless the drive failed.
    pub async fn publish(self, publish: Publish) -> Result<Row, StoreError> {
        let Some(partial) = self.partial() else {
            return Err(StoreError::Gone);
        };
        let progress = partial.progress();
        if progress.written == 0
            || progress
                .total
                .is_some_and(|total| total != progress.written)
        {
            return Err(StoreError::Incomplete {
                written: progress.written,
                total: progress.total.unwrap_or(0),
            });
        }
        blocking(move || {
            // The lease exists until the row is written: no other lease may begin this key before.
            let row = put_in_place(&self.shared, &partial, &publish).inspect_err(|error| {
                if error.spoils() {
                    let _ = self.shared.remove_part(&self.key);
                }
            })?;
            partial.end(Outcome::Published);
            // Readers have the whole song already. The file is spared as long as the lease exists.
            evict::after_publish(&self.shared, &self.key);
            drop(self);
            Ok(row)
        })
        .await
    }
}

fn put_in_place(shared: &Shared, partial: &Partial, publish: &Publish) -> Result<Row, StoreError> {
    let key = partial.key();
    let mut ready = finish(partial, publish)?;
    let mine = Sidecar::new(&publish.track, &ready).to_json();
    may_replace(shared, key, publish.format)?;
    let staged = shared.layout.staged(key);
    patiently(|| shared.cache.write_whole(&staged, &mine, true)).map_err(io("stage a sidecar"))?;
    shared
        .cache
        .make_folder(&Layout::site(key.track().site()))
        .map_err(io("make the site's folder"))?;
    partial.close();
    // Between two tries the catalog's lock is free.
    let moved = || move_both(shared, &mut shared.catalog(), partial, publish, &mut ready);
    let row = patiently_if(StoreError::is_busy, moved)?;
    // Some drives show a new name only after a moment.
    if let Ok(file) = patiently_if(
        |_| true,
        || shared.cache.open(&Layout::audio(key, publish.format)),
    ) {
        partial.reopened(file);
    }
    Ok(row)
}

/// Flushes and hashes the written bytes, and describes them.
fn finish(partial: &Partial, publish: &Publish) -> Result<ReadyFile, StoreError> {
    let (key, written, file) = (partial.key(), partial.progress().written, partial.file()?);
    let length = || file.metadata().map_err(io("read a finished file's time"));
    // A write whose future was dropped may have left more bytes than were counted. This also sets the file's time,
    // which distinguishes it from another file of the same length.
    match file.set_len(written) {
        Err(_) if length()?.len() == written => {}
        cut => cut.map_err(io("flush a finished file"))?,
    }
    flush(&file).map_err(io("flush a finished file"))?;
    Ok(ReadyFile {
        key: key.clone(),
        format: publish.format,
        size_bytes: written,
        sha256: sha256(&file)?,
        mtime_ns: mtime_ns(&length()?),
        etag: etag(key, partial.validator(), written),
        validator: partial.validator().to_owned(),
        stream: publish.stream.clone(),
        container: publish.checked.container,
        codec: publish.checked.codec,
        bitrate_bps: publish.checked.bitrate_bps,
        duration_ms: publish
            .checked
            .duration
            .map(|length| u64::try_from(length.as_millis()).unwrap_or(u64::MAX)),
        published_at: to_the_millisecond(Timestamp::now()),
        human_name: publish.human_name.clone(),
    })
}

/// Whether the file under the final name, if there is one, is ours: its sidecar, the sidecar that was staged for it, a
/// ready row, or the hash of any row of its song says so.
/// # Errors
/// [`StoreError::Foreign`]: it stays.
fn may_replace(shared: &Shared, key: &Key, format: Format) -> Result<(), StoreError> {
    let there = shared
        .cache
        .look(&Layout::audio(key, format))
        .map_err(io("look at a file"))?;
    let Some(there) = there.filter(|there| there.is_plain || there.is_folder) else {
        return Ok(());
    };
    let names_it = |spot| {
        shared
            .cache
            .read(&spot)
            .is_ok_and(|text| Sidecar::is_of(&text, key, format))
    };
    if there.is_plain
        && (names_it(Layout::sidecar(key, format)) || names_it(shared.layout.staged(key)))
    {
        return Ok(());
    }
    let rows = shared.catalog().renditions(key.track())?;
    let is_ready = |row: &Row| {
        row.state == State::Ready && row.key.file_name(row.format) == key.file_name(format)
    };
    let hash = if rows.iter().any(is_ready) {
        None
    } else {
        hash_of(shared, key, format)?
    };
    let was_ours = |hash| rows.iter().any(|row| row.sha256.as_ref() == Some(&hash));
    if there.is_plain && hash.is_none_or(was_ours) {
        return Ok(());
    }
    Err(StoreError::Foreign {
        file: key.relative_path(format),
    })
}

/// Steps 2 to 5. On an error the audio is where it was, and the file in its place has its sidecar.
fn move_both(
    shared: &Shared,
    catalog: &mut Catalog,
    partial: &Partial,
    publish: &Publish,
    ready: &mut ReadyFile,
) -> Result<Row, StoreError> {
    let (cache, key) = (&shared.cache, partial.key());
    let (part, staged) = (shared.layout.part(key), shared.layout.staged(key));
    let (audio, beside) = (
        Layout::audio(key, publish.format),
        Layout::sidecar(key, publish.format),
    );
    let before = cache.read(&beside).ok();
    cache.remove(&beside).map_err(io("remove an old sidecar"))?;
    if let Err(error) = cache.rename(&part, &audio) {
        if let Some(text) = before {
            let _ = cache.write_whole(&beside, &text, false);
        }
        return Err(io("publish a file")(error));
    }
    // Some drives give a file its time when it is closed.
    if let Ok(Some(found)) = cache.look(&audio) {
        ready.mtime_ns = found.mtime_ns;
    }
    let noted = cache
        .rename(&staged, &beside)
        .map_err(io("publish a sidecar"))
        .and_then(|()| {
            cache.sync_folder(&Layout::site(key.track().site()));
            catalog.keep_track(&publish.track)?;
            catalog.set_ready(ready)
        });
    if let Err(error) = noted {
        // A failed song has no file; if the drive refuses this too, the next start adopts the file that is there.
        let _ = cache.remove(&beside);
        let _ = cache.rename(&audio, &part);
        return Err(error);
    }
    let _ = cache.remove(&shared.layout.note(key));
    catalog.row(key)?.ok_or(StoreError::Gone)
}

/// Rounds a time as the catalog does, so that sidecar and row are equal.
fn to_the_millisecond(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}
