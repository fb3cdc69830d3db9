//! Eviction: which files are removed when room is needed.
//!
//! Owns the budget (`cache.max_bytes`), the floor (`cache.min_free_bytes`), the age (`cache.max_age`) and the order:
//! least recently read first. It never removes a file that is being read or written, that is held ([`super::holds`]),
//! or that another instance needs ([`super::needed`]). It removes nothing if that would not make enough room.
//!
//! Many files are removed in batches: between two batches the lock of the catalog is free, so that no request waits for
//! all of them. A song waits for its own room only. After `cache.max_bytes` was lowered, [`shrink`] removes the rest.
//! The notes of other instances are read while the lock is free: the drive may take long to give them.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kmds_extract::TrackId;
use parking_lot::MutexGuard;

use super::catalog::{Candidate, Catalog, ReadyFile, Row, State};
use super::error::{SpaceLimit, StoreError, io};
use super::key::Key;
use super::layout::Layout;
use super::needed::{self, ByOthers};
use super::shared::Shared;
use super::sidecar::describe_again;
use super::spot::is_not_ours;

/// Room to reserve if the site states no length: a song of an hour at 128 kbit/s is four times that, most are a third.
const UNKNOWN_LENGTH_BYTES: u64 = 16 << 20;

/// The files of one batch, which are removed under one hold of the catalog's lock: at most this many, and no further
/// file after this time.
const BATCH_FILES: usize = 64;
const BATCH_TIME: Duration = Duration::from_millis(2);

/// The largest possible size of one song, if every evictable file were removed. Held files stay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Most {
    held: u64,
    budget: u64,
    /// `None` if the drive does not tell its space.
    above_floor: Option<u64>,
}

impl Most {
    pub(super) fn of(shared: &Shared, catalog: &Catalog) -> Result<Self, StoreError> {
        let claimed = shared.claims.claimed_beside(None);
        let ours = catalog
            .ready_bytes()?
            .saturating_add(claimed.whole - claimed.unwritten);
        let held = catalog.held_sum(Timestamp::now())?.bytes;
        let stays = shared.config.min_free_bytes.saturating_add(held);
        let above_floor = shared
            .free_bytes()
            .map(|free| free.saturating_add(ours).saturating_sub(stays));
        Ok(Self {
            held,
            budget: shared.config.max_bytes.saturating_sub(held),
            above_floor,
        })
    }

    /// Whether there can be room for at least one song of these lengths.
    /// # Errors
    /// [`StoreError::DiskFull`]: waiting will not help.
    pub(super) fn holds_any(
        self,
        lengths: impl Iterator<Item = Option<u64>>,
    ) -> Result<(), StoreError> {
        let least = lengths
            .map(|length| length.unwrap_or(UNKNOWN_LENGTH_BYTES))
            .min();
        least.map_or(Ok(()), |least| self.holds(least))
    }

    /// # Errors
    /// [`StoreError::DiskFull`]: waiting will not help.
    fn holds(self, need_bytes: u64) -> Result<(), StoreError> {
        let within = |have_bytes, limit| {
            if need_bytes <= have_bytes {
                return Ok(());
            }
            Err(StoreError::DiskFull {
                need_bytes,
                have_bytes,
                held_bytes: self.held,
                limit,
            })
        };
        within(self.budget, SpaceLimit::MaxBytes)?;
        self.above_floor
            .map_or(Ok(()), |have| within(have, SpaceLimit::MinFree))
    }
}

/// Makes room for `need` bytes of `key`, of which `written` are on the drive. The room is claimed before the first file
/// is evicted, so that no other song takes it between two batches.
pub(super) fn reserve(
    shared: &Shared,
    key: &Key,
    need: Option<u64>,
    written: u64,
) -> Result<(), StoreError> {
    let need = need.unwrap_or(UNKNOWN_LENGTH_BYTES).max(written);
    let mut catalog = shared.catalog();
    expire(shared, &mut catalog)?;
    let mut missing = Missing::of(shared, &catalog, key, need, written)?;
    let mut needed = ByOthers::default();
    if missing.short() > 0 && shared.config.is_shared {
        needed = needed_by_others(shared, &mut catalog);
        missing = Missing::of(shared, &catalog, key, need, written)?;
    }
    let short = missing.short();
    let full = |found: Chosen| StoreError::DiskFull {
        need_bytes: need - written,
        have_bytes: (need - written).saturating_sub(short.saturating_sub(found.bytes)),
        held_bytes: found.held_bytes,
        limit: missing.limit(),
    };
    if short > 0 && !is_enough(shared, &catalog, &needed, short)? {
        return Err(full(choose(shared, &catalog, &needed, short, usize::MAX)?));
    }
    // The budget may have been lowered by more than the song needs.
    let own = missing.of_budget.min(need).max(missing.of_drive);
    if own < short {
        shared.over_budget.notify_one();
    }
    let before = shared.claims.set_reserved(key, need);
    let mut freed = 0;
    while freed < own {
        let chosen = choose(shared, &catalog, &needed, own - freed, BATCH_FILES)?;
        let batch = evict_batch(shared, &mut catalog, &chosen.victims).bytes;
        if batch == 0 {
            shared.claims.set_reserved(key, before);
            return Err(full(Chosen {
                bytes: freed,
                ..chosen
            }));
        }
        freed = freed.saturating_add(batch);
        if freed < own {
            MutexGuard::bump(&mut catalog);
            needed = needed_by_others(shared, &mut catalog);
        }
    }
    Ok(())
}

