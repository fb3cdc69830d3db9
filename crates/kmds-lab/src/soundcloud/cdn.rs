//! The media hosts: one progressive file, and HLS playlists with their pieces.
//!
//! Owns signing, checking and serving. The shapes are in the SoundCloud notes, sections 8 and 9.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Format, Track};
use crate::audio::{Clip, Cut, hls_aac_init};
use crate::sign;
use crate::wire::{Reply, Request, file, start_of};
use crate::world::Shared;

/// What a URL outlives its track by (SoundCloud notes, 8).
const GRACE_SECS: u64 = 120;

/// The URL that a format call answers with.
pub fn format_url(shared: &Shared, track: &Track, format: Format) -> String {
    let (host, path) = match format {
        Format::AacProgressive => ("cf-media.sndcdn.com", format!("/{}.160.m4a", track.key)),
        Format::Mp3Progressive => ("cf-media.sndcdn.com", format!("/{}.128.mp3", track.key)),
        Format::Mp3Hls => (
            "cf-hls-media.sndcdn.com",
            format!("/playlist/{}.128.mp3/playlist.m3u8", track.key),
        ),
        Format::OpusHls => (
            "cf-hls-opus-media.sndcdn.com",
            format!("/playlist/{}.64.opus/playlist.m3u8", track.uuid),
        ),
        _ => (
            "playback.media-streaming.soundcloud.cloud",
            format!("/{}/aac_160k/{}/playlist.m3u8", track.key, track.uuid),
        ),
    };
    signed(shared, track, host, &path)
}

fn signed(shared: &Shared, track: &Track, host: &str, path: &str) -> String {
    let expires = shared.now_unix() + track.song.seconds().ceil() as u64 + GRACE_SECS;
    let statement = format!(
        "{{\"Statement\":[{{\"Resource\":\"*://{host}{path}*\",\"Condition\":{{\"DateLessThan\":{{\"AWS:EpochTime\":{expires}}}}}}}]}}"
    );
    let policy = STANDARD
        .encode(statement)
        .replace('+', "-")
        .replace('=', "_")
        .replace('/', "~");
    let signature = signature(shared, &policy, track.song.generation());
    let expiry = if host.ends_with("soundcloud.cloud") {
        format!("expires={expires}&")
    } else {
        String::new()
    };
    format!(
        "https://{host}{path}?{expiry}Policy={policy}&Signature={signature}&Key-Pair-Id=APKAI6TU7MMXM5DG6EPQ"
    )
}

fn signature(shared: &Shared, policy: &str, generation: u64) -> String {
    let generation = generation.to_string();
    format!(
        "{}~{}__",
        sign::hex(&[&shared.secret, policy, &generation], 96),
        sign::hex(&[&generation], 8)
    )
}

/// Whether the query allows this path at this moment.
fn is_signed(shared: &Shared, request: &Request, track: &Track) -> bool {
    let policy = request.param("Policy").unwrap_or_default();
    if request.param("Signature").unwrap_or_default()
        != signature(shared, &policy, track.song.generation())
    {
        return false;
    }
    let decoded = STANDARD
        .decode(policy.replace('-', "+").replace('_', "=").replace('~', "/"))
        .unwrap_or_default();
    let statement: Value = serde_json::from_slice(&decoded).unwrap_or(Value::Null);
    let statement = &statement["Statement"][0];
    let expires = statement["Condition"]["DateLessThan"]["AWS:EpochTime"]
        .as_u64()
        .unwrap_or(0);
    let resource = statement["Resource"]
        .as_str()
        .unwrap_or("")
        .trim_start_matches("*://")
        .trim_end_matches('*');
    expires > shared.now_unix()
        && format!("{}{}", request.host, request.path).starts_with(resource)
        && !resource.is_empty()
}

