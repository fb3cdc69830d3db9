//! One encoding that a site offers of a song.
//!
//! Owns how a stream is delivered. Its URLs are signed: they print without their query. It fetches nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::format::{Codec, Container};

use crate::format::Format;
use crate::loudness::Loudness;
use crate::site::Site;

/// No song has more: a larger size that a site states is nonsense, and counts as none.
pub const MOST_BYTES: u64 = 1 << 40;
/// No song is longer: a longer duration that a site states is nonsense, and counts as none.
pub const LONGEST: Duration = Duration::from_secs(31 * 86_400);

/// How the bytes are delivered. URLs here are signed: they print without their query ([`Stream`]'s `Debug` hides them).
#[derive(Clone, PartialEq, Eq)]
pub enum Delivery {
    /// One file, by byte range where the site wants that.
    File { url: String },
    /// A media playlist of segments.
    Hls { url: String },
    /// The URL must be asked for first, see [`crate::locate`] (SoundCloud).
    /// `drm_beside`: the site lists encrypted encodings of the song as well, so "gone" means DRM ([`crate::all_gone`]).
    Asked {
        url: String,
        hls: bool,
        drm_beside: bool,
    },
}

/// Nowhere.
impl Default for Delivery {
    fn default() -> Self {
        Self::File { url: String::new() }
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, url) = match self {
            Self::File { url } => ("File", url),
            Self::Hls { url } => ("Hls", url),
            Self::Asked { url, .. } => ("Asked", url),
        };
        write!(f, "{name}({})", url.split('?').next().unwrap_or_default())
    }
}

/// The formats in which a song with these streams is available without an encoder; `None` if no streams are known.
pub(crate) fn formats(streams: &[Stream]) -> Option<Vec<Format>> {
    let mut formats = Vec::new();
    for stream in streams {
        let own = stream.format();
        // Opus is re-wrapped as Ogg if a client wants that.
        let in_ogg = (stream.codec == Codec::Opus).then_some(Format::Opus);
        for format in std::iter::once(own).chain(in_ogg) {
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
    }
    (!formats.is_empty()).then_some(formats)
}

/// Stored without its URL, which is signed and expires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    pub site: Site,
    #[serde(skip)]
    pub delivery: Delivery,
    pub container: Container,
    pub codec: Codec,
    /// The site's own preference among a track's streams of any codec, for the default order (AAC in MP4 first):
    /// smaller is better.
    pub rank: u16,
    /// Bits per second, average.
    pub bitrate_bps: Option<u32>,
    /// The exact length, if the site states it before the download; never an estimate.
    pub size_bytes: Option<u64>,
    pub duration: Option<Duration>,
    #[serde(default, deserialize_with = "Loudness::read")]
    pub loudness_db: Option<Loudness>,
    /// Two streams with equal validators are the same bytes, also with different URLs: a partial file may be continued.
    pub validator: String,
    /// When the URL stops working, in seconds since 1970.
    pub expires_unix: Option<u64>,
    /// Sent with every media request.
    #[serde(skip)]
    pub headers: Vec<(&'static str, String)>,
    /// Only bounded ranges are served (YouTube): never HEAD, never an open range.
    pub bounded_ranges: bool,
    /// Carries video too; the audio must be taken out (YouTube's itag 18).
    pub muxed: bool,
    /// Seconds since 1970 before which its audio is refused: an advertisement is believed to run (YouTube).
    pub available_unix: Option<u64>,
    /// The client identity of the request, if the site serves several (YouTube); else empty.
    pub client: String,
    /// A word for logs and sidecars: `itag 140`, `aac_160k hls`.
    pub label: String,
}

impl Stream {
    /// The format of these bytes as published.
    #[must_use]
    pub const fn format(&self) -> Format {
        Format::of(self.container, self.codec)
    }

    /// Size in bytes for a person or a progress bar: exact, else bitrate × duration, else unknown.
    #[must_use]
    pub fn approximate_size(&self) -> Option<u64> {
        self.size_bytes.or_else(|| {
            let (bitrate, duration) = (self.bitrate_bps?, self.duration?);
            let bytes = (f64::from(bitrate) / 8.0 * duration.as_secs_f64()).round() as u64;
            (bytes <= MOST_BYTES).then_some(bytes)
        })
    }
}
