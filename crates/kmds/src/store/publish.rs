//! Publishing: from a partial file to one that clients may open.
//!
//! Owns the order of the steps. Never checks audio: the caller has.
//!
//! 1. flush the bytes; hash them; stage the sidecar in the work folder
//! 2. remove the sidecar of a file that is about to be replaced
//! 3. rename the audio to its final name
//! 4. rename the sidecar beside it
//! 5. the row becomes ready; readers are told
//!
//! After a kill between 3 and 5 the staged sidecar or the one in place says what happened: see [`super::recover`].
//! No owner is changed, nothing is locked, nothing is hard-linked: network drives and FAT need none of it.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use kmds_extract::{Codec, Container, Track};

use super::catalog::{ReadyFile, Row};
use super::error::{StoreError, io};
use super::key::{Key, content_type, etag};
use super::layout::{if_there, remove, sync_folder, write_whole};
use super::lease::{Lease, remove_part};
use super::partial::{Outcome, Partial};
use super::sidecar::Sidecar;
use super::{Shared, blocking, evict};

/// What checking the audio found (by the caller: the store does not read containers).
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    pub container: Container,
    pub codec: Codec,
    pub duration: Option<Duration>,
    pub bitrate_bps: Option<u32>,
}

/// What is published, beside the bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Publish {
    pub track: Track,
    /// Extension of the file, one of m4a, mp3, ogg, opus, webm, flac, wav.
    pub ext: String,
    /// `File_Name`, with extension.
    pub human_name: String,
    /// [`kmds_extract::Stream::label`].
    pub stream: String,
    pub checked: Checked,
}

impl Lease {
    /// Puts the file under its final name, whole, and its row to ready. Goes through even if the future is dropped.
    /// # Errors
    /// [`StoreError::Incomplete`] when the length is not what was announced, or zero. On any error nothing stands under the
    /// final name, and the bytes are kept unless the drive failed.
    pub async fn publish(self, publish: Publish) -> Result<Row, StoreError> {
        let Some(partial) = self.partial() else { return Err(StoreError::Gone) };
        let progress = partial.progress();
        if progress.written == 0 || progress.total.is_some_and(|total| total != progress.written) {
            return Err(StoreError::Incomplete { written: progress.written, total: progress.total.unwrap_or(0) });
        }
        blocking(move || {
            // The lease lives until the row is written: nobody may begin this key before.
            let row = put_in_place(&self.shared, &partial, &publish).inspect_err(|error| {
                if error.spoils() {
                    let _ = remove_part(&self.shared, &self.key);
                }
            })?;
            partial.end(Outcome::Published);
            drop(self);
            Ok(row)
        })
        .await
    }
}

fn put_in_place(shared: &Shared, partial: &Partial, publish: &Publish) -> Result<Row, StoreError> {
    let (key, written) = (partial.key(), partial.progress().written);
    if content_type(&publish.ext).is_none() {
        return Err(StoreError::Io { what: "publish a file of this kind".to_owned(), source: unknown_extension() });
    }
    let file = partial.file();
    // A write whose future was dropped may have left more than was counted.
    file.set_len(written).and_then(|()| file.sync_all()).map_err(io("flush a finished file"))?;
    let part = shared.layout.part(key);
    let ready = ReadyFile {
        key: key.clone(),
        ext: publish.ext.clone(),
        size_bytes: written,
        sha256: sha256(&part)?,
        mtime_ns: mtime_ns(&file.metadata().map_err(io("read a finished file's time"))?),
        etag: etag(key, partial.validator(), written),
        validator: partial.validator().to_owned(),
        stream: publish.stream.clone(),
        container: publish.checked.container,
        codec: publish.checked.codec,
        bitrate_bps: publish.checked.bitrate_bps,
        duration_ms: publish.checked.duration.map(|length| u64::try_from(length.as_millis()).unwrap_or(u64::MAX)),
        published_at: to_the_millisecond(Timestamp::now()),
        human_name: publish.human_name.clone(),
    };
    let staged = shared.layout.staged(key);
    let sidecar = Sidecar::new(&publish.track, &ready).to_json();
    write_whole(&staged, &staged.with_extension("staged-new"), &sidecar, true).map_err(io("stage a sidecar"))?;
    let audio = shared.layout.audio(key, &publish.ext);
    let folder = audio.parent().unwrap_or_else(|| shared.layout.cache());
    fs::create_dir_all(folder).map_err(io("make the site's folder"))?;

    let mut catalog = shared.catalog();
    let beside = shared.layout.sidecar(key, &publish.ext);
    remove(&beside).map_err(io("remove an old sidecar"))?;
    fs::rename(&part, &audio).map_err(io("publish a file"))?;
    let noted = fs::rename(&staged, &beside).map_err(io("publish a sidecar")).and_then(|()| {
        sync_folder(folder);
        catalog.keep_track(&publish.track)?;
        catalog.set_ready(&ready)
    });
    if let Err(error) = noted {
        // A failed song has no file; should the drive refuse this too, the next start adopts what stands there.
        let _ = remove(&beside);
        let _ = fs::rename(&audio, &part);
        return Err(error);
    }
    let _ = remove(&shared.layout.note(key));
    evict::after_publish(shared, &mut catalog, key);
    catalog.row(key)?.ok_or(StoreError::Gone)
}

fn unknown_extension() -> std::sync::Arc<std::io::Error> {
    std::sync::Arc::new(std::io::Error::new(std::io::ErrorKind::InvalidInput, "an unknown extension"))
}

/// As the catalog keeps times, so that sidecar and row say the same.
fn to_the_millisecond(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

/// Lower-case hex of the whole file.
pub(super) fn sha256(path: &Path) -> Result<String, StoreError> {
    let mut file = File::open(path).map_err(io("read a file back"))?;
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = file.read(&mut buffer).map_err(io("read a file back"))?;
        if read == 0 {
            break;
        }
        context.update(buffer.get(..read).unwrap_or_default());
    }
    Ok(context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Modification time in nanoseconds since 1970, as the drive says.
pub(super) fn mtime_ns(metadata: &fs::Metadata) -> i64 {
    use std::os::unix::fs::MetadataExt as _;
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

/// What the sidecar of this file says, if the file beside it has the length it tells of.
/// # Errors
/// [`StoreError::Io`] when the drive does not answer: then nothing is known.
pub(super) fn read_beside(shared: &Shared, key: &Key, ext: &str) -> Result<Option<(Track, ReadyFile)>, StoreError> {
    let (beside, audio) = (shared.layout.sidecar(key, ext), shared.layout.audio(key, ext));
    let Some(text) = if_there(fs::read(beside)).map_err(io("read a sidecar"))? else { return Ok(None) };
    let Some(metadata) = if_there(fs::metadata(audio)).map_err(io("look at a file"))? else { return Ok(None) };
    let sidecar = Sidecar::parse(&text).filter(|it| metadata.is_file() && metadata.len() == it.size_bytes);
    Ok(sidecar.and_then(|sidecar| sidecar.to_rows(key, ext, mtime_ns(&metadata))))
}
