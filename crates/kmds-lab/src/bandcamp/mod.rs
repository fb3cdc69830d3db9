//! Bandcamp: which host and path give which answer.
//!
//! Owns the site's releases, the routing of its hosts, and the signing of stream URLs each time it sends a page.
//! Made-up releases are in `make.rs`, recorded ones in `recorded.rs`.

mod make;
mod recorded;
mod release;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::audio::COVER_JPEG;
use crate::sign;
use crate::wire::{Reply, Request, file, start_of};
use crate::world::{Shared, Song};

pub use make::{Album, AlbumBuilder, Bandcamp, TrackBuilder};
pub(crate) use recorded::load;
pub use release::Lock;

/// The life of a stream URL (Bandcamp notes, 8).
const URL_LIFE_SECS: u64 = 86_400;

#[derive(Default)]
pub struct World {
    /// `host/path` → page.
    pub pages: Mutex<HashMap<String, Arc<ReleasePage>>>,
    /// `host/path` → where a recorded redirect leads.
    pub redirects: Mutex<HashMap<String, String>>,
    /// `t` or `a` and the id → answer of the mobile app's API.
    pub mobile: Mutex<HashMap<(char, u64), Value>>,
    /// Songs by track id.
    pub songs: Mutex<HashMap<u64, Song>>,
}

/// A page whose stream URLs are undated.
pub struct ReleasePage {
    pub html: String,
    /// The first song on it, and all of their ids.
    pub songs: Vec<String>,
}

pub fn answer(shared: &Shared, request: &Request) -> Reply {
    match request.host.as_str() {
        "bandcamp.com" => main_host(shared, request),
        "f4.bcbits.com" => cover(request),
        host if host.ends_with(".bcbits.com") => stream(shared, request),
        _ => page(shared, request),
    }
}

fn page(shared: &Shared, request: &Request) -> Reply {
    if request.path.starts_with("//") {
        return Reply::redirect(&format!(
            "https://{}{}",
            request.host,
            request.path.replacen("//", "/", 1)
        ));
    }
    let key = format!("{}{}", request.host, request.path.to_lowercase());
    if let Some(target) = shared.bandcamp.redirects.lock().get(&key) {
        return Reply::redirect(target);
    }
    let found = shared.bandcamp.pages.lock().get(&key).cloned();
    let Some(page) = found else {
        return Reply::new(
            404,
            "text/html; charset=UTF-8",
            "<!DOCTYPE html><html><title>404 | Bandcamp</title><h2>Sorry, that something isn\u{2019}t here.</h2></html>",
        );
    };
    let canonical = format!(
        "<https://{}{}>;   rel=\"canonical\"",
        request.host, request.path
    );
    let mut reply = Reply::html(dated(shared, &page.html)).with_header("link", &canonical);
    reply.song = page.songs.first().cloned();
    reply
}