pub fn answer(shared: &Shared, request: &Request) -> Reply {
    if request.method != "GET" && request.method != "HEAD" {
        return Reply::not_found();
    }
    let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    let (name, wanted) = match (request.host.as_str(), parts.as_slice()) {
        ("cf-media.sndcdn.com", [name]) if name.ends_with(".m4a") => {
            (stem(name, ".160.m4a"), Wanted::File("aac"))
        }
        ("cf-media.sndcdn.com", [name]) => (stem(name, ".128.mp3"), Wanted::File("mp3")),
        ("cf-hls-media.sndcdn.com", ["playlist", name, "playlist.m3u8"]) => {
            (stem(name, ".128.mp3"), Wanted::Playlist(Format::Mp3Hls))
        }
        ("cf-hls-media.sndcdn.com", ["media", n, _, _, name]) => {
            (stem(name, ".128.mp3"), Wanted::Slice("mp3", n.parse().ok()))
        }
        ("cf-hls-opus-media.sndcdn.com", ["playlist", name, "playlist.m3u8"]) => {
            (stem(name, ".64.opus"), Wanted::Playlist(Format::OpusHls))
        }
        ("cf-hls-opus-media.sndcdn.com", ["media", n, _, _, name]) => (
            stem(name, ".64.opus"),
            Wanted::Slice("opus", n.parse().ok()),
        ),
        ("playback.media-streaming.soundcloud.cloud", [name, "aac_160k", _, "playlist.m3u8"]) => {
            (Some(*name), Wanted::Playlist(Format::AacHls))
        }
        ("playback.media-streaming.soundcloud.cloud", [name, "aac_160k", _, "init.mp4"]) => {
            (Some(*name), Wanted::Init)
        }
        ("playback.media-streaming.soundcloud.cloud", [name, "aac_160k", _, segment]) => {
            let number = segment
                .strip_prefix("data")
                .and_then(|rest| rest.strip_suffix(".m4s"))
                .and_then(|n| n.parse().ok());
            (Some(*name), Wanted::Slice("aac", number))
        }
        _ => return Reply::not_found(),
    };
    let id = name.and_then(|name| shared.soundcloud.media_keys.lock().get(name).copied());
    let track = id.and_then(|id| shared.soundcloud.tracks.lock().get(&id).cloned());
    let Some(track) = track else {
        return Reply::not_found();
    };
    if !is_signed(shared, request, &track) {
        return Reply::new(
            403,
            "application/xml",
            "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
        )
        .about(track.song.id());
    }
    serve(shared, request, &track, wanted)
        .unwrap_or_else(Reply::not_found)
        .about(track.song.id())
}

enum Wanted {
    File(&'static str),
    Playlist(Format),
    Init,
    Slice(&'static str, Option<usize>),
}

fn stem<'a>(name: &'a str, end: &str) -> Option<&'a str> {
    name.strip_suffix(end)
}

fn serve(shared: &Shared, request: &Request, track: &Track, wanted: Wanted) -> Option<Reply> {
    let song = &track.song;
    match wanted {
        Wanted::File(key) => {
            let clip = song.clip_of(key)?;
            let mime = if key == "aac" {
                "audio/mp4"
            } else {
                "audio/mpeg"
            };
            let mut reply = file(request, &clip.bytes(), mime, &song.etag(key));
            reply.from_song = Some((song.clone(), start_of(&reply)));
            Some(reply)
        }
        Wanted::Playlist(format) => {
            let clip = song.clip_of(format.stream_key()?)?;
            Some(Reply::new(
                200,
                "application/vnd.apple.mpegurl",
                playlist(shared, track, format, &clip),
            ))
        }
        Wanted::Init => {
            let mut reply = Reply::new(200, "video/mp4", hls_aac_init(&song.clip_of("aac")?.mark));
            reply.from_song = Some((song.clone(), 0));
            Some(reply)
        }
        Wanted::Slice(key, number) => {
            let clip = song.clip_of(key)?;
            let cut = clip.cuts().get(number?)?;
            let mime = if key == "aac" {
                "video/mp4"
            } else {
                "audio/mpeg"
            };
            let bytes = clip.bytes().slice(cut.from as usize..cut.to as usize);
            let mut reply = file(request, &bytes, mime, &song.etag(key));
            reply.from_song = Some((song.clone(), cut.from + start_of(&reply)));
            Some(reply)
        }
    }
}

fn playlist(shared: &Shared, track: &Track, format: Format, clip: &Clip) -> String {
    let aac = format == Format::AacHls;
    let longest = clip
        .cuts()
        .iter()
        .map(|cut| cut.seconds)
        .fold(0.0, f64::max);
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:{}\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:0\n",
        if aac { 7 } else { 6 },
        longest.round().max(1.0)
    );
    if aac {
        let init = signed(
            shared,
            track,
            "playback.media-streaming.soundcloud.cloud",
            &aac_path(track, "init.mp4"),
        );
        text.push_str(&format!("#EXT-X-MAP:URI=\"{init}\"\n"));
    }
    for (number, cut) in clip.cuts().iter().enumerate() {
        text.push_str(&format!(
            "#EXTINF:{:.6},\n{}\n",
            cut.seconds,
            segment_url(shared, track, format, number, cut)
        ));
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

fn aac_path(track: &Track, name: &str) -> String {
    format!("/{}/aac_160k/{}/{name}", track.key, track.uuid)
}

fn segment_url(shared: &Shared, track: &Track, format: Format, number: usize, cut: &Cut) -> String {
    let (host, path) = match format {
        Format::AacHls => (
            "playback.media-streaming.soundcloud.cloud",
            aac_path(track, &format!("data{number:03}.m4s")),
        ),
        Format::OpusHls => (
            "cf-hls-opus-media.sndcdn.com",
            format!(
                "/media/{number}/{}/{}/{}.64.opus",
                cut.from,
                cut.to - 1,
                track.uuid
            ),
        ),
        _ => (
            "cf-hls-media.sndcdn.com",
            format!(
                "/media/{number}/{}/{}/{}.128.mp3",
                cut.from,
                cut.to - 1,
                track.key
            ),
        ),
    };
    signed(shared, track, host, &path)
}
