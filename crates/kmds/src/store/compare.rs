//! Compares catalog and drive after a start.
//!
//! Owns the comparison of both: the sites' folders first, then the rows, a page at a time. Between two pages other
//! tasks can use the catalog and the drive. For each row two bits record what the folder showed, so a cache of a
//! million songs needs a quarter of a megabyte here, and no file is read twice.
//!
//! A file that appears or disappears meanwhile does no harm: the bits only save work, and before any change the file
//! and the row are read again. It does not touch a file that is not ours, nor one that is being written.

use std::time::Duration;

use kmds_extract::{Format, Site};

use super::cache_folder::Names;
use super::catalog::{ReadyFile, Row, State};
use super::error::{StoreError, io};
use super::evict;
use super::key::{Key, Rendition, parse_file_name};
use super::layout::Layout;
use super::published::{self, FileState};
use super::recover::{self, Trust};
use super::shared::Shared;
use super::sidecar::{Sidecar, describe_again};
use super::tidy::{OTHERS_GRACE, Tidied, evict_row, is_younger};

/// Names of one page. Checking a file takes some 10 µs of processor here, on a network drive a millisecond or more.
const PAGE_NAMES: usize = 256;

/// The pause after each page, for other users of the drive and the processor: 100,000 songs take some ten seconds.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

/// The progress of the comparison.
pub(super) struct Comparison {
    at: ComparePlace,
    /// By `seq` of the row of a name in the folder: whether its audio, and its sidecar, are there.
    audio: Bits,
    sidecars: Bits,
    pub(super) tidied: Tidied,
}

enum ComparePlace {
    /// In the sites' folders: how many are done.
    Sites(usize),
    Folder {
        site: usize,
        names: Names,
    },
    /// In the rows: after this `seq`.
    Rows(i64),
    End,
}

/// The result of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// It read almost nothing.
    Empty,
    Full,
    /// There are no more.
    Last,
}

impl Comparison {
    pub(super) const fn new(tidied: Tidied) -> Self {
        Self {
            at: ComparePlace::Sites(0),
            audio: Bits::new(),
            sidecars: Bits::new(),
            tidied,
        }
    }

    /// Goes through one more page.
    pub(super) fn step(&mut self, shared: &Shared) -> Result<Page, StoreError> {
        match std::mem::replace(&mut self.at, ComparePlace::End) {
            ComparePlace::Sites(done) => {
                let Some(site) = recover::SITES.get(done) else {
                    self.at = ComparePlace::Rows(0);
                    return Ok(Page::Empty);
                };
                // No folder, so no names. Its rows are still checked.
                self.at = match shared.cache.listing(&Layout::site(*site)) {
                    Ok(names) => ComparePlace::Folder { site: done, names },
                    Err(_) => ComparePlace::Sites(done + 1),
                };
                Ok(Page::Empty)
            }
            ComparePlace::Folder { site, mut names } => {
                // If the drive stops answering in the middle of a folder, the rows do the rest.
                let page: Vec<String> = names
                    .by_ref()
                    .map_while(Result::ok)
                    .take(PAGE_NAMES)
                    .collect();
                self.at = match page.len() {
                    PAGE_NAMES => ComparePlace::Folder { site, names },
                    _ => ComparePlace::Sites(site + 1),
                };
                if let Some(site) = recover::SITES.get(site) {
                    self.folder_page(shared, *site, &page)?;
                }
                Ok(if page.is_empty() {
                    Page::Empty
                } else {
                    Page::Full
                })
            }
            ComparePlace::Rows(after) => {
                let Some((rows, end)) = shared.catalog().page_after(after)? else {
                    return Ok(Page::Last);
                };
                self.at = ComparePlace::Rows(end);
                let page = if rows.is_empty() {
                    Page::Empty
                } else {
                    Page::Full
                };
                for row in rows {
                    self.check_row(shared, &row)?;
                }
                Ok(page)
            }
            ComparePlace::End => Ok(Page::Last),
        }
    }

