//! The formats of a made-up video, as a player answer lists them.
//!
//! Owns itags, media URLs before they are dated, and the announced lengths. It makes no audio.

use base64::Engine;
use serde_json::{Value, json};

use super::googlevideo;
use super::make::channel_id;
use crate::audio::{Clip, Shape};
use crate::sign;
use crate::wishes::Wishes;
use crate::world::StreamSpec;

/// Audio itags: shape, bits a second (YouTube notes, 2.5).
const ITAGS: &[(u64, Shape, f64)] = &[
    (139, Shape::Mp4Low, 48_800.0),
    (140, Shape::Mp4, 129_700.0),
    (249, Shape::WebM, 50_000.0),
    (250, Shape::WebM, 66_000.0),
    (251, Shape::WebM, 105_000.0),
    (599, Shape::Mp4Low, 31_000.0),
    (600, Shape::WebM, 33_000.0),
];

/// Which copy of an itag it is.
pub enum Variant<'a> {
    Only,
    Drc,
    Track(&'a (String, String, String)),
}

/// What all formats of one video have in common.
pub struct Plan<'a> {
    pub media_id: &'a str,
    pub id: &'a str,
    pub seconds: f64,
    pub wishes: &'a Wishes,
    pub live: bool,
}

impl Plan<'_> {
    /// Adds one audio format and its stream; `is_main` gets the wanted size.
    pub fn add(
        &self,
        itag: u64,
        variant: Variant<'_>,
        is_main: bool,
        formats: &mut Vec<Value>,
        streams: &mut Vec<(StreamSpec, bool)>,
    ) {
        let Some((_, shape, rate)) = ITAGS.iter().find(|(known, ..)| *known == itag) else {
            return;
        };
        let readable = match &variant {
            Variant::Only => String::new(),
            Variant::Drc => "drc=1".to_owned(),
            Variant::Track((id, _, acont)) => format!(
                "acont={acont}:lang={}",
                id.split('.').next().unwrap_or("en")
            ),
        };
        let key = googlevideo::key(&itag.to_string(), &readable);
        let spread = sign::fingerprint(key.as_bytes()) % 997;
        let formula = (self.seconds * rate / 8.0) as u64 + spread;
        // Under some seconds the boxes weigh more than the formula knows.
        let size = if is_main {
            self.wishes.size_bytes
        } else {
            None
        };
        let length = size
            .or((self.seconds >= 5.0).then_some(formula))
            .unwrap_or_else(|| {
                let mark = format!("youtube/{}/{key}/0", self.id);
                Clip::new(*shape, self.seconds, None, mark).len()
            });
        let stream = StreamSpec {
            key,
            shape: *shape,
            seconds: self.seconds,
            size_bytes: Some(length),
        };
        let modified = 1_724_100_171_542_570
            + sign::fingerprint(format!("{}{}", self.id, stream.key).as_bytes()) % 1_000_000;
        let mime = if *shape == Shape::WebM {
            "audio/webm"
        } else {
            "audio/mp4"
        };
        let codec = match shape {
            Shape::WebM => "opus",
            Shape::Mp4Low => "mp4a.40.5",
            _ => "mp4a.40.2",
        };
        let mut format = json!({
            "itag": itag, "url": self.url(itag, mime, length, modified, &readable), "mimeType": format!("{mime}; codecs=\"{codec}\""),
            "bitrate": (rate * 1.01) as u64, "initRange": {"start": "0", "end": "722"}, "indexRange": {"start": "723", "end": "1630"},
            "lastModified": modified.to_string(), "contentLength": length.to_string(), "quality": "tiny", "projectionType": "RECTANGULAR",
            "averageBitrate": *rate as u64,
            "audioQuality": if matches!(itag, 140 | 251) { "AUDIO_QUALITY_MEDIUM" } else { "AUDIO_QUALITY_LOW" },
            "approxDurationMs": ((self.seconds * 1000.0).round() as u64).to_string(),
            "audioSampleRate": match shape { Shape::WebM => "48000", Shape::Mp4Low => "22050", _ => "44100" },
            "audioChannels": 2, "loudnessDb": -3.5, "trackAbsoluteLoudnessLkfs": -17.5,
        });
        match &variant {
            Variant::Only => {}
            Variant::Drc => {
                format["isDrc"] = json!(true);
                format["xtags"] = json!("CggKA2RyYxIBMQ");
            }
            Variant::Track((id, name, acont)) => {
                format["xtags"] = json!(xtags(&[
                    ("acont", acont),
                    ("lang", id.split('.').next().unwrap_or("en"))
                ]));
                format["audioTrack"] =
                    json!({"displayName": name, "id": id, "audioIsDefault": acont == "original"});
            }
        }
        if self.live {
            for gone in ["contentLength", "approxDurationMs"] {
                format
                    .as_object_mut()
                    .and_then(|format| format.remove(gone));
            }
            format["targetDurationSec"] = json!(5);
            format["maxDvrDurationSec"] = json!(43_200);
        }
        formats.push(format);
        streams.push((stream, is_main));
    }

    /// Itag 18: a picture and AAC in one progressive file.
    pub fn muxed(&self, streams: &mut Vec<(StreamSpec, bool)>) -> Value {
        let size = (self.seconds >= 5.0).then_some((self.seconds * 190_140.0 / 8.0) as u64);
        let stream = StreamSpec {
            key: "18".into(),
            shape: Shape::Muxed,
            seconds: self.seconds,
            size_bytes: size,
        };
        let mut format = json!({
            "itag": 18, "url": self.url(18, "video/mp4", size.unwrap_or(0), 1_749_471_605_476_753, ""),
            "mimeType": "video/mp4; codecs=\"avc1.42001E, mp4a.40.2\"", "bitrate": 190_140, "width": 64, "height": 36,
            "lastModified": "1749471605476753", "quality": "medium", "fps": 1, "qualityLabel": "360p",
            "audioQuality": "AUDIO_QUALITY_LOW", "approxDurationMs": ((self.seconds * 1000.0).round() as u64).to_string(),
            "audioSampleRate": "44100", "audioChannels": 2,
        });
        if let Some(size) = size {
            format["contentLength"] = json!(size.to_string());
        }
        streams.push((stream, false));
        format
    }

    fn url(
        &self,
        itag: u64,
        mime: &str,
        length: u64,
        modified: u64,
        readable_xtags: &str,
    ) -> String {
        let mime = mime.replace('/', "%2F");
        let (xtags, named) = if readable_xtags.is_empty() {
            (String::new(), "")
        } else {
            (
                format!(
                    "&xtags={}",
                    readable_xtags.replace('=', "%3D").replace(':', "%3A")
                ),
                "%2Cxtags",
            )
        };
        format!(
            "https://rr1---sn-lab00000.googlevideo.com/videoplayback?expire=0&ei=x&ip=203.0.113.7&id={}&itag={itag}&source=youtube\
             &requiressl=yes&xpc=EgVo2aDSNQ%3D%3D&cps=307&met=0%2C&mh=U1&mm=31%2C26&mn=sn-lab00000%2Csn-lab00001&ms=au%2Conr&mv=m&mvi=1\
             &pl=33&rms=au%2Cau&initcwndbps=3270000&bui=lab&spc=lab&vprv=1&svpuc=1{xtags}&mime={mime}&rqh=1&gir=yes&clen={length}\
             &dur={:.3}&lmt={modified}&mt=0&fvip=2&keepalive=yes&fexp=0&c=VISIONOS&txp=8208224\
             &sparams=expire%2Cei%2Cip%2Cid%2Citag%2Csource%2Crequiressl%2Cxpc%2Cbui%2Cspc%2Cvprv%2Csvpuc{named}%2Cmime%2Crqh%2Cgir%2Cclen%2Cdur%2Clmt\
             &sig=x&lsparams=cps%2Cmet%2Cmh%2Cmm%2Cmn%2Cms%2Cmv%2Cmvi%2Cpl%2Crms%2Cinitcwndbps&lsig=x",
            self.media_id, self.seconds
        )
    }
}

