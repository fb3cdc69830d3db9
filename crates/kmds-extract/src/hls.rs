//! m3u8 text → media playlist of segments (RFC 8216). STUB, replaced by its owner.
use std::time::Duration;

/// A finished (VOD) media playlist, every URL absolute.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaPlaylist {
    /// `#EXT-X-MAP`: fetched once, before the first segment.
    pub init: Option<Resource>,
    pub segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    pub url: String,
    /// `#EXT-X-BYTERANGE`: first byte and length.
    pub range: Option<(u64, u64)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    pub at: Resource,
    pub duration: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HlsError {
    #[error("not a playlist")]
    NotAPlaylist,
    #[error("a master playlist where a media playlist was expected")]
    Master,
    #[error("encrypted")]
    Encrypted,
    #[error("not finished: no end mark")]
    Unfinished,
    #[error("line {0} is broken")]
    Line(usize),
}

impl MediaPlaylist {
    /// Reads a playlist that was served from `base`.
    /// # Errors
    /// See [`HlsError`].
    pub fn parse(_text: &str, _base: &str) -> Result<Self, HlsError> {
        Err(HlsError::NotAPlaylist)
    }

    #[must_use]
    pub fn duration(&self) -> Duration {
        self.segments.iter().map(|segment| segment.duration).sum()
    }
}