/// The bytes that are missing for a song.
#[derive(Clone, Copy)]
struct Missing {
    of_budget: u64,
    of_drive: u64,
}

impl Missing {
    fn of(
        shared: &Shared,
        catalog: &Catalog,
        key: &Key,
        need: u64,
        written: u64,
    ) -> Result<Self, StoreError> {
        let claimed = shared.claims.claimed_beside(Some(key));
        let unwritten = claimed.unwritten.saturating_add(need - written);
        Ok(Self {
            of_budget: over(shared, catalog, claimed.whole.saturating_add(need))?,
            of_drive: shared.free_bytes().map_or(0, |free| {
                unwritten
                    .saturating_add(shared.config.min_free_bytes)
                    .saturating_sub(free)
            }),
        })
    }

    fn short(self) -> u64 {
        self.of_budget.max(self.of_drive)
    }

    const fn limit(self) -> SpaceLimit {
        if self.of_budget >= self.of_drive {
            SpaceLimit::MaxBytes
        } else {
            SpaceLimit::MinFree
        }
    }
}

/// What other instances need now. The lock is free while their notes are read: what was read of the catalog before is
/// to be read again.
fn needed_by_others(shared: &Shared, catalog: &mut MutexGuard<'_, Catalog>) -> ByOthers {
    if !shared.config.is_shared {
        return ByOthers::default();
    }
    MutexGuard::unlocked(catalog, || needed::by_others(shared))
}

/// How many bytes the finished files and the `claimed` bytes are above the budget.
fn over(shared: &Shared, catalog: &Catalog, claimed: u64) -> Result<u64, StoreError> {
    let all = catalog.ready_bytes()?.saturating_add(claimed);
    Ok(all.saturating_sub(shared.config.max_bytes))
}

/// Whether files of `short` bytes may be evicted. Mostly the sums of the catalog tell; if not, its files are counted.
fn is_enough(
    shared: &Shared,
    catalog: &Catalog,
    needed: &ByOthers,
    short: u64,
) -> Result<bool, StoreError> {
    let mut stays = catalog.held_sum(Timestamp::now())?.bytes;
    for track in shared.claims.busy_tracks() {
        for row in catalog.renditions(&track)? {
            stays = stays.saturating_add(row.size_bytes.unwrap_or(0));
        }
    }
    // What other instances need is not in these sums.
    let sums_tell = !shared.config.is_shared;
    Ok(
        (sums_tell && catalog.ready_bytes()?.saturating_sub(stays) >= short)
            || choose(shared, catalog, needed, short, usize::MAX)?.bytes >= short,
    )
}

/// Evicts one batch of the files beyond the budget; `false` if there are none, or none may be evicted.
pub(super) fn shrink(shared: &Shared) -> Result<bool, StoreError> {
    Ok(evict_beyond(shared, None)?.gone > 0)
}

/// The bytes beyond the budget, and how many of them are gone.
struct Beyond {
    short: u64,
    gone: u64,
}

/// Evicts one batch of the files beyond the budget. `beside`: whose claims do not count.
fn evict_beyond(shared: &Shared, beside: Option<&Key>) -> Result<Beyond, StoreError> {
    let mut catalog = shared.catalog();
    let short = |catalog: &Catalog| {
        let claimed = shared.claims.claimed_beside(beside);
        over(shared, catalog, claimed.whole)
    };
    if short(&catalog)? == 0 {
        return Ok(Beyond { short: 0, gone: 0 });
    }
    let needed = needed_by_others(shared, &mut catalog);
    let short = short(&catalog)?;
    let chosen = choose(shared, &catalog, &needed, short, BATCH_FILES)?;
    let gone = evict_batch(shared, &mut catalog, &chosen.victims).bytes;
    Ok(Beyond { short, gone })
}

