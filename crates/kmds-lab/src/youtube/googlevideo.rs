//! The media hosts: they serve only bounded ranges of signed URLs.
//!
//! Owns signing, checking and serving `videoplayback`. The rules are in the YouTube notes, 3.1 to 3.4.

use std::sync::atomic::Ordering;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::player::URL_LIFE_SECS;
use super::tv;
use crate::audio::{Clip, Shape};
use crate::sign;
use crate::wire::{ByteRange, Reply, Request};
use crate::world::{Shared, Song};

const MOVED_HOST: &str = "rr5---sn-labmoved.googlevideo.com";

/// `url` with a new `expire`, `ei`, `lmt` and `sig`; every other parameter and its order are kept.
pub fn dated(
    shared: &Shared,
    song: &Song,
    url: &str,
    expire: u64,
    modified: Option<u64>,
) -> String {
    let (front, query) = url.split_once('?').unwrap_or((url, ""));
    let mut params: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    for (name, value) in &mut params {
        match name.as_str() {
            "expire" => *value = expire.to_string(),
            "ei" => {
                *value = format!(
                    "g{}x{}",
                    song.generation(),
                    sign::hex(&[&shared.secret, &expire.to_string()], 16)
                )
            }
            "lmt" => {
                if let Some(modified) = modified {
                    *value = modified.to_string();
                }
            }
            _ => {}
        }
    }
    let signature = signature(shared, &params);
    for (name, value) in &mut params {
        if name == "sig" {
            value.clone_from(&signature);
        }
    }
    let query: Vec<String> = params
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, PLAIN)))
        .collect();
    format!("{front}?{}", query.join("&"))
}

pub const PLAIN: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Covers what `sparams` names, and `sparams` itself.
fn signature(shared: &Shared, params: &[(String, String)]) -> String {
    let value = |wanted: &str| {
        params
            .iter()
            .find(|(name, _)| name == wanted)
            .map_or("", |(_, value)| value.as_str())
    };
    let named = value("sparams");
    let mut parts = vec![shared.secret.as_str(), named];
    parts.extend(named.split(',').map(value));
    format!("AHEqNM4wRQI{}%3D", sign::hex(&parts, 64)).replace("%3D", "=")
}

pub fn answer(shared: &Shared, request: &Request) -> Reply {
    if request.path != "/videoplayback" {
        return Reply::not_found();
    }
    let params = request.params();
    let value = |wanted: &str| {
        params
            .iter()
            .find(|(name, _)| name == wanted)
            .map_or("", |(_, value)| value.as_str())
    };
    let id = shared.youtube.media_ids.lock().get(value("id")).cloned();
    let video = id.and_then(|id| shared.youtube.videos.lock().get(&id).cloned());
    let Some(video) = video else {
        return Reply::refusal(403);
    };
    let song = &video.song;
    let refused = || Reply::refusal(403).about(song.id());
    let expire = value("expire").parse::<u64>().unwrap_or(u64::MAX);
    let expired = expire <= shared.now_unix();
    // Counted from the answer that the URL came with.
    let in_advertisement = shared.now_unix()
        < expire
            .saturating_sub(URL_LIFE_SECS)
            .saturating_add(video.advertisement);
    if video.advertisement > 0 && in_advertisement {
        return refused();
    }
    let generation = value("ei")
        .strip_prefix('g')
        .and_then(|rest| rest.split('x').next()?.parse::<u64>().ok());
    if expired
        || generation != Some(song.generation())
        || value("sig") != signature(shared, &params)
    {
        return refused();
    }
    // The television's URLs want their `n` transformed.
    let given_n = value("c") == tv::CLIENT
        && !tv::is_transformed(shared, value("n"), value("itag"), value("expire"));
    let given_n_pace = shared.youtube.given_n_pace.load(Ordering::Relaxed);
    if given_n && given_n_pace == 0 {
        return refused();
    }
    let Some(number) = song
        .streams()
        .iter()
        .position(|stream| stream.key == key(value("itag"), value("xtags")))
    else {
        return Reply::not_found().about(song.id());
    };
    let Some(clip) = song.clip(number) else {
        return refused();
    };
    // A URL of what the file was before it changed.
    let modified = value("lmt").parse::<u64>().unwrap_or(0);
    if lmt_of(shared, song, number) != Some(modified) {
        return refused();
    }
    if video.moves_hosts && request.host != MOVED_HOST {
        return Reply::redirect(&format!("https://{MOVED_HOST}{}", request.target))
            .about(song.id());
    }
    let pace = given_n.then_some(given_n_pace);
    serve(shared, request, song, &clip, pace)
}

