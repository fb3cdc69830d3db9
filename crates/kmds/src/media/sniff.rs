//! Tells containers apart by the first bytes of a file.
//!
//! Owns the marks of every container that is kept, and of the text that origins send instead of audio. It reads only
//! the bytes that it gets, and does not judge whether a file is whole.

use std::fmt;

use kmds_extract::Container;

use super::{mp3, webm};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sniffed {
    Mp4,
    WebM,
    Ogg,
    Mp3,
    Flac,
    Wav,
    Adts,
    Html,
    Json,
    Playlist,
    Xml,
    Empty,
    Unknown,
}

impl Sniffed {
    /// Text where audio should be: an error page, an API's answer, a playlist.
    #[must_use]
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Html | Self::Json | Self::Playlist | Self::Xml)
    }
}

impl fmt::Display for Sniffed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mp4 => "an MP4 file",
            Self::WebM => "a WebM file",
            Self::Ogg => "an Ogg file",
            Self::Mp3 => "an MP3 file",
            Self::Flac => "a FLAC file",
            Self::Wav => "a WAV file",
            Self::Adts => "a raw AAC stream",
            Self::Html => "a web page",
            Self::Json => "a JSON text",
            Self::Playlist => "a playlist",
            Self::Xml => "an XML text",
            Self::Empty => "empty",
            Self::Unknown => "of an unknown kind",
        })
    }
}

impl From<Container> for Sniffed {
    fn from(container: Container) -> Self {
        match container {
            Container::Mp4 => Self::Mp4,
            Container::Mp3 => Self::Mp3,
            Container::Ogg => Self::Ogg,
            Container::WebM => Self::WebM,
            Container::Flac => Self::Flac,
            Container::Wav => Self::Wav,
        }
    }
}

/// Boxes an MP4 file or fragment may begin with; padding (`free`, `skip`, `wide`) may stand in front.
const MP4_FIRST: [&[u8; 4]; 11] = [
    b"ftyp", b"styp", b"moof", b"moov", b"mdat", b"sidx", b"emsg", b"pdin", b"free", b"skip",
    b"wide",
];

/// Judges a file by its first bytes, of which at most 4 KiB are looked at. Text counts only if it looks like text all
/// along: a slice of MP3 may begin with any byte.
#[must_use]
pub fn sniff(head: &[u8]) -> Sniffed {
    let head = head.get(..super::SNIFF_BYTES).unwrap_or(head);
    if head.is_empty() {
        return Sniffed::Empty;
    }
    if let Some(after) = mp3::after_id3(head) {
        // FLAC and raw AAC sometimes have the tag as well; a tag that is longer than the head belongs to an MP3.
        return match head.get(after..).map(binary) {
            Some(found @ (Sniffed::Flac | Sniffed::Adts)) => found,
            _ => Sniffed::Mp3,
        };
    }
    match binary(head) {
        Sniffed::Unknown => text(head),
        found => found,
    }
}

fn binary(head: &[u8]) -> Sniffed {
    if head
        .get(4..8)
        .is_some_and(|kind| MP4_FIRST.iter().any(|first| *first == kind))
    {
        Sniffed::Mp4
    } else if webm::begins(head) {
        Sniffed::WebM
    } else if head.starts_with(b"OggS") {
        Sniffed::Ogg
    } else if head.starts_with(b"fLaC") {
        Sniffed::Flac
    } else if [b"RIFF", b"RF64", b"BW64"]
        .iter()
        .any(|mark| head.starts_with(*mark))
        && head.get(8..12) == Some(b"WAVE")
    {
        Sniffed::Wav
    } else if mp3::begins(head) {
        Sniffed::Mp3
    } else if matches!(head, [0xFF, second, ..] if second & 0xF6 == 0xF0) {
        Sniffed::Adts
    } else {
        Sniffed::Unknown
    }
}

fn text(head: &[u8]) -> Sniffed {
    let head = head
        .strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(head)
        .trim_ascii_start();
    if head
        .iter()
        .any(|&byte| byte < 0x20 && !byte.is_ascii_whitespace())
    {
        return Sniffed::Unknown;
    }
    let begins = |with: &str| {
        head.get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
    };
    if begins("<!doctype") || ["<html", "<head", "<body", "<!--"].into_iter().any(begins) {
        Sniffed::Html
    } else if matches!(head, [b'<', next, ..] if next.is_ascii_alphabetic() || *next == b'?') {
        Sniffed::Xml
    } else if begins("{") || begins("[") {
        Sniffed::Json
    } else if begins("#EXTM3U") {
        Sniffed::Playlist
    } else {
        Sniffed::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_is_told_apart() {
        let table: &[(&[u8], Sniffed)] = &[
            (b"", Sniffed::Empty),
            (b"\0\0\0\x18ftypdash", Sniffed::Mp4),
            (b"\0\0\0\x18stypmsdh", Sniffed::Mp4),
            (b"\0\0\0\x64moof", Sniffed::Mp4),
            (b"\0\x10\0\0free\0\0\0\0", Sniffed::Mp4),
            (b"\x1A\x45\xDF\xA3\x9F", Sniffed::WebM),
            (b"\xEC\x82\0\0\x1A\x45\xDF\xA3\x9F", Sniffed::WebM),
            (b"\xEC\x82\0\0{}", Sniffed::Unknown),
            (b"OggS\0\x02", Sniffed::Ogg),
            (b"ID3\x04\0\0\0\0\x10\0", Sniffed::Mp3),
            (b"ID3\x04\0\0\0\0\0\x02\0\0fLaC", Sniffed::Flac),
            (b"\xFF\xFB\x90\x64", Sniffed::Mp3),
            (b"\0\0\0\0\0\0\xFF\xFB\x90\x64", Sniffed::Mp3),
            (b"\xFF\xF1\x50\x80", Sniffed::Adts),
            (b"fLaC\0\0\0\x22", Sniffed::Flac),
            (b"RIFF\x24\0\0\0WAVEfmt ", Sniffed::Wav),
            (b"RF64\xFF\xFF\xFF\xFFWAVEds64", Sniffed::Wav),
            (b"<!DOCTYPE html>", Sniffed::Html),
            (b"\xEF\xBB\xBF \r\n<HTML><body>", Sniffed::Html),
            (b"<?xml version=\"1.0\"?><Error>", Sniffed::Xml),
            (b"<Error><Code>AccessDenied", Sniffed::Xml),
            (b"{\"error\": 1}", Sniffed::Json),
            (b" [1]", Sniffed::Json),
            (b"#EXTM3U\n#EXT-X-VERSION:6", Sniffed::Playlist),
            (b"{\x01\x88\x17 the middle of a frame", Sniffed::Unknown),
            (b"Not found", Sniffed::Unknown),
            (b"\xFF", Sniffed::Unknown),
        ];
        for (head, expected) in table {
            assert_eq!(
                sniff(head),
                *expected,
                "{:?}",
                String::from_utf8_lossy(head)
            );
        }
    }
}
