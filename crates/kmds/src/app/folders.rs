//! Where a song goes in a music folder: `Artist/Album/01 Title`.
//!
//! Owns the names, for files and for archives. Names come from sites and servers: no part of a name leads out of the
//! folder.

use super::api::Song;
use crate::jobs::sanitize;

/// The parts of a path in a music folder.
#[derive(Debug, Clone, Copy)]
pub struct Filed<'a> {
    pub title: &'a str,
    pub artist: Option<&'a str>,
    pub album: Option<&'a str>,
    pub album_artist: Option<&'a str>,
    pub number: Option<u32>,
    pub total: Option<u32>,
    /// Title of the list it was found in.
    pub list: Option<&'a str>,
    /// `Artist - Title`.
    pub stem: &'a str,
    /// Used instead of a name without a usable character.
    pub id: &'a str,
}

impl<'a> Filed<'a> {
    /// The folder and name of a song that was found in this list.
    #[must_use]
    pub fn of(song: &'a Song, list: Option<&'a str>) -> Self {
        let track = &song.track;
        let stem = song.file_name.rsplit_once('.');
        Self {
            title: &track.title,
            artist: track.artist.as_deref(),
            album: track.album.as_deref(),
            album_artist: track.album_artist.as_deref(),
            number: track.number,
            total: track.total,
            list,
            stem: stem.map_or(&*song.file_name, |(stem, _)| stem),
            id: track.id.id(),
        }
    }
}

/// The parts of the path, without an extension: a song of an album is in the artist's folder, one of another list in
/// the list's, and a single song in none.
#[must_use]
pub fn filed(song: &Filed<'_>) -> Vec<String> {
    let safe = |text: &str, otherwise: &str| {
        let safe = sanitize(text);
        if safe.is_empty() {
            otherwise.to_owned()
        } else {
            safe
        }
    };
    let digits = if song.total.is_some_and(|total| total > 99) {
        3
    } else {
        2
    };
    let numbered = |name: &str| {
        song.number.map_or_else(
            || name.to_owned(),
            |number| format!("{number:0digits$} {name}"),
        )
    };
    let (mut path, name) = match (song.album, song.number, song.list) {
        (Some(album), Some(_), _) => {
            let artist = song.album_artist.or(song.artist).unwrap_or_default();
            let artist = safe(artist, "Unknown Artist");
            (
                vec![artist, safe(album, "Unknown Album")],
                numbered(song.title),
            )
        }
        (None, Some(_), Some(list)) => (vec![safe(list, "Unknown List")], numbered(song.stem)),
        _ => (Vec::new(), song.stem.to_owned()),
    };
    path.push(safe(&name, song.id));
    path
}
