//! Words → the results of a site.
//!
//! Owns the places that can be searched, what words may be, and the shape of a result for every site alike. It asks no
//! site ([`crate::search()`] does). The results tell only a part of a song's facts; the link resolves the rest.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::site::Site;
use crate::track::{Collection, Entry, Source, Track, TrackId};

/// Results of one search, at most.
pub const MOST_RESULTS: usize = 25;
/// Characters of the words, at most.
pub const MOST_WORDS: usize = 200;

/// A place that can be searched. YouTube has two: its videos, and the songs of YouTube Music.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SearchSite {
    YouTube,
    YouTubeMusic,
    SoundCloud,
    Bandcamp,
}

impl SearchSite {
    pub const ALL: [Self; 4] = [
        Self::YouTube,
        Self::YouTubeMusic,
        Self::SoundCloud,
        Self::Bandcamp,
    ];

    /// As it stands in settings and requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::YouTube => "youtube",
            Self::YouTubeMusic => "youtube_music",
            Self::SoundCloud => "soundcloud",
            Self::Bandcamp => "bandcamp",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|place| place.as_str() == text)
    }

    /// The site whose songs it finds.
    #[must_use]
    pub const fn site(self) -> Site {
        match self {
            Self::YouTube | Self::YouTubeMusic => Site::YouTube,
            Self::SoundCloud => Site::SoundCloud,
            Self::Bandcamp => Site::Bandcamp,
        }
    }
}

impl fmt::Display for SearchSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text cannot be searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoWords {
    #[error("there are no words to search for; write a title or an artist")]
    None,
    #[error("these are more than {MOST_WORDS} characters; search for fewer words")]
    TooMany,
}

/// The words of a text: blanks and control characters between them are one space, and invisible characters around them
/// are removed.
/// # Errors
/// See [`NoWords`].
pub fn words(text: &str) -> Result<String, NoWords> {
    let words = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty());
    let mut kept = String::new();
    for word in words {
        // Counted as it grows: the text may be of any length.
        if kept.chars().count() > MOST_WORDS {
            break;
        }
        if !kept.is_empty() {
            kept.push(' ');
        }
        kept.push_str(word);
    }
    let kept = crate::link::trimmed(&kept);
    match kept.chars().count() {
        0 => Err(NoWords::None),
        count if count > MOST_WORDS => Err(NoWords::TooMany),
        _ => Ok(kept.to_owned()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HitKind {
    Song,
    /// An album.
    Collection,
}

impl HitKind {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Song => "song",
            Self::Collection => "collection",
        }
    }
}

/// One result. A value that the site does not tell in its results is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    pub kind: HitKind,
    /// Site and id of the song or album.
    pub id: TrackId,
    pub title: String,
    pub artist: Option<String>,
    pub album: Option<String>,
    pub duration: Option<Duration>,
    pub cover_url: Option<String>,
    /// The page, as an accepted link.
    pub link: String,
    /// The source to request the audio with; `None` for an album, and for a song that the site does not play in full.
    pub source: Option<Source>,
}

impl Hit {
    /// The song as it stands in a list of results; `None` where there is none to play.
    #[must_use]
    pub fn track(&self, number: u32, total: u32) -> Option<Track> {
        let track = Track::new(
            self.id.clone(),
            self.source.clone()?,
            self.link.clone(),
            self.title.clone(),
        );
        Some(Track {
            artist: self.artist.clone(),
            album: self.album.clone(),
            number: Some(number),
            total: Some(total),
            duration: self.duration,
            cover_url: self.cover_url.clone(),
            ..track
        })
    }
}

/// The first `count` playable songs of the results, as a list named after the words.
#[must_use]
pub fn as_list(
    hits: &[Hit],
    at: SearchSite,
    words: &str,
    link: String,
    count: usize,
) -> Collection {
    let songs: Vec<&Hit> = hits
        .iter()
        .filter(|hit| hit.source.is_some())
        .take(count)
        .collect();
    let total = u32::try_from(songs.len()).unwrap_or(u32::MAX);
    let tracks = (1..)
        .zip(songs)
        .filter_map(|(number, hit)| hit.track(number, total));
    Collection {
        id: link.clone(),
        site: at.site(),
        link,
        title: Some(words.to_owned()),
        artist: None,
        cover_url: None,
        entries: tracks.map(|track| Entry::Track(Box::new(track))).collect(),
        truncated: false,
        endless: false,
        rest: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_in_any_script_and_bounded_in_characters() {
        assert_eq!(words(" a \t b\r\nc\u{0} ").as_deref(), Ok("a b c"));
        for text in [
            "Björk",
            "椎名林檎",
            "می‌خواهم",
            "🎵🎶",
            "'; DROP TABLE songs; --",
            "%00&q=x#",
        ] {
            assert_eq!(words(text).as_deref(), Ok(text));
        }
        for text in ["", " ", "\u{0}\n", "\u{200b}\u{feff}"] {
            assert_eq!(words(text), Err(NoWords::None), "{text:?}");
        }
        assert!(words(&"é".repeat(200)).is_ok());
        assert_eq!(words(&"é".repeat(201)), Err(NoWords::TooMany));
        assert_eq!(words(&"a ".repeat(10_000)), Err(NoWords::TooMany));
        assert_eq!(words(&" ".repeat(10_000)), Err(NoWords::None));
    }
}
