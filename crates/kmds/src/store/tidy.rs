//! The work after a start, and the operator's commands on the whole cache.
//!
//! Owns the mark of another instance, removing partial files that no job continues, and finishing what
//! [`super::compare`] begins; hashing every file. Each call runs on a thread that may wait. It does not touch a file
//! that is not ours, nor one that is being written.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::busy::patiently;
use super::catalog::{Row, State, WrongSum};
use super::error::{StoreError, io};
use super::evict;
use super::key::Key;
use super::layout::Layout;
use super::published;
use super::shared::Shared;
use super::spot::Spot;

/// Another instance may be between two renames: its newest files are not touched for this long.
pub(super) const OTHERS_GRACE: Duration = Duration::from_secs(60);

/// The work folder of an instance that wrote nothing for this long is removed.
const OTHERS_WORK_KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// How long the bytes of a failed song are kept for the next try; most are never requested again.
const FAILED_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// How many files that are not ours the log names; the others are counted.
const NAMED_FILES: usize = 20;

/// Ends the names of files in a work folder. Any other file there is not ours.
const WORK_ENDS: [&str; 6] = [
    ".part",
    ".note",
    ".staged",
    ".note-new",
    ".staged-new",
    "sidecar-new",
];

/// What [`super::Store::tidy`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tidied {
    pub partials_removed: usize,
    /// Files on the drive that now have a row (and a sidecar).
    pub files_adopted: usize,
    /// Audio of deleted songs, which the drive had refused to remove.
    pub files_removed: usize,
    pub sidecars_removed: usize,
    /// Rows whose file is gone, or is not ours any more.
    pub rows_evicted: usize,
    /// Files that are not ours, as `site/name`; they are left alone.
    pub files_unknown: Vec<String>,
    /// Files that the drive could not read; they are left alone.
    pub files_unread: usize,
    /// Another instance that has marked this folder as its own.
    pub other_owner: Option<Owner>,
}

/// `.kmds-owner.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Random, kept in the state folder.
    pub instance: String,
    pub host: String,
    /// RFC 3339, the last start.
    pub started_at: String,
}

/// The work before catalog and drive are compared.
pub(super) fn begin(shared: &Shared) -> Result<Tidied, StoreError> {
    let mut tidied = Tidied {
        other_owner: mark_folder(shared),
        ..Tidied::default()
    };
    tidied.partials_removed = sweep_partials(shared)?;
    remove_old_work(shared)?;
    Ok(tidied)
}

/// The work after the comparison.
pub(super) fn end(shared: &Shared, tidied: &mut Tidied) -> Result<(), StoreError> {
    check_catalog(shared);
    name_unknown(&mut tidied.files_unknown);
    tidied.rows_evicted += evict::expire_all(shared)?;
    Ok(())
}

/// Reads the whole catalog, if it was too large for that at its opening. A damaged catalog serves what it can, and the
/// next start sets it aside.
fn check_catalog(shared: &Shared) {
    let Some(unchecked) = &shared.unchecked else {
        return;
    };
    if let Err(error) = unchecked.check() {
        shared.in_use.keep();
        tracing::error!(
            %error,
            "the catalog is damaged; restart KMDS: it will set the catalog aside and make a new one from the sidecars on the drive"
        );
    }
}

fn name_unknown(files: &mut [String]) {
    if files.is_empty() {
        return;
    }
    files.sort();
    let named = files.get(..NAMED_FILES).unwrap_or(files);
    tracing::warn!(
        count = files.len(),
        files = ?named,
        "the cache folder holds files that are not ours; they are left alone, and songs with the same names cannot be stored"
    );
}

