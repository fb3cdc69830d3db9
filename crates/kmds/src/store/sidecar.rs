//! The JSON beside each published file.
//!
//! Owns its schema, for readers of the drive and for rebuilding the catalog from the drive alone. It does not decide
//! when a sidecar is written or removed.

use jiff::Timestamp;
use kmds_extract::{Codec, Container, Format, Loudness, Source, Track};
use serde::{Deserialize, Serialize};

use super::catalog::{Catalog, ReadyFile, State};
use super::error::{StoreError, io};
use super::key::{Key, etag};
use super::layout::Layout;
use super::shared::Shared;

/// Raised when a field changes its meaning; new fields do not raise it.
const SCHEMA_VERSION: u32 = 1;

/// `{site}/{id}.{ext}.json`. Times are RFC 3339 in UTC, sizes are bytes; unknown values are null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sidecar {
    pub schema_version: u32,
    /// The KMDS that wrote it.
    pub kmds_version: String,
    pub site: String,
    pub id: String,
    /// `m4a`, or `tagged.r` for a copy made on request.
    pub rendition: String,
    /// The audio beside this file.
    pub file: String,
    /// For people, with extension.
    pub file_name: String,
    pub title: String,
    pub artist: Option<String>,
    pub album: Option<String>,
    pub album_artist: Option<String>,
    pub track_number: Option<u32>,
    pub track_total: Option<u32>,
    pub duration_seconds: Option<f64>,
    pub date: Option<String>,
    /// Decibels above −14 LUFS, as the site measured it.
    #[serde(default, deserialize_with = "Loudness::read")]
    pub loudness_db: Option<Loudness>,
    pub cover_url: Option<String>,
    pub source_link: String,
    pub source: Source,
    pub size_bytes: u64,
    /// Lower-case hex.
    pub sha256: String,
    pub container: Container,
    pub codec: Codec,
    pub bitrate_bps: Option<u32>,
    /// Which of the site's streams this was.
    pub stream: String,
    pub validator: String,
    pub etag: String,
    pub published_at: String,
}

impl Sidecar {
    pub(super) fn new(track: &Track, file: &ReadyFile) -> Self {
        let measured = file.duration_ms.map(std::time::Duration::from_millis);
        Self {
            schema_version: SCHEMA_VERSION,
            kmds_version: env!("CARGO_PKG_VERSION").to_owned(),
            site: file.key.track().site().as_str().to_owned(),
            id: file.key.track().id().to_owned(),
            rendition: file.key.slug(),
            file: file.key.file_name(file.format),
            file_name: file.human_name.clone(),
            title: track.title.clone(),
            artist: track.artist.clone(),
            album: track.album.clone(),
            album_artist: track.album_artist.clone(),
            track_number: track.number,
            track_total: track.total,
            duration_seconds: measured
                .or(track.duration)
                .map(|length| length.as_secs_f64()),
            date: track.date.clone(),
            loudness_db: track.loudness_db,
            cover_url: track.cover_url.clone(),
            source_link: track.link.clone(),
            source: track.source.clone(),
            size_bytes: file.size_bytes,
            sha256: file.sha256.clone(),
            container: file.container,
            codec: file.codec,
            bitrate_bps: file.bitrate_bps,
            stream: file.stream.clone(),
            validator: file.validator.clone(),
            etag: file.etag.clone(),
            published_at: file.published_at.to_string(),
        }
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// `None` for a text that is not a sidecar of ours, or has a later schema.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let sidecar: Self = serde_json::from_slice(text).ok()?;
        (sidecar.schema_version == SCHEMA_VERSION).then_some(sidecar)
    }

    /// Whether this is the text of a sidecar of ours, of this file.
    pub(super) fn is_of(text: &[u8], found_as: &Key, format: Format) -> bool {
        Self::parse(text).is_some_and(|sidecar| sidecar.to_rows(found_as, format, 0).is_some())
    }

