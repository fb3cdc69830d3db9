//! A long list in little memory.
//!
//! Owns how a remembered list is stored while no client asks for it: its songs are one compressed text. As values they
//! would be twenty small blocks each, and would also keep the memory between those blocks. This module never decides
//! which lists are remembered, or for how long.

use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::{Arc, Weak};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use kmds_extract::{Collection, Entry, Resolved, Stream, Track};
use parking_lot::Mutex;

/// Shorter lists are stored unchanged.
const LONG_LIST_SONGS: usize = 100;

/// A list that can be unpacked unchanged.
pub struct Packed {
    /// One line for each place: the song and its streams, or `null` for an unavailable one.
    text: Box<[u8]>,
    /// The list, with only its unavailable entries.
    list: Collection,
    pub songs: usize,
    /// The last unpacked list: all callers at the same time share it.
    given: Mutex<Weak<Resolved>>,
}

impl Packed {
    /// `None` for a song or a short list, which are stored unchanged.
    pub fn new(resolved: &Arc<Resolved>) -> Option<Self> {
        let Resolved::Collection(whole) = &**resolved else {
            return None;
        };
        if whole.entries.len() < LONG_LIST_SONGS {
            return None;
        }
        let mut text = DeflateEncoder::new(Vec::new(), Compression::fast());
        let (mut line, mut gone) = (Vec::new(), Vec::new());
        for entry in &whole.entries {
            let song = match entry {
                Entry::Track(track) => Some((&**track, &track.streams)),
                Entry::Unavailable(_) => None,
            };
            if song.is_none() {
                gone.push(entry.clone());
            }
            // One call for each song: the compressor is slow with a few bytes at a time.
            serde_json::to_writer(&mut line, &song).ok()?;
            line.push(b'\n');
            text.write_all(&line).ok()?;
            line.clear();
        }
        let list = Collection {
            id: whole.id.clone(),
            site: whole.site,
            link: whole.link.clone(),
            title: whole.title.clone(),
            artist: whole.artist.clone(),
            cover_url: whole.cover_url.clone(),
            entries: gone,
            truncated: whole.truncated,
            endless: whole.endless,
            rest: whole.rest.clone(),
        };
        let text = text.finish().ok()?.into_boxed_slice();
        Some(Self {
            text,
            list,
            songs: whole.entries.len(),
            given: Mutex::new(Arc::downgrade(resolved)),
        })
    }

    /// Whether the site's list goes on where this one ends.
    pub const fn is_cut(&self) -> bool {
        self.list.rest.is_some()
    }

    /// The unpacked list.
    pub fn unpack(&self) -> Option<Arc<Resolved>> {
        let mut given = self.given.lock();
        if let Some(resolved) = given.upgrade() {
            return Some(resolved);
        }
        let lines = BufReader::new(DeflateDecoder::new(&*self.text));
        let mut gone = self.list.entries.iter();
        let mut entries = Vec::with_capacity(self.songs);
        // One line at a time: serde_json reads a reader byte by byte.
        for line in lines.split(b'\n') {
            let song: Option<(Track, Vec<Stream>)> = serde_json::from_slice(&line.ok()?).ok()?;
            entries.push(match song {
                Some((track, streams)) => Entry::Track(Box::new(Track { streams, ..track })),
                None => gone.next()?.clone(),
            });
        }
        let resolved = Arc::new(Resolved::Collection(Collection {
            entries,
            ..self.list.clone()
        }));
        *given = Arc::downgrade(&resolved);
        Some(resolved)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kmds_extract::{Codec, Container, Delivery, ExtractError, Site, Source, TrackId};

    use super::*;

    fn stream(number: usize) -> Stream {
        Stream {
            site: Site::YouTube,
            delivery: Delivery::File { url: String::new() },
            container: Container::Mp4,
            codec: Codec::Aac,
            rank: 3,
            bitrate_bps: Some(128_000),
            size_bytes: Some(number as u64),
            duration: Some(Duration::from_millis(61_250)),
            loudness_db: None,
            validator: format!("v{number}"),
            expires_unix: Some(1_800_000_000),
            headers: Vec::new(),
            bounded_ranges: true,
            muxed: false,
            available_unix: None,
            client: "ios".to_owned(),
            label: "itag 140".to_owned(),
        }
    }

    fn entry(number: usize) -> Entry {
        if number % 7 == 3 {
            let error = ExtractError::UnsupportedLink {
                reason: format!("reason {number}"),
            };
            return Entry::Unavailable(kmds_extract::track::Unavailable {
                title: None,
                number: number as u32,
                error,
            });
        }
        let id = TrackId::new(Site::YouTube, &format!("song-{number}")).expect("an id");
        let source = Source::YouTube {
            video: format!("song-{number}"),
        };
        let mut track = Track::new(
            id,
            source,
            "https://a.example/".to_owned(),
            format!("“{number}”\n\u{202e}"),
        );
        track.duration = Some(Duration::from_nanos(61_250_000_001));
        track.streams = vec![stream(number), stream(number + 1)];
        Entry::Track(Box::new(track))
    }

    #[test]
    fn a_packed_list_comes_back_as_it_was_in_a_tenth_of_the_memory() {
        let list = Collection {
            id: "PL1".to_owned(),
            site: Site::YouTube,
            link: "https://a.example/list".to_owned(),
            title: Some("A list".to_owned()),
            artist: None,
            cover_url: None,
            entries: (0..1000).map(entry).collect(),
            truncated: true,
            endless: false,
            rest: None,
        };
        let whole = Arc::new(Resolved::Collection(list));
        let packed = Packed::new(&whole).expect("it is long");
        assert!(
            Arc::ptr_eq(&packed.unpack().expect("a list"), &whole),
            "it is in use: it is shared"
        );
        let copy = (*whole).clone();
        drop(whole);
        let again = packed.unpack().expect("a list");
        assert_eq!(*again, copy);
        assert!(Arc::ptr_eq(&again, &packed.unpack().expect("a list")));
        assert!(
            packed.text.len() < 100 * packed.songs,
            "{} bytes",
            packed.text.len()
        );
    }
}
