//! Making catalog and drive agree, after the start.
//!
//! Owns what becomes of partials nobody will continue, audio without a sidecar, sidecars without audio, rows without a
//! file, and another instance's mark. Never touches a file it does not know, nor one that is being written.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use kmds_extract::track::BandcampSource;
use kmds_extract::{Site, Source, Track, TrackId};
use serde::{Deserialize, Serialize};

use super::catalog::{Candidate, ReadyFile, Row, State};
use super::error::{StoreError, io};
use super::key::{Key, etag, parse_file_name};
use super::layout::{remove, write_whole};
use super::publish::{Checked, mtime_ns, sha256};
use super::recover::{self, Trust};
use super::sidecar::Sidecar;
use super::{Shared, evict};

/// Another instance may be between two renames: its newest files are left alone for so long.
const OTHERS_GRACE: Duration = Duration::from_secs(60);

/// The work folder of an instance that was not heard of for so long is removed.
const OTHERS_WORK_KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Bytes of a failed song are kept so long for the next try: nobody comes for most of them.
const FAILED_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// What [`super::Store::tidy`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tidied {
    pub partials_removed: usize,
    /// Files that stood on the drive and now have a row (and a sidecar).
    pub files_adopted: usize,
    /// Audio without a sidecar that is not whole.
    pub files_removed: usize,
    pub sidecars_removed: usize,
    /// Rows whose file is gone or is not ours any more.
    pub rows_evicted: usize,
    /// Not ours; left alone.
    pub files_unknown: usize,
    /// The drive did not give them; left alone.
    pub files_unread: usize,
    /// Who else marked this folder as its own.
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

/// Tells whether a file is whole audio: the open file, its extension, and the length it should have. An error is the
/// drive's, and says nothing about the file.
pub(super) type Check<'a> = &'a dyn Fn(&File, &str, Option<Duration>) -> std::io::Result<Option<Checked>>;

pub(super) fn run(shared: &Shared, check: Check<'_>) -> Result<Tidied, StoreError> {
    let mut tidied = Tidied { other_owner: mark_folder(shared), ..Tidied::default() };
    tidied.partials_removed = sweep_partials(shared)?;
    remove_old_work(shared)?;
    check_rows(shared, &mut tidied)?;
    for site in recover::SITES {
        check_folder(shared, site, check, &mut tidied)?;
    }
    tidied.rows_evicted += evict::expire(shared, &mut shared.catalog())?;
    if tidied.files_unknown > 0 {
        tracing::warn!(
            files = tidied.files_unknown,
            "the cache folder holds files that are not ours; they are left alone"
        );
    }
    Ok(tidied)
}

/// Puts our mark; returns whose was there.
fn mark_folder(shared: &Shared) -> Option<Owner> {
    let path = shared.layout.owner_mark();
    let before: Option<Owner> = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let other = before.filter(|owner| owner.instance != shared.instance);
    if let Some(other) = &other {
        tracing::warn!(
            other.instance,
            other.host,
            other.started_at,
            "another KMDS marked this cache folder as its own; nothing will break, but give each one its own cache.dir"
        );
    }
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let ours = Owner {
        instance: shared.instance.clone(),
        host: host.trim().to_owned(),
        started_at: Timestamp::now().to_string(),
    };
    let text = serde_json::to_vec_pretty(&ours).unwrap_or_default();
    if let Err(error) = write_whole(&path, &shared.layout.work().join("owner-new"), &text, false) {
        tracing::warn!(%error, "the cache folder could not be marked as ours");
    }
    other
}

/// Removes partial files that nobody will go on with; returns how many.
pub(super) fn sweep_partials(shared: &Shared) -> Result<usize, StoreError> {
    let mut removed = 0;
    for entry in fs::read_dir(shared.layout.work()).map_err(io("list the work folder"))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((song, kind)) = name.rsplit_once('.') else { continue };
        let Some(key) = Key::from_work_name(song) else { continue };
        // The lock keeps a lease from being published meanwhile.
        let catalog = shared.catalog();
        let state = catalog.row(&key.row_key())?.map(|row| row.state);
        let wanted = match state {
            Some(State::Failed) => is_younger(&entry.path(), FAILED_KEPT),
            state => state.is_some_and(State::is_pending),
        };
        if !wanted && !shared.in_use.is_writing(&key) && remove(&entry.path()).is_ok() && kind == "part" {
            removed += 1;
        }
    }
    Ok(removed)
}