/// Writes our mark; returns the earlier owner.
fn mark_folder(shared: &Shared) -> Option<Owner> {
    let spot = Layout::owner_mark();
    let before: Option<Owner> = shared
        .cache
        .read(&spot)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    let other = before.filter(|owner| owner.instance != shared.instance);
    if let Some(other) = other.as_ref().filter(|_| !shared.config.is_shared) {
        tracing::warn!(
            other.instance,
            other.host,
            other.started_at,
            "another KMDS marked this cache folder as its own; nothing will break, but give each one its own cache.dir"
        );
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let ours = Owner {
        instance: shared.instance.clone(),
        host: host.trim().to_owned(),
        started_at: Timestamp::now().to_string(),
    };
    let text = serde_json::to_vec_pretty(&ours).unwrap_or_default();
    let temporary = shared.layout.work().join("owner-new");
    if let Err(error) = patiently(|| shared.cache.write_over(&spot, &temporary, &text, false)) {
        tracing::warn!(%error, "the cache folder could not be marked as ours");
    }
    other
}

/// Removes partial files that no job continues; returns how many.
pub(super) fn sweep_partials(shared: &Shared) -> Result<usize, StoreError> {
    let mut removed = 0;
    for name in shared
        .cache
        .names::<Vec<_>>(shared.layout.work())
        .map_err(io("list the work folder"))?
    {
        let Some((song, kind)) = name.rsplit_once('.') else {
            continue;
        };
        let Some(key) = Key::from_work_name(song) else {
            continue;
        };
        let spot = shared.layout.work().join(&name);
        let is_young = is_younger(shared, &spot, FAILED_KEPT);
        // The lock keeps a lease from being published meanwhile.
        let catalog = shared.catalog();
        let state = catalog.row(&key.row_key())?.map(|row| row.state);
        let wanted = match state {
            Some(State::Failed) => is_young,
            state => state.is_some_and(State::is_pending),
        };
        if !wanted
            && !shared.claims.is_writing(&key)
            && shared.cache.remove(&spot).is_ok()
            && kind == "part"
        {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes work folders of instances that are gone: what an instance puts there, and the folder if nothing else is in
/// it.
fn remove_old_work(shared: &Shared) -> Result<(), StoreError> {
    let all = Layout::all_work();
    for instance in shared
        .cache
        .names::<Vec<_>>(&all)
        .map_err(io("list the work folders"))?
    {
        let folder = all.join(&instance);
        let is_one = instance.len() == 16 && instance.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_one
            || folder == *shared.layout.work()
            || is_younger(shared, &folder, OTHERS_WORK_KEPT)
        {
            continue;
        }
        // A link is not a folder, and has no names.
        let Ok(names) = shared.cache.names::<Vec<_>>(&folder) else {
            continue;
        };
        let files: Vec<Spot> = names.iter().map(|name| folder.join(name)).collect();
        if files
            .iter()
            .any(|file| is_younger(shared, file, OTHERS_WORK_KEPT))
        {
            continue;
        }
        for (_, file) in names.iter().zip(&files).filter(|(name, _)| is_work(name)) {
            let _ = shared.cache.remove(file);
        }
        let _ = shared.cache.remove_folder(&folder);
    }
    Ok(())
}

fn is_work(name: &str) -> bool {
    let begins = ["scratch-", "probe-", "owner-new", "needed"];
    WORK_ENDS.iter().any(|end| name.ends_with(end))
        || begins.iter().any(|begin| name.starts_with(begin))
}

/// A file that cannot be checked counts as young.
pub(super) fn is_younger(shared: &Shared, spot: &Spot, age: Duration) -> bool {
    !matches!(shared.cache.look(spot), Ok(Some(found)) if !found.is_younger_than(age))
}

/// Reads all ready rows, and holds the catalog only to read a page.
fn each_ready(
    shared: &Shared,
    mut see: impl FnMut(Row) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let Some((page, end)) = shared.catalog().page_after(after)? else {
            return Ok(());
        };
        after = end;
        page.into_iter()
            .filter(|row| row.state == State::Ready)
            .try_for_each(&mut see)?;
    }
}

/// Evicts a changed file, unless it was published again since `row` was read.
pub(super) fn evict_row(shared: &Shared, row: &Row) -> Result<bool, StoreError> {
    let mut catalog = shared.catalog();
    let same = catalog.row(&row.key)?.is_some_and(|now| {
        (now.state, &now.sha256, now.mtime_ns) == (row.state, &row.sha256, row.mtime_ns)
    });
    if same {
        evict::evict(
            shared,
            &mut catalog,
            &published::file_of(row),
            State::Evicted,
        )?;
    }
    Ok(same)
}

/// The result of [`super::Store::verify`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Every file, and whether it is as it was published.
    pub files: HashMap<Key, bool>,
    /// Sums of the catalog that were wrong, and are right now.
    pub sums: Vec<WrongSum>,
}

/// Hashes every ready file and counts every row (`kmds cache verify`). Rows whose file is not what was published are
/// evicted.
pub(super) fn verify(shared: &Shared) -> Result<Verified, StoreError> {
    let sums = shared.catalog().correct_sums()?;
    let mut verdicts = HashMap::new();
    each_ready(shared, |row| {
        let found = published::hash_of(shared, &row.key, row.format);
        let good = found
            .as_ref()
            .is_ok_and(|found| found.is_some() && *found == row.sha256);
        // If the drive does not answer, or is not mounted, nothing is known.
        let folder = Layout::site(row.key.track().site());
        if !good && found.is_ok() && matches!(shared.cache.look(&folder), Ok(Some(_))) {
            evict_row(shared, &row)?;
        }
        verdicts.insert(row.key, good);
        Ok(())
    })?;
    Ok(Verified {
        files: verdicts,
        sums,
    })
}
