//! Recorded pages of Bandcamp, served again with new stream URLs.
//!
//! Finds the songs in them. Their stream URLs keep their path and get a new date and token with every answer.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{ReleasePage, unescaped};
use crate::audio::Shape;
use crate::recordings::Exchange;
use crate::world::{NewSong, Shared, Site, Song, StreamSpec};

pub fn load(shared: &Shared, exchanges: &[Exchange]) {
    for exchange in exchanges {
        if exchange.path == "/api/mobile/22/tralbum_details" {
            if let Some(answer) = exchange.json() {
                add_mobile(shared, answer);
            }
        } else if exchange.host.ends_with(".bandcamp.com") {
            let key = format!("{}{}", exchange.host, exchange.path.to_lowercase());
            match exchange.status {
                200 => add_page(shared, exchange, key),
                300..=399 => drop(
                    shared
                        .bandcamp
                        .redirects
                        .lock()
                        .insert(key, exchange.leads_to.clone()),
                ),
                _ => {}
            }
        }
    }
}

fn add_mobile(shared: &Shared, answer: Value) {
    let kind = answer["type"]
        .as_str()
        .and_then(|kind| kind.chars().next())
        .unwrap_or('t');
    let Some(id) = answer["id"].as_u64() else {
        return;
    };
    let artist = answer["tralbum_artist"].as_str().unwrap_or("").to_owned();
    let link = answer["bandcamp_url"].as_str().unwrap_or("").to_owned();
    for track in answer["tracks"].as_array().into_iter().flatten() {
        add_song(shared, track, &artist, &link);
    }
    shared.bandcamp.mobile.lock().insert((kind, id), answer);
}

fn add_page(shared: &Shared, exchange: &Exchange, key: String) {
    let tralbum = exchange
        .body
        .split_once("data-tralbum=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .and_then(|(value, _)| serde_json::from_str::<Value>(&unescaped(value)).ok())
        .unwrap_or(Value::Null);
    let artist = tralbum["artist"].as_str().unwrap_or("");
    let mut songs = Vec::new();
    for track in tralbum["trackinfo"].as_array().into_iter().flatten() {
        let path = track["title_link"].as_str().unwrap_or("");
        if add_song(
            shared,
            track,
            artist,
            &format!("https://{}{path}", exchange.host),
        ) {
            songs.push(track["track_id"].as_u64().unwrap_or(0).to_string());
        }
    }
    add_mobile_of_page(shared, &tralbum, &exchange.host);
    let page = ReleasePage {
        html: exchange.body.clone(),
        songs,
    };
    shared.bandcamp.pages.lock().insert(key, Arc::new(page));
}

/// The mobile app's answer for a release that was recorded as a page only.
fn add_mobile_of_page(shared: &Shared, tralbum: &Value, host: &str) {
    let kind = if tralbum["item_type"] == "album" {
        'a'
    } else {
        't'
    };
    let Some(id) = tralbum["id"].as_u64() else {
        return;
    };
    if shared.bandcamp.mobile.lock().contains_key(&(kind, id)) {
        return;
    }
    let tracks: Vec<Value> = tralbum["trackinfo"].as_array().into_iter().flatten().map(|track| {
        let streaming = if track["file"].is_object() { json!({"mp3-128": ""}) } else { Value::Null };
        json!({"track_id": track["track_id"], "title": track["title"], "track_num": track["track_num"], "duration": track["duration"],
            "streaming_url": streaming, "is_streamable": track["file"].is_object(), "art_id": null, "band_name": tralbum["artist"], "album_title": null})
    }).collect();
    let title = tralbum["current"]["title"].clone();
    let answer = json!({"id": id, "type": kind.to_string(), "title": title, "bandcamp_url": tralbum["url"], "art_id": tralbum["art_id"],
        "band": {"band_id": tralbum["current"]["band_id"], "name": tralbum["artist"]}, "tralbum_artist": tralbum["artist"], "tracks": tracks,
        "album_title": if kind == 'a' { title } else { Value::Null }, "is_preorder": false, "free_download": false, "bandcamp_host": host});
    shared.bandcamp.mobile.lock().insert((kind, id), answer);
}

/// Whether the song is there to be played (it may have been before).
fn add_song(shared: &Shared, track: &Value, artist: &str, link: &str) -> bool {
    let Some(id) = track["track_id"].as_u64() else {
        return false;
    };
    if !track["file"].is_object() && !track["streaming_url"].is_object() {
        return false;
    }
    if shared.bandcamp.songs.lock().contains_key(&id) {
        return true;
    }
    let seconds = track["duration"].as_f64().unwrap_or(0.0);
    let song = Song::publish(
        shared,
        NewSong {
            site: Site::Bandcamp,
            id: id.to_string(),
            title: track["title"].as_str().unwrap_or("").to_owned(),
            artist: artist.to_owned(),
            link: link.to_owned(),
            seconds,
            streams: vec![StreamSpec {
                key: "mp3-128".into(),
                shape: Shape::Mp3,
                seconds,
                size_bytes: None,
            }],
            main: 0,
            hold: crate::world::NEVER,
            drip: 0,
        },
    );
    shared.bandcamp.songs.lock().insert(id, song);
    true
}
