//! `api-v2.soundcloud.com`: resolve, tracks, playlists and format URLs.
//!
//! Owns the answer of each call, and the rule that no call is answered without the current `client_id`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{SetPage, Track, cdn};
use crate::wire::{Reply, Request};
use crate::world::Shared;

/// Most ids that one batch answers (SoundCloud notes, 11).
const BATCH_IDS: usize = 50;

/// What a permalink leads to.
pub enum Found {
    Track(Arc<Track>),
    Set(Arc<SetPage>),
}

pub fn answer(shared: &Shared, request: &Request) -> Reply {
    if request.param("client_id").as_deref() != Some(shared.soundcloud.client_id.lock().as_str()) {
        return empty(401);
    }
    let path = request.decoded_path();
    let token = request.param("secret_token");
    if path == "/resolve" {
        let mut reply = resolve(shared, request);
        if request.host == "api-widget.soundcloud.com" {
            // The spare door names itself in the format calls.
            let text = String::from_utf8_lossy(&reply.body).replace(
                "api-v2.soundcloud.com/media",
                "api-widget.soundcloud.com/media",
            );
            reply.body = text.into();
        }
        return reply;
    }
    if request.host != "api-v2.soundcloud.com" && !path.starts_with("/media/") {
        return empty(404);
    }
    if path == "/search/tracks" {
        return crate::search::soundcloud(shared, request);
    }
    if path == "/tracks" {
        return batch(shared, request);
    }
    if let Some(id) = id_after(&path, "/tracks/") {
        let track = shared.soundcloud.tracks.lock().get(&id).cloned();
        let track = track.filter(|track| track.is_open_to(token.as_deref()));
        return track.map_or_else(
            || empty(404).about(&id.to_string()),
            |track| Reply::json(&track.object).about(track.song.id()),
        );
    }
    if let Some(id) = id_after(&path, "/playlists/") {
        let set = shared.soundcloud.sets.lock().get(&id).cloned();
        let set = set.filter(|set| set.secret_token.is_none() || set.secret_token == token);
        return set.map_or_else(
            || empty(404),
            |set| Reply::json(&set.whole(shared)).about(&id.to_string()),
        );
    }
    if path.starts_with("/media/") {
        return format_url(shared, &path);
    }
    empty(404)
}

/// The site's "not here": the body is exactly `{}`.
fn empty(status: u16) -> Reply {
    Reply::new(status, "application/json; charset=utf-8", "{}")
}

fn id_after(path: &str, prefix: &str) -> Option<u64> {
    path.strip_prefix(prefix)?.rsplit(':').next()?.parse().ok()
}

fn resolve(shared: &Shared, request: &Request) -> Reply {
    let link = request.param("url").unwrap_or_default();
    let Ok(url) = url::Url::parse(&link) else {
        return empty(404);
    };
    if !matches!(
        url.host_str(),
        Some("soundcloud.com" | "api.soundcloud.com" | "api-v2.soundcloud.com")
    ) || url.path().ends_with('/')
    {
        return empty(404);
    }
    let path = percent_encoding::percent_decode_str(url.path())
        .decode_utf8_lossy()
        .into_owned();
    if let Some(id) = id_after(&path, "/tracks/") {
        let track = shared
            .soundcloud
            .tracks
            .lock()
            .get(&id)
            .cloned()
            .filter(|track| track.is_open_to(None));
        return track.map_or_else(
            || empty(404),
            |track| Reply::json(&track.object).about(track.song.id()),
        );
    }
    match by_permalink(shared, path.trim_start_matches('/')) {
        Some(Found::Track(track)) => Reply::json(&track.object).about(track.song.id()),
        Some(Found::Set(set)) => Reply::json(&set.whole(shared)).about(&set.id.to_string()),
        None => user(shared, path.trim_start_matches('/'))
            .map_or_else(|| empty(404), |user| Reply::json(&user)),
    }
}

