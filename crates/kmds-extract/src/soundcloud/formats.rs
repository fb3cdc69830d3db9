//! The encodings SoundCloud lists → streams (field notes, 6, 7 and 8).
//!
//! Owns which transcodings are of use, their rank, containers and bitrates, and which hosts their URLs may name. It
//! requests no URL and does not judge the track as a whole.

use std::time::Duration;

use url::Url;

use crate::recipes::SoundCloudRecipe;
use crate::site::Site;
use crate::stream::{Codec, Container, Delivery, Stream};

use super::parse::{RawTrack, RawTranscoding};
use super::requests::encode;

/// MP3 here is of constant bitrate: 16 bytes a millisecond.
const MP3_BPS: u32 = 128_000;
/// 8 bytes a millisecond, ± 10 %.
const OPUS_BPS: u32 = 64_000;
/// For one kb/s of AAC, boxes included: 160 kb/s are 20.2 bytes a millisecond.
const AAC_BPS_PER_KBPS: u32 = 1_010;

/// A track's transcodings, sorted out.
#[derive(Debug, Default)]
pub struct Formats {
    /// Whole, unencrypted and known.
    pub streams: Vec<Stream>,
    pub encrypted: bool,
    pub snipped: bool,
}

pub fn sort_out(
    track: &RawTrack,
    id: u64,
    secret: Option<&str>,
    recipe: &SoundCloudRecipe,
) -> Formats {
    let mut formats = Formats::default();
    let empty = Vec::new();
    let transcodings = track
        .media
        .as_ref()
        .map_or(&empty, |media| &media.transcodings);
    formats.encrypted = transcodings.iter().any(|one| is_encrypted(one, recipe));
    for one in transcodings.iter().filter(|one| !is_encrypted(one, recipe)) {
        if is_snipped(one) {
            formats.snipped = true;
        } else if let Some(stream) = stream(one, track, id, secret, formats.encrypted, recipe) {
            formats.streams.push(stream);
        }
    }
    formats.streams.sort_by_key(|stream| stream.rank);
    formats
}

fn protocol(one: &RawTranscoding) -> &str {
    one.format
        .as_ref()
        .and_then(|format| format.protocol.as_deref())
        .unwrap_or_default()
}

fn is_encrypted(one: &RawTranscoding, recipe: &SoundCloudRecipe) -> bool {
    recipe
        .encrypted_marks
        .iter()
        .any(|mark| protocol(one).contains(mark.as_str()))
}

/// A preview says so, and its path too.
fn is_snipped(one: &RawTranscoding) -> bool {
    one.snipped == Some(true)
        || one
            .url
            .as_deref()
            .is_some_and(|url| url.contains("/preview/"))
}

fn stream(
    one: &RawTranscoding,
    track: &RawTrack,
    id: u64,
    secret: Option<&str>,
    drm_beside: bool,
    recipe: &SoundCloudRecipe,
) -> Option<Stream> {
    let preset = preset(one)?;
    let hls = match protocol(one) {
        "hls" => true,
        "progressive" => false,
        _ => return None,
    };
    let how = if hls { "hls" } else { "progressive" };
    let rank = rank(preset, how, &recipe.preference)?;
    let (container, codec) = container(one, preset)?;
    let url = format_url(one.url.as_deref()?, recipe)?;
    let key = url
        .path()
        .strip_prefix("/media/")
        .unwrap_or(url.path())
        .split('/')
        .nth(1)
        .unwrap_or_default();
    // The upload's key, which its waveform shares, changes when the artist replaces the file.
    let upload = track
        .waveform_url
        .as_deref()
        .and_then(|url| url.split(['?', '#']).next()?.rsplit('/').next());
    let validator = format!("{id}/{preset}/{how}/{key}/{}", upload.unwrap_or_default());
    Some(Stream {
        site: Site::SoundCloud,
        delivery: Delivery::Asked {
            url: asked(&url, track, secret),
            hls,
            drm_beside,
        },
        container,
        codec,
        rank,
        bitrate_bps: bitrate(preset, codec),
        size_bytes: None,
        duration: milliseconds(one.duration).or_else(|| length(track)),
        loudness_db: None,
        validator,
        expires_unix: None,
        headers: vec![("user-agent", recipe.user_agent.clone())],
        bounded_ranges: false,
        muxed: false,
        available_unix: None,
        client: String::new(),
        label: format!("{preset} {how}"),
    })
}

/// Place in the order of preference; `None` for an encoding that is never used (`abr_sq`).
fn rank(preset: &str, how: &str, preference: &[String]) -> Option<u16> {
    let place = preference.iter().position(|wanted| {
        wanted.rsplit_once('/').is_some_and(|(name, protocol)| {
            protocol == how
                && match name.strip_suffix('*') {
                    Some(start) => preset.starts_with(start),
                    None => preset == name,
                }
        })
    })?;
    u16::try_from(place).ok()
}

/// The preset's name, else how the names of its media type begin.
fn preset(one: &RawTranscoding) -> Option<&str> {
    one.preset
        .as_deref()
        .or_else(|| match container(one, "")?.1 {
            Codec::Aac => Some("aac_"),
            Codec::Mp3 => Some("mp3_"),
            Codec::Opus => Some("opus_"),
            _ => None,
        })
}

/// By media type, else by the preset's name.
fn container(one: &RawTranscoding, preset: &str) -> Option<(Container, Codec)> {
    let mime = one
        .format
        .as_ref()
        .and_then(|format| format.mime_type.as_deref());
    let kind = match mime {
        Some(mime) => mime
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase(),
        None => preset.split('_').next().unwrap_or_default().to_owned(),
    };
    match kind.as_str() {
        "audio/mp4" | "aac" => Some((Container::Mp4, Codec::Aac)),
        "audio/mpeg" | "mp3" => Some((Container::Mp3, Codec::Mp3)),
        "audio/ogg" | "opus" => Some((Container::Ogg, Codec::Opus)),
        _ => None,
    }
}

