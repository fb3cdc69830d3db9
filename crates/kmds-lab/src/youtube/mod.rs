//! YouTube: which host and path give which answer.
//!
//! Owns the site's videos and lists and the routing of its hosts. Players are in `player.rs`, lists in `lists.rs`, the
//! media hosts in `googlevideo.rs`, and the builders in `make.rs`. It makes no audio.

mod formats;
mod googlevideo;
mod lists;
mod make;
mod make_lists;
mod player;
mod recorded;
mod tv;

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use serde_json::Value;

use crate::audio::COVER_JPEG;
use crate::script::PlayerScript;
use crate::search;
use crate::wire::{Reply, Request};
use crate::world::Shared;

pub use lists::{Item, Layout, List};
pub use make::{VideoBuilder, YouTube};
pub use make_lists::{Mix, MixBuilder, Playlist, PlaylistBuilder};
pub use player::{Refusal, Video};

/// Longest range served unless told otherwise: what yt-dlp asks for (YouTube notes, 3.2).
const RANGE_LIMIT_BYTES: u64 = 10 << 20;

pub struct World {
    pub videos: Mutex<HashMap<String, std::sync::Arc<Video>>>,
    pub lists: Mutex<HashMap<String, std::sync::Arc<List>>>,
    /// Answers of `next`, by list id and by seed.
    pub mixes: Mutex<HashMap<String, Value>>,
    /// Recorded answers of `browse`, by continuation.
    pub continuations: Mutex<HashMap<String, Value>>,
    /// The `id` parameter of media URLs → video id.
    pub media_ids: Mutex<HashMap<String, String>>,
    /// What the player is today, and the text that is served for it; `None` where there is none.
    pub script: Mutex<Option<(PlayerScript, String)>>,
    /// What the clients without a script get.
    pub scriptless: Mutex<Scriptless>,
    /// Bytes a second for the television's URLs whose `n` is the one that was given out; 0 refuses them with 403.
    pub given_n_pace: AtomicU64,
    pub range_limit: AtomicU64,
    /// Bytes a second for ranges that are open or too long; 0 refuses them with 403.
    pub open_range_pace: AtomicU64,
}

/// What YouTube answers to the clients that need no script.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Scriptless {
    #[default]
    Served,
    /// HTTP 400, as for a version that is too old.
    Refused,
    /// Formats with neither `url` nor cipher.
    SabrOnly,
}

impl Default for World {
    fn default() -> Self {
        Self {
            videos: Mutex::default(),
            lists: Mutex::default(),
            mixes: Mutex::default(),
            continuations: Mutex::default(),
            media_ids: Mutex::default(),
            script: Mutex::default(),
            scriptless: Mutex::default(),
            given_n_pace: AtomicU64::new(0),
            range_limit: AtomicU64::new(RANGE_LIMIT_BYTES),
            open_range_pace: AtomicU64::new(0),
        }
    }
}

pub(crate) use recorded::load;

pub fn answer(shared: &Shared, request: &Request) -> Reply {
    let host = request.host.as_str();
    if host.ends_with("googlevideo.com") {
        return googlevideo::answer(shared, request);
    }
    if host == "i.ytimg.com" {
        return cover(shared, request);
    }
    let path = request.path.as_str();
    match (request.method.as_str(), path) {
        ("POST", "/youtubei/v1/visitor_id") => player::visitor_id(shared, request),
        ("POST", "/youtubei/v1/player") => player::player(shared, request),
        ("POST", "/youtubei/v1/reel/reel_item_watch") if host == "youtubei.googleapis.com" => {
            player::reel(shared, request)
        }
        ("POST", "/youtubei/v1/browse") => lists::browse(shared, request),
        ("POST", "/youtubei/v1/search") => search::youtube(shared, request),
        ("POST", "/youtubei/v1/next") => lists::next(shared, request),
        ("GET", "/iframe_api") => tv::page(shared),
        ("GET", path) if path.starts_with("/s/player/") => tv::script(shared, path),
        ("GET", "/playlist") => lists::page(shared, request),
        (_, path) if path.starts_with("/youtubei/") => api_error(404, "NOT_FOUND"),
        _ => Reply::not_found(),
    }
}

/// `/vi/{id}/{name}.jpg`: `maxresdefault` and `hq720` only where the player lists `hq720`.
fn cover(shared: &Shared, request: &Request) -> Reply {
    let mut parts = request.path.trim_start_matches('/').split('/').skip(1);
    let (id, name) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let large = name.starts_with("maxres") || name.starts_with("hq720");
    let known = shared
        .youtube
        .videos
        .lock()
        .get(id)
        .map(|video| video.has_large_cover());
    match known {
        // What only a list names has its small covers.
        None if !large && id.len() == 11 => Reply::new(200, "image/jpeg", COVER_JPEG).about(id),
        Some(has_large) if has_large || !large => {
            Reply::new(200, "image/jpeg", COVER_JPEG).about(id)
        }
        _ => Reply::new(404, "image/jpeg", COVER_JPEG),
    }
}

/// The error body of Google's APIs.
fn api_error(code: u16, status: &str) -> Reply {
    let body = serde_json::json!({"error": {"code": code, "message": "Request refused.", "status": status}});
    Reply::json(&body).with_status(code)
}

/// A text that the API writes as a string, `simpleText` or runs.
fn text(pointer: Option<&Value>) -> String {
    match pointer {
        Some(Value::String(text)) => text.clone(),
        Some(value) => {
            if let Some(text) = value["simpleText"].as_str() {
                return text.to_owned();
            }
            let runs = value["runs"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            runs.iter().filter_map(|run| run["text"].as_str()).collect()
        }
        None => String::new(),
    }
}
