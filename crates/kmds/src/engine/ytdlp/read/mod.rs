//! The output of yt-dlp: one JSON line for each song.
//!
//! Owns the reading of a song's fields; a field of another type than expected counts as missing. [`list`] gives each
//! song of a list its place, [`stream`] reads where its audio is.

mod list;
mod stream;
#[cfg(test)]
mod tests;

use std::time::Duration;

use kmds_extract::json::{number_of as number, text_of as text};
use kmds_extract::link::SoundCloudLink;
use kmds_extract::stream::LONGEST;
use kmds_extract::track::BandcampSource;
use kmds_extract::{ExtractError, Kind, Link, Site, Source, Track, TrackId};
use serde_json::Value;

use super::error::YtDlpError;
use crate::hex;

pub use list::collection;

/// One song out of the printed lines: the only one, or the one with the id `wanted`.
pub fn track(site: Site, lines: &[String], wanted: Option<&str>) -> Result<Track, YtDlpError> {
    let mut first = None;
    for line in lines {
        let fields = parse(line)?;
        let id = text(&fields, "id");
        if wanted.is_none() || wanted == id.as_deref() {
            first = Some(fields);
            break;
        }
    }
    let fields =
        first.ok_or_else(|| YtDlpError::Broken("the song is not among its answers".to_owned()))?;
    one(site, &fields)
}

fn one(site: Site, fields: &Value) -> Result<Track, YtDlpError> {
    let broken = |what: &str| YtDlpError::Broken(format!("its answer has no `{what}`"));
    let own_id = text(fields, "id").ok_or_else(|| broken("id"))?;
    let link = text(fields, "webpage_url").unwrap_or_default();
    let source = source(site, &own_id, &link).ok_or_else(|| broken("usable id"))?;
    let id = match site {
        Site::Other => other_id(&text(fields, "extractor_key").unwrap_or_default(), &own_id),
        _ => own_id,
    };
    let id = TrackId::new(site, &id).ok_or_else(|| broken("usable id"))?;
    let title = text(fields, "track")
        .or_else(|| text(fields, "title"))
        .ok_or_else(|| broken("title"))?;
    refuse_live(site, fields, &title)?;
    let duration =
        number(fields, "duration").and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let duration = duration.filter(|length| *length <= LONGEST);
    let streams = stream::read(site, fields, duration).into_iter().collect();
    Ok(Track {
        id,
        source,
        link,
        title,
        artist: artist(fields),
        album: text(fields, "album"),
        album_artist: text(fields, "album_artist"),
        // No album has ten thousand songs: a greater number is not a track number.
        number: number(fields, "track_number")
            .map(|number| number as u32)
            .filter(|number| (1..10_000).contains(number)),
        total: None,
        duration,
        cover_url: text(fields, "thumbnail").and_then(|url| cover(site, &url)),
        date: text(fields, "release_date")
            .or_else(|| text(fields, "upload_date"))
            .and_then(|date| day(&date)),
        streams,
        loudness_db: None,
        offered: None,
        withheld: None,
    })
}

/// The picture that the native engine would name, so that a song keeps its cover with either engine.
fn cover(site: Site, url: &str) -> Option<String> {
    if !url.starts_with("https://") {
        return None;
    }
    let path = url.split('?').next().unwrap_or(url);
    Some(match site {
        Site::YouTube => match path.rsplit_once('/') {
            // Listed exactly when the largest exists, which is not listed (field notes, 2.8).
            Some((folder, "hq720.jpg")) => format!("{folder}/maxresdefault.jpg"),
            _ => path.to_owned(),
        },
        // The upload itself, many MB at times, and not always under this extension (field notes, 5).
        Site::SoundCloud => match path
            .strip_suffix("-original.jpg")
            .or_else(|| path.strip_suffix("-original.png"))
        {
            Some(name) => format!("{name}-t500x500.jpg"),
            None => url.to_owned(),
        },
        Site::Bandcamp | Site::Other => url.to_owned(),
    })
}

fn refuse_live(site: Site, fields: &Value, title: &str) -> Result<(), YtDlpError> {
    let (kind, reason) = match text(fields, "live_status").as_deref() {
        Some("is_live" | "post_live") => (
            Kind::Live,
            "this is a live stream; live streams cannot be downloaded",
        ),
        Some("is_upcoming") => (Kind::Unreleased, "this has not started yet"),
        _ => return Ok(()),
    };
    let title = Some(title.to_owned());
    Err(YtDlpError::Extract(ExtractError::Refused {
        site,
        kind,
        reason: reason.to_owned(),
        title,
    }))
}

fn artist(fields: &Value) -> Option<String> {
    let several = fields
        .get("artists")
        .and_then(Value::as_array)
        .map(|artists| {
            artists
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        });
    several
        .filter(|artists| !artists.is_empty())
        .or_else(|| text(fields, "artist"))
        .or_else(|| text(fields, "channel"))
        .or_else(|| text(fields, "uploader"))
        .map(|artist| artist.trim_end_matches(" - Topic").to_owned())
}

fn source(site: Site, id: &str, link: &str) -> Option<Source> {
    Some(match site {
        Site::YouTube => Source::YouTube {
            video: id.to_owned(),
        },
        Site::SoundCloud => Source::SoundCloud {
            id: id.parse().ok()?,
            secret: secret_of(link),
        },
        Site::Bandcamp => {
            let page = link.starts_with("https://").then(|| link.to_owned());
            Source::Bandcamp(BandcampSource {
                page,
                track_id: id.parse().ok()?,
                band_id: None,
            })
        }
        Site::Other => Source::Other {
            url: link.to_owned(),
        },
    })
}

/// The token of a private song's own page.
fn secret_of(link: &str) -> Option<String> {
    match Link::parse(link).ok()? {
        Link::SoundCloud(
            SoundCloudLink::Track { token, .. } | SoundCloudLink::TrackById { token, .. },
        ) => token,
        _ => None,
    }
}

/// A name safe for files: a hash of yt-dlp's extractor and id.
fn other_id(extractor: &str, id: &str) -> String {
    let digest = ring::digest::digest(
        &ring::digest::SHA256,
        format!("{extractor}\n{id}").as_bytes(),
    );
    hex::encode(digest.as_ref().get(..10).unwrap_or_default())
}

fn parse(line: &str) -> Result<Value, YtDlpError> {
    kmds_extract::json::read(line.as_bytes())
        .map_err(|_| YtDlpError::Broken("it printed half an answer".to_owned()))
}

/// `20160506` → `2016-05-06`.
fn day(date: &str) -> Option<String> {
    let digits = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]))
}