fn bitrate(preset: &str, codec: Codec) -> Option<u32> {
    match codec {
        Codec::Mp3 => Some(MP3_BPS),
        Codec::Opus => Some(OPUS_BPS),
        Codec::Aac => {
            let kbps: u32 = preset
                .strip_prefix("aac_")?
                .strip_suffix('k')?
                .parse()
                .ok()?;
            kbps.checked_mul(AAC_BPS_PER_KBPS)
        }
        _ => None,
    }
}

/// A format URL, which must lead to SoundCloud's API.
pub fn format_url(text: &str, recipe: &SoundCloudRecipe) -> Option<Url> {
    plain_https(text).filter(|url| {
        url.fragment().is_none()
            && url
                .host_str()
                .is_some_and(|host| recipe.format_hosts.iter().any(|have| have == host))
    })
}

/// A URL that audio may be fetched from: https, and one of the site's media hosts.
pub fn media_url(text: &str, recipe: &SoundCloudRecipe) -> Option<Url> {
    plain_https(text).filter(|url| {
        url.host_str()
            .is_some_and(|host| recipe.hosts.allows_media(host))
    })
}

/// Where a format's URL will most likely lead.
pub fn media_host(codec: Codec, hls: bool, recipe: &SoundCloudRecipe) -> Option<&String> {
    let codec = match codec {
        Codec::Aac => "aac",
        Codec::Mp3 => "mp3",
        Codec::Opus => "opus",
        Codec::Vorbis | Codec::Flac | Codec::Pcm | Codec::Other => return None,
    };
    recipe.media_hosts.get(&format!(
        "{codec}/{}",
        if hls { "hls" } else { "progressive" }
    ))
}

fn plain_https(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.scheme() == "https"
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    plain.then_some(url)
}

/// The format URL with all parameters but the client id.
fn asked(url: &Url, track: &RawTrack, secret: Option<&str>) -> String {
    let mut text = url.to_string();
    for (name, value) in [
        ("track_authorization", track.track_authorization.as_deref()),
        ("secret_token", secret),
    ] {
        let named = url.query_pairs().any(|(key, _)| key == name);
        if let Some(value) = value.filter(|_| !named) {
            text.push(if text.contains('?') { '&' } else { '?' });
            text.push_str(name);
            text.push('=');
            text.push_str(&encode(value));
        }
    }
    text
}

/// Length of a song that plays whole: then both fields tell the same (field notes, 5).
pub fn length(track: &RawTrack) -> Option<Duration> {
    milliseconds(track.duration).or_else(|| milliseconds(track.full_duration))
}

/// Milliseconds as SoundCloud gives them; a value above a month is ignored.
pub fn milliseconds(value: Option<f64>) -> Option<Duration> {
    let value = value.filter(|ms| *ms > 0.0 && *ms < 2.7e9)?;
    Some(Duration::from_millis(value.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipes::Recipes;

    #[test]
    fn presets_rank_by_the_recipes_and_unwanted_ones_do_not_rank() {
        let preference = Recipes::built_in().soundcloud.preference;
        let rank = |preset, how| rank(preset, how, &preference);
        let order = [
            ("aac_160k", "progressive"),
            ("aac_160k", "hls"),
            ("aac_96k", "progressive"),
            ("mp3_1_0", "progressive"),
            ("mp3_standard", "hls"),
            ("aac_96k", "hls"),
            ("opus_0_0", "hls"),
        ];
        assert!(
            order
                .map(|(preset, how)| rank(preset, how))
                .into_iter()
                .eq((0..7).map(Some))
        );
        assert_eq!(rank("abr_sq", "hls"), None);
        assert_eq!(rank("opus_0_0", "progressive"), None);
    }

    #[test]
    fn sizes_follow_the_measured_bytes_a_millisecond() {
        assert_eq!(bitrate("aac_160k", Codec::Aac), Some(161_600));
        assert_eq!(bitrate("aac_96k", Codec::Aac), Some(96_960));
        assert_eq!(bitrate("aac_hq", Codec::Aac), None);
        assert_eq!(bitrate("mp3_0_1", Codec::Mp3), Some(128_000));
        assert_eq!(bitrate("opus_0_0", Codec::Opus), Some(64_000));
    }

    #[test]
    fn urls_of_other_hosts_are_none_of_ours() {
        let recipe = Recipes::built_in().soundcloud;
        assert!(
            format_url(
                "https://api-v2.soundcloud.com/media/soundcloud:tracks:1/u/stream/hls",
                &recipe
            )
            .is_some()
        );
        assert!(format_url("https://api-widget.soundcloud.com/media/x", &recipe).is_some());
        for bad in [
            "http://api-v2.soundcloud.com/media/x",
            "https://api-v2.soundcloud.com.evil.example/x",
            "https://evil.example/x",
            "https://a@api-v2.soundcloud.com/x",
            "https://api-v2.soundcloud.com:444/x",
            "https://169.254.169.254/x",
            "nonsense",
        ] {
            assert!(format_url(bad, &recipe).is_none(), "{bad}");
        }
        assert!(media_url("https://cf-media.sndcdn.com/x", &recipe).is_some());
        assert!(
            media_url(
                "https://playback.media-streaming.soundcloud.cloud/x",
                &recipe
            )
            .is_some()
        );
        for bad in [
            "http://cf-media.sndcdn.com/x",
            "https://evilsndcdn.com/x",
            "https://sndcdn.com.evil.example/x",
        ] {
            assert!(media_url(bad, &recipe).is_none(), "{bad}");
        }
    }
}
