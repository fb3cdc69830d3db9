//! Tags and cover, written into a copy.
//!
//! Owns which of a song's facts go into a file, for every container alike. Hides tag formats. Never touches an original,
//! and never an audio packet.

mod source;

use std::borrow::Cow;
use std::path::Path;

use lofty::TextEncoding;
use lofty::config::WriteOptions;
use lofty::file::FileType;
use lofty::id3::v2::{Frame, FrameId, Id3v2Tag, TextInformationFrame};
use lofty::mp4::{Atom, AtomData, AtomIdent, Ilst};
use lofty::ogg::OggPictureStorage;
use lofty::ogg::tag::VorbisComments;
use lofty::picture::{MimeType, Picture, PictureType};
use lofty::probe::Probe;
use lofty::tag::{Accessor, TagExt};

use kmds_extract::Track;

pub use source::source_link;

/// A container without tags, or one that the library cannot read.
#[derive(Debug, thiserror::Error)]
#[error("tags cannot be written into this file: {0}")]
pub struct TagError(String);

/// Writes title, artist, album, album artist, number and total, date, source link and cover. Waits for the drive.
/// # Errors
/// [`TagError`]; the file may then be half written and is worth nothing.
pub fn write(file: &Path, track: &Track, cover: Option<&[u8]>) -> Result<(), TagError> {
    // The library panics on some files whose inner boxes outgrow the outer ones; our check does not look into tags.
    let written = std::panic::catch_unwind(|| write_as_its_kind(file, track, cover));
    written.unwrap_or_else(|_| Err(failed("there are tags in it that contradict themselves")))
}

fn write_as_its_kind(file: &Path, track: &Track, cover: Option<&[u8]>) -> Result<(), TagError> {
    let kind = kind(file).map_err(failed)?;
    let picture = cover.and_then(picture);
    let album_artist = track.album_artist.as_ref().or(track.artist.as_ref()).cloned();
    let date = track.date.clone();
    // One type a format, not the library's one for all: that brings every format it knows into the binary.
    match kind {
        Some(FileType::Mp4) => {
            let mut tag = described(Ilst::new(), track);
            let text = |name, text| Atom::new(AtomIdent::Fourcc(name), AtomData::UTF8(text));
            album_artist.into_iter().for_each(|artist| tag.insert(text(*b"aART", artist)));
            date.into_iter().for_each(|date| tag.insert(text(*b"\xa9day", date)));
            picture.into_iter().for_each(|picture| tag.insert_picture(picture));
            tag.save_to_path(file, WriteOptions::default()).map_err(failed)
        }
        Some(FileType::Mpeg | FileType::Wav) => {
            let mut tag = described(Id3v2Tag::new(), track);
            let mut text = |name, text: String| {
                let name = FrameId::Valid(Cow::Borrowed(name));
                tag.insert(Frame::Text(TextInformationFrame::new(name, TextEncoding::UTF8, text)));
            };
            album_artist.into_iter().for_each(|artist| text("TPE2", artist));
            date.into_iter().for_each(|date| text("TDRC", date));
            if let Some(picture) = picture {
                tag.insert_picture(picture);
            }
            tag.save_to_path(file, WriteOptions::default()).map_err(failed)
        }
        Some(FileType::Opus | FileType::Vorbis | FileType::Flac) => {
            let mut tag = described(VorbisComments::new(), track);
            album_artist.into_iter().for_each(|artist| tag.insert("ALBUMARTIST".to_owned(), artist));
            date.into_iter().for_each(|date| tag.insert("DATE".to_owned(), date));
            if let Some(picture) = picture {
                tag.insert_picture(picture, None).map_err(failed)?;
            }
            tag.save_to_path(file, WriteOptions::default()).map_err(failed)
        }
        _ => Err(failed("its container takes none")),
    }
}

