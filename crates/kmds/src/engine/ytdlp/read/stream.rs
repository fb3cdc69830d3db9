//! The stream in a line of yt-dlp's output.
//!
//! Owns which of yt-dlp's protocols and file names mean a stream that KMDS can download itself; a line with any other
//! has no stream.

use std::time::Duration;

use kmds_extract::stream::MOST_BYTES;
use kmds_extract::{Codec, Container, Delivery, Site, Stream};
use serde_json::Value;

use super::{number, text};

/// Its streams have this name where native streams name an identity.
const CLIENT: &str = "yt-dlp";

pub(super) fn read(site: Site, fields: &Value, duration: Option<Duration>) -> Option<Stream> {
    let url = text(fields, "url").filter(|url| url.starts_with("https://"))?;
    if fields.get("has_drm").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    // A download that the native engine began of the same file can continue.
    let same_file = (site == Site::YouTube)
        .then(|| kmds_extract::youtube::file_of(&url))
        .flatten();
    let delivery = delivery(fields, url)?;
    let (container, codec) = packing(fields)?;
    let format_id = text(fields, "format_id").unwrap_or_default();
    let size_bytes = number(fields, "filesize")
        .map(|size| size as u64)
        .filter(|size| *size <= MOST_BYTES);
    let bitrate = number(fields, "abr")
        .or_else(|| number(fields, "tbr"))
        .map(|kbit| (kbit * 1000.0) as u32);
    let header = |name: &'static str| Some((name, text(fields.get("http_headers")?, name)?));
    // The headers that sites check; the client of KMDS makes the rest.
    let headers = [header("User-Agent"), header("Referer")]
        .into_iter()
        .flatten()
        .collect();
    Some(Stream {
        site,
        delivery,
        container,
        codec,
        rank: 0,
        bitrate_bps: bitrate,
        size_bytes,
        duration,
        loudness_db: None,
        validator: same_file
            .unwrap_or_else(|| format!("ytdlp {format_id} {}", size_bytes.unwrap_or_default())),
        expires_unix: None,
        headers,
        bounded_ranges: site == Site::YouTube,
        muxed: format_id == "18",
        available_unix: number(fields, "available_at").map(|at| at.ceil() as u64),
        client: CLIENT.to_owned(),
        label: format!("yt-dlp {format_id}"),
    })
}

fn delivery(fields: &Value, url: String) -> Option<Delivery> {
    match text(fields, "protocol").as_deref() {
        // yt-dlp says `http` for https too; the URL's own scheme was checked before.
        Some("https" | "http") | None => Some(Delivery::File { url }),
        Some("m3u8_native" | "m3u8") => Some(Delivery::Hls { url }),
        Some(_) => None,
    }
}

fn packing(fields: &Value) -> Option<(Container, Codec)> {
    let codec = text(fields, "acodec");
    let codec = match codec.as_deref().and_then(|codec| codec.split('.').next()) {
        Some("mp4a" | "aac") => Codec::Aac,
        Some("mp3") => Codec::Mp3,
        Some("opus") => Codec::Opus,
        Some("vorbis") => Codec::Vorbis,
        _ => Codec::Other,
    };
    match (text(fields, "ext")?.as_str(), codec) {
        ("m4a" | "mp4", codec) => Some((Container::Mp4, codec)),
        ("mp3", _) => Some((Container::Mp3, Codec::Mp3)),
        ("webm", codec) => Some((Container::WebM, codec)),
        ("opus", _) => Some((Container::Ogg, Codec::Opus)),
        ("ogg", codec) => Some((Container::Ogg, codec)),
        ("flac", _) => Some((Container::Flac, Codec::Flac)),
        ("wav", _) => Some((Container::Wav, Codec::Pcm)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::track;
    use super::*;

    #[test]
    fn what_our_download_can_fetch_is_a_stream_and_the_rest_is_none() {
        let of = |protocol: &str, url: &str, ext: &str| {
            let line = format!(
                r#"{{"id": "7", "title": "T", "protocol": "{protocol}", "url": "{url}", "ext": "{ext}", "acodec": "mp3"}}"#
            );
            track(Site::SoundCloud, &[line], None)
                .expect("a song")
                .streams
                .pop()
                .map(|stream| stream.delivery)
        };
        let url = "https://cf-media.sndcdn.com/a.mp3".to_owned();
        assert_eq!(
            of("https", &url, "mp3"),
            Some(Delivery::File { url: url.clone() })
        );
        assert_eq!(
            of("http", &url, "mp3"),
            Some(Delivery::File { url: url.clone() }),
            "yt-dlp's word for progressive"
        );
        assert_eq!(
            of("m3u8_native", &url, "mp3"),
            Some(Delivery::Hls { url: url.clone() })
        );
        assert_eq!(of("http_dash_segments", &url, "mp3"), None);
        assert_eq!(of("http", "http://cf-media.sndcdn.com/a.mp3", "mp3"), None);
        assert_eq!(of("https", &url, "exe"), None);
    }

    #[test]
    fn a_youtube_stream_says_from_when_it_is_served_and_which_file_it_is() {
        let url = "https://rr1---sn-x.googlevideo.com/videoplayback?itag=140&clen=1000&lmt=17";
        let of = |more: &str| {
            let line = format!(
                r#"{{"id": "M4gD1WSo5mA", "title": "T", "protocol": "https", "url": "{url}", "ext": "m4a", "acodec": "mp4a.40.2", "format_id": "140"{more}}}"#
            );
            track(Site::YouTube, &[line], None)
                .expect("a song")
                .streams
                .pop()
                .expect("a stream")
        };
        assert_eq!(of("").available_unix, None);
        assert_eq!(
            of(r#", "available_at": 1790000007.25"#).available_unix,
            Some(1_790_000_008)
        );
        assert_eq!(of(r#", "available_at": "soon""#).available_unix, None);
        assert_eq!(of("").validator, "140/1000/17/");
    }
}
