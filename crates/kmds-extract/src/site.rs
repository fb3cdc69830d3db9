//! The sites, and what they are called.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Site {
    YouTube,
    SoundCloud,
    Bandcamp,
    /// Anything else that yt-dlp reads; off by default.
    Other,
}

impl Site {
    pub const NATIVE: [Self; 3] = [Self::YouTube, Self::SoundCloud, Self::Bandcamp];

    /// As it stands in file names, settings and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::YouTube => "youtube",
            Self::SoundCloud => "soundcloud",
            Self::Bandcamp => "bandcamp",
            Self::Other => "other",
        }
    }

    /// Whether the next request often passes after a bot check, whatever pause was told. Elsewhere another request from the
    /// same address only makes it worse.
    #[must_use]
    pub const fn passes_bot_checks(self) -> bool {
        matches!(self, Self::YouTube)
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "youtube" => Some(Self::YouTube),
            "soundcloud" => Some(Self::SoundCloud),
            "bandcamp" => Some(Self::Bandcamp),
            "other" => Some(Self::Other),
            _ => None,
        }
    }
}

/// As people write it.
impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::YouTube => "YouTube",
            Self::SoundCloud => "SoundCloud",
            Self::Bandcamp => "Bandcamp",
            Self::Other => "the site",
        })
    }
}
