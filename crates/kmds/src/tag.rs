//! Tags and cover, written into a copy.
//!
//! Owns which of a song's facts go into a file, for every container alike. Hides tag formats. Never touches an original,
//! and never an audio packet.

use std::path::Path;

use lofty::config::WriteOptions;
use lofty::file::TaggedFileExt;
use lofty::picture::{MimeType, Picture, PictureType};
use lofty::probe::Probe;
use lofty::tag::{Accessor, ItemKey, Tag, TagExt};

use kmds_extract::Track;

/// A container without tags, or one that the library cannot read.
#[derive(Debug, thiserror::Error)]
#[error("tags cannot be written into this file: {0}")]
pub struct TagError(String);

/// Writes title, artist, album, album artist, number and total, date, source link and cover. Waits for the drive.
/// # Errors
/// [`TagError`]; the file may then be half written and is worth nothing.
pub fn write(file: &Path, track: &Track, cover: Option<&[u8]>) -> Result<(), TagError> {
    let probe = Probe::open(file).map_err(failed)?.guess_file_type().map_err(failed)?;
    let kind = probe.read().map_err(failed)?.primary_tag_type();
    let mut tag = Tag::new(kind);
    tag.set_title(track.title.clone());
    if let Some(artist) = &track.artist {
        tag.set_artist(artist.clone());
    }
    if let Some(album) = &track.album {
        tag.set_album(album.clone());
    }
    if let Some(artist) = track.album_artist.as_ref().or(track.artist.as_ref()) {
        tag.insert_text(ItemKey::AlbumArtist, artist.clone());
    }
    if let Some(number) = track.number {
        tag.set_track(number);
    }
    if let Some(total) = track.total {
        tag.set_track_total(total);
    }
    if let Some(date) = &track.date {
        tag.insert_text(ItemKey::RecordingDate, date.clone());
    }
    tag.insert_text(ItemKey::Comment, track.link.clone());
    if let Some(picture) = cover.and_then(picture) {
        tag.push_picture(picture);
    }
    tag.save_to_path(file, WriteOptions::default()).map_err(failed)
}

/// The link to its source that [`write()`] left in a file; `None` for files of others. Waits for the drive.
#[must_use]
pub fn source_link(file: &Path) -> Option<String> {
    let tagged = Probe::open(file).ok()?.guess_file_type().ok()?.read().ok()?;
    let link = |tag: &Tag| tag.get_string(ItemKey::Comment).map(str::to_owned);
    tagged.primary_tag().and_then(link)
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
