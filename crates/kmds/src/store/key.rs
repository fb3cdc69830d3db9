//! How the renditions of a song are named: in memory, in the catalog, in URLs and on the drive.
//!
//! Owns [`Key`] and [`Rendition`], file names and strong etags; only this module writes and reads the text of a
//! rendition. It does not touch the drive.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kmds_extract::{Format, Site, TrackId};

/// The suffix of the slug of a copy.
const COPY: &str = ".r";
/// The prefix of the name of a raw file.
const RAW: &str = "raw-";
/// The suffix of the name of a copy with tags.
const TAGGED: &str = "-tagged";
/// The name for the format that the site sent.
const ORIGINAL: &str = "original";

/// One rendition of a song.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    track: TrackId,
    rendition: Rendition,
}

/// Which rendition of a song a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rendition {
    /// The song as the site sends it, or as it was converted for a client that plays none of the site's formats. It is
    /// named after the expected format; its file is `{site}/{id}.{ext}`, with the extension of the arrived format.
    Original(Format),
    /// Made from the finished original on request: `{site}/{id}.{name}.r.{ext}`.
    Copy(CopyForm),
    /// The bytes that are re-wrapped or converted into the original of this format. They have no row of their own: they
    /// are kept as long as the original's row needs a file.
    Raw(Format),
}

/// A copy: its format (`None`: the original's own), and whether it has tags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CopyForm {
    pub format: Option<Format>,
    pub tagged: bool,
}

impl CopyForm {
    /// A copy with tags in the original's own format.
    pub const TAGGED: Self = Self {
        format: None,
        tagged: true,
    };

    /// The reverse of its `Display`. Nothing is ever converted to WebM: Opus in Ogg is the same audio.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let untagged = name.strip_suffix(TAGGED);
        let format = match untagged.unwrap_or(name) {
            ORIGINAL => None,
            word => Some(Format::parse(word).filter(|format| *format != Format::WebM)?),
        };
        Some(Self {
            format,
            tagged: untagged.is_some(),
        })
    }
}

/// `mp3`, `original-tagged`: the name for clients.
impl fmt::Display for CopyForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.format.map_or(ORIGINAL, Format::ext))?;
        f.write_str(if self.tagged { TAGGED } else { "" })
    }
}

impl Rendition {
    /// Its name in the catalog, in sidecars and in the names of partial files: unique within a track.
    fn slug(self) -> String {
        match self {
            Self::Original(format) => format.ext().to_owned(),
            Self::Copy(_) | Self::Raw(_) => format!("{self}{COPY}"),
        }
    }

    fn from_slug(slug: &str) -> Option<Self> {
        let Some(name) = slug.strip_suffix(COPY) else {
            return Format::parse(slug).map(Self::Original);
        };
        match name.strip_prefix(RAW) {
            Some(ext) => Format::parse(ext).map(Self::Raw),
            None => CopyForm::parse(name).map(Self::Copy),
        }
    }
}

/// Its name without the mark of a copy.
impl fmt::Display for Rendition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Original(format) => format.fmt(f),
            Self::Copy(form) => form.fmt(f),
            Self::Raw(format) => write!(f, "{RAW}{format}"),
        }
    }
}

impl Key {
    #[must_use]
    pub const fn original(track: TrackId, format: Format) -> Self {
        Self {
            track,
            rendition: Rendition::Original(format),
        }
    }

    #[must_use]
    pub const fn copy(track: TrackId, form: CopyForm) -> Self {
        Self {
            track,
            rendition: Rendition::Copy(form),
        }
    }

    /// The reverse of [`Key::slug`].
    #[must_use]
    pub fn from_slug(track: TrackId, slug: &str) -> Option<Self> {
        let rendition = Rendition::from_slug(slug)?;
        Some(Self { track, rendition })
    }

    /// The raw bytes of this original.
    #[must_use]
    pub fn raw(&self) -> Self {
        let rendition = match self.rendition {
            Rendition::Original(format) => Rendition::Raw(format),
            other => other,
        };
        Self {
            track: self.track.clone(),
            rendition,
        }
    }

    /// The key whose row decides about this key's partial file.
    pub(super) fn row_key(&self) -> Self {
        let rendition = match self.rendition {
            Rendition::Raw(format) => Rendition::Original(format),
            other => other,
        };
        Self {
            track: self.track.clone(),
            rendition,
        }
    }

    #[must_use]
    pub const fn track(&self) -> &TrackId {
        &self.track
    }

    #[must_use]
    pub const fn rendition(&self) -> Rendition {
        self.rendition
    }

    /// The form that clients ask for, also if another container arrives; `None`: a copy in the format of its original.
    #[must_use]
    pub const fn form(&self) -> Option<Format> {
        match self.rendition {
            Rendition::Original(format) | Rendition::Raw(format) => Some(format),
            Rendition::Copy(form) => form.format,
        }
    }

    /// The form's part of an address, which leads to this key among those of its track: the word of the form, or the
    /// name of a tagged copy.
    #[must_use]
    pub fn address(&self) -> String {
        match self.rendition {
            Rendition::Original(format) | Rendition::Raw(format) => format.ext().to_owned(),
            Rendition::Copy(form) => form.to_string(),
        }
    }

