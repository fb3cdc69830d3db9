//! Signed URLs that came with metadata, until a job uses them.
//!
//! Owns them in memory, at most [`MOST_BYTES`]; each is handed out once. It asks no site and logs no URL.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kmds_extract::{Delivery, Stream, TrackId};
use parking_lot::Mutex;

use crate::origin::SharedRecipes;

/// The most bytes of streams that are kept: one YouTube song has 6 KB.
const MOST_BYTES: usize = 512 << 10;
/// Streams that no job used for this long make room for others.
const UNUSED_FOR: Duration = Duration::from_secs(600);

/// The streams of songs that may be downloaded soon.
#[derive(Debug)]
pub struct HeldStreams {
    recipes: SharedRecipes,
    held: Mutex<StreamMap>,
}

#[derive(Debug, Default)]
struct StreamMap {
    of: HashMap<TrackId, (Instant, Vec<Stream>)>,
    bytes: usize,
}

impl HeldStreams {
    pub fn new(recipes: SharedRecipes) -> Self {
        Self {
            recipes,
            held: Mutex::default(),
        }
    }

    /// Keeps the streams of a song, and drops its earlier ones.
    pub fn keep(&self, id: &TrackId, streams: Vec<Stream>) {
        if !streams.is_empty() {
            self.held.lock().put(id, streams);
        }
    }

    /// The streams of a song, if all of them are valid long enough to start a download. They are removed here.
    pub fn take_fresh(&self, id: &TrackId, now_unix: u64) -> Option<Vec<Stream>> {
        let spare = self.recipes.current().time.fresh_url.as_secs();
        let streams = self.held.lock().take(id)?;
        let lives = |stream: &Stream| stream.expires_unix.is_none_or(|end| end > now_unix + spare);
        streams.iter().all(lives).then_some(streams)
    }
}

impl StreamMap {
    fn put(&mut self, id: &TrackId, streams: Vec<Stream>) {
        self.take(id);
        let more = weight(&streams);
        if self.bytes + more > MOST_BYTES {
            let old: Vec<TrackId> = self
                .of
                .iter()
                .filter(|(_, (at, _))| at.elapsed() > UNUSED_FOR)
                .map(|(id, _)| id.clone())
                .collect();
            old.iter().for_each(|id| drop(self.take(id)));
        }
        // The first songs of a list are downloaded first: the streams of later songs are requested again.
        if self.bytes + more <= MOST_BYTES {
            self.bytes += more;
            self.of.insert(id.clone(), (Instant::now(), streams));
        }
    }

    fn take(&mut self, id: &TrackId) -> Option<Vec<Stream>> {
        let (_, streams) = self.of.remove(id)?;
        self.bytes -= weight(&streams).min(self.bytes);
        Some(streams)
    }
}

fn weight(streams: &[Stream]) -> usize {
    let url = |stream: &Stream| match &stream.delivery {
        Delivery::File { url } | Delivery::Hls { url } | Delivery::Asked { url, .. } => url.len(),
    };
    streams.iter().map(|stream| 300 + url(stream)).sum()
}