/// Whether the missing room for [`reserve`] will be there once all current downloads and readers have ended.
pub(super) fn may_come(
    shared: &Shared,
    catalog: &Catalog,
    key: &Key,
    need: Option<u64>,
) -> Result<bool, StoreError> {
    let others = shared.claims.is_any_beside(key);
    Ok(others
        && Most::of(shared, catalog)?
            .holds(need.unwrap_or(UNKNOWN_LENGTH_BYTES))
            .is_ok())
}

/// After the drive was full in the middle of a write: frees up to `at_best` bytes. The drive does not say how many
/// bytes are missing, so the caller tries the write again.
pub(super) fn after_full(shared: &Shared, at_best: u64) {
    let mut catalog = shared.catalog();
    let needed = needed_by_others(shared, &mut catalog);
    let chosen = choose(shared, &catalog, &needed, at_best, BATCH_FILES).unwrap_or_default();
    for victim in &chosen.victims {
        if let Err(error) = evict(shared, &mut catalog, victim, State::Evicted) {
            tracing::warn!(%error, song = %victim.key, "a file could not be evicted");
        }
    }
}

/// A file of unknown length may have exceeded the budget. It stays (its lease exists), and other files are evicted as
/// far as possible.
pub(super) fn after_publish(shared: &Shared, key: &Key) {
    if evict_beyond(shared, Some(key)).is_ok_and(|beyond| beyond.gone < beyond.short) {
        shared.over_budget.notify_one();
    }
}

/// Evicts one batch of the files that were not read for `cache.max_age`. Returns how many.
fn expire(shared: &Shared, catalog: &mut MutexGuard<'_, Catalog>) -> Result<usize, StoreError> {
    let Some(max_age) = shared.config.max_age else {
        return Ok(0);
    };
    let oldest = Timestamp::now()
        .checked_sub(max_age)
        .unwrap_or(Timestamp::MIN);
    let mut victims = expired(shared, catalog, &ByOthers::default(), oldest)?;
    if shared.config.is_shared && !victims.is_empty() {
        let needed = needed_by_others(shared, catalog);
        victims = expired(shared, catalog, &needed, oldest)?;
    }
    Ok(evict_batch(shared, catalog, &victims).files)
}

fn expired(
    shared: &Shared,
    catalog: &Catalog,
    needed: &ByOthers,
    oldest: Timestamp,
) -> Result<Vec<Candidate>, StoreError> {
    let stays = Stays::of(shared, catalog, needed)?;
    let mut count = 0;
    catalog.victims(|candidate| {
        if candidate.read_at >= oldest || count == BATCH_FILES {
            return ControlFlow::Break(());
        }
        let leaves =
            !stays.is_busy(candidate) && !stays.is_held(candidate) && !stays.is_spared(candidate);
        count += usize::from(leaves);
        ControlFlow::Continue(leaves)
    })
}

/// Evicts all files that were not read for `cache.max_age`, batch by batch. Returns how many.
pub(super) fn expire_all(shared: &Shared) -> Result<usize, StoreError> {
    let mut all = 0;
    loop {
        let mut catalog = shared.catalog();
        let files = expire(shared, &mut catalog)?;
        MutexGuard::unlock_fair(catalog);
        if files == 0 {
            return Ok(all);
        }
        all += files;
    }
}

/// The files that must not be evicted now.
struct Stays<'a> {
    busy: HashSet<TrackId>,
    held: HashSet<String>,
    elsewhere: &'a ByOthers,
    spares: bool,
}

impl<'a> Stays<'a> {
    fn of(shared: &Shared, catalog: &Catalog, needed: &'a ByOthers) -> Result<Self, StoreError> {
        Ok(Self {
            busy: shared.claims.busy_tracks(),
            held: catalog.held_files(Timestamp::now())?,
            elsewhere: needed,
            spares: true,
        })
    }

    /// A file of its song is being read or written.
    fn is_busy(&self, candidate: &Candidate) -> bool {
        self.busy.contains(candidate.key.track())
    }

    /// By a client of this instance or of another one.
    fn is_held(&self, candidate: &Candidate) -> bool {
        // Most of the time nothing is held, and there are many candidates.
        let is_held_here = !self.held.is_empty()
            && self
                .held
                .contains(&candidate.key.relative_path(candidate.format));
        is_held_here || has(&self.elsewhere.kept, candidate)
    }

    /// Another instance has read it a short time ago.
    fn is_spared(&self, candidate: &Candidate) -> bool {
        self.spares && has(&self.elsewhere.spared, candidate)
    }
}