    /// The rendition's name for clients: `original`, else the name of the copy.
    #[must_use]
    pub fn word(&self) -> String {
        match self.rendition {
            Rendition::Original(_) => ORIGINAL.to_owned(),
            other => other.to_string(),
        }
    }

    #[must_use]
    pub const fn is_copy(&self) -> bool {
        !matches!(self.rendition, Rendition::Original(_))
    }

    /// `m4a`, or `mp3-tagged.r` for a copy: unique within a track.
    #[must_use]
    pub fn slug(&self) -> String {
        self.rendition.slug()
    }

    /// The file's name inside its site's folder.
    #[must_use]
    pub fn file_name(&self, format: Format) -> String {
        let id = self.track.id();
        match self.rendition {
            Rendition::Original(_) => format!("{id}.{format}"),
            Rendition::Copy(_) | Rendition::Raw(_) => format!("{id}.{}.{format}", self.slug()),
        }
    }

    /// The file's path inside the cache folder, with `/`.
    #[must_use]
    pub fn relative_path(&self, format: Format) -> String {
        format!("{}/{}", self.track.site().as_str(), self.file_name(format))
    }

    /// The prefix of the names of this key's partial files.
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

/// The key and the format of a published file, by its name; of an original, the key of the format in its extension.
pub(super) fn parse_file_name(site: Site, name: &str) -> Option<(Key, Format)> {
    let (stem, ext) = name.rsplit_once('.')?;
    let format = Format::parse(ext)?;
    let Some((id, slug)) = stem.split_once('.') else {
        return Some((Key::original(TrackId::new(site, stem)?, format), format));
    };
    let key = Key::from_slug(TrackId::new(site, id)?, slug)?;
    key.is_copy().then_some((key, format))
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
    // 128 bits: no two files of one cache will ever have the same.
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

    fn copy(name: &str) -> Key {
        Key::copy(track(), CopyForm::parse(name).expect("a copy"))
    }

    fn original(format: Format) -> Key {
        Key::original(track(), format)
    }

    #[test]
    fn every_name_leads_back_to_its_key() {
        let originals = Format::ALL.map(original);
        let raw = Format::ALL.map(|format| original(format).raw());
        let copies = ["mp3-tagged", "original-tagged", "wav", "original"].map(copy);
        for key in originals.into_iter().chain(raw).chain(copies) {
            assert_eq!(Key::from_slug(track(), &key.slug()).as_ref(), Some(&key));
            assert_eq!(Key::from_work_name(&key.work_name()).as_ref(), Some(&key));
            let format = match key.rendition() {
                Rendition::Original(format) => format,
                _ => Format::Mp3,
            };
            assert_eq!(
                parse_file_name(Site::YouTube, &key.file_name(format)),
                Some((key, format))
            );
        }
    }

    #[test]
    fn names_are_those_of_the_releases_before() {
        let path = |key: Key, format| key.relative_path(format);
        assert_eq!(
            path(copy("original-tagged"), Format::Mp3),
            "youtube/M4gD1-So_mA.original-tagged.r.mp3"
        );
        assert_eq!(
            path(original(Format::M4a), Format::Mp3),
            "youtube/M4gD1-So_mA.mp3"
        );
        assert_eq!(
            original(Format::Ogg).raw().work_name(),
            "youtube-M4gD1-So_mA.raw-ogg.r"
        );
        assert_eq!(copy("flac-tagged").slug(), "flac-tagged.r");
        assert_eq!(copy("flac-tagged").word(), "flac-tagged");
        assert_eq!(original(Format::M4a).word(), "original");
    }

    #[test]
    fn the_raw_bytes_of_a_song_belong_to_its_row() {
        let original = original(Format::Ogg);
        let raw = Key::from_work_name(&original.raw().work_name()).expect("a key");
        assert_ne!(raw, original);
        assert_eq!(raw.row_key(), original);
        assert_eq!(original.row_key(), original);
    }

    #[test]
    fn names_that_are_not_ours_are_no_names() {
        for bad in [
            "",
            "..",
            "a/b",
            "A",
            "mp3.r",
            "webm",
            "-tagged",
            "mp3-tagged-tagged",
        ] {
            assert_eq!(CopyForm::parse(bad), None, "{bad}");
        }
        for bad in [
            "../x.m4a",
            "x.exe",
            "x.m4a.json",
            ".hidden",
            "a b.mp3",
            "x.A.r.mp3",
            "x.m4a.m4a",
        ] {
            assert_eq!(parse_file_name(Site::YouTube, bad), None, "{bad}");
        }
    }

    #[test]
    fn an_etag_changes_with_everything_that_changes_the_bytes() {
        let key = original(Format::M4a);
        let tag = etag(&key, "v1", 100);
        assert_eq!(tag, etag(&key, "v1", 100));
        assert!(
            tag.starts_with('"') && tag.ends_with('"') && tag.len() == 24,
            "{tag}"
        );
        for other in [
            etag(&key, "v2", 100),
            etag(&key, "v1", 101),
            etag(&original(Format::Mp3), "v1", 100),
            etag(&key, "v", 1100),
        ] {
            assert_ne!(tag, other);
        }
    }
}
