//! Tags and cover, written into a copy.
//!
//! Owns which of a song's facts go into a file, for every container alike. Hides tag formats. Never touches an original,
//! and never an audio packet.

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use lofty::TextEncoding;
use lofty::config::{ParseOptions, WriteOptions};
use lofty::file::{AudioFile, FileType};
use lofty::id3::v2::{Frame, FrameId, Id3v2Tag, TextInformationFrame};
use lofty::mp4::{Atom, AtomData, AtomIdent, Ilst, Mp4File};
use lofty::ogg::tag::VorbisComments;
use lofty::ogg::{OggPictureStorage, OpusFile, VorbisFile};
use lofty::picture::{MimeType, Picture, PictureType};
use lofty::probe::Probe;
use lofty::tag::{Accessor, TagExt};

use kmds_extract::Track;

/// Bytes of a comment that are read: a link has 2,048 at most, in UTF-16 twice as many.
const LONGEST_COMMENT: usize = 8192;

/// A container without tags, or one that the library cannot read.
#[derive(Debug, thiserror::Error)]
#[error("tags cannot be written into this file: {0}")]
pub struct TagError(String);

/// Writes title, artist, album, album artist, number and total, date, source link and cover. Waits for the drive.
/// # Errors
/// [`TagError`]; the file may then be half written and is worth nothing.
pub fn write(file: &Path, track: &Track, cover: Option<&[u8]>) -> Result<(), TagError> {
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

/// The link to its source that [`write()`] left in a file; `None` for files of others, and for FLAC and WAV. Waits for the
/// drive.
#[must_use]
pub fn source_link(path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    let options = ParseOptions::new().read_properties(false).read_cover_art(false);
    let kind = kind(path).ok()??;
    if kind == FileType::Mpeg {
        return id3_link(&file);
    }
    let mut file = std::io::BufReader::new(file);
    let comment = |tag: &dyn Accessor| tag.comment().map(Cow::into_owned);
    match kind {
        FileType::Mp4 => comment(Mp4File::read_from(&mut file, options).ok()?.ilst()?),
        FileType::Opus => comment(OpusFile::read_from(&mut file, options).ok()?.vorbis_comments()),
        FileType::Vorbis => comment(VorbisFile::read_from(&mut file, options).ok()?.vorbis_comments()),
        _ => None,
    }
}

/// The comment of an ID3v2 tag (2.3 and 2.4) that is a link. The library reads every frame there is, which is 230 KB of
/// code; a link is the same letters in each of the tag's encodings, so its bytes are picked out.
fn id3_link(file: &File) -> Option<String> {
    let syncsafe = |bytes: [u8; 4]| bytes.into_iter().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f));
    let mut head = [0; 10];
    file.read_exact_at(&mut head, 0).ok()?;
    let [b'I', b'D', b'3', version @ (3 | 4), _, _, size @ ..] = head else { return None };
    let (mut at, end) = (10, 10 + syncsafe(size));
    while at < end {
        file.read_exact_at(&mut head, at).ok()?;
        let [name @ .., s0, s1, s2, s3, _, _] = head;
        let size = [s0, s1, s2, s3];
        let size = if version == 4 { syncsafe(size) } else { u64::from(u32::from_be_bytes(size)) };
        if &name == b"COMM" {
            let mut comment = vec![0; usize::try_from(size).ok()?.min(LONGEST_COMMENT)];
            file.read_exact_at(&mut comment, at + 10).ok()?;
            // Behind the encoding and the language.
            let letters = comment.into_iter().skip(4).filter(u8::is_ascii_graphic).map(char::from);
            let link: String = letters.collect();
            if link.starts_with("https://") {
                return Some(link);
            }
        }
        at += 10 + size;
    }
    None
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
    use super::*;

    const LINK: &str = "https://soundcloud.com/klaus-veen/ordinary-days";

    fn frame(version: u8, name: &[u8], body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len()).expect("small");
        let size = if version == 4 { (size & 0x3f80) << 1 | size & 0x7f } else { size };
        [name, &size.to_be_bytes(), b"\0\0", body].concat()
    }

    /// A tag with a picture in front, as players and taggers write it.
    fn tag(version: u8, comments: &[&[u8]]) -> Vec<u8> {
        let comments: Vec<u8> = comments.iter().flat_map(|body| frame(version, b"COMM", body)).collect();
        let frames = [frame(version, b"APIC", &[0x55; 300]), comments, vec![0; 200]].concat();
        let size = u32::try_from(frames.len()).expect("small");
        let size = (size & 0x3f80) << 1 | size & 0x7f;
        let head = [&b"ID3"[..], &[version, 0, 0], &size.to_be_bytes()].concat();
        [head, frames, b"\xff\xfb\x90\x64".repeat(200)].concat()
    }

    #[test]
    fn the_link_in_an_mp3_is_read_in_every_version_and_encoding() {
        let utf16: Vec<u8> = LINK.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let utf16 = [&b"\x01eng\xff\xfe\0\0\xff\xfe"[..], &utf16].concat();
        let utf8 = [b"\x03eng\0", LINK.as_bytes()].concat();
        let folder = std::env::temp_dir().join(format!("kmds-tags-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("song.mp3");
        for (version, comments, wanted) in [
            (4, &[&utf8[..]][..], Some(LINK)),
            (3, &[&utf8], Some(LINK)),
            (3, &[&utf16], Some(LINK)),
            (4, &[b"\0engiTunNORM\0 00000A", &utf16], Some(LINK)),
            (4, &[b"\0eng\0bought in a shop"], None),
            (4, &[], None),
        ] {
            std::fs::write(&path, tag(version, comments)).expect("a file");
            assert_eq!(source_link(&path).as_deref(), wanted, "{version} {comments:?}");
        }
        for cut in [3, 12, 320, 340, 370] {
            std::fs::write(&path, tag(4, &[&utf8]).get(..cut).expect("long")).expect("a file");
            assert_eq!(source_link(&path), None, "cut at {cut}");
        }
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