fn remove_old_work(shared: &Shared) -> Result<(), StoreError> {
    for entry in fs::read_dir(shared.layout.all_work()).map_err(io("list the work folders"))?.flatten() {
        if entry.path() != shared.layout.work() && untouched_for(&entry.path(), OTHERS_WORK_KEPT) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

/// Neither the folder nor a file in it changed for `age`.
fn untouched_for(folder: &Path, age: Duration) -> bool {
    let inside = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    inside.chain([folder.to_owned()]).all(|path| !is_younger(&path, age))
}

fn is_younger(path: &Path, age: Duration) -> bool {
    let changed = fs::metadata(path).and_then(|found| found.modified()).ok();
    changed.and_then(|at| SystemTime::now().duration_since(at).ok()).is_none_or(|found| found < age)
}

/// Whether a ready row's file is on the drive as it was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Whole,
    /// Whole, but with another time than noted.
    Touched {
        mtime_ns: i64,
    },
    Missing,
    /// Somebody wrote into it.
    Changed,
}

/// Whether a file of the right length is there, without reading it.
pub(super) fn looks_whole(shared: &Shared, row: &Row) -> bool {
    let found = fs::metadata(shared.layout.audio(&row.key, &row.ext));
    match found {
        Ok(metadata) => metadata.is_file() && Some(metadata.len()) == row.size_bytes,
        // A drive that does not answer says nothing against the file.
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// # Errors
/// [`StoreError::Io`] when the drive does not answer: then nothing is known.
pub(super) fn standing(shared: &Shared, row: &Row) -> Result<Standing, StoreError> {
    let path = shared.layout.audio(&row.key, &row.ext);
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Standing::Missing),
        Err(error) => return Err(io("look at a file")(error)),
    };
    if !metadata.is_file() || Some(metadata.len()) != row.size_bytes {
        return Ok(Standing::Changed);
    }
    let found = mtime_ns(&metadata);
    if Some(found) == row.mtime_ns {
        return Ok(Standing::Whole);
    }
    let same = match sha256(&path) {
        Err(error) if error.is_missing() => return Ok(Standing::Missing),
        found => Some(found?) == row.sha256,
    };
    Ok(if same { Standing::Touched { mtime_ns: found } } else { Standing::Changed })
}

fn check_rows(shared: &Shared, tidied: &mut Tidied) -> Result<(), StoreError> {
    each_ready(shared, |row| {
        match standing(shared, &row)? {
            Standing::Whole => {}
            Standing::Touched { mtime_ns } => shared.catalog().note_mtime(&row.key, mtime_ns)?,
            Standing::Missing | Standing::Changed => tidied.rows_evicted += usize::from(evict_row(shared, &row)?),
        }
        Ok(())
    })
}

/// Goes through all ready rows, holding the catalog only to read a page.
fn each_ready(shared: &Shared, mut see: impl FnMut(Row) -> Result<(), StoreError>) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let page = shared.catalog().ready_after(after)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.seq;
        page.into_iter().try_for_each(&mut see)?;
    }
}

/// Evicts a file that is not as published, unless it was published anew since `row` was read.
fn evict_row(shared: &Shared, row: &Row) -> Result<bool, StoreError> {
    let mut catalog = shared.catalog();
    let same = catalog
        .row(&row.key)?
        .is_some_and(|now| (now.state, &now.sha256, now.mtime_ns) == (row.state, &row.sha256, row.mtime_ns));
    if same {
        evict::evict(shared, &mut catalog, &file_of(row), State::Evicted)?;
    }
    Ok(same)
}

pub(super) fn file_of(row: &Row) -> Candidate {
    Candidate {
        key: row.key.clone(),
        ext: row.ext.clone(),
        size_bytes: row.size_bytes.unwrap_or(0),
        read_at: Timestamp::UNIX_EPOCH,
    }
}

fn check_folder(shared: &Shared, site: Site, check: Check<'_>, tidied: &mut Tidied) -> Result<(), StoreError> {
    let names = recover::names_in(shared, site);
    let mut ready = HashSet::new();
    each_ready(shared, |row| {
        if row.key.track().site() == site {
            ready.insert(row.key.file_name(&row.ext));
        }
        Ok(())
    })?;
    let folder = shared.layout.cache().join(site.as_str());
    let others = tidied.other_owner.is_some();
    for name in &names {
        let audio_name = name.strip_suffix(".json").unwrap_or(name);
        let Some((key, ext)) = parse_file_name(site, audio_name) else {
            tidied.files_unknown += 1;
            continue;
        };
        let in_hand = others && is_younger(&folder.join(name), OTHERS_GRACE);
        if in_hand || shared.in_use.is_writing_track(key.track()) {
            continue;
        }
        if audio_name != name {
            if !names.contains(audio_name) {
                drop_orphan(shared, &key, ext, tidied)?;
            }
        } else if !(ready.contains(name) && names.contains(&format!("{name}.json"))) {
            match check_file(shared, &key, ext, check, tidied) {
                Err(error @ StoreError::Io { .. }) => {
                    tracing::warn!(%error, file = name, "a file on the drive is left alone");
                    tidied.files_unread += 1;
                }
                done => done?,
            }
        }
    }
    Ok(())
}

fn drop_orphan(shared: &Shared, key: &Key, ext: &str, tidied: &mut Tidied) -> Result<(), StoreError> {
    let _catalog = shared.catalog();
    let path = shared.layout.sidecar(key, ext);
    if shared.layout.audio(key, ext).exists() || !path.exists() {
        return Ok(());
    }
    if fs::read(&path).ok().and_then(|text| Sidecar::parse(&text)).is_none() {
        tidied.files_unknown += 1;
        return Ok(());
    }
    remove(&path).map_err(io("remove a sidecar"))?;
    tidied.sidecars_removed += 1;
    Ok(())
}