/// What every format has a place for.
fn described<Format: Accessor>(mut tag: Format, track: &Track) -> Format {
    tag.set_title(track.title.clone());
    if let Some(artist) = &track.artist {
        tag.set_artist(artist.clone());
    }
    if let Some(album) = &track.album {
        tag.set_album(album.clone());
    }
    if let Some(number) = track.number {
        tag.set_track(number);
    }
    if let Some(total) = track.total {
        tag.set_track_total(total);
    }
    tag.set_comment(track.link.clone());
    tag
}

/// Told by its first bytes.
fn kind(file: &Path) -> std::io::Result<Option<FileType>> {
    Ok(Probe::open(file).map_err(std::io::Error::other)?.guess_file_type()?.file_type())
}

/// `None` for bytes that are no picture a player shows.
fn picture(bytes: &[u8]) -> Option<Picture> {
    let kind = match bytes {
        [0xff, 0xd8, ..] => MimeType::Jpeg,
        [0x89, b'P', b'N', b'G', ..] => MimeType::Png,
        _ => return None,
    };
    Some(Picture::unchecked(bytes.to_vec()).pic_type(PictureType::CoverFront).mime_type(kind).build())
}

fn failed(error: impl std::fmt::Display) -> TagError {
    TagError(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use kmds_extract::{Container, Site, Source, TrackId};

    use super::*;
    use crate::media::check;

    fn song() -> Track {
        Track {
            id: TrackId::new(Site::YouTube, "M4gD1WSo5mA").expect("an id"),
            source: Source::YouTube { video: "M4gD1WSo5mA".to_owned() },
            link: "https://www.youtube.com/watch?v=M4gD1WSo5mA".to_owned(),
            title: "A Song".to_owned(),
            artist: Some("Someone".to_owned()),
            album: Some("An Album".to_owned()),
            album_artist: None,
            number: Some(3),
            total: Some(12),
            duration: None,
            cover_url: None,
            date: Some("2026-05-01".to_owned()),
            streams: Vec::new(),
            withheld: None,
        }
    }

    #[test]
    fn tags_that_contradict_themselves_are_an_error_and_no_panic() {
        let path = std::env::temp_dir().join(format!("kmds-odd-tags-{}", std::process::id()));
        let bytes = include_bytes!("../../../../fuzz/corpus/tags/meta-outgrows-udta.mp4");
        std::fs::write(&path, bytes).expect("a temporary file");
        assert_eq!(whole(&path), Some(Container::Mp4), "our check has nothing against it");
        assert!(write(&path, &song(), None).is_err());
        std::fs::remove_file(&path).expect("still there");
    }

    const CONTAINERS: [Container; 6] =
        [Container::Mp4, Container::Mp3, Container::Ogg, Container::WebM, Container::Flac, Container::Wav];

    fn whole(path: &Path) -> Option<Container> {
        let file = File::open(path).expect("the file is there");
        CONTAINERS.into_iter().find(|container| check(&file, *container, None).is_ok())
    }

    /// Whatever tags there were before, writing ours fails or leaves a link that is read back. (The copy is checked before it
    /// is published: the library takes some junk in front of MP3 frames for a tag, and cuts it off with them.)
    #[test]
    fn fuzz_tags() {
        // The library believes each size in a file up to a limit of its own, which is 16 MiB.
        kmds_fuzz::target_holding("tags", 64 << 20, |bytes| {
            let path = std::env::temp_dir().join(format!("kmds-fuzz-tags-{}", std::process::id()));
            std::fs::write(&path, bytes).expect("a temporary file");
            let (before, song) = (whole(&path), song());
            let cover = b"\xff\xd8\xff\xe0 a picture";
            let written = write(&path, &song, Some(cover)).is_ok();
            let linked = source_link(&path);
            // Of FLAC and WAV no link is read; in an MP4 whose old tags contradict themselves the library does not find ours.
            let tells = matches!(before, Some(Container::Mp3 | Container::Ogg));
            if written && tells && whole(&path) == before {
                assert_eq!(linked.as_ref(), Some(&song.link), "{before:?}");
            }
            std::fs::remove_file(&path).expect("still there");
        });
    }
}
