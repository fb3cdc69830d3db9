//! Recorded exchanges with SoundCloud, served again with new URLs.
//!
//! Finds the tracks and sets in them. It makes format URLs anew from a track's own data; URLs that were recorded as 404
//! stay 404.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use super::make::{Format, uuid};
use super::{RecordedPages, SetPage, Track};
use crate::audio::Shape;
use crate::recordings::Exchange;
use crate::world::{NewSong, Shared, Site, Song, StreamSpec};

pub fn load(shared: &Shared, exchanges: &[Exchange]) {
    load_pages(shared, exchanges);
    let gone: HashSet<&str> = exchanges
        .iter()
        .filter(|exchange| exchange.path.starts_with("/media/") && exchange.status == 404)
        .map(|exchange| exchange.path.as_str())
        .collect();
    for exchange in exchanges
        .iter()
        .filter(|exchange| exchange.host == "on.soundcloud.com")
    {
        let code = exchange.path.trim_start_matches('/').to_owned();
        shared
            .soundcloud
            .short_links
            .lock()
            .insert(code, exchange.leads_to.clone());
    }
    for exchange in exchanges
        .iter()
        .filter(|exchange| exchange.host.starts_with("api-"))
    {
        let Some(answer) = exchange.json().filter(|_| exchange.status == 200) else {
            continue;
        };
        match (&answer, answer["kind"].as_str()) {
            (Value::Array(tracks), _) => tracks
                .iter()
                .for_each(|track| add_track(shared, track, &gone)),
            (_, Some("track")) => add_track(shared, &answer, &gone),
            (_, Some("playlist")) => add_set(shared, answer, &gone),
            _ => {}
        }
    }
}

fn load_pages(shared: &Shared, exchanges: &[Exchange]) {
    let home = exchanges
        .iter()
        .find(|exchange| exchange.host == "soundcloud.com" && exchange.path == "/");
    let script = exchanges
        .iter()
        .find(|exchange| exchange.host == "a-v2.sndcdn.com");
    let Some(home) = home else { return };
    let id = between(&home.body, "\"apiClient\",\"data\":{\"id\":\"", "\"").unwrap_or_default();
    if id.is_empty() {
        return;
    }
    *shared.soundcloud.client_id.lock() = id.clone();
    *shared.soundcloud.recorded.lock() = Some(RecordedPages {
        home: home.body.clone(),
        script_path: script.map(|script| script.path.clone()).unwrap_or_default(),
        script: script.map(|script| script.body.clone()).unwrap_or_default(),
        client_id: id,
    });
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found.to_owned())
}

fn add_set(shared: &Shared, mut set: Value, gone: &HashSet<&str>) {
    let Some(id) = set["id"].as_u64() else { return };
    let Some(Value::Array(listed)) = set.as_object_mut().and_then(|set| set.remove("tracks"))
    else {
        return;
    };
    for track in listed.iter().filter(|track| track.get("title").is_some()) {
        add_track(shared, track, gone);
    }
    let permalink = set["permalink_url"]
        .as_str()
        .unwrap_or("")
        .trim_start_matches("https://soundcloud.com/")
        .to_owned();
    let page = SetPage {
        id,
        permalink,
        secret_token: set["secret_token"].as_str().map(str::to_owned),
        tracks: listed
            .iter()
            .filter_map(|track| track["id"].as_u64())
            .collect(),
        full: listed
            .iter()
            .take_while(|track| track.get("title").is_some())
            .count(),
        object: set,
    };
    shared.soundcloud.sets.lock().insert(id, Arc::new(page));
}

fn add_track(shared: &Shared, object: &Value, gone: &HashSet<&str>) {
    let Some(id) = object["id"].as_u64() else {
        return;
    };
    let text = |name: &str| object[name].as_str().unwrap_or("").to_owned();
    let seconds = object["full_duration"].as_u64().unwrap_or(0) as f64 / 1000.0;
    let mut formats = HashMap::new();
    let mut streams: Vec<StreamSpec> = Vec::new();
    let transcodings = object
        .pointer("/media/transcodings")
        .and_then(Value::as_array);
    for transcoding in transcodings.into_iter().flatten() {
        let Some(path) = transcoding["url"]
            .as_str()
            .and_then(|url| url.get(url.find("/media/")?..))
        else {
            continue;
        };
        let format = format_of(transcoding).filter(|_| !gone.contains(path));
        if let Some(key) = format.and_then(Format::stream_key)
            && !streams.iter().any(|stream| stream.key == key)
        {
            let shape = match key {
                "aac" => Shape::HlsAac,
                "opus" => Shape::Ogg,
                _ => Shape::Mp3,
            };
            let seconds = transcoding["duration"].as_u64().unwrap_or(0) as f64 / 1000.0;
            streams.push(StreamSpec {
                key: key.to_owned(),
                shape,
                seconds,
                size_bytes: None,
            });
        }
        formats.insert(path.to_owned(), format);
    }
    let best = ["aac", "mp3", "opus"]
        .into_iter()
        .find_map(|key| streams.iter().position(|stream| stream.key == key));
    let key = between(&text("waveform_url"), "wave.sndcdn.com/", "_m.")
        .unwrap_or_else(|| uuid(&["key", &id.to_string()]));
    let uuid = uuid(&["recorded", &id.to_string()]);
    let link = text("permalink_url");
    let song = Song::publish(
        shared,
        NewSong {
            site: Site::SoundCloud,
            id: id.to_string(),
            title: text("title"),
            artist: object
                .pointer("/user/username")
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned(),
            link: link.clone(),
            seconds,
            streams,
            main: best.unwrap_or(0),
            hold: crate::world::NEVER,
            drip: 0,
        },
    );
    for name in [&key, &uuid] {
        shared.soundcloud.media_keys.lock().insert(name.clone(), id);
    }
    let track = Track {
        id,
        permalink: link
            .trim_start_matches("https://soundcloud.com/")
            .to_owned(),
        secret_token: object["secret_token"].as_str().map(str::to_owned),
        object: object.clone(),
        song,
        formats,
        key,
        uuid,
        deleted: false,
    };
    shared.soundcloud.tracks.lock().insert(id, Arc::new(track));
}

fn format_of(transcoding: &Value) -> Option<Format> {
    let mime = transcoding.pointer("/format/mime_type")?.as_str()?;
    if transcoding["snipped"] == true {
        return None;
    }
    match (transcoding.pointer("/format/protocol")?.as_str()?, mime) {
        ("progressive", "audio/mpeg") => Some(Format::Mp3Progressive),
        ("hls", "audio/mpeg") => Some(Format::Mp3Hls),
        ("hls", mime) if mime.contains("opus") => Some(Format::OpusHls),
        ("hls", mime) if mime.starts_with("audio/mp4") => Some(Format::AacHls),
        _ => None,
    }
}
