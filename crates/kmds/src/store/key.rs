//! How kept forms of a song are named, in memory, in URLs and on the drive.
//!
//! Owns [`Key`], file names, content types and strong etags. Hides how a copy's name differs from a plain one's.
//! Never touches the drive.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kmds_extract::choose::Form;
use kmds_extract::{Site, TrackId};

/// Every extension a published file can have, and what it is served as.
const EXTENSIONS: [(&str, &str); 7] = [
    ("m4a", "audio/mp4"),
    ("mp3", "audio/mpeg"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/ogg; codecs=opus"),
    ("webm", "audio/webm"),
    ("flac", "audio/flac"),
    ("wav", "audio/wav"),
];

/// The `Content-Type` of a file with this extension; `None` for extensions we never publish.
#[must_use]
pub fn content_type(ext: &str) -> Option<&'static str> {
    EXTENSIONS
        .iter()
        .find(|(have, _)| *have == ext)
        .map(|(_, kind)| *kind)
}

pub(super) fn extensions() -> impl Iterator<Item = &'static str> {
    EXTENSIONS.iter().map(|(ext, _)| *ext)
}

/// Begins the name of a raw file, see [`Key::raw`].
const RAW: &str = "raw-";

/// One form of a song that we keep.
///
/// A *plain* one is named after the form that was asked for (`m4a`); its file is `{site}/{id}.{ext}`, with the extension
/// of what really arrived. A *copy* (tagged or converted on request) is `{site}/{id}.{rendition}.r.{ext}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    track: TrackId,
    rendition: String,
    copy: bool,
}

impl Key {
    #[must_use]
    pub fn plain(track: TrackId, form: Form) -> Self {
        Self {
            track,
            rendition: form.as_str().to_owned(),
            copy: false,
        }
    }

    /// A copy named `rendition`: 1 to 24 of `a-z 0-9 -`, else `None`.
    #[must_use]
    pub fn copy(track: TrackId, rendition: &str) -> Option<Self> {
        fits(rendition).then(|| Self {
            track,
            rendition: rendition.to_owned(),
            copy: true,
        })
    }

    /// The reverse of [`Key::slug`].
    #[must_use]
    pub fn from_slug(track: TrackId, slug: &str) -> Option<Self> {
        let (rendition, copy) = slug
            .strip_suffix(".r")
            .map_or((slug, false), |name| (name, true));
        fits(rendition).then(|| Self {
            track,
            rendition: rendition.to_owned(),
            copy,
        })
    }

    /// Where the bytes lie that are re-wrapped or converted into this key's file. They have no row of their own: they are
    /// kept as long as this key's row wants a file.
    #[must_use]
    pub fn raw(&self) -> Self {
        Self {
            track: self.track.clone(),
            rendition: format!("{RAW}{}", self.rendition),
            copy: true,
        }
    }

    /// The key whose row speaks for this one's partial file.
    pub(super) fn row_key(&self) -> Self {
        match self.rendition.strip_prefix(RAW) {
            Some(rendition) if self.copy => Self {
                track: self.track.clone(),
                rendition: rendition.to_owned(),
                copy: false,
            },
            _ => self.clone(),
        }
    }

    #[must_use]
    pub const fn track(&self) -> &TrackId {
        &self.track
    }

    #[must_use]
    pub fn rendition(&self) -> &str {
        &self.rendition
    }

    /// As clients name the form and ask for it: `original`, else the name of the copy.
    #[must_use]
    pub fn word(&self) -> &str {
        if self.copy {
            &self.rendition
        } else {
            "original"
        }
    }

    #[must_use]
    pub const fn is_copy(&self) -> bool {
        self.copy
    }

    /// `m4a`, or `tagged.r` for a copy: unique within a track.
    #[must_use]
    pub fn slug(&self) -> String {
        if self.copy {
            format!("{}.r", self.rendition)
        } else {
            self.rendition.clone()
        }
    }

    /// The file's name inside its site's folder.
    #[must_use]
    pub fn file_name(&self, ext: &str) -> String {
        if self.copy {
            format!("{}.{}.r.{ext}", self.track.id(), self.rendition)
        } else {
            format!("{}.{ext}", self.track.id())
        }
    }

    /// The file's path inside the cache folder, with `/`.
    #[must_use]
    pub fn relative_path(&self, ext: &str) -> String {
        format!("{}/{}", self.track.site().as_str(), self.file_name(ext))
    }

    /// What partial files of this key start with.
    pub(super) fn work_name(&self) -> String {
        format!("{}.{}", self.track, self.slug())
    }