/// A picture format, because every answer of the site has some. No client here plays it.
pub fn picture_format(media_id: &str, seconds: f64) -> Value {
    json!({"itag": 137, "url": format!("https://rr1---sn-lab00000.googlevideo.com/videoplayback?expire=0&ei=x&id={media_id}&itag=137&mime=video%2Fmp4&lmt=1&sparams=expire&sig=x"),
        "mimeType": "video/mp4; codecs=\"avc1.640028\"", "bitrate": 1_500_751, "width": 1920, "height": 1080, "lastModified": "1",
        "contentLength": ((seconds * 66_000.0) as u64).to_string(), "quality": "hd1080", "fps": 24, "qualityLabel": "1080p",
        "approxDurationMs": ((seconds * 1000.0) as u64).to_string()})
}

/// base64 of a protobuf list of (key, value), as formats carry it.
fn xtags(pairs: &[(&str, &str)]) -> String {
    let mut out = Vec::new();
    for (key, value) in pairs {
        let mut pair = vec![0x0a, key.len() as u8];
        pair.extend_from_slice(key.as_bytes());
        pair.extend_from_slice(&[0x12, value.len() as u8]);
        pair.extend_from_slice(value.as_bytes());
        out.extend_from_slice(&[0x0a, pair.len() as u8]);
        out.extend_from_slice(&pair);
    }
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(out)
}

pub fn microformat(id: &str, title: &str, artist: &str, seconds: f64) -> Value {
    json!({"videoDetails": {"videoId": id, "thumbnail": {"thumbnails": []}}, "microformat": {"playerMicroformatRenderer": {
        "title": {"simpleText": title}, "lengthSeconds": (seconds.ceil() as u64).to_string(), "ownerChannelName": artist,
        "externalChannelId": channel_id(artist), "isFamilySafe": true, "isUnlisted": false, "category": "Music",
        "publishDate": "2026-01-27T21:14:36-08:00", "uploadDate": "2026-01-27T21:14:36-08:00", "externalVideoId": id}}})
}
