//! The streams of a player answer.
//!
//! Owns which formats count: audio with a URL of an allowed host, the original language, no DRC copy, stereo if there
//! is stereo (field notes, 2.5 and 2.6). It changes no URL, since URLs are signed.

use std::time::Duration;

use super::answer::{Answer, AudioTrack, RawFormat};
use super::{advertisement, xtags};
use crate::recipes::{Identity, YouTubeRecipe};
use crate::site::Site;
use crate::stream::{Codec, Container, Delivery, LONGEST, MOST_BYTES, Stream};
use crate::youtube::itag;

/// The streams worth choosing from, best first for a client that prefers AAC.
pub(super) fn read(
    answer: &Answer,
    identity: &Identity,
    recipe: &YouTubeRecipe,
    now_unix: u64,
) -> Vec<Stream> {
    let Some(streaming) = answer.streaming_data.as_ref() else {
        return Vec::new();
    };
    let expires = streaming
        .expires_in_seconds
        .0
        .map(|life| now_unix.saturating_add(life));
    let available = advertisement::end(answer, now_unix);
    let playable = |format: &&RawFormat| allowed(&format.url.0, recipe) && !format.is_protected();
    let audio: Vec<&RawFormat> = streaming
        .adaptive_formats
        .iter()
        .filter_map(|format| format.as_ref())
        .filter(|format| format.is_audio() && !format.is_drc())
        .collect();
    // A dubbed copy does not replace an original that cannot be fetched: another client identity may get that one.
    let audio = stereo(original(audio).into_iter().filter(playable).collect());
    let muxed = streaming
        .formats
        .iter()
        .filter_map(|format| format.as_ref())
        .filter(playable)
        .filter(|format| format.number() == itag::MUXED);
    let mut streams: Vec<Stream> = audio
        .into_iter()
        .chain(muxed)
        .filter_map(|format| format.stream(identity, expires, available))
        .map(|stream| Stream {
            loudness_db: stream.loudness_db.or(answer.loudness()),
            ..stream
        })
        .collect();
    streams.sort_by_key(|stream| stream.rank);
    streams
}

/// The identity of a file, independent of its URL (field notes, 3.5).
fn file(itag: &str, clen: &str, lmt: &str, xtags: &str) -> String {
    format!("{itag}/{clen}/{lmt}/{xtags}")
}

/// The same from a media URL alone; `None` if the URL does not tell it.
pub(crate) fn file_of(url: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    let value = |key: &str| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find_map(|(name, value)| {
            (name == key && !value.is_empty()).then(|| value.into_owned())
        })
    };
    Some(file(
        &value("itag")?,
        &value("clen")?,
        &value("lmt")?,
        &value("xtags").unwrap_or_default(),
    ))
}

/// Whether there is audio, and all of it is encrypted.
pub(super) fn all_protected(answer: &Answer) -> bool {
    let formats = answer
        .streaming_data
        .as_ref()
        .map_or(&[][..], |streaming| &streaming.adaptive_formats);
    let mut audio = formats
        .iter()
        .filter_map(|format| format.as_ref())
        .filter(|format| format.is_audio())
        .peekable();
    audio.peek().is_some() && audio.all(RawFormat::is_protected)
}

/// https, and a host that serves the site's media.
fn allowed(url: &str, recipe: &YouTubeRecipe) -> bool {
    url::Url::parse(url).is_ok_and(|url| {
        url.scheme() == "https"
            && url.port().is_none()
            && url.username().is_empty()
            && url
                .host_str()
                .is_some_and(|host| recipe.hosts.allows_media(host))
    })
}

/// The rule of 2.6: of several tracks the original one; neither language nor bitrate tells which it is.
fn original(formats: Vec<&RawFormat>) -> Vec<&RawFormat> {
    let is_of_several =
        |format: &&RawFormat| format.audio_track.is_some() || format.tag("acont").is_some();
    if !formats.iter().any(is_of_several) {
        return formats;
    }
    let steps: [fn(&RawFormat) -> bool; 3] = [
        |format| format.tag("acont").as_deref() == Some("original"),
        |format| {
            format.track(|track| {
                track.display_name.0.to_lowercase().contains("original")
                    || track.id.0.ends_with(".4")
            })
        },
        |format| format.track(|track| track.audio_is_default.is_set()),
    ];
    for step in steps {
        let kept: Vec<&RawFormat> = formats
            .iter()
            .copied()
            .filter(|format| step(format))
            .collect();
        if !kept.is_empty() {
            return kept;
        }
    }
    let first = formats
        .iter()
        .find(|format| !format.is_descriptive())
        .or(formats.first());
    let id = first
        .and_then(|format| format.audio_track.as_ref())
        .map(|track| track.id.clone());
    formats
        .into_iter()
        .filter(|format| format.audio_track.as_ref().map(|track| track.id.clone()) == id)
        .collect()
}

/// Removes surround copies, unless there is nothing else.
fn stereo(formats: Vec<&RawFormat>) -> Vec<&RawFormat> {
    let stereo: Vec<&RawFormat> = formats
        .iter()
        .copied()
        .filter(|format| !itag::is_multi_channel(format.number(), format.audio_channels.0))
        .collect();
    if stereo.is_empty() { formats } else { stereo }
}