    /// The key a partial file belongs to, by the start of its name.
    pub(super) fn from_work_name(name: &str) -> Option<Self> {
        let (track, slug) = name.split_once('.')?;
        let (site, id) = track.split_once('-')?;
        Self::from_slug(TrackId::new(Site::parse(site)?, id)?, slug)
    }
}

/// `youtube-M4gD1WSo5mA m4a`, for logs.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.track, self.slug())
    }
}

fn fits(rendition: &str) -> bool {
    (1..=24).contains(&rendition.len())
        && rendition
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// A published file's name taken apart: whose it is (for plain ones: the form its extension names).
pub(super) fn parse_file_name(site: Site, name: &str) -> Option<(Key, &'static str)> {
    let (stem, ext) = name.rsplit_once('.')?;
    let ext = extensions().find(|have| *have == ext)?;
    if let Some((id, rendition)) = stem
        .strip_suffix(".r")
        .and_then(|stem| stem.split_once('.'))
    {
        return Some((Key::copy(TrackId::new(site, id)?, rendition)?, ext));
    }
    Some((Key::from_slug(TrackId::new(site, stem)?, ext)?, ext))
}

/// The strong entity tag (RFC 9110 §8.8.3) of these bytes, quoted: known as soon as the length is, and the same while
/// the file grows and after it is published.
#[must_use]
pub fn etag(key: &Key, validator: &str, total: u64) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for part in [
        key.track.site().as_str(),
        key.track.id(),
        &key.slug(),
        validator,
        &total.to_string(),
    ] {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    let hash = context.finish();
    // 128 bits: no two files of one cache will ever share them.
    format!(
        "\"{}\"",
        URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track() -> TrackId {
        TrackId::new(Site::YouTube, "M4gD1-So_mA").expect("an id")
    }

    #[test]
    fn every_name_leads_back_to_its_key() {
        let copy = Key::copy(track(), "tagged-mp3").expect("a copy");
        for key in [Key::plain(track(), Form::M4a), copy] {
            assert_eq!(Key::from_slug(track(), &key.slug()).as_ref(), Some(&key));
            assert_eq!(Key::from_work_name(&key.work_name()).as_ref(), Some(&key));
        }
        let copy = Key::copy(track(), "tagged").expect("a copy");
        assert_eq!(
            copy.relative_path("mp3"),
            "youtube/M4gD1-So_mA.tagged.r.mp3"
        );
        assert_eq!(
            parse_file_name(Site::YouTube, "M4gD1-So_mA.tagged.r.mp3"),
            Some((copy, "mp3"))
        );
        let plain = Key::plain(track(), Form::M4a);
        assert_eq!(plain.relative_path("m4a"), "youtube/M4gD1-So_mA.m4a");
        assert_eq!(
            parse_file_name(Site::YouTube, "M4gD1-So_mA.m4a"),
            Some((plain, "m4a"))
        );
    }

    #[test]
    fn the_raw_bytes_of_a_song_belong_to_its_row() {
        let plain = Key::plain(track(), Form::Ogg);
        let raw = Key::from_work_name(&plain.raw().work_name()).expect("a key");
        assert_ne!(raw, plain);
        assert_eq!(raw.row_key(), plain);
        assert_eq!(plain.row_key(), plain);
    }

    #[test]
    fn names_that_could_leave_the_folder_are_no_names() {
        for bad in [
            "",
            "..",
            "a/b",
            "A",
            "a.r",
            "with space",
            "a-name-of-more-than-24-chars",
        ] {
            assert_eq!(Key::copy(track(), bad), None, "{bad}");
        }
        for bad in [
            "../x.m4a",
            "x.exe",
            "x.m4a.json",
            ".hidden",
            "a b.mp3",
            "x.A.r.mp3",
        ] {
            assert_eq!(parse_file_name(Site::YouTube, bad), None, "{bad}");
        }
    }

    #[test]
    fn an_etag_changes_with_everything_that_changes_the_bytes() {
        let key = Key::plain(track(), Form::M4a);
        let tag = etag(&key, "v1", 100);
        assert_eq!(tag, etag(&key, "v1", 100));
        assert!(
            tag.starts_with('"') && tag.ends_with('"') && tag.len() == 24,
            "{tag}"
        );
        for other in [
            etag(&key, "v2", 100),
            etag(&key, "v1", 101),
            etag(&Key::plain(track(), Form::Mp3), "v1", 100),
            etag(&key, "v", 1100),
        ] {
            assert_ne!(tag, other);
        }
    }
}
