//! Writes a copy of a song with tags and cover.
//!
//! Owns which facts of a song go into a file, the same for every container. The tags are made in memory; the audio is
//! read from the original and written piece by piece, so memory does not grow with the file. No audio packet changes.

mod flac;
mod gain;
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

use gain::Gain;
use original::Original;
pub use source::source_link;

/// Largest cover that goes into a file. The tags made of it take up to one and a half times its size more.
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

/// The facts that are written.
struct TagFacts<'a> {
    title: &'a str,
    artist: Option<&'a str>,
    album: Option<&'a str>,
    album_artist: Option<&'a str>,
    number: Option<u32>,
    total: Option<u32>,
    date: Option<&'a str>,
    link: &'a str,
    gain: Option<Gain>,
    cover: Option<Picture<'a>>,
}

#[derive(Clone, Copy)]
struct Picture<'a> {
    media_type: &'static str,
    bytes: &'a [u8],
}

/// Writes `original` into `into` with title, artist, album, album artist, number and total, date, source link, gain and
/// cover in place of the tags it had. Waits for the drive; holds the tags, a movie's tables and 64 KiB of audio.
/// # Errors
/// [`TagError`]; what was written by then is useless.
pub fn copy(
    original: &File,
    container: Container,
    track: &Track,
    cover: Option<&[u8]>,
    into: &mut dyn Write,
) -> Result<(), TagError> {
    let mut original = Original::open(original)?;
    let facts = TagFacts {
        title: &track.title,
        artist: track.artist.as_deref(),
        album: track.album.as_deref(),
        album_artist: track.album_artist.as_deref().or(track.artist.as_deref()),
        number: track.number,
        total: track.total,
        date: track.date.as_deref(),
        link: &track.link,
        gain: track.loudness_db.map(Gain::of),
        cover: cover
            .filter(|bytes| bytes.len() <= MAX_COVER_BYTES)
            .and_then(picture),
    };
    match container {
        Container::Mp3 => id3::copy(&mut original, &facts, into),
        Container::Wav => wav::copy(&mut original, &facts, into),
        Container::Flac => flac::copy(&mut original, &facts, into),
        Container::Ogg => ogg::copy(&mut original, &facts, into),
        Container::Mp4 => mp4::copy(&mut original, &facts, into),
        Container::WebM => Err(TagError::NotTaken("WebM takes none")),
    }
}

/// `None` unless the bytes are a JPEG or PNG, which players show.
fn picture(bytes: &[u8]) -> Option<Picture<'_>> {
    let media_type = match bytes {
        [0xff, 0xd8, ..] => "image/jpeg",
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        _ => return None,
    };
    Some(Picture { media_type, bytes })
}

#[cfg(test)]
mod tests {
    // A test reads the tags with mutagen (`tests/engines/tags.rs`).
    use std::fs::File;

    use kmds_extract::{Container, Loudness, Site, Source, Track, TrackId};

    use super::*;
    use crate::media::check;

    fn song() -> Track {
        Track {
            id: TrackId::new(Site::YouTube, "M4gD1WSo5mA").expect("an id"),
            source: Source::YouTube {
                video: "M4gD1WSo5mA".to_owned(),
            },
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
            loudness_db: Loudness::of_db(-3.5),
            offered: None,
            withheld: None,
        }
    }

    const CONTAINERS: [Container; 6] = [
        Container::Mp4,
        Container::Mp3,
        Container::Ogg,
        Container::WebM,
        Container::Flac,
        Container::Wav,
    ];
    const COVER: &[u8] = b"\xff\xd8\xff\xe0 a picture";

    fn whole(path: &std::path::Path) -> Option<Container> {
        let file = File::open(path).expect("the file is there");
        CONTAINERS
            .into_iter()
            .find(|container| check(&file, *container, None).is_ok())
    }

    /// A file of these bytes, and one beside it for its copy.
    struct Pair([std::path::PathBuf; 2]);

    impl Pair {
        fn of(name: &str, bytes: &[u8]) -> Self {
            let path = |end| {
                std::env::temp_dir().join(format!("kmds-tags-{name}-{}-{end}", std::process::id()))
            };
            let pair = Self([path("original"), path("copy")]);
            std::fs::write(&pair.0[0], bytes).expect("a temporary file");
            pair
        }

        fn copied(&self, container: Container, cover: &[u8]) -> Result<(), TagError> {
            let original = File::open(&self.0[0]).expect("the original");
            let mut into = io::BufWriter::new(File::create(&self.0[1]).expect("a copy"));
            copy(&original, container, &song(), Some(cover), &mut into)?;
            Ok(into.flush()?)
        }
    }

