//! What leaves when room is needed.
//!
//! Owns the budget (`cache.max_bytes`), the floor (`cache.min_free_bytes`), the age (`cache.max_age`) and the order: least
//! recently read first. Never takes what is being read or written, and takes nothing when it would not be enough.

use jiff::Timestamp;

use super::Shared;
use super::catalog::{Candidate, Catalog, State};
use super::drive;
use super::error::{SpaceLimit, StoreError, io};
use super::key::Key;
use super::layout::remove;

/// Room asked for when the site does not state a length: a song of an hour at 128 kbit/s is four times that, most are a third.
const UNKNOWN_LENGTH_BYTES: u64 = 16 << 20;

/// Room for `need` bytes of `key`, of which `written` are on the drive.
pub(super) fn reserve(
    shared: &Shared,
    catalog: &mut Catalog,
    key: &Key,
    need: Option<u64>,
    written: u64,
) -> Result<(), StoreError> {
    expire(shared, catalog)?;
    let need = need.unwrap_or(UNKNOWN_LENGTH_BYTES).max(written);
    let claims = shared.in_use.claims_beside(Some(key));
    let over_budget = (catalog.ready_bytes()? + claims.whole + need).saturating_sub(shared.config.max_bytes);
    let under_floor = drive::free_bytes(shared.layout.cache())
        .map_or(0, |free| (shared.config.min_free_bytes + claims.unwritten + (need - written)).saturating_sub(free));
    let short = over_budget.max(under_floor);
    if short > 0 {
        let limit = if over_budget >= under_floor { SpaceLimit::MaxBytes } else { SpaceLimit::MinFree };
        make_room(shared, catalog, key, short).map_err(|evictable| StoreError::DiskFull {
            need_bytes: need - written,
            have_bytes: (need - written).saturating_sub(short - evictable),
            limit,
        })?;
    }
    shared.in_use.set_reserved(key, need);
    Ok(())
}

/// The drive turned out to be full in the middle of a write: frees up to `at_best` bytes, as far as it can. Returns how
/// many; how many are missing nobody knows, so the write is to be tried again.
pub(super) fn after_full(shared: &Shared, catalog: &mut Catalog, key: &Key, at_best: u64) -> u64 {
    let candidates = evictable(shared, catalog, key).unwrap_or_default();
    free(shared, catalog, &candidates, at_best)
}

/// A file whose length was not known may have broken the budget. It stays, others go as far as they can.
pub(super) fn after_publish(shared: &Shared, catalog: &mut Catalog, key: &Key) {
    let claims = shared.in_use.claims_beside(Some(key));
    let Ok(ready) = catalog.ready_bytes() else { return };
    let short = (ready + claims.whole).saturating_sub(shared.config.max_bytes);
    if short > 0 {
        let candidates = evictable(shared, catalog, key).unwrap_or_default();
        free(shared, catalog, &candidates, short);
    }
}

/// Evicts in order until `short` bytes are free; returns how many are.
fn free(shared: &Shared, catalog: &mut Catalog, candidates: &[Candidate], short: u64) -> u64 {
    let mut freed = 0;
    for candidate in candidates {
        if freed >= short {
            break;
        }
        match evict(shared, catalog, candidate, State::Evicted) {
            Ok(()) => freed += candidate.size_bytes,
            Err(error) => tracing::warn!(%error, song = %candidate.key, "a file could not be evicted"),
        }
    }
    freed
}

/// Files nobody read for `cache.max_age` leave. Returns how many.
pub(super) fn expire(shared: &Shared, catalog: &mut Catalog) -> Result<usize, StoreError> {
    let Some(max_age) = shared.config.max_age else { return Ok(0) };
    let oldest = Timestamp::now().checked_sub(max_age).unwrap_or(Timestamp::MIN);
    let candidates = catalog.candidates()?;
    let mut gone = 0;
    for old in candidates.iter().take_while(|candidate| candidate.read_at < oldest) {
        if free_to_go(shared, catalog, old)? {
            evict(shared, catalog, old, State::Evicted)?;
            gone += 1;
        }
    }
    Ok(gone)
}

/// Evicts at least `short` bytes, or nothing; then what there would have been.
fn make_room(shared: &Shared, catalog: &mut Catalog, key: &Key, short: u64) -> Result<(), u64> {
    let candidates = evictable(shared, catalog, key).unwrap_or_default();
    let total: u64 = candidates.iter().map(|candidate| candidate.size_bytes).sum();
    if total < short {
        return Err(total);
    }
    let freed = free(shared, catalog, &candidates, short);
    if freed >= short { Ok(()) } else { Err(freed) }
}

/// Files that may leave, each once, the least recently read first.
fn evictable(shared: &Shared, catalog: &Catalog, beside: &Key) -> Result<Vec<Candidate>, StoreError> {
    let mut seen = std::collections::HashSet::new();
    let mut free = Vec::new();
    let mut candidates = catalog.candidates()?;
    // A file shared by several rows is as fresh as the freshest: judge it by its last appearance.
    candidates.reverse();
    for candidate in candidates {
        let first = seen.insert(candidate.key.relative_path(&candidate.ext));
        if first && candidate.key != *beside && free_to_go(shared, catalog, &candidate)? {
            free.push(candidate);
        }
    }
    free.reverse();
    Ok(free)
}

fn free_to_go(shared: &Shared, catalog: &Catalog, candidate: &Candidate) -> Result<bool, StoreError> {
    let keys = catalog.rows_of_file(&candidate.key, &candidate.ext)?;
    Ok(!keys.iter().any(|key| shared.in_use.is_reading(key) || shared.in_use.is_writing(key)))
}

/// Sidecar, audio, row: at no time does a sidecar stand alone, and a row that outlives its file is noticed.
pub(super) fn evict(
    shared: &Shared,
    catalog: &mut Catalog,
    candidate: &Candidate,
    into: State,
) -> Result<(), StoreError> {
    let (key, ext) = (&candidate.key, &candidate.ext);
    remove(&shared.layout.sidecar(key, ext)).map_err(io("remove a sidecar"))?;
    remove(&shared.layout.audio(key, ext)).map_err(io("remove a file"))?;
    for sharing in catalog.rows_of_file(key, ext)? {
        let state = if sharing == *key { into } else { State::Evicted };
        catalog.set_state(&sharing, state)?;
    }
    Ok(())
}
