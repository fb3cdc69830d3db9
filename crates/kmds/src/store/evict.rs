//! Eviction: which files are removed when room is needed.
//!
//! Owns the budget (`cache.max_bytes`), the floor (`cache.min_free_bytes`), the age (`cache.max_age`) and the order:
//! least recently read first. It never removes a file that is being read or written, or that is held
//! ([`super::holds`]), and removes nothing if that would not make enough room.

use std::collections::HashSet;
use std::ops::ControlFlow;

use jiff::Timestamp;
use kmds_extract::TrackId;

use super::beneath::is_not_ours;
use super::catalog::{Candidate, Catalog, ReadyFile, Row, State};
use super::error::{SpaceLimit, StoreError, io};
use super::key::Key;
use super::layout::Layout;
use super::shared::Shared;
use super::sidecar::describe_again;

/// Room to reserve if the site states no length: a song of an hour at 128 kbit/s is four times that, most are a third.
const UNKNOWN_LENGTH_BYTES: u64 = 16 << 20;

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

/// Makes room for `need` bytes of `key`, of which `written` are on the drive.
pub(super) fn reserve(
    shared: &Shared,
    catalog: &mut Catalog,
    key: &Key,
    need: Option<u64>,
    written: u64,
) -> Result<(), StoreError> {
    expire(shared, catalog)?;
    let need = need.unwrap_or(UNKNOWN_LENGTH_BYTES).max(written);
    let claimed = shared.claims.claimed_beside(Some(key));
    let over_budget = catalog
        .ready_bytes()?
        .saturating_add(claimed.whole)
        .saturating_add(need)
        .saturating_sub(shared.config.max_bytes);
    let unwritten = claimed.unwritten.saturating_add(need - written);
    let under_floor = shared.free_bytes().map_or(0, |free| {
        unwritten
            .saturating_add(shared.config.min_free_bytes)
            .saturating_sub(free)
    });
    let short = over_budget.max(under_floor);
    if short > 0 {
        let limit = if over_budget >= under_floor {
            SpaceLimit::MaxBytes
        } else {
            SpaceLimit::MinFree
        };
        make_room(shared, catalog, short).map_err(|found| StoreError::DiskFull {
            need_bytes: need - written,
            have_bytes: (need - written).saturating_sub(short - found.bytes),
            held_bytes: found.held_bytes,
            limit,
        })?;
    }
    shared.claims.set_reserved(key, need);
    Ok(())
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
pub(super) fn after_full(shared: &Shared, catalog: &mut Catalog, at_best: u64) {
    let chosen = choose(shared, catalog, at_best).unwrap_or_default();
    evict_all(shared, catalog, &chosen.victims);
}

/// A file of unknown length may have exceeded the budget. It stays (its lease exists), and other files are evicted as
/// far as possible.
pub(super) fn after_publish(shared: &Shared, catalog: &mut Catalog, key: &Key) {
    let claimed = shared.claims.claimed_beside(Some(key));
    let Ok(ready) = catalog.ready_bytes() else {
        return;
    };
    let short = ready
        .saturating_add(claimed.whole)
        .saturating_sub(shared.config.max_bytes);
    if short > 0 {
        after_full(shared, catalog, short);
    }
}

/// Evicts files that were not read for `cache.max_age`. Returns how many.
pub(super) fn expire(shared: &Shared, catalog: &mut Catalog) -> Result<usize, StoreError> {
    let Some(max_age) = shared.config.max_age else {
        return Ok(0);
    };
    let oldest = Timestamp::now()
        .checked_sub(max_age)
        .unwrap_or(Timestamp::MIN);
    let stays = Stays::of(shared, catalog)?;
    let victims = catalog.victims(|candidate| {
        if candidate.read_at >= oldest {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(!stays.is_busy(candidate) && !stays.is_held(candidate))
    })?;
    evict_all(shared, catalog, &victims);
    Ok(victims.len())
}

/// The files that must not be evicted now.
struct Stays {
    busy: HashSet<TrackId>,
    held: HashSet<String>,
}

impl Stays {
    fn of(shared: &Shared, catalog: &Catalog) -> Result<Self, StoreError> {
        Ok(Self {
            busy: shared.claims.busy_tracks(),
            held: catalog.held_files(Timestamp::now())?,
        })
    }

    /// A file of its song is being read or written.
    fn is_busy(&self, candidate: &Candidate) -> bool {
        self.busy.contains(candidate.key.track())
    }

    fn is_held(&self, candidate: &Candidate) -> bool {
        // Most of the time nothing is held, and there are many candidates.
        !self.held.is_empty()
            && self
                .held
                .contains(&candidate.key.relative_path(candidate.format))
    }
}

/// The least recently read files that may be evicted.
#[derive(Debug, Default)]
struct Chosen {
    victims: Vec<Candidate>,
    bytes: u64,
    /// Bytes of files that were skipped because they are held.
    held_bytes: u64,
}

/// Evicts at least `short` bytes, or nothing; then it returns how many there would have been.
fn make_room(shared: &Shared, catalog: &mut Catalog, short: u64) -> Result<(), Chosen> {
    let chosen = choose(shared, catalog, short).unwrap_or_default();
    if chosen.bytes < short {
        return Err(chosen);
    }
    let bytes = evict_all(shared, catalog, &chosen.victims);
    if bytes >= short {
        Ok(())
    } else {
        Err(Chosen { bytes, ..chosen })
    }
}

/// The least recently read files of `short` bytes together; fewer if there are no more. None of them is being read or
/// written, or held.
fn choose(shared: &Shared, catalog: &Catalog, short: u64) -> Result<Chosen, StoreError> {
    let stays = Stays::of(shared, catalog)?;
    let mut chosen = Chosen::default();
    chosen.victims = catalog.victims(|candidate| {
        if chosen.bytes >= short {
            return ControlFlow::Break(());
        }
        if stays.is_busy(candidate) {
            return ControlFlow::Continue(false);
        }
        let is_held = stays.is_held(candidate);
        let sum = if is_held {
            &mut chosen.held_bytes
        } else {
            &mut chosen.bytes
        };
        *sum += candidate.size_bytes;
        ControlFlow::Continue(!is_held)
    })?;
    Ok(chosen)
}

/// Returns how many bytes it freed.
fn evict_all(shared: &Shared, catalog: &mut Catalog, victims: &[Candidate]) -> u64 {
    let mut freed = 0;
    for victim in victims {
        match evict(shared, catalog, victim, State::Evicted) {
            Ok(()) => freed += victim.size_bytes,
            Err(error) => tracing::warn!(%error, song = %victim.key, "a file could not be evicted"),
        }
    }
    freed
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
