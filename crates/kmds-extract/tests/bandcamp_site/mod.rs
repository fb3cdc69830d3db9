//! A made-up Bandcamp in memory: pages in the shape of the real ones, and an origin that counts what it is asked.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use kmds_extract::origin::{Origin, OriginError, Page, PageRequest, Remembered, RenewGuard};
use serde_json::{Value, json};

/// 2026-05-25.
pub const NOW_UNIX: u64 = 1_779_734_141;
/// A day later, as in the pages' URLs.
pub const EXPIRY_UNIX: u64 = NOW_UNIX + 86_400;

pub type Answer = Result<Page, OriginError>;

/// Answers by a part of the URL, the first that fits; everything else is 404.
#[derive(Default)]
pub struct Site {
    answers: Vec<(String, Answer)>,
    requests: Mutex<Vec<PageRequest>>,
    memory: Mutex<BTreeMap<String, String>>,
}

impl Site {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with(mut self, url_part: &str, answer: Answer) -> Self {
        self.answers.push((url_part.to_owned(), answer));
        self
    }

    /// URLs in the order they were asked for.
    pub fn urls(&self) -> Vec<String> {
        self.requests
            .lock()
            .expect("not poisoned")
            .iter()
            .map(|request| request.url.clone())
            .collect()
    }

    pub fn requests(&self) -> Vec<PageRequest> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

impl Origin for Site {
    async fn send(&self, request: PageRequest) -> Result<Page, OriginError> {
        let url = request.url.clone();
        self.requests.lock().expect("not poisoned").push(request);
        let found = self.answers.iter().find(|(part, _)| url.contains(part));
        let mut answer =
            found.map_or_else(|| page(404, "nothing here"), |(_, answer)| answer.clone())?;
        if answer.final_url.is_empty() {
            answer.final_url = url;
        }
        Ok(answer)
    }

    fn recall(&self, key: &str) -> Option<Remembered> {
        let value = self
            .memory
            .lock()
            .expect("not poisoned")
            .get(key)
            .cloned()?;
        Some(Remembered {
            value,
            stored_unix: NOW_UNIX,
        })
    }

    fn remember(&self, key: &str, value: &str) {
        self.memory
            .lock()
            .expect("not poisoned")
            .insert(key.to_owned(), value.to_owned());
    }

    async fn renewing(&self, _: &str) -> RenewGuard {
        RenewGuard::holding(())
    }

    fn nonce(&self, length: usize) -> String {
        "n".repeat(length)
    }

    fn now_unix(&self) -> u64 {
        NOW_UNIX
    }

