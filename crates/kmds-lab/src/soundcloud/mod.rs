//! SoundCloud: which host and path give which answer.
//!
//! Owns the site's tracks, sets, short links and the current `client_id`, and the routing of its hosts. The API is in
//! `api.rs`, the media hosts are in `cdn.rs`, and the builders in `make.rs`.

mod api;
mod cdn;
mod make;
mod make_sets;
mod recorded;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use crate::audio::COVER_JPEG;
use crate::wire::{ByteRange, Reply, Request};
use crate::world::{Shared, Song};

pub use make::{Format, SoundCloud, TrackBuilder};
pub use make_sets::{Set, SetBuilder};
pub(crate) use recorded::load;

/// The script that carries the client id; not the last of the page's scripts since January 2026 (SoundCloud notes, 3).
const SCRIPT_PATH: &str = "/assets/53-1ab00000.js";

pub struct World {
    pub client_id: Mutex<String>,
    pub tracks: Mutex<HashMap<u64, Arc<Track>>>,
    pub sets: Mutex<HashMap<u64, Arc<SetPage>>>,
    /// Code → what the first `Location` says.
    pub short_links: Mutex<HashMap<String, String>>,
    /// Keys and UUIDs in media paths → track.
    pub media_keys: Mutex<HashMap<String, u64>>,
    /// Recorded home page and script, and the client id that stands in them.
    pub recorded: Mutex<Option<RecordedPages>>,
}

#[derive(Clone)]
pub struct RecordedPages {
    pub home: String,
    pub script_path: String,
    pub script: String,
    pub client_id: String,
}

impl Default for World {
    fn default() -> Self {
        Self {
            client_id: Mutex::new(client_id(0)),
            tracks: Mutex::default(),
            sets: Mutex::default(),
            short_links: Mutex::default(),
            media_keys: Mutex::default(),
            recorded: Mutex::default(),
        }
    }
}

/// A track: its object as the API gives it, and what its formats are made of.
pub struct Track {
    pub id: u64,
    /// `user/slug`.
    pub permalink: String,
    pub secret_token: Option<String>,
    pub object: Value,
    pub song: Song,
    /// Path of the format call → what it leads to. Those that lead nowhere answer 404.
    pub formats: HashMap<String, Option<Format>>,
    /// Names the MP3 and the AAC files.
    pub key: String,
    /// Names the Opus and the AAC playlists.
    pub uuid: String,
    /// Known to `/resolve` and `/tracks/ID`, or (recorded stubs) to nothing.
    pub deleted: bool,
}

/// A set: its object without `tracks`, and the ids in order.
pub struct SetPage {
    pub id: u64,
    /// `user/sets/slug`.
    pub permalink: String,
    pub secret_token: Option<String>,
    pub object: Value,
    pub tracks: Vec<u64>,
    /// How many come as full objects; the rest are stubs.
    pub full: usize,
}

/// The n-th client id: 32 letters and digits.
pub fn client_id(number: u64) -> String {
    crate::sign::word(
        &["client_id", &number.to_string()],
        32,
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    )
}

pub fn answer(shared: &Shared, request: &Request) -> Reply {
    match request.host.as_str() {
        "soundcloud.com" | "www.soundcloud.com" | "m.soundcloud.com" => web(shared, request),
        "api-v2.soundcloud.com" | "api-widget.soundcloud.com" => api::answer(shared, request),
        "on.soundcloud.com" => short_link(shared, request),
        "w.soundcloud.com" => widget(shared, request),
        "a-v2.sndcdn.com" => script(shared, request),
        "i1.sndcdn.com" => cover(request),
        _ => cdn::answer(shared, request),
    }
}

/// The home page, and pages of tracks and sets that carry the same client id.
fn web(shared: &Shared, request: &Request) -> Reply {
    let known =
        request.path == "/" || api::by_permalink(shared, request.path.trim_matches('/')).is_some();
    if !known || request.method == "POST" {
        return Reply::not_found();
    }
    let current = shared.soundcloud.client_id.lock().clone();
    if let Some(pages) = shared.soundcloud.recorded.lock().as_ref() {
        return Reply::html(pages.home.replace(&pages.client_id, &current));
    }
    Reply::html(format!(
        "<!DOCTYPE html><html lang=\"en\"><head><title>Stream and listen to music online for free with SoundCloud</title></head><body>\
         <script>window.__sc_version=\"1771407416\"</script>\
         <script>window.__sc_hydration = [{{\"hydratable\":\"anonymousId\",\"data\":\"867098-1\"}},{{\"hydratable\":\"features\",\
         \"data\":{{\"features\":[\"v2_lab\"]}}}},{{\"hydratable\":\"apiClient\",\"data\":{{\"id\":\"{current}\",\"isExpiring\":false}}}}];</script>\n\
         <script crossorigin src=\"https://a-v2.sndcdn.com{SCRIPT_PATH}\"></script>\n\
         <script crossorigin src=\"https://a-v2.sndcdn.com/assets/0-1ab00001.js\"></script></body></html>"
    ))
}

fn script(shared: &Shared, request: &Request) -> Reply {
    let current = shared.soundcloud.client_id.lock().clone();
    let recorded = shared.soundcloud.recorded.lock().clone();
    let (path, text) = match recorded {
        Some(pages) => (
            pages.script_path,
            pages.script.replace(&pages.client_id, &current),
        ),
        None => (
            SCRIPT_PATH.to_owned(),
            format!(
                "(self.webpackChunk=self.webpackChunk||[]).push([[53],{{1:function(e){{e.exports={{client_application_id:46941,\
                 client_id:\"{current}\",client_is_expiring:!1,env:\"production\"}}}}}}]);{}",
                "/* lab */".repeat(8000)
            ),
        ),
    };
    if request.path != path {
        return if request.path.starts_with("/assets/") && request.path.ends_with(".js") {
            Reply::new(200, "application/javascript", "void 0;")
        } else {
            Reply::not_found()
        };
    }
    let reply = Reply::new(200, "application/javascript", text);
    match ByteRange::of(request).and_then(|range| range.within(reply.body.len() as u64)) {
        None => reply,
        Some((from, to)) => {
            let length = reply.body.len();
            let mut reply = reply.with_status(206).with_header(
                "Content-Range",
                &format!("bytes {from}-{}/{length}", to - 1),
            );
            reply.body = reply.body.slice(from as usize..to as usize);
            reply
        }
    }
}

fn short_link(shared: &Shared, request: &Request) -> Reply {
    let code = request.path.trim_start_matches('/');
    match shared.soundcloud.short_links.lock().get(code) {
        Some(target) => Reply::redirect(target),
        None => Reply::not_found(),
    }
}

/// The embed page of a track by id, whose canonical link is the permalink.
fn widget(shared: &Shared, request: &Request) -> Reply {
    let id = request
        .param("url")
        .and_then(|url| url.rsplit(['/', ':']).next()?.parse::<u64>().ok());
    let track = id.and_then(|id| shared.soundcloud.tracks.lock().get(&id).cloned());
    let Some(track) = track.filter(|_| request.path.starts_with("/player")) else {
        return Reply::not_found();
    };
    Reply::html(format!(
        "<!DOCTYPE html><html><head><link rel=\"canonical\" href=\"https://soundcloud.com/{}\"></head></html>",
        track.permalink
    ))
    .about(track.song.id())
}

fn cover(request: &Request) -> Reply {
    let named = request.path.starts_with("/artworks-") || request.path.starts_with("/avatars-");
    if named && request.path.ends_with(".jpg") {
        Reply::new(200, "image/jpeg", COVER_JPEG)
    } else {
        Reply::not_found()
    }
}