    impl Drop for Pair {
        fn drop(&mut self) {
            let _ = self.0.iter().map(std::fs::remove_file).collect::<Vec<_>>();
        }
    }

    #[test]
    fn tags_that_contradict_themselves_are_an_error_and_no_panic() {
        let pair = Pair::of(
            "odd",
            include_bytes!("../../../../fuzz/corpus/tags/meta-outgrows-udta.mp4"),
        );
        assert_eq!(
            whole(&pair.0[0]),
            Some(Container::Mp4),
            "our check has nothing against it"
        );
        let refused = pair
            .copied(Container::Mp4, COVER)
            .expect_err("a box larger than the one around it");
        assert!(matches!(refused, TagError::NotTaken(_)), "{refused}");
    }

    #[test]
    fn a_cover_of_any_size_we_fetch_fits_into_every_container() {
        let cover = [COVER, &vec![0x55; MAX_COVER_BYTES - COVER.len()]].concat();
        for (name, bytes, container) in [
            (
                "xing.mp3",
                &include_bytes!("../../../../fuzz/corpus/tags/xing.mp3")[..],
                Container::Mp3,
            ),
            (
                "opus.ogg",
                include_bytes!("../../../../fuzz/corpus/tags/opus.ogg"),
                Container::Ogg,
            ),
            (
                "progressive.mp4",
                include_bytes!("../../../../fuzz/corpus/tags/progressive.mp4"),
                Container::Mp4,
            ),
            (
                "short.flac",
                include_bytes!("../../../../fuzz/corpus/tags/short.flac"),
                Container::Flac,
            ),
            (
                "short.wav",
                include_bytes!("../../../../fuzz/corpus/tags/short.wav"),
                Container::Wav,
            ),
        ] {
            let pair = Pair::of(name, bytes);
            pair.copied(container, &cover)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(whole(&pair.0[1]), Some(container), "{name}");
            let sizes = pair
                .0
                .each_ref()
                .map(|path| std::fs::metadata(path).expect("there").len());
            assert!(
                sizes[1] > sizes[0] + cover.len() as u64,
                "{name}: {sizes:?}"
            );
        }
    }

    #[test]
    fn tags_in_the_place_of_tags_leave_nothing_of_the_first() {
        for (name, bytes, container) in [
            (
                "again.mp3",
                &include_bytes!("../../../../fuzz/corpus/tags/xing.mp3")[..],
                Container::Mp3,
            ),
            (
                "again.ogg",
                include_bytes!("../../../../fuzz/corpus/tags/opus.ogg"),
                Container::Ogg,
            ),
            (
                "again.mp4",
                include_bytes!("../../../../fuzz/corpus/tags/progressive.mp4"),
                Container::Mp4,
            ),
            (
                "again.flac",
                include_bytes!("../../../../fuzz/corpus/tags/short.flac"),
                Container::Flac,
            ),
            (
                "again.wav",
                include_bytes!("../../../../fuzz/corpus/tags/short.wav"),
                Container::Wav,
            ),
        ] {
            let pair = Pair::of(name, bytes);
            pair.copied(container, COVER).expect("tagged");
            let once = std::fs::read(&pair.0[1]).expect("a copy");
            let again = Pair::of(&format!("twice-{name}"), &once);
            again.copied(container, COVER).expect("tagged again");
            assert!(
                once == std::fs::read(&again.0[1]).expect("a copy"),
                "{name}"
            );
        }
    }

    /// For a file with any tags, a copy fails, or has a link that can be read back and is as whole as its original.
    #[test]
    fn fuzz_tags() {
        kmds_fuzz::target("tags", |bytes| {
            let pair = Pair::of("fuzz", bytes);
            let Some(container) = whole(&pair.0[0]) else {
                // Only its end is promised.
                let _ = CONTAINERS.map(|container| pair.copied(container, COVER).is_ok());
                return;
            };
            if pair.copied(container, COVER).is_err() {
                return;
            }
            let linked = source_link(&File::open(&pair.0[1]).expect("it opens"));
            // No link is read from FLAC and WAV.
            if matches!(container, Container::Mp3 | Container::Ogg | Container::Mp4) {
                assert_eq!(linked.as_ref(), Some(&song().link), "{container:?}");
            }
            assert_eq!(whole(&pair.0[1]), Some(container));
        });
    }
}