    async fn pause(&self, _: Duration) {}
}

pub fn page(status: u16, body: &str) -> Answer {
    Ok(Page {
        status,
        final_url: String::new(),
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
    })
}

pub fn redirected(to: &str, body: &str) -> Answer {
    page(200, body).map(|page| Page {
        final_url: to.to_owned(),
        ..page
    })
}

pub fn with_header(answer: Answer, name: &str, value: &str) -> Answer {
    answer.map(|mut page| {
        page.headers.push((name.to_owned(), value.to_owned()));
        page
    })
}

pub fn challenge() -> Answer {
    page(
        200,
        "<html><head><title>Client Challenge</title><script src=\"/_fs-ch-1a2b/script.js\"></script></head></html>",
    )
}

pub fn file_url(track_id: u64) -> String {
    format!(
        "https://t4.bcbits.com/stream/00ff/mp3-128/{track_id}?p=0&ts={EXPIRY_UNIX}&t=aa&token={EXPIRY_UNIX}_bb"
    )
}

pub fn song(track_id: u64, number: u64, title: &str) -> Value {
    json!({
        "id": track_id, "track_id": track_id, "title": title, "artist": null, "track_num": number, "duration": 95.1733,
        "title_link": format!("/track/song-{number}"), "file": {"mp3-128": file_url(track_id)}, "streaming": 1,
        "unreleased_track": false, "album_preorder": false, "is_capped": null, "lyrics": null
    })
}

/// A song without audio.
pub fn locked(track_id: u64, number: u64, title: &str) -> Value {
    let mut song = song(track_id, number, title);
    song["file"] = Value::Null;
    song["streaming"] = Value::Null;
    song
}

pub fn album(songs: Vec<Value>) -> Value {
    json!({
        "for the curious": "hello", "item_type": "album", "id": 2_833_347_880_u64, "artist": "Tin Harbour",
        "art_id": 3_697_716_070_u64, "url": "https://tinharbour.example/album/low-tide", "hasAudio": true,
        "is_preorder": false, "album_is_preorder": false, "album_release_date": "01 Nov 2019 00:00:00 GMT",
        "tralbum_subscriber_only": false, "freeDownloadPage": null,
        "current": {
            "title": "Low Tide & Rain", "type": "album", "id": 2_833_347_880_u64, "artist": null, "art_id": 3_697_716_070_u64,
            "band_id": 1_196_681_540, "selling_band_id": 7, "release_date": "01 Nov 2019 00:00:00 GMT",
            "publish_date": "31 Oct 2019 20:58:39 GMT"
        },
        "trackinfo": songs
    })
}

pub fn track(song: Value) -> Value {
    json!({
        "item_type": "track", "id": song["track_id"], "artist": "Tin Harbour", "art_id": 76_513_327, "hasAudio": true,
        "url": "https://tinharbour.bandcamp.com/track/song-4", "album_url": "/album/low-tide",
        "album_release_date": "01 Jan 2020 00:00:00 GMT", "album_is_preorder": null,
        "current": {
            "title": song["title"], "type": "track", "id": song["track_id"], "artist": null, "art_id": null,
            "band_id": 1_196_681_540, "track_number": song["track_num"], "album_id": 4_024_586_216_u64,
            "release_date": null, "publish_date": "10 Mar 2019 23:00:42 GMT"
        },
        "trackinfo": [song]
    })
}

fn escaped(value: &Value) -> String {
    value
        .to_string()
        .replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
        .replace('<', "&lt;")
}

/// The whole page around the three attributes that matter, in the order of the real ones.
pub fn html(tralbum: &Value, embed: &Value, linked: &Value) -> String {
    format!(
        "<!DOCTYPE html><html><head>\n<script type=\"application/ld+json\">\n{linked}\n</script>\n\
         <script src=\"https://s4.bcbits.com/x.js\" data-band=\"{band}\" data-embed=\"{embed}\" \
         data-tralbum-collect-info=\"{{&quot;show_collect&quot;:true}}\" data-tralbum=\"{tralbum}\" data-payment=\"{{}}\"></script>\n\
         </head><body>{filling}</body></html>",
        band = escaped(&json!({"id": 1_196_681_540, "name": "Tin Harbour"})),
        embed = escaped(embed),
        tralbum = escaped(tralbum),
        filling = "<p>words</p>".repeat(1000),
    )
}

pub fn album_page(tralbum: &Value) -> Answer {
    page(
        200,
        &html(
            tralbum,
            &json!({"album_title": "Low Tide & Rain"}),
            &json!({"@type": "MusicAlbum", "numTracks": 3}),
        ),
    )
}

pub fn track_page(tralbum: &Value) -> Answer {
    page(
        200,
        &html(
            tralbum,
            &json!({"album_title": "Low Tide"}),
            &json!({"@type": "MusicRecording"}),
        ),
    )
}

/// The mobile app's answer for one track.
pub fn mobile(track_id: u64) -> Value {
    json!({
        "id": track_id, "type": "t", "title": "Ebb", "bandcamp_url": "https://tinharbour.bandcamp.com/track/song-4",
        "art_id": 76_513_327, "band": {"band_id": 1_196_681_540, "name": "Tin Harbour"}, "tralbum_artist": "Tin Harbour",
        "album_id": 4_024_586_216_u64, "album_title": "Low Tide", "release_date": 1_577_836_800, "is_preorder": false,
        "tracks": [{
            "track_id": track_id, "title": "Ebb", "track_num": 4, "duration": 124.8, "album_title": null, "art_id": null,
            "band_name": "Tin Harbour", "is_streamable": true,
            "streaming_url": {"mp3-128": format!(
                "https://bandcamp.com/stream_redirect?enc=mp3-128&track_id={track_id}&ts=1779670542&t=cc"
            )}
        }]
    })
}

/// The embedded player's page.
pub fn player(tracks: &Value, linkback: &str) -> Answer {
    let content = json!({"tracks": tracks, "album_title": "Low Tide", "artist": "Tin Harbour", "linkback": linkback});
    page(
        200,
        &format!(
            "<html><body data-player-data=\"{}\"></body></html>",
            escaped(&content)
        ),
    )
}