    fn folder_page(
        &mut self,
        shared: &Shared,
        site: Site,
        names: &[String],
    ) -> Result<(), StoreError> {
        let mut files = Vec::with_capacity(names.len());
        for name in names {
            let audio_name = name.strip_suffix(".json");
            match parse_file_name(site, audio_name.unwrap_or(name)) {
                Some((key, format)) => files.push((key, format, audio_name.is_some())),
                None => {
                    let unknown = Layout::site(site).join(name).to_string();
                    self.tidied.files_unknown.push(unknown);
                }
            }
        }
        let keys: Vec<Key> = files.iter().map(|(key, ..)| key.clone()).collect();
        let rows = shared.catalog().seqs_of(&keys)?;
        for ((key, format, is_sidecar), seq) in files.into_iter().zip(rows) {
            // A copy's name does not tell the arrived form, so it is checked alone.
            match (seq.filter(|_| !key.is_copy()), is_sidecar) {
                (Some(seq), true) => self.sidecars.set(seq),
                (Some(seq), false) => self.audio.set(seq),
                (None, true) => self.check_sidecar(shared, &key, format)?,
                (None, false) => self.check_audio(shared, &key, format)?,
            }
        }
        Ok(())
    }

    fn check_row(&mut self, shared: &Shared, row: &Row) -> Result<(), StoreError> {
        // The key and the file that this row's bits stand for.
        let named = match row.key.rendition() {
            Rendition::Original(format) => Some(format),
            Rendition::Copy(_) | Rendition::Raw(_) => None,
        };
        let is_own = named == Some(row.format);
        let (audio, sidecar) = (self.audio.get(row.seq), self.sidecars.get(row.seq));
        if row.state == State::Ready {
            let stands = self.check_ready(shared, row)?;
            if stands && !(is_own && audio && sidecar) {
                self.check_beside(shared, row)?;
            }
            if is_own {
                return Ok(());
            }
        }
        let Some(format) = named else { return Ok(()) };
        match (audio, sidecar) {
            (true, _) => self.check_audio(shared, &row.key, format),
            (false, true) => self.check_sidecar(shared, &row.key, format),
            (false, false) => Ok(()),
        }
    }

