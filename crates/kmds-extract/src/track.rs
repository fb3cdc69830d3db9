//! What a link resolves to: tracks and collections.
//!
//! Owns the types of metadata after reading, the same for every site. It has no wire shape of a site or of our own API.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::site::Site;

use crate::error::ExtractError;
use crate::format::Format;
use crate::loudness::Loudness;
use crate::stream::Stream;

/// A song's identity: the site and the site's own id, 1 to 64 of `A-Z a-z 0-9 - _` (checked on making).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TrackId {
    site: Site,
    id: Id,
}

/// The most bytes an id has.
const ID_BYTES: usize = 64;

/// An id without a block of memory of its own: a queue holds thousands, for hours.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Id {
    /// Zeros fill the rest: these sort as the texts do.
    bytes: [u8; ID_BYTES],
    length: u8,
}

impl Id {
    fn new(text: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let length = u8::try_from(text.len()).ok().filter(|length| *length > 0)?;
        let mut bytes = [0; ID_BYTES];
        bytes
            .get_mut(..text.len())
            .filter(|_| text.bytes().all(fits))?
            .copy_from_slice(text.as_bytes());
        Some(Self { bytes, length })
    }

    fn as_str(&self) -> &str {
        let text = self
            .bytes
            .get(..usize::from(self.length))
            .unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.as_str().to_owned()
    }
}

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text).ok_or("no id of a song")
    }
}

impl TrackId {
    #[must_use]
    pub fn new(site: Site, id: &str) -> Option<Self> {
        Some(Self {
            site,
            id: Id::new(id)?,
        })
    }

    #[must_use]
    pub const fn site(&self) -> Site {
        self.site
    }

    #[must_use]
    pub fn id(&self) -> &str {
        self.id.as_str()
    }
}

/// `youtube-M4gD1WSo5mA`, as in canonical file names.
impl fmt::Display for TrackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.site.as_str(), self.id())
    }
}

/// The data to request one track from the site again, without the original link. Stored in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "site", rename_all = "lowercase")]
pub enum Source {
    YouTube {
        video: String,
    },
    SoundCloud {
        id: u64,
        secret: Option<String>,
    },
    Bandcamp(BandcampSource),
    /// Only yt-dlp reads it.
    Other {
        url: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BandcampSource {
    /// The page whose answer holds the track, on `*.bandcamp.com`: its own or its album's. None for bare ids.
    pub page: Option<String>,
    pub track_id: u64,
    pub band_id: Option<u64>,
}

/// One song.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Track {
    pub id: TrackId,
    pub source: Source,
    /// The song's own canonical page, for people.
    pub link: String,
    pub title: String,
    pub artist: Option<String>,
    pub album: Option<String>,
    pub album_artist: Option<String>,
    /// 1-based; `None` when the song is not part of an album or list.
    pub number: Option<u32>,
    /// Songs in the album or list, unavailable ones included.
    pub total: Option<u32>,
    /// As exact as the site tells it.
    pub duration: Option<Duration>,
    pub cover_url: Option<String>,
    /// Release or upload date as `YYYY-MM-DD`, where it came without another request.
    pub date: Option<String>,
    /// The loudness of the fetched stream, as the site measured it.
    #[serde(default, deserialize_with = "Loudness::read")]
    pub loudness_db: Option<Loudness>,
    /// The formats in which the site has it, if the site told all of them.
    #[serde(default)]
    pub offered: Option<Vec<Format>>,
    /// The site's streams, if they came with the metadata; best first as the site ranks them ([`Stream::rank`]). Not
    /// stored in the catalog: URLs expire.
    #[serde(skip)]
    pub streams: Vec<Stream>,
    /// Set if the metadata is known but the native client gets no audio (made for kids): another engine is needed.
    #[serde(default)]
    pub withheld: Option<String>,
}

impl Track {
    /// A track with only these known facts.
    #[must_use]
    pub const fn new(id: TrackId, source: Source, link: String, title: String) -> Self {
        Self {
            id,
            source,
            link,
            title,
            artist: None,
            album: None,
            album_artist: None,
            number: None,
            total: None,
            duration: None,
            cover_url: None,
            date: None,
            loudness_db: None,
            offered: None,
            streams: Vec::new(),
            withheld: None,
        }
    }
}

/// A playlist, set, album or mix.
#[derive(Debug, Clone, PartialEq)]
pub struct Collection {
    /// The site's id of the list, for the reply's `ID`.
    pub id: String,
    pub site: Site,
    pub link: String,
    pub title: Option<String>,
    pub artist: Option<String>,
    pub cover_url: Option<String>,
    pub entries: Vec<Entry>,
    /// The site's list is longer than `entries`.
    pub truncated: bool,
    /// A mix: the site makes it anew for each request, so it is never remembered.
    pub endless: bool,
    /// Set if time ran out before the end of the list: [`resume`](crate::resume) continues it.
    pub rest: Option<Box<Rest>>,
}

/// Where reading a list continues.
#[derive(Debug, Clone, PartialEq)]
pub enum Rest {
    /// At the page of this token.
    Page {
        token: String,
        /// Songs in the list, where its header says.
        count: Option<u32>,
        is_course: bool,
        /// Pages and tokens so far, as hashes: a repeated one ends the list.
        seen: Vec<u64>,
    },
    /// With the songs after the known ones: the site names all of them at once.
    Songs,
}

impl Collection {
    /// Whether a new request may tell more of its songs: one of their batches failed this time.
    #[must_use]
    pub fn is_half_told(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| matches!(entry, Entry::Unavailable(gone) if gone.error.kind().retryable()))
    }
}

/// One place of a list. Unavailable songs keep theirs.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    Track(Box<Track>),
    Unavailable(Unavailable),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Unavailable {
    pub title: Option<String>,
    /// 1-based place in the list.
    pub number: u32,
    pub error: ExtractError,
}

/// Why a known track is requested again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// There is no URL.
    Streams,
    /// The known URLs did not work.
    GoodStreams,
}

/// A known track with fresh streams.
#[derive(Debug, Clone, PartialEq)]
pub struct Refreshed {
    pub track: Track,
    /// Other tracks in the same answer, with their streams: an album's page has all its songs.
    pub beside: Vec<Track>,
}

impl From<Track> for Refreshed {
    fn from(track: Track) -> Self {
        Self {
            track,
            beside: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Resolved {
    Track(Box<Track>),
    Collection(Collection),
}