/// A file that lacks its row, its sidecar or both.
fn check_file(shared: &Shared, key: &Key, ext: &str, check: Check<'_>, tidied: &mut Tidied) -> Result<(), StoreError> {
    let mut catalog = shared.catalog();
    let audio = shared.layout.audio(key, ext);
    let Ok(file) = File::open(&audio) else { return Ok(()) };
    let rows: Vec<Row> = catalog.rows_of(key.track())?;
    let row = rows.iter().find(|row| row.key.file_name(&row.ext) == key.file_name(ext));
    if row.is_none_or(|row| row.state != State::Ready) && recover::adopt(shared, &mut catalog, key, ext, Trust::Hash)? {
        tidied.files_adopted += 1;
        return Ok(());
    }
    let known = catalog.track(key.track())?.or_else(|| nameless(key.track()));
    let found = known.as_ref().map(|track| check(&file, ext, track.duration)).transpose();
    let found = found.map_err(io("read a file"))?.flatten();
    let Some((found, track)) = found.zip(known) else {
        remove(&shared.layout.sidecar(key, ext)).map_err(io("remove a sidecar"))?;
        remove(&audio).map_err(io("remove a file"))?;
        if let Some(row) = row.filter(|row| row.state == State::Ready) {
            evict::evict(shared, &mut catalog, &file_of(row), State::Evicted)?;
        }
        tidied.files_removed += 1;
        return Ok(());
    };
    let ready = describe(shared, key, ext, row, &file, found)?;
    let temporary = shared.layout.work().join("sidecar-new");
    let text = Sidecar::new(&track, &ready).to_json();
    write_whole(&shared.layout.sidecar(key, ext), &temporary, &text, true).map_err(io("write a sidecar"))?;
    catalog.keep_track(&track)?;
    catalog.set_ready(&ready)?;
    tidied.files_adopted += 1;
    Ok(())
}

/// A row for audio that nobody but the check vouches for. A row that is ready keeps what it says.
fn describe(
    shared: &Shared,
    found_as: &Key,
    ext: &str,
    row: Option<&Row>,
    file: &File,
    found: Checked,
) -> Result<ReadyFile, StoreError> {
    let metadata = file.metadata().map_err(io("look at a file"))?;
    let key = row.map_or_else(|| found_as.clone(), |row| row.key.clone());
    let sha256 = sha256(&shared.layout.audio(&key, ext))?;
    let same = row.filter(|row| row.sha256.as_ref() == Some(&sha256));
    // Unknown bytes are their own source.
    let validator = same.and_then(|row| row.validator.clone()).unwrap_or_else(|| format!("sha256 {sha256}"));
    Ok(ReadyFile {
        etag: etag(&key, &validator, metadata.len()),
        ext: ext.to_owned(),
        size_bytes: metadata.len(),
        sha256,
        mtime_ns: mtime_ns(&metadata),
        validator,
        stream: same.and_then(|row| row.stream.clone()).unwrap_or_else(|| "found on the drive".to_owned()),
        container: found.container,
        codec: found.codec,
        bitrate_bps: found.bitrate_bps,
        duration_ms: found.duration.and_then(|length| u64::try_from(length.as_millis()).ok()),
        published_at: same.and_then(|row| row.published_at).unwrap_or_else(Timestamp::now),
        human_name: row.map_or_else(|| found_as.file_name(ext), |row| row.human_name.clone()),
        key,
    })
}

/// A song of which only the id is known.
fn nameless(id: &TrackId) -> Option<Track> {
    let source = match id.site() {
        Site::YouTube => Source::YouTube { video: id.id().to_owned() },
        Site::SoundCloud => Source::SoundCloud { id: id.id().parse().ok()?, secret: None },
        Site::Bandcamp => {
            Source::Bandcamp(BandcampSource { page: None, track_id: id.id().parse().ok()?, band_id: None })
        }
        Site::Other => return None,
    };
    Some(Track::new(id.clone(), source, String::new(), id.id().to_owned()))
}

/// Hashes every ready file (`kmds cache verify`). Rows whose file is not what was published are evicted.
pub(super) fn verify(shared: &Shared) -> Result<HashMap<Key, bool>, StoreError> {
    let mut verdicts = HashMap::new();
    each_ready(shared, |row| {
        let path = shared.layout.audio(&row.key, &row.ext);
        let found = sha256(&path);
        let good = found.as_ref().is_ok_and(|found| Some(found) == row.sha256.as_ref());
        // Of a drive that does not answer, or is not mounted, nothing can be said.
        let is_known = found.is_ok() || !path.exists();
        if !good && is_known && path.parent().is_some_and(Path::exists) {
            evict_row(shared, &row)?;
        }
        verdicts.insert(row.key, good);
        Ok(())
    })?;
    Ok(verdicts)
}
