//! On a drive that several instances share: the songs that each of them needs there.
//!
//! Owns the note `needed` in each work folder. In it an instance writes the songs that it holds for clients or reads
//! now, and those that it has read in the last minutes, each with the time until when. Eviction at the other instances
//! leaves the first, and takes the second only if nothing else makes enough room. An instance that is gone needs
//! nothing after these times. The drive of one instance alone has no such note.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use kmds_extract::TrackId;

use super::error::{StoreError, io};
use super::layout::Layout;
use super::recent::{AFTER_READ, after};
use super::shared::Shared;
use super::spot::Spot;

const NOTE: &str = "needed";
/// A hold without an end is noted for so long, and then again.
const PINNED: Duration = Duration::from_secs(24 * 3600);
/// A song that is read now is kept for so long: until the note is written again.
const WHILE_READ: Duration = Duration::from_secs(200);
/// Small enough for [`super::cache_folder::CacheFolder::read`]: some 20,000 songs. Holds come first.
const LONGEST_NOTE_BYTES: usize = 1_000_000;

/// Begins a line: of a song that is kept, or spared if possible.
const KEPT: &str = "kept";
const SPARED: &str = "spared";

/// The songs that other instances need, by their names.
#[derive(Debug, Default)]
pub(super) struct ByOthers {
    pub(super) kept: HashSet<String>,
    pub(super) spared: HashSet<String>,
}

/// Writes the note of this instance. Never call it with the catalog's lock.
pub(super) fn write(shared: &Shared) -> Result<(), StoreError> {
    let _turn = shared.recent.turn();
    let now = Timestamp::now();
    let (mut kept, mut spared) = (BTreeMap::new(), BTreeMap::new());
    let held = shared.catalog().held(None, now)?;
    for (key, hold) in held {
        let pinned = hold.pinned.then(|| after(now, PINNED));
        keep_longer(&mut kept, key.track(), pinned.max(hold.until));
    }
    for track in shared.claims.busy_tracks() {
        keep_longer(&mut kept, &track, Some(after(now, WHILE_READ)));
        keep_longer(&mut spared, &track, Some(after(now, AFTER_READ)));
    }
    for (track, until) in shared.recent.take(now) {
        keep_longer(&mut spared, &track, Some(until));
    }
    let mut text = String::new();
    for (word, songs) in [(KEPT, kept), (SPARED, spared)] {
        for (song, until) in songs {
            let line = format!("{word} {} {song}\n", until.as_second());
            if text.len() + line.len() <= LONGEST_NOTE_BYTES {
                text.push_str(&line);
            }
        }
    }
    shared.make_work_folder()?;
    let spot = shared.layout.work().join(NOTE);
    let written = shared.cache.write_whole(&spot, text.as_bytes(), false);
    written.map_err(io("note which songs are needed"))
}

/// Reads the notes of the other instances. Never call it with the catalog's lock: the drive may take long.
pub(super) fn by_others(shared: &Shared) -> ByOthers {
    let mut needed = ByOthers::default();
    let now = Timestamp::now().as_second();
    let all = Layout::all_work();
    let instances: Vec<String> = shared.cache.names(&all).unwrap_or_default();
    let folders = instances.iter().map(|instance| all.join(instance));
    let others = folders.filter(|folder| folder != shared.layout.work());
    for note in others.filter_map(|folder| read_note(shared, &folder)) {
        for line in note.lines() {
            let mut words = line.splitn(3, ' ');
            let (Some(word), Some(until), Some(song)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if until.parse().is_ok_and(|until: i64| until > now) {
                let songs = match word {
                    KEPT => &mut needed.kept,
                    _ => &mut needed.spared,
                };
                songs.insert(song.to_owned());
            }
        }
    }
    needed
}

fn read_note(shared: &Shared, folder: &Spot) -> Option<String> {
    let text = shared.cache.read(&folder.join(NOTE)).ok()?;
    String::from_utf8(text).ok()
}

fn keep_longer(songs: &mut BTreeMap<String, Timestamp>, track: &TrackId, until: Option<Timestamp>) {
    let Some(until) = until else { return };
    let known = songs.entry(track.to_string()).or_insert(until);
    *known = until.max(*known);
}