impl RawFormat {
    /// The itag, which the URL has too; 0 for one that has none.
    fn number(&self) -> u32 {
        let told = self.itag.0.and_then(|itag| u32::try_from(itag).ok());
        told.or_else(|| self.in_url("itag")?.parse().ok())
            .unwrap_or_default()
    }

    fn track(&self, test: impl Fn(&AudioTrack) -> bool) -> bool {
        self.audio_track.as_ref().is_some_and(test)
    }

    fn is_audio(&self) -> bool {
        self.mime_type.0.starts_with("audio/")
    }

    fn is_protected(&self) -> bool {
        !self.drm_families.is_empty()
    }

    fn is_drc(&self) -> bool {
        self.is_drc.is_set() || self.tag("drc").as_deref() == Some("1")
    }

    fn is_descriptive(&self) -> bool {
        self.tag("acont").as_deref() == Some("descriptive")
            || self.track(|track| {
                track.id.0.ends_with(".2")
                    || track.display_name.0.to_lowercase().contains("descriptive")
            })
    }

    /// From `xtags`, else from its readable copy in the URL: `xtags=acont=dubbed:lang=mr`.
    fn tag(&self, key: &str) -> Option<String> {
        xtags::value(&self.xtags.0, key).or_else(|| {
            let readable = self.in_url("xtags")?;
            readable
                .split(':')
                .filter_map(|pair| pair.split_once('='))
                .find_map(|(name, value)| (name == key).then(|| value.to_owned()))
        })
    }

    fn in_url(&self, key: &str) -> Option<String> {
        let (_, query) = self.url.0.split_once('?')?;
        url::form_urlencoded::parse(query.as_bytes())
            .find_map(|(name, value)| (name == key).then(|| value.into_owned()))
    }

    fn stream(
        &self,
        identity: &Identity,
        expires: Option<u64>,
        available_unix: Option<u64>,
    ) -> Option<Stream> {
        let itag = self.number();
        let muxed = itag == itag::MUXED;
        let (container, codec) = form(&self.mime_type.0, muxed)?;
        let sensible = |clen: &u64| (1..=MOST_BYTES).contains(clen);
        let clen = self.content_length.0.filter(sensible);
        let clen = clen.or_else(|| self.in_url("clen")?.parse().ok().filter(sensible));
        let duration = self
            .approx_duration_ms
            .0
            .filter(|ms| *ms > 0)
            .map(Duration::from_millis);
        let validator = file(
            &itag.to_string(),
            &clen.map_or_else(String::new, |clen| clen.to_string()),
            &self
                .last_modified
                .owned()
                .or_else(|| self.in_url("lmt"))
                .unwrap_or_default(),
            &self.in_url("xtags").unwrap_or_else(|| self.xtags.0.clone()),
        );
        Some(Stream {
            site: Site::YouTube,
            delivery: Delivery::File {
                url: self.url.0.clone(),
            },
            container,
            codec,
            // An unknown codec ranks like an unknown itag.
            rank: if codec == Codec::Other {
                itag::rank(itag).max(itag::UNKNOWN)
            } else {
                itag::rank(itag)
            },
            bitrate_bps: self
                .average_bitrate
                .0
                .or(self.bitrate.0)
                .and_then(|bps| u32::try_from(bps).ok()),
            size_bytes: clen,
            duration: duration.filter(|length| *length <= LONGEST),
            loudness_db: self.loudness_db,
            validator,
            expires_unix: self
                .in_url("expire")
                .and_then(|at| at.parse().ok())
                .or(expires),
            headers: vec![("User-Agent", identity.user_agent.clone())],
            bounded_ranges: true,
            muxed,
            available_unix,
            client: identity.name.clone(),
            label: format!("itag {itag}"),
        })
    }
}

/// `audio/mp4; codecs="mp4a.40.2"` → container and codec; `None` for a container we do not know.
fn form(mime_type: &str, muxed: bool) -> Option<(Container, Codec)> {
    let (kind, rest) = mime_type.split_once(';').unwrap_or((mime_type, ""));
    let container = match kind.trim().rsplit('/').next()? {
        "mp4" => Container::Mp4,
        "webm" => Container::WebM,
        "mpeg" => Container::Mp3,
        "ogg" => Container::Ogg,
        _ => return None,
    };
    let codecs = rest
        .split_once("codecs=")
        .map_or("", |(_, codecs)| codecs)
        .trim_matches(['"', ' ']);
    let codec = match codecs.split(',').next_back().unwrap_or_default().trim() {
        _ if muxed => Codec::Aac,
        "mp4a.6B" | "mp4a.69" | "mp3" => Codec::Mp3,
        codec if codec.starts_with("mp4a") => Codec::Aac,
        "opus" => Codec::Opus,
        "vorbis" => Codec::Vorbis,
        // Without a name, what the site packs this way.
        "" => match container {
            Container::Mp4 => Codec::Aac,
            Container::WebM => Codec::Opus,
            _ => Codec::Other,
        },
        _ => Codec::Other,
    };
    Some((container, codec))
}
