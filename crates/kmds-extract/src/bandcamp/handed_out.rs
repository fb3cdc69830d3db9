//! Which tracks got their stream URL through the mobile app's door a moment ago.
//!
//! Owns that short list, kept in the origin's memory. Being asked for a fresh URL again so soon means that the last one did
//! not work: its redirect is unproven (field notes, 8 and 18), and the page has another kind of URL.
//! Never grows beyond [`KEPT`] tracks.

use crate::origin::Origin;

const KEY: &str = "bandcamp.mobile_urls";

/// Tracks that are remembered; some more than can be downloading at once.
const KEPT: usize = 64;

/// Whether the track's last URL came through the mobile door within `seconds`.
pub(super) fn lately(track_id: u64, seconds: u64, origin: &impl Origin) -> bool {
    let now = origin.now_unix();
    entries(origin).iter().any(|(id, at)| *id == track_id && now.saturating_sub(*at) < seconds)
}

/// Notes that it did just now.
pub(super) fn note(track_id: u64, origin: &impl Origin) {
    let mut entries = entries(origin);
    entries.retain(|(id, _)| *id != track_id);
    entries.insert(0, (track_id, origin.now_unix()));
    entries.truncate(KEPT);
    let lines: Vec<String> = entries.iter().map(|(id, at)| format!("{id}@{at}")).collect();
    origin.remember(KEY, &lines.join(" "));
}

/// The newest first; what does not read as an entry is left out.
fn entries(origin: &impl Origin) -> Vec<(u64, u64)> {
    let Some(kept) = origin.recall(KEY) else { return Vec::new() };
    let read = |entry: &str| {
        let (id, at) = entry.split_once('@')?;
        Some((id.parse().ok()?, at.parse().ok()?))
    };
    kept.value.split(' ').filter_map(read).collect()
}