/// The range that was asked for, as fast as its kind and its URL allow.
fn serve(
    shared: &Shared,
    request: &Request,
    song: &Song,
    clip: &Clip,
    pace_of_url: Option<u64>,
) -> Reply {
    let length = clip.len();
    let limit = shared.youtube.range_limit.load(Ordering::Relaxed);
    let in_query = request
        .param("range")
        .and_then(|text| ByteRange::parse(&text));
    let asked = if request.method == "HEAD" {
        None
    } else {
        ByteRange::of(request).or(in_query)
    };
    let bounded = match asked {
        Some(ByteRange::Bounded(from, to)) => to - from < limit,
        _ => false,
    };
    let pace = shared.youtube.open_range_pace.load(Ordering::Relaxed);
    if !bounded && (pace == 0 || request.method == "HEAD") {
        return Reply::refusal(403).about(song.id());
    }
    let mime = mime_of(clip.shape);
    let Some((from, to)) = asked.unwrap_or(ByteRange::Open(0)).within(length) else {
        return Reply::refusal(416)
            .with_header("Content-Range", &format!("bytes */{length}"))
            .about(song.id());
    };
    let mut reply = Reply::new(200, mime, clip.bytes().slice(from as usize..to as usize))
        .with_header("Accept-Ranges", "bytes")
        .with_header("Cache-Control", "private, max-age=21298")
        .about(song.id());
    if request.header("range").is_some() {
        reply = reply.with_status(206).with_header(
            "Content-Range",
            &format!("bytes {from}-{}/{length}", to - 1),
        );
    }
    reply.paced = if bounded { pace_of_url } else { Some(pace) };
    reply.from_song = Some((song.clone(), from));
    reply
}

/// The key of a stream: its itag, and its xtags where it has some.
pub fn key(itag: &str, xtags: &str) -> String {
    if xtags.is_empty() {
        itag.to_owned()
    } else {
        format!("{itag}/{xtags}")
    }
}

/// What `lmt` a URL of this stream must carry now.
fn lmt_of(shared: &Shared, song: &Song, number: usize) -> Option<u64> {
    let video = shared.youtube.videos.lock().get(song.id()).cloned()?;
    let wanted = &song.streams().get(number)?.key;
    let adaptive = video
        .answer
        .pointer("/streamingData/adaptiveFormats")
        .and_then(Value::as_array);
    let mut formats = adaptive.into_iter().flatten().chain(&video.muxed);
    let format = formats.find(|format| key_of_format(format).as_ref() == Some(wanted))?;
    Some(format["lastModified"].as_str()?.parse::<u64>().ok()? + song.version())
}

/// The key of a format of a player answer, from its URL.
pub fn key_of_format(format: &Value) -> Option<String> {
    let (_, query) = format["url"].as_str()?.split_once('?')?;
    let params: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let value = |wanted: &str| {
        params
            .iter()
            .find(|(name, _)| name == wanted)
            .map_or("", |(_, value)| value.as_str())
    };
    Some(key(value("itag"), value("xtags")))
}

fn mime_of(shape: Shape) -> &'static str {
    match shape {
        Shape::WebM => "audio/webm",
        Shape::Muxed => "video/mp4",
        _ => "audio/mp4",
    }
}
