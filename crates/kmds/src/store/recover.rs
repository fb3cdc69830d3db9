//! Picking up what an earlier run left behind.
//!
//! Owns reading the drive back into the catalog: publishes that a kill interrupted, and all of it when the catalog was lost.
//! Never checks audio; believes a sidecar only when the file beside it is the one it tells of.

use std::collections::HashSet;
use std::fs;

use kmds_extract::Site;

use super::Shared;
use super::catalog::{Catalog, Row};
use super::error::StoreError;
use super::key::{Key, extensions, parse_file_name};
use super::layout::remove;
use super::lease::remove_part;
use super::publish::{read_beside, sha256};
use super::sidecar::Sidecar;

pub(super) const SITES: [Site; 4] = [Site::YouTube, Site::SoundCloud, Site::Bandcamp, Site::Other];

/// Names in a site's folder; none if there is no such folder.
pub(super) fn names_in(shared: &Shared, site: Site) -> HashSet<String> {
    let Ok(entries) = fs::read_dir(shared.layout.cache().join(site.as_str())) else { return HashSet::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Finishes, for songs that the catalog thinks unfinished, what a kill left undone between rename and row.
/// Returns how many turned out to be published.
pub(super) fn interrupted(shared: &Shared, catalog: &mut Catalog, pending: &[Row]) -> Result<usize, StoreError> {
    if pending.is_empty() {
        return Ok(0);
    }
    for row in pending.iter().filter(|row| !shared.in_use.is_writing(&row.key)) {
        place_staged(shared, &row.key);
    }
    let names: Vec<(Site, HashSet<String>)> = SITES.map(|site| (site, names_in(shared, site))).into();
    let mut found = 0;
    for row in pending.iter().filter(|row| !shared.in_use.is_writing(&row.key)) {
        let Some((_, names)) = names.iter().find(|(site, _)| *site == row.key.track().site()) else { continue };
        for ext in extensions().filter(|ext| names.contains(&format!("{}.json", row.key.file_name(ext)))) {
            found += usize::from(unless_unread(adopt_own(shared, catalog, &row.key, ext), &row.key)?);
        }
    }
    Ok(found)
}

/// A staged sidecar whose part file is gone belongs to audio that was renamed already: it follows. Any other is stale.
fn place_staged(shared: &Shared, key: &Key) {
    let staged = shared.layout.staged(key);
    let Ok(text) = fs::read(&staged) else { return };
    let renamed = !shared.layout.part(key).exists();
    let placed = renamed && Sidecar::parse(&text).is_some_and(|sidecar| place(shared, key, &sidecar));
    if !placed {
        let _ = remove(&staged);
    }
}

fn place(shared: &Shared, key: &Key, sidecar: &Sidecar) -> bool {
    let Some(ext) = extensions().find(|ext| key.file_name(ext) == sidecar.file) else { return false };
    let audio = shared.layout.audio(key, ext);
    let same = fs::metadata(&audio).is_ok_and(|found| found.len() == sidecar.size_bytes)
        && sha256(&audio).is_ok_and(|found| found == sidecar.sha256);
    same && fs::rename(shared.layout.staged(key), shared.layout.sidecar(key, ext)).is_ok()
}

/// Takes a file for its own row, if the sidecar says it is that rendition's and the bytes are the ones hashed.
fn adopt_own(shared: &Shared, catalog: &mut Catalog, key: &Key, ext: &str) -> Result<bool, StoreError> {
    let Some((_, file)) = read_beside(shared, key, ext)? else { return Ok(false) };
    if file.key != *key || !adopt(shared, catalog, key, ext, Trust::Hash)? {
        return Ok(false);
    }
    remove_part(shared, key)?;
    Ok(true)
}

/// How well a file must be the one its sidecar tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The same length: when a whole drive is read in, hashing it would take hours.
    Length,
    Hash,
}

/// Makes the file that stands under this name ready in the catalog, by its sidecar. `false` if that is not to be believed.
pub(super) fn adopt(
    shared: &Shared,
    catalog: &mut Catalog,
    found_as: &Key,
    ext: &str,
    trust: Trust,
) -> Result<bool, StoreError> {
    let Some((track, file)) = read_beside(shared, found_as, ext)? else { return Ok(false) };
    if trust == Trust::Hash && sha256(&shared.layout.audio(&file.key, &file.ext))? != file.sha256 {
        return Ok(false);
    }
    catalog.keep_track(&track)?;
    catalog.set_ready(&file)?;
    Ok(true)
}

/// A file the drive does not give is passed by: it may give it at the next start.
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
pub(super) fn rebuild(shared: &Shared, catalog: &mut Catalog) -> Result<usize, StoreError> {
    let mut found = 0;
    for site in SITES {
        let names = names_in(shared, site);
        for name in &names {
            let Some((key, ext)) = parse_file_name(site, name) else { continue };
            if names.contains(&format!("{name}.json")) {
                found += usize::from(unless_unread(adopt(shared, catalog, &key, ext, Trust::Length), &key)?);
            }
        }
    }
    Ok(found)
}
