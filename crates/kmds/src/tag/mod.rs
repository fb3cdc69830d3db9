//! Tags and cover, written into a copy.
//!
//! Owns which of a song's facts go into a file, for every container alike, and the copy around them: the tags are made alone,
//! the audio is read from the original and passed on piece by piece, so memory does not grow with the file. Hides tag
//! formats. Never touches an original, and never an audio packet.

mod flac;
mod id3;
mod mp4;
mod ogg;
mod original;
mod source;
mod vorbis;
mod wav;

use std::fs::File;
use std::io::{self, Write};

use kmds_extract::{Container, Track};

use original::Original;
pub use source::source_link;

/// Largest cover that goes into a file, in bytes: beside it stand the tags made of it, once more of its size and a half.
pub const MAX_COVER_BYTES: usize = 8 << 20;

/// Why there is no copy with tags.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// A container without tags, or a file that contradicts itself.
    #[error("tags cannot be written into this file: {0}")]
    NotTaken(&'static str),
    /// The original cannot be read, or the copy not be written.
    #[error("tags cannot be written: {0}")]
    Drive(#[from] io::Error),
}

/// What is written, the same for every container.
struct Facts<'a> {
    title: &'a str,
    artist: Option<&'a str>,
    album: Option<&'a str>,
    album_artist: Option<&'a str>,
    number: Option<u32>,
    total: Option<u32>,
    date: Option<&'a str>,
    link: &'a str,
    cover: Option<Picture<'a>>,
}

#[derive(Clone, Copy)]
struct Picture<'a> {
    media_type: &'static str,
    bytes: &'a [u8],
}

/// Writes `original` into `into` with title, artist, album, album artist, number and total, date, source link and cover in place of
/// the tags it had. Waits for the drive; holds the tags, a movie's tables and 64 KiB of audio.
/// # Errors
/// [`TagError`]; what was written by then is worth nothing.
pub fn copy(
    original: &File,
    container: Container,
    track: &Track,
    cover: Option<&[u8]>,
    into: &mut dyn Write,
) -> Result<(), TagError> {
    let original = Original::open(original)?;
    let facts = Facts {
        title: &track.title,
        artist: track.artist.as_deref(),
        album: track.album.as_deref(),
        album_artist: track.album_artist.as_deref().or(track.artist.as_deref()),
        number: track.number,
        total: track.total,
        date: track.date.as_deref(),
        link: &track.link,
        cover: cover.filter(|bytes| bytes.len() <= MAX_COVER_BYTES).and_then(picture),
    };
    match container {
        Container::Mp3 => id3::copy(&original, &facts, into),
        Container::Wav => wav::copy(&original, &facts, into),
        Container::Flac => flac::copy(&original, &facts, into),
        Container::Ogg => ogg::copy(&original, &facts, into),
        Container::Mp4 => mp4::copy(&original, &facts, into),
        Container::WebM => Err(TagError::NotTaken("WebM takes none")),
    }
}

/// `None` for bytes that are no picture a player shows.
fn picture(bytes: &[u8]) -> Option<Picture<'_>> {
    let media_type = match bytes {
        [0xff, 0xd8, ..] => "image/jpeg",
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        _ => return None,
    };
    Some(Picture { media_type, bytes })
}

#[cfg(test)]
mod tests;