/// `user/slug`, `user/sets/slug`, either with its token where it has one.
pub fn by_permalink(shared: &Shared, path: &str) -> Option<Found> {
    let full = |permalink: &str, token: &Option<String>| match token {
        Some(token) => format!("{permalink}/{token}"),
        None => permalink.to_owned(),
    };
    let tracks = shared.soundcloud.tracks.lock();
    if let Some(track) = tracks
        .values()
        .find(|track| !track.deleted && full(&track.permalink, &track.secret_token) == path)
    {
        return Some(Found::Track(Arc::clone(track)));
    }
    let sets = shared.soundcloud.sets.lock();
    let set = sets
        .values()
        .find(|set| full(&set.permalink, &set.secret_token) == path)?;
    Some(Found::Set(Arc::clone(set)))
}

fn user(shared: &Shared, name: &str) -> Option<Value> {
    let tracks = shared.soundcloud.tracks.lock();
    let track = tracks
        .values()
        .find(|track| track.permalink.split('/').next() == Some(name))?;
    Some(track.object["user"].clone())
}

/// Full tracks in an order of the site's own. Unknown ids are left out; more than fifty give `[]`.
fn batch(shared: &Shared, request: &Request) -> Reply {
    let ids: Vec<u64> = request
        .param("ids")
        .unwrap_or_default()
        .split(',')
        .filter_map(|id| id.parse().ok())
        .collect();
    if ids.is_empty() {
        return empty(400);
    }
    if ids.len() > BATCH_IDS {
        return Reply::json(&json!([]));
    }
    let token = request.param("playlistSecretToken");
    let tracks = shared.soundcloud.tracks.lock();
    let mut found: Vec<&Arc<Track>> = ids
        .iter()
        .filter_map(|id| tracks.get(id))
        .filter(|track| !track.deleted && (track.secret_token.is_none() || token.is_some()))
        .collect();
    found.sort_by_key(|track| crate::sign::fingerprint(&track.id.to_le_bytes()));
    // A batch that came out in the asked order by chance would hide a client's mistake.
    if found.len() > 1
        && found
            .windows(2)
            .all(|two| position(&ids, two.first()) < position(&ids, two.last()))
    {
        found.reverse();
    }
    let objects: Vec<&Value> = found.iter().map(|track| &track.object).collect();
    Reply::json(&json!(objects))
}

fn position(ids: &[u64], track: Option<&&Arc<Track>>) -> Option<usize> {
    let track = track?;
    ids.iter().position(|id| *id == track.id)
}

fn format_url(shared: &Shared, path: &str) -> Reply {
    let mut parts = path.split('/').skip(2);
    let id = parts
        .next()
        .and_then(|urn| urn.rsplit(':').next()?.parse::<u64>().ok());
    let track = id.and_then(|id| shared.soundcloud.tracks.lock().get(&id).cloned());
    let Some(track) = track else {
        return empty(404);
    };
    let reply = match track.formats.get(path) {
        Some(Some(format)) => {
            Reply::json(&json!({"url": cdn::format_url(shared, &track, *format)}))
        }
        _ => empty(404),
    };
    reply.about(track.song.id())
}

impl Track {
    fn is_open_to(&self, token: Option<&str>) -> bool {
        !self.deleted && (self.secret_token.is_none() || self.secret_token.as_deref() == token)
    }

    /// What a set says of a track that it does not give whole.
    fn stub(&self) -> Value {
        json!({"id": self.id, "kind": "track", "monetization_model": self.object["monetization_model"], "policy": self.object["policy"]})
    }
}

impl SetPage {
    fn whole(&self, shared: &Shared) -> Value {
        let tracks = shared.soundcloud.tracks.lock();
        let list: Vec<Value> = self
            .tracks
            .iter()
            .enumerate()
            .map(|(place, id)| match tracks.get(id) {
                Some(track) if place < self.full && !track.deleted => track.object.clone(),
                Some(track) => track.stub(),
                None => json!({"id": id, "kind": "track", "monetization_model": "NOT_APPLICABLE", "policy": "ALLOW"}),
            })
            .collect();
        let mut set = self.object.clone();
        set["tracks"] = json!(list);
        set
    }
}
