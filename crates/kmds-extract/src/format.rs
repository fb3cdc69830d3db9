//! The formats a song's file can have.
//!
//! Owns [`Format`], with everything that follows from it (extension, container, content type), and the names of
//! containers and codecs. A new format is a new row here and in `ALL`. The compiler then names most places that decide
//! something about it, but not `choose::PLAYABLE`, the sniffing of containers, the readers of a format's name, and the
//! sentences that list formats.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a file is: `ogg` is Vorbis in Ogg, `opus` is Opus in Ogg, `webm` is Opus in WebM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    M4a,
    Mp3,
    Ogg,
    Opus,
    WebM,
    Flac,
    Wav,
}

impl Format {
    pub const ALL: [Self; 7] = [
        Self::M4a,
        Self::Mp3,
        Self::Ogg,
        Self::Opus,
        Self::WebM,
        Self::Flac,
        Self::Wav,
    ];

    /// The extension of its files, which is also its word in settings, requests and the catalog.
    #[must_use]
    pub const fn ext(self) -> &'static str {
        match self {
            Self::M4a => "m4a",
            Self::Mp3 => "mp3",
            Self::Ogg => "ogg",
            Self::Opus => "opus",
            Self::WebM => "webm",
            Self::Flac => "flac",
            Self::Wav => "wav",
        }
    }

    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::M4a => "audio/mp4",
            Self::Mp3 => "audio/mpeg",
            Self::Ogg => "audio/ogg",
            Self::Opus => "audio/ogg; codecs=opus",
            Self::WebM => "audio/webm",
            Self::Flac => "audio/flac",
            Self::Wav => "audio/wav",
        }
    }

    #[must_use]
    pub const fn container(self) -> Container {
        match self {
            Self::M4a => Container::Mp4,
            Self::Mp3 => Container::Mp3,
            Self::Ogg | Self::Opus => Container::Ogg,
            Self::WebM => Container::WebM,
            Self::Flac => Container::Flac,
            Self::Wav => Container::Wav,
        }
    }

    /// The format of a file with this content.
    #[must_use]
    pub const fn of(container: Container, codec: Codec) -> Self {
        match (container, codec) {
            (Container::Mp4, _) => Self::M4a,
            (Container::Mp3, _) => Self::Mp3,
            (Container::Ogg, Codec::Opus) => Self::Opus,
            (Container::Ogg, _) => Self::Ogg,
            (Container::WebM, _) => Self::WebM,
            (Container::Flac, _) => Self::Flac,
            (Container::Wav, _) => Self::Wav,
        }
    }

    /// The reverse of [`Format::ext`].
    #[must_use]
    pub fn parse(ext: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.ext() == ext)
    }
}

/// Its word.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.ext())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    Mp4,
    Mp3,
    Ogg,
    WebM,
    Flac,
    Wav,
}

impl Container {
    pub const ALL: [Self; 6] = [
        Self::Mp4,
        Self::Mp3,
        Self::Ogg,
        Self::WebM,
        Self::Flac,
        Self::Wav,
    ];

    /// Its word in replies, sidecars and the catalog.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Mp3 => "mp3",
            Self::Ogg => "ogg",
            Self::WebM => "webm",
            Self::Flac => "flac",
            Self::Wav => "wav",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    Aac,
    Mp3,
    Opus,
    Vorbis,
    Flac,
    Pcm,
    /// An unknown audio codec: last choice, passed on unchanged.
    Other,
}

impl Codec {
    pub const ALL: [Self; 7] = [
        Self::Aac,
        Self::Mp3,
        Self::Opus,
        Self::Vorbis,
        Self::Flac,
        Self::Pcm,
        Self::Other,
    ];

    /// Its word in replies, sidecars and the catalog.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aac => "aac",
            Self::Mp3 => "mp3",
            Self::Opus => "opus",
            Self::Vorbis => "vorbis",
            Self::Flac => "flac",
            Self::Pcm => "pcm",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_has_one_word_for_people_files_and_json() {
        for format in Format::ALL {
            assert_eq!(Format::parse(format.ext()), Some(format));
            let json = serde_json::to_string(&format).expect("a word");
            assert_eq!(json, format!("\"{format}\""));
        }
        assert_eq!(Format::parse("exe"), None);
        assert_eq!(Format::parse("M4A"), None);
    }

    #[test]
    fn what_a_format_holds_leads_back_to_it() {
        for format in Format::ALL {
            let codec = match format {
                Format::Opus | Format::WebM => Codec::Opus,
                _ => Codec::Other,
            };
            assert_eq!(Format::of(format.container(), codec), format);
        }
    }

    #[test]
    fn containers_and_codecs_have_one_word_each() {
        for container in Container::ALL {
            let json = serde_json::to_string(&container).expect("a word");
            assert_eq!(json, format!("\"{}\"", container.as_str()));
        }
        for codec in Codec::ALL {
            let json = serde_json::to_string(&codec).expect("a word");
            assert_eq!(json, format!("\"{}\"", codec.as_str()));
        }
    }
}