fn has(songs: &HashSet<String>, candidate: &Candidate) -> bool {
    !songs.is_empty() && songs.contains(&candidate.key.track().to_string())
}

/// The least recently read files that may be evicted.
#[derive(Debug, Default)]
struct Chosen {
    victims: Vec<Candidate>,
    bytes: u64,
    /// Bytes of files that were skipped because they are held.
    held_bytes: u64,
}

/// The least recently read files of `short` bytes together, at most `most`; fewer if there are no more. None of them is
/// being read or written, or held. Those that another instance has read are among them only if the others are not
/// enough.
fn choose(
    shared: &Shared,
    catalog: &Catalog,
    needed: &ByOthers,
    short: u64,
    most: usize,
) -> Result<Chosen, StoreError> {
    let mut stays = Stays::of(shared, catalog, needed)?;
    let chosen = choose_among(&stays, catalog, short, most)?;
    let is_enough = chosen.bytes >= short || chosen.victims.len() >= most;
    if is_enough || needed.spared.is_empty() {
        return Ok(chosen);
    }
    stays.spares = false;
    choose_among(&stays, catalog, short, most)
}

fn choose_among(
    stays: &Stays<'_>,
    catalog: &Catalog,
    short: u64,
    most: usize,
) -> Result<Chosen, StoreError> {
    let (mut chosen, mut files) = (Chosen::default(), 0);
    chosen.victims = catalog.victims(|candidate| {
        if chosen.bytes >= short || files == most {
            return ControlFlow::Break(());
        }
        if stays.is_busy(candidate) || stays.is_spared(candidate) {
            return ControlFlow::Continue(false);
        }
        if stays.is_held(candidate) {
            chosen.held_bytes += candidate.size_bytes;
            return ControlFlow::Continue(false);
        }
        chosen.bytes += candidate.size_bytes;
        files += 1;
        ControlFlow::Continue(true)
    })?;
    Ok(chosen)
}

/// The files that were evicted.
#[derive(Debug, Default)]
struct Gone {
    files: usize,
    bytes: u64,
}

/// Evicts the first of these files, as many as one batch holds.
fn evict_batch(shared: &Shared, catalog: &mut Catalog, victims: &[Candidate]) -> Gone {
    let begun = Instant::now();
    let mut gone = Gone::default();
    for victim in victims {
        if gone.files > 0 && begun.elapsed() >= BATCH_TIME {
            break;
        }
        match evict(shared, catalog, victim, State::Evicted) {
            Ok(()) => {
                gone.files += 1;
                gone.bytes += victim.size_bytes;
            }
            Err(error) => tracing::warn!(%error, song = %victim.key, "a file could not be evicted"),
        }
    }
    gone
}

/// Removes sidecar, audio, row in this order: so there is never a sidecar alone, and a row without its file is noticed.
/// # Errors
/// The file is still there, with its sidecar, and its row says so.
pub(super) fn evict(
    shared: &Shared,
    catalog: &mut Catalog,
    candidate: &Candidate,
    into: State,
) -> Result<(), StoreError> {
    let (key, format) = (&candidate.key, candidate.format);
    shared
        .cache
        .remove(&Layout::sidecar(key, format))
        .map_err(io("remove a sidecar"))?;
    match shared.cache.remove(&Layout::audio(key, format)) {
        // Another program put a folder in its place: our file is gone, and the folder is not ours.
        Err(error) if is_not_ours(&error) => {}
        Err(error) => {
            // If the drive refuses this too, the next start does it.
            let _ = describe_again(shared, catalog, key);
            return Err(io("remove a file")(error));
        }
        Ok(()) => {}
    }
    for sharing in catalog.rows_of_file(key, format)? {
        let state = if sharing == *key {
            into
        } else {
            State::Evicted
        };
        catalog.set_state(&sharing, state)?;
        if state == State::Evicted
            && let Some(call) = shared.on_eviction.get()
        {
            call(sharing.track());
        }
    }
    Ok(())
}

/// The drive refused to remove this file, although the song's row says deleted: it stays as it was.
pub(super) fn still_there(shared: &Shared, catalog: &mut Catalog, row: &Row) {
    let found = shared.cache.look(&Layout::audio(&row.key, row.format));
    let is_there =
        matches!(found, Ok(Some(found)) if found.is_plain && Some(found.bytes) == row.size_bytes);
    if let Some(file) = ReadyFile::of(row, &row.key).filter(|_| is_there) {
        // If this fails too, the next start removes the file.
        let _ = catalog
            .set_ready(&file)
            .and_then(|()| describe_again(shared, catalog, &row.key));
    }
}