    /// Checks that a ready row's file is there as it was published. If not, the row is changed.
    fn check_ready(&mut self, shared: &Shared, row: &Row) -> Result<bool, StoreError> {
        let standing = match published::standing(shared, row) {
            Err(StoreError::Io { source, .. }) => {
                tracing::warn!(%source, song = %row.key, "a file on the drive is left alone");
                self.tidied.files_unread += 1;
                return Ok(false);
            }
            found => found?,
        };
        match standing {
            FileState::Whole => {}
            FileState::Touched { mtime_ns } => shared.catalog().note_mtime(&row.key, mtime_ns)?,
            FileState::Missing | FileState::Changed => {
                let evicted = evict_row(shared, row);
                let evicted = self.unless_refused(evicted, &row.key.file_name(row.format))?;
                self.tidied.rows_evicted += usize::from(evicted == Some(true));
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A ready file whose sidecar was not seen.
    fn check_beside(&mut self, shared: &Shared, row: &Row) -> Result<(), StoreError> {
        let name = row.key.file_name(row.format);
        match parse_file_name(row.key.track().site(), &name) {
            Some((key, format)) => self.check_audio(shared, &key, format),
            None => Ok(()),
        }
    }

    /// Audio in a folder that may lack its row, its sidecar or both.
    fn check_audio(
        &mut self,
        shared: &Shared,
        key: &Key,
        format: Format,
    ) -> Result<(), StoreError> {
        if self.is_in_hand(shared, key, &key.file_name(format)) {
            return Ok(());
        }
        let name = key.file_name(format);
        let rows = shared.catalog().renditions(key.track())?;
        let is_ready = rows
            .iter()
            .any(|row| row.state == State::Ready && row.key.file_name(row.format) == name);
        let has_sidecar = matches!(
            shared.cache.look(&Layout::sidecar(key, format)),
            Ok(Some(_))
        );
        let is_there = !matches!(shared.cache.look(&Layout::audio(key, format)), Ok(None));
        if !is_there || (is_ready && has_sidecar) {
            return Ok(());
        }
        let taken = take(shared, key, format, &mut self.tidied);
        self.unless_refused(taken, &name).map(drop)
    }

    /// An error of the drive for one file is logged, and does not end the comparison.
    fn unless_refused<T>(
        &mut self,
        done: Result<T, StoreError>,
        file: &str,
    ) -> Result<Option<T>, StoreError> {
        match done {
            Err(error @ StoreError::Io { .. }) => {
                tracing::warn!(%error, file, "a file on the drive is left alone");
                self.tidied.files_unread += 1;
                Ok(None)
            }
            done => done.map(Some),
        }
    }

    /// A sidecar in a folder that may have lost its audio.
    fn check_sidecar(
        &mut self,
        shared: &Shared,
        key: &Key,
        format: Format,
    ) -> Result<(), StoreError> {
        let spot = Layout::sidecar(key, format);
        let name = format!("{}.json", key.file_name(format));
        let is_alone =
            |shared: &Shared| matches!(shared.cache.look(&Layout::audio(key, format)), Ok(None));
        if !is_alone(shared) || self.is_in_hand(shared, key, &name) {
            return Ok(());
        }
        let Ok(text) = shared.cache.read(&spot) else {
            if !matches!(shared.cache.look(&spot), Ok(None)) {
                self.tidied.files_unknown.push(spot.to_string());
            }
            return Ok(());
        };
        let _catalog = shared.catalog();
        if shared.claims.is_writing_track(key.track()) || !is_alone(shared) {
            return Ok(());
        }
        if !Sidecar::is_of(&text, key, format) {
            self.tidied.files_unknown.push(spot.to_string());
            return Ok(());
        }
        let removed = shared.cache.remove(&spot).map_err(io("remove a sidecar"));
        let removed = self.unless_refused(removed, &name)?;
        self.tidied.sidecars_removed += usize::from(removed.is_some());
        Ok(())
    }

    /// Whether this process, or another one on this drive, may be between two renames of the file.
    fn is_in_hand(&self, shared: &Shared, key: &Key, name: &str) -> bool {
        let spot = Layout::site(key.track().site()).join(name);
        let has_others = shared.config.is_shared || self.tidied.other_owner.is_some();
        (has_others && is_younger(shared, &spot, OTHERS_GRACE))
            || shared.claims.is_writing_track(key.track())
    }
}

/// A file without its row, its sidecar or both: it is ours if a sidecar, a staged sidecar or a row describes these very
/// bytes.
fn take(shared: &Shared, key: &Key, format: Format, tidied: &mut Tidied) -> Result<(), StoreError> {
    let rows: Vec<Row> = shared.catalog().renditions(key.track())?;
    let row = rows
        .iter()
        .find(|row| row.key.file_name(row.format) == key.file_name(format));
    if let Some(row) = row {
        recover::place_staged(shared, &row.key, format)?;
    }
    if row.is_none_or(|row| row.state != State::Ready)
        && recover::adopt(shared, key, format, Trust::Hash)?
    {
        tidied.files_adopted += 1;
        return Ok(());
    }
    let hash = match rows.iter().any(|row| row.sha256.is_some()) {
        true => published::hash_of(shared, key, format)?,
        false => None,
    };
    let mut catalog = shared.catalog();
    if shared.claims.is_writing_track(key.track()) {
        return Ok(());
    }
    let same = |row: &&Row| hash.is_some() && row.sha256 == hash;
    let Some(row) = rows.iter().find(same) else {
        tidied
            .files_unknown
            .push(Layout::audio(key, format).to_string());
        return Ok(());
    };
    let now = catalog.row(&row.key)?.map(|now| (now.state, now.sha256));
    if row.key.file_name(row.format) != key.file_name(format)
        || now != Some((row.state, row.sha256.clone()))
    {
        // Ours, but useless: the next fetch of its song replaces it.
        return Ok(());
    }
    if row.state == State::Deleted {
        // The drive refused to remove it.
        evict::evict(
            shared,
            &mut catalog,
            &published::file_of(row),
            State::Deleted,
        )?;
        tidied.files_removed += 1;
        return Ok(());
    }
    if let Some(file) = ReadyFile::of(row, &row.key).filter(|_| row.state != State::Ready) {
        catalog.set_ready(&file)?;
    }
    tidied.files_adopted += usize::from(describe_again(shared, &catalog, &row.key)?);
    Ok(())
}

/// One bit for each `seq`.
struct Bits(Vec<u64>);

impl Bits {
    const fn new() -> Self {
        Self(Vec::new())
    }

    fn place(seq: i64) -> Option<(usize, u64)> {
        let seq = u64::try_from(seq).ok()?;
        Some((usize::try_from(seq / 64).ok()?, 1 << (seq % 64)))
    }

    fn set(&mut self, seq: i64) {
        let Some((word, bit)) = Self::place(seq) else {
            return;
        };
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    fn get(&self, seq: i64) -> bool {
        let found = Self::place(seq).and_then(|(word, bit)| Some((self.0.get(word)?, bit)));
        found.is_some_and(|(word, bit)| word & bit != 0)
    }
}
