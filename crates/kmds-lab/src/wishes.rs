//! The settings that every song's builder has, for any site.
//!
//! Owns these settings and the part of a builder that is the same everywhere.

use crate::fault::Fault;
use crate::world::{NEVER, Shared, Song};

/// What every song's builder can be told.
#[derive(Debug, Clone)]
pub struct Wishes {
    pub title: String,
    pub artist: Option<String>,
    pub seconds: Option<f64>,
    pub size_bytes: Option<u64>,
    pub hold: u64,
    pub drip: u64,
    pub media_faults: Vec<Fault>,
    pub page_faults: Vec<Fault>,
}

impl Wishes {
    pub fn of(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            artist: None,
            seconds: None,
            size_bytes: None,
            hold: NEVER,
            drip: 0,
            media_faults: Vec::new(),
            page_faults: Vec::new(),
        }
    }

    /// The wanted duration, or the one that fits the wanted size at `bytes_per_second`; 12 s when nothing is wanted.
    pub fn seconds_at(&self, bytes_per_second: f64) -> f64 {
        match (self.seconds, self.size_bytes) {
            (Some(seconds), _) => seconds,
            // The head and a little padding are not audio.
            (None, Some(size)) => ((size as f64 - 2048.0) / bytes_per_second).max(0.1),
            (None, None) => 12.0,
        }
    }

    pub fn inject(&self, shared: &Shared, song: &Song) {
        for fault in &self.media_faults {
            shared
                .faults
                .add(fault.clone().on_media().of_site(song.site()).of(song));
        }
        for fault in &self.page_faults {
            shared
                .faults
                .add(fault.clone().on_pages().of_site(song.site()).of(song));
        }
    }
}

/// The part of a builder that is the same for every site.
macro_rules! common_wishes {
    () => {
        pub fn artist(mut self, artist: &str) -> Self {
            self.wishes.artist = Some(artist.to_owned());
            self
        }

        pub fn seconds(mut self, seconds: f64) -> Self {
            self.wishes.seconds = Some(seconds);
            self
        }

        /// Exact length of the best AAC or MP3 stream (of the best one there is, where there is neither).
        pub fn size(mut self, bytes: u64) -> Self {
            self.wishes.size_bytes = Some(bytes);
            self
        }

        /// Its audio stops after this many bytes until `song.release()`.
        pub fn holds_at(mut self, bytes: u64) -> Self {
            self.wishes.hold = bytes;
            self
        }

        pub fn drips(mut self, bytes_per_second: u64) -> Self {
            self.wishes.drip = bytes_per_second;
            self
        }

        /// Meets every request for its audio.
        pub fn fault(mut self, fault: $crate::fault::Fault) -> Self {
            self.wishes.media_faults.push(fault);
            self
        }

        /// Meets every page or API call about it.
        pub fn page_fault(mut self, fault: $crate::fault::Fault) -> Self {
            self.wishes.page_faults.push(fault);
            self
        }
    };
}
pub(crate) use common_wishes;