    /// The rows of this file and its song; `None` if the sidecar contradicts `key`, the key of the file's name.
    pub(super) fn to_rows(
        &self,
        found_as: &Key,
        format: Format,
        mtime_ns: i64,
    ) -> Option<(Track, ReadyFile)> {
        let key = Key::from_slug(found_as.track().clone(), &self.rendition)?;
        let id = key.track();
        if self.site != id.site().as_str()
            || self.id != id.id()
            || key.file_name(format) != found_as.file_name(format)
        {
            return None;
        }
        let track = Track {
            id: id.clone(),
            source: self.source.clone(),
            link: self.source_link.clone(),
            title: self.title.clone(),
            artist: self.artist.clone(),
            album: self.album.clone(),
            album_artist: self.album_artist.clone(),
            number: self.track_number,
            total: self.track_total,
            duration: self
                .duration_seconds
                .and_then(|length| std::time::Duration::try_from_secs_f64(length).ok()),
            cover_url: self.cover_url.clone(),
            date: self.date.clone(),
            streams: Vec::new(),
            loudness_db: self.loudness_db,
            offered: None,
            withheld: None,
        };
        let file = ReadyFile {
            etag: etag(&key, &self.validator, self.size_bytes),
            format,
            size_bytes: self.size_bytes,
            sha256: self.sha256.clone(),
            mtime_ns,
            validator: self.validator.clone(),
            stream: self.stream.clone(),
            container: self.container,
            codec: self.codec,
            bitrate_bps: self.bitrate_bps,
            duration_ms: self
                .duration_seconds
                .map(|length| (length.max(0.0) * 1_000.0).round() as u64),
            published_at: self.published_at.parse().unwrap_or(Timestamp::UNIX_EPOCH),
            human_name: self.file_name.clone(),
            key,
        };
        Some((track, file))
    }
}

/// Writes the lost sidecar of a ready row's file again. The caller knows that the file belongs to that row.
pub(super) fn describe_again(
    shared: &Shared,
    catalog: &Catalog,
    key: &Key,
) -> Result<bool, StoreError> {
    let Some(row) = catalog.row(key)?.filter(|row| row.state == State::Ready) else {
        return Ok(false);
    };
    let Some((track, file)) = catalog.track(key.track())?.zip(ReadyFile::of(&row, key)) else {
        return Ok(false);
    };
    let (beside, temporary) = (
        Layout::sidecar(key, row.format),
        shared.layout.work().join("sidecar-new"),
    );
    let text = Sidecar::new(&track, &file).to_json();
    shared
        .cache
        .write_over(&beside, &temporary, &text, true)
        .map_err(io("write a sidecar"))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::path::Path;

    use super::*;
    use crate::store::catalog::Check;
    use crate::store::key::parse_file_name;

    /// A sidecar is the same after writing and reading, leads to a file inside its site's folder, and has one place in
    /// the catalog: the drive alone is enough, also after another program wrote to it.
    #[test]
    fn fuzz_sidecar() {
        thread_local! {
            static CATALOG: RefCell<Catalog> =
                RefCell::new(Catalog::open(Path::new(":memory:"), Check::Whole).expect("a catalog in memory").catalog);
        }
        kmds_fuzz::target("sidecar", |input| {
            let name = input
                .split(|byte| *byte == b'\n')
                .next()
                .unwrap_or_default();
            let text = input.get(name.len() + 1..).unwrap_or_default();
            let Some(sidecar) = Sidecar::parse(text) else {
                return;
            };
            let again = Sidecar::parse(&sidecar.to_json()).expect("our own JSON");
            assert_eq!(
                again.to_json(),
                Sidecar::parse(&again.to_json())
                    .expect("our own JSON")
                    .to_json()
            );
            let name = String::from_utf8_lossy(name);
            let Some((site, name)) = name.split_once('/') else {
                return;
            };
            let Some((key, format)) =
                kmds_extract::Site::parse(site).and_then(|site| parse_file_name(site, name))
            else {
                return;
            };
            assert_eq!(key.relative_path(format), format!("{site}/{name}"));
            assert!(
                !name.contains(['/', '\\']) && !name.starts_with('.'),
                "{name}"
            );
            let Some((track, file)) = sidecar.to_rows(&key, format, 7) else {
                return;
            };
            assert_eq!(
                file.key.relative_path(format),
                format!("{site}/{name}"),
                "no other file than this"
            );
            let written = Sidecar::new(&track, &file).to_rows(&key, format, 7);
            assert_eq!(
                written.map(|(track, file)| (track.id, file.key)),
                Some((track.id.clone(), file.key.clone()))
            );
            CATALOG.with_borrow_mut(|catalog| {
                catalog
                    .keep_track(&track)
                    .expect("a song the catalog can keep");
                catalog
                    .set_ready(&file)
                    .expect("a file the catalog can keep");
                let row = catalog.row(&file.key).expect("readable").expect("there");
                assert_eq!(
                    (
                        row.state,
                        row.size_bytes,
                        row.duration.map(|length| length.as_millis() as u64)
                    ),
                    (State::Ready, Some(file.size_bytes), file.duration_ms)
                );
                assert!(catalog.track(&track.id).expect("readable").is_some());
                assert!(catalog.ready_bytes().is_ok(), "sizes add up");
            });
        });
    }
}
