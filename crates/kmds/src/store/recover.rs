//! Recovers what an earlier run left behind.
//!
//! Owns reading the drive back into the catalog: publishes that a kill interrupted, and the whole drive if the catalog
//! was lost. It trusts only our own sidecars and rows, and only if the file beside them is the one that they describe;
//! any other file is not ours. It does not check audio, and reads no file while it holds the catalog's lock.

use kmds_extract::{Format, Site, Track};

use super::busy::patiently;
use super::cache_folder::{FileStat, if_there};
use super::catalog::{ReadyFile, Row, State};
use super::error::{StoreError, io};
use super::key::{Key, parse_file_name};
use super::layout::Layout;
use super::mount::is_away;
use super::published::hash_of;
use super::shared::Shared;
use super::sidecar::Sidecar;

pub(super) const SITES: [Site; 4] = [Site::YouTube, Site::SoundCloud, Site::Bandcamp, Site::Other];

/// Finishes publishes that a kill interrupted between rename and row, for songs that are unfinished in the catalog.
/// Returns how many turned out to be published.
pub(super) fn interrupted(shared: &Shared, pending: &[Row]) -> Result<usize, StoreError> {
    let mut found = 0;
    let are_few = pending.len() <= FEW;
    for row in pending
        .iter()
        .filter(|row| (are_few || has_begun(row)) && !shared.claims.is_writing(&row.key))
    {
        for format in Format::ALL {
            let there = shared.cache.look(&Layout::audio(&row.key, format));
            if !matches!(there, Ok(Some(_))) {
                continue;
            }
            let taken = place_staged(shared, &row.key, format)
                .and_then(|()| adopt_own(shared, &row.key, format));
            found += usize::from(unless_unread(taken, &row.key)?);
        }
    }
    Ok(found)
}

/// Up to this many waiting songs are looked for on the drive one by one; if there are more, only those that have begun.
const FEW: usize = 100;

/// Whether a download of it has begun: only then can it have been published. Ten thousand songs may wait, and each
/// check takes time.
fn has_begun(row: &Row) -> bool {
    row.state != State::Queued || row.stream.is_some()
}

/// If the audio of a staged sidecar was renamed already, the sidecar follows. Any other stays: the next publish of its
/// song replaces it.
pub(super) fn place_staged(shared: &Shared, key: &Key, format: Format) -> Result<(), StoreError> {
    let staged = shared.layout.staged(key);
    let Ok(text) = shared.cache.read(&staged) else {
        return Ok(());
    };
    let Some(found) = shared
        .cache
        .look(&Layout::audio(key, format))
        .map_err(io("look at a file"))?
    else {
        return Ok(());
    };
    let Some((_, file)) = fitting(&text, found, key, format) else {
        return Ok(());
    };
    if hash_of(shared, key, format)? == Some(file.sha256) {
        patiently(|| shared.cache.rename(&staged, &Layout::sidecar(key, format)))
            .map_err(io("publish a sidecar"))?;
    }
    Ok(())
}

/// Adopts a file for its own row, if the sidecar belongs to that rendition and the bytes have its hash.
fn adopt_own(shared: &Shared, key: &Key, format: Format) -> Result<bool, StoreError> {
    let Some((_, file)) = read_beside(shared, key, format)? else {
        return Ok(false);
    };
    if file.key != *key || !adopt(shared, key, format, Trust::Hash)? {
        return Ok(false);
    }
    shared.remove_part(key)?;
    Ok(true)
}

/// How closely a file must match its sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The same length: when a whole drive is read in, hashing it would take hours.
    Length,
    Hash,
}

/// Makes the file under this name ready in the catalog, by its sidecar. `false` if the sidecar does not match.
pub(super) fn adopt(
    shared: &Shared,
    found_as: &Key,
    format: Format,
    trust: Trust,
) -> Result<bool, StoreError> {
    let Some((track, file)) = read_beside(shared, found_as, format)? else {
        return Ok(false);
    };
    if trust == Trust::Hash && hash_of(shared, found_as, format)?.as_ref() != Some(&file.sha256) {
        return Ok(false);
    }
    let mut catalog = shared.catalog();
    if shared.claims.is_writing(&file.key) {
        // A client asked for it again during the read.
        return Ok(false);
    }
    catalog.keep_track(&track)?;
    catalog.set_ready(&file)?;
    Ok(true)
}

/// The sidecar of this file, if the file beside it has the length in it.
/// # Errors
/// [`StoreError::Io`] when the drive does not answer: then nothing is known.
pub(super) fn read_beside(
    shared: &Shared,
    key: &Key,
    format: Format,
) -> Result<Option<(Track, ReadyFile)>, StoreError> {
    let text = match shared.cache.read(&Layout::sidecar(key, format)) {
        // A link, a pipe, or three gigabytes: not a sidecar of ours.
        Err(error) if error.raw_os_error().is_none() && !is_away(&error) => return Ok(None),
        other => if_there(other).map_err(io("read a sidecar"))?,
    };
    let Some(text) = text else { return Ok(None) };
    let found = shared
        .cache
        .look(&Layout::audio(key, format))
        .map_err(io("look at a file"))?;
    Ok(found.and_then(|found| fitting(&text, found, key, format)))
}

fn fitting(text: &[u8], found: FileStat, key: &Key, format: Format) -> Option<(Track, ReadyFile)> {
    let sidecar =
        Sidecar::parse(text).filter(|it| found.is_plain && found.bytes == it.size_bytes)?;
    sidecar.to_rows(key, format, found.mtime_ns)
}

/// A file that the drive cannot read is skipped: the next start may read it.
fn unless_unread(adopted: Result<bool, StoreError>, key: &Key) -> Result<bool, StoreError> {
    match adopted {
        Err(error @ StoreError::Io { .. }) => {
            tracing::warn!(%error, song = %key, "a file on the drive is left alone");
            Ok(false)
        }
        other => other,
    }
}

/// Reads every sidecar of the drive into the catalog. Returns how many songs were found.
pub(super) fn rebuild(shared: &Shared) -> Result<usize, StoreError> {
    let mut found = 0;
    for site in SITES {
        // No folder, so no songs.
        let Ok(names) = shared.cache.listing(&Layout::site(site)) else {
            continue;
        };
        for name in names.map_while(Result::ok) {
            let Some((key, format)) = parse_file_name(site, &name) else {
                continue;
            };
            found += usize::from(unless_unread(
                adopt(shared, &key, format, Trust::Length),
                &key,
            )?);
        }
    }
    Ok(found)
}