/// `text` with every stream URL in it dated and signed. In attributes `&` is written `&amp;`.
fn dated(shared: &Shared, text: &str) -> String {
    const START: &str = "https://t4.bcbits.com/stream/";
    let mut out = String::with_capacity(text.len() + 1024);
    let mut rest = text;
    while let Some(at) = rest.find(START) {
        let (before, url) = rest.split_at(at);
        out.push_str(before);
        let end = [url.find("&quot;"), url.find('"')]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(url.len());
        let escaped = url.find("&quot;").is_some_and(|quote| quote == end);
        let (url, after) = url.split_at(end);
        let path = url.split('?').next().unwrap_or(url);
        let id = path
            .rsplit('/')
            .next()
            .and_then(|id| id.parse::<u64>().ok());
        let song = id.and_then(|id| shared.bandcamp.songs.lock().get(&id).cloned());
        let query = song.map_or_else(String::new, |song| query_of(shared, &song, path));
        let query = if escaped {
            query.replace('&', "&amp;")
        } else {
            query
        };
        out.push_str(&format!("{path}?{query}"));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn query_of(shared: &Shared, song: &Song, path: &str) -> String {
    let expires = (shared.now_unix() + URL_LIFE_SECS).to_string();
    let path = path.trim_start_matches("https://t4.bcbits.com");
    format!(
        "p=0&ts={expires}&t={}&token={expires}_{}",
        sign::hex(&["t", &expires, path], 40),
        token(shared, song, &expires, path)
    )
}

fn token(shared: &Shared, song: &Song, expires: &str, path: &str) -> String {
    sign::hex(
        &[
            &shared.secret,
            expires,
            path,
            &song.generation().to_string(),
        ],
        40,
    )
}

/// `t4.bcbits.com`: plain GET or ranges while the token lives.
fn stream(shared: &Shared, request: &Request) -> Reply {
    let id = request
        .path
        .rsplit('/')
        .next()
        .and_then(|id| id.parse::<u64>().ok());
    let song = id.and_then(|id| shared.bandcamp.songs.lock().get(&id).cloned());
    let Some(song) = song.filter(|_| request.path.starts_with("/stream/")) else {
        return Reply::not_found();
    };
    let wanted = request.param("token").unwrap_or_default();
    let (expires, signature) = wanted.split_once('_').unwrap_or(("0", ""));
    let dead = expires.parse::<u64>().unwrap_or(0) <= shared.now_unix();
    if dead
        || request.param("ts").as_deref() != Some(expires)
        || signature != token(shared, &song, expires, &request.path)
    {
        return Reply::refusal(403).about(song.id());
    }
    let Some(clip) = song.clip_of("mp3-128") else {
        return Reply::not_found().about(song.id());
    };
    let mut reply =
        file(request, &clip.bytes(), "audio/mpeg", &song.etag("mp3-128")).about(song.id());
    reply.from_song = Some((song, start_of(&reply)));
    reply
}

fn main_host(shared: &Shared, request: &Request) -> Reply {
    if request.path == "/api/mobile/22/tralbum_details" {
        return mobile(shared, request);
    }
    if request.path == "/api/bcsearch_public_api/1/autocomplete_elastic" {
        return crate::search::bandcamp(shared, request);
    }
    if request.path == "/stream_redirect" {
        return stream_redirect(shared, request);
    }
    if let Some(rest) = request.path.strip_prefix("/EmbeddedPlayer/") {
        return embedded(shared, rest);
    }
    page(shared, request)
}

/// The mobile app's API: errors come with 200.
fn mobile(shared: &Shared, request: &Request) -> Reply {
    let kind = request
        .param("tralbum_type")
        .and_then(|kind| kind.chars().next())
        .unwrap_or('t');
    let id = request
        .param("tralbum_id")
        .and_then(|id| id.parse::<u64>().ok())
        .unwrap_or(0);
    let wrong = |why: &str| Reply::json(&json!({"error": true, "error_message": why}));
    if request
        .param("band_id")
        .and_then(|band| band.parse::<u64>().ok())
        .unwrap_or(0)
        == 0
    {
        return wrong("band_id 0 not found");
    }
    match shared.bandcamp.mobile.lock().get(&(kind, id)) {
        Some(answer) => Reply::json(&redirecting(shared, answer)).about(&id.to_string()),
        None => wrong(&format!("tralbum_id {id} not found")),
    }
}

/// The answer with its `stream_redirect` URLs dated.
fn redirecting(shared: &Shared, answer: &Value) -> Value {
    let mut answer = answer.clone();
    let now = shared.now_unix().to_string();
    for track in answer["tracks"].as_array_mut().into_iter().flatten() {
        let id = track["track_id"].as_u64().unwrap_or(0).to_string();
        if track["streaming_url"].is_object() {
            track["streaming_url"]["mp3-128"] = json!(format!(
                "https://bandcamp.com/stream_redirect?enc=mp3-128&track_id={id}&ts={now}&t={}",
                sign::hex(&[&shared.secret, &id, &now], 40)
            ));
        }
    }
    answer
}

fn stream_redirect(shared: &Shared, request: &Request) -> Reply {
    let id = request.param("track_id").unwrap_or_default();
    let now = request.param("ts").unwrap_or_default();
    let song = id
        .parse::<u64>()
        .ok()
        .and_then(|id| shared.bandcamp.songs.lock().get(&id).cloned());
    let Some(song) = song else {
        return Reply::not_found();
    };
    let old = now.parse::<u64>().unwrap_or(0) + URL_LIFE_SECS <= shared.now_unix();
    if old || request.param("t") != Some(sign::hex(&[&shared.secret, &id, &now], 40)) {
        return Reply::refusal(403).about(&id);
    }
    let path = stream_path(&id);
    Reply::redirect(&format!(
        "https://t4.bcbits.com{path}?{}",
        query_of(shared, &song, &path)
    ))
    .about(&id)
}

/// The path of a song's file.
fn stream_path(id: &str) -> String {
    format!("/stream/{}/mp3-128/{id}", sign::hex(&["stream", id], 32))
}

/// The player page of a release by id: `key=value` path parts in any order.
fn embedded(shared: &Shared, rest: &str) -> Reply {
    let part = |name: &str| {
        rest.split('/')
            .find_map(|part| part.strip_prefix(name)?.parse::<u64>().ok())
    };
    let key = match (part("album="), part("track=")) {
        (Some(album), _) => ('a', album),
        (None, Some(track)) => ('t', track),
        (None, None) => return Reply::not_found(),
    };
    let Some(release) = shared.bandcamp.mobile.lock().get(&key).cloned() else {
        return Reply::not_found();
    };
    let tracks: Vec<Value> = release["tracks"].as_array().into_iter().flatten().map(|track| {
        let id = track["track_id"].as_u64().unwrap_or(0).to_string();
        let file = if track["streaming_url"].is_object() {
            json!({"mp3-128": format!("https://t4.bcbits.com{}", stream_path(&id))})
        } else {
            Value::Null
        };
        json!({"id": track["track_id"], "title": track["title"], "artist": release["tralbum_artist"], "duration": track["duration"],
            "file": file, "art_id": release["art_id"], "track_streaming": true})
    }).collect();
    let player = json!({"tracks": tracks, "album_title": release["album_title"], "artist": release["tralbum_artist"],
        "linkback": release["bandcamp_url"], "album_art_id": release["art_id"]});
    let html = format!(
        "<!DOCTYPE html><html><head><title>Bandcamp player</title></head><body data-player-data=\"{}\"></body></html>",
        escaped(&player.to_string())
    );
    Reply::html(dated(shared, &html)).about(&key.1.to_string())
}

/// `/img/a{ten digits}_{size}.jpg`.
fn cover(request: &Request) -> Reply {
    let named = request
        .path
        .strip_prefix("/img/")
        .and_then(|name| name.strip_suffix(".jpg"))
        .is_some_and(|name| {
            let (id, size) = name
                .trim_start_matches('a')
                .split_once('_')
                .unwrap_or(("", ""));
            id.parse::<u64>().is_ok_and(|id| id > 0) && size.parse::<u32>().is_ok()
        });
    if named {
        Reply::new(200, "image/jpeg", COVER_JPEG)
    } else {
        Reply::not_found()
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
        .replace('<', "&lt;")
}

fn unescaped(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}
