//! One made-up release as a page in the recorded shape, and as the mobile app's answer.
//!
//! Owns `data-tralbum`, the same data as ld+json, and the other parts that readers look for. It dates no URL.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{ReleasePage, escaped, stream_path};
use crate::audio::Shape;
use crate::sign;
use crate::wishes::Wishes;
use crate::world::{NewSong, Shared, Site, Song, StreamSpec};

/// What follows the release in a page; real ones are 181 to 457 KB.
const FILLER_BYTES: usize = 60_000;

/// Why a song cannot be streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    Paid,
    Unreleased,
    /// Beyond the visitor's plays.
    Capped,
}

/// A song and its place in the site.
pub struct Entry {
    pub id: u64,
    pub host: String,
    pub path: String,
    pub number: Option<u64>,
    pub lock: Option<Lock>,
    pub own_artist: Option<String>,
    pub song: Song,
}

impl Entry {
    pub fn publish(
        shared: &Shared,
        wishes: &Wishes,
        artist: &str,
        locked: Option<Lock>,
        own_artist: Option<String>,
        id: Option<u64>,
    ) -> Self {
        let id = id.unwrap_or_else(|| 3_400_000_000 + shared.next_number());
        let seconds = wishes.seconds_at(16_000.0);
        let host = format!("{}.bandcamp.com", slug(artist));
        let path = format!("/track/{}-{id}", slug(&wishes.title));
        let stream = StreamSpec {
            key: "mp3-128".into(),
            shape: Shape::Mp3,
            seconds,
            size_bytes: wishes.size_bytes,
        };
        let song = Song::publish(
            shared,
            NewSong {
                site: Site::Bandcamp,
                id: id.to_string(),
                title: wishes.title.clone(),
                artist: own_artist.clone().unwrap_or_else(|| artist.to_owned()),
                link: format!("https://{host}{path}"),
                seconds,
                streams: vec![stream],
                main: 0,
                hold: wishes.hold,
                drip: wishes.drip,
            },
        );
        wishes.inject(shared, &song);
        shared.bandcamp.songs.lock().insert(id, song.clone());
        Self {
            id,
            host,
            path,
            number: None,
            lock: locked,
            own_artist,
            song,
        }
    }

    /// The title as the site writes it: behind the song's own artist.
    fn shown_title(&self) -> String {
        match &self.own_artist {
            Some(artist) => format!("{artist} - {}", self.song.title()),
            None => self.song.title().to_owned(),
        }
    }

    fn row(&self) -> Value {
        let file = json!({"mp3-128": format!("https://t4.bcbits.com{}", stream_path(&self.id.to_string()))});
        let open = self.lock.is_none();
        let unreleased = self.lock == Some(Lock::Unreleased);
        json!({"id": self.id, "track_id": self.id, "file": if open { file } else { Value::Null }, "artist": self.own_artist,
            "title": self.shown_title(), "encodings_id": self.id, "license_type": 6, "private": null, "track_num": self.number,
            "album_preorder": unreleased, "unreleased_track": unreleased, "title_link": if unreleased { Value::Null } else { json!(self.path) },
            "has_lyrics": false, "has_info": true, "streaming": if open { json!(1) } else { Value::Null }, "is_downloadable": false,
            "has_free_download": null, "free_album_download": false, "duration": if unreleased { 0.0 } else { self.song.seconds() },
            "lyrics": null, "sizeof_lyrics": 0, "is_draft": false, "video_id": null, "is_capped": (self.lock == Some(Lock::Capped)).then_some(true)})
    }
}

/// A page to be made.
#[derive(Clone)]
pub struct Release<'a> {
    pub kind: &'a str,
    pub id: u64,
    pub title: String,
    pub artist: String,
    pub host: String,
    pub path: String,
    pub art_id: u64,
    pub entries: &'a [Entry],
    pub album: Option<(u64, &'a str, &'a str)>,
    pub release_date: Value,
    pub preorder: bool,
    pub subscribers_only: bool,
    pub hides_songs: bool,
}

impl Release<'_> {
    pub fn publish(&self, shared: &Shared) {
        let page = ReleasePage {
            html: self.html(),
            songs: self
                .entries
                .iter()
                .map(|entry| entry.song.id().to_owned())
                .collect(),
        };
        shared
            .bandcamp
            .pages
            .lock()
            .insert(format!("{}{}", self.host, self.path), Arc::new(page));
        let kind = if self.kind == "album" { 'a' } else { 't' };
        shared
            .bandcamp
            .mobile
            .lock()
            .insert((kind, self.id), self.mobile());
    }

    fn url(&self) -> String {
        format!("https://{}{}", self.host, self.path)
    }

    fn tralbum(&self) -> Value {
        let rows: Vec<Value> = if self.hides_songs {
            Vec::new()
        } else {
            self.entries.iter().map(Entry::row).collect()
        };
        let shown = match self.entries {
            [only] if self.kind == "track" => only.shown_title(),
            _ => self.title.clone(),
        };
        let single = self.entries.first().filter(|_| self.kind == "track");
        json!({
            "for the curious": "https://bandcamp.com/help/audio_basics#steal https://bandcamp.com/terms_of_use",
            "current": {"title": shown, "publish_date": "10 Mar 2019 23:00:42 GMT", "private": null, "killed": null, "download_pref": 2,
                "artist": null, "about": "Made up: \"quotes\" & <tags>.", "band_id": 7, "selling_band_id": 7, "art_id": self.art_id,
                "track_number": single.and_then(|entry| entry.number), "release_date": self.release_date,
                "album_id": self.album.map(|(id, ..)| id), "id": self.id, "type": self.kind},
            "hasAudio": true, "art_id": if self.art_id == 0 { Value::Null } else { json!(self.art_id) }, "packages": null, "defaultPrice": 1.5, "freeDownloadPage": null,
            "artist": self.artist, "item_type": self.kind, "id": self.id, "play_cap_data": {"streaming_limits_enabled": false, "streaming_limit": 3},
            "is_private_stream": null, "tralbum_subscriber_only": self.subscribers_only, "is_preorder": self.preorder,
            "album_is_preorder": self.preorder, "album_release_date": self.release_date, "trackinfo": rows,
            "playing_from": format!("{} page", self.kind), "album_url": self.album.map(|(_, _, path)| path), "url": self.url(),
        })
    }

    fn html(&self) -> String {
        let tracks: Vec<Value> = self.entries.iter().enumerate().map(|(n, entry)| {
            json!({"@type": "ListItem", "position": n + 1, "item": {"@type": "MusicRecording", "@id": format!("https://{}{}", entry.host, entry.path),
                "name": entry.song.title(), "duration": iso_like(entry.song.seconds()),
                "additionalProperty": [{"@type": "PropertyValue", "name": "track_id", "value": entry.id}]}})
        }).collect();
        let image = format!("https://f4.bcbits.com/img/a{:010}_10.jpg", self.art_id);
        let twin = if self.kind == "album" {
            json!({"@type": "MusicAlbum", "@id": self.url(), "name": self.title, "byArtist": {"@type": "MusicGroup", "name": self.artist},
                "publisher": {"@type": "MusicGroup", "name": self.artist}, "image": image,
                "numTracks": if self.hides_songs { 0 } else { self.entries.len() },
                "track": {"@type": "ItemList", "itemListElement": if self.hides_songs { Vec::new() } else { tracks }}})
        } else {
            json!({"@type": "MusicRecording", "@id": self.url(), "name": self.title, "byArtist": {"@type": "MusicGroup", "name": self.artist},
                "publisher": {"@type": "MusicGroup", "name": self.artist}, "image": image,
                "duration": iso_like(self.entries.first().map_or(0.0, |entry| entry.song.seconds())),
                "inAlbum": self.album.map(|(_, title, _)| json!({"@type": "MusicAlbum", "name": title}))})
        };
        let mut embed = json!({"tralbum_param": {"name": self.kind, "value": self.id}, "art_id": self.art_id, "artist": self.artist,
            "embed_info": {"public_embeddable": true}, "linkback": self.url()});
        match (self.kind, self.album) {
            ("album", _) => embed["album_title"] = json!(self.title),
            (_, Some((id, title, _))) => {
                embed["album_title"] = json!(title);
                embed["album_embed_data"] =
                    json!({"tralbum_param": {"name": "album", "value": id}, "album_title": title});
            }
            _ => {
                embed["title"] = json!(self.title);
                embed["numtracks"] = json!(1);
            }
        }
        let kind = self.kind.get(..1).unwrap_or("t");
        format!(
            "<!DOCTYPE html>\n<html xmlns:og=\"http://opengraphprotocol.org/schema/\" lang=\"en\">\n<head>\n<title>{title} | {artist}</title>\n\
             <meta property=\"og:title\" content=\"{title}, by {artist}\"><meta property=\"og:type\" content=\"{og}\">\n\
             <meta property=\"og:image\" content=\"{cover}\">\n\
             <meta name=\"bc-page-properties\" content=\"{{&quot;item_type&quot;:&quot;{kind}&quot;,&quot;item_id&quot;:{id}}}\">\n\
             <meta name=\"generator\" content=\"Bandcamp\">\n<script type=\"application/ld+json\">\n{twin}\n</script>\n\
             <script type=\"text/javascript\" src=\"https://s4.bcbits.com/tralbum_head.js\" data-band=\"{band}\" data-embed=\"{embed}\" \
             data-tralbum-collect-info=\"{{&quot;show_collect&quot;:true}}\" data-tralbum=\"{tralbum}\"></script>\n</head>\n<body>\n\
             <!-- {word} id {id} -->\n<h3 class=\"albumTitle\">by <span><a href=\"https://{host}\">{artist}</a></span></h3>\n<div id=\"pagedata\">{filler}</div>\n</body></html>",
            title = escaped(&self.title),
            artist = escaped(&self.artist),
            og = if self.kind == "album" {
                "album"
            } else {
                "song"
            },
            id = self.id,
            twin = twin.to_string().replace("</", "<\\/"),
            band = escaped(&json!({"id": 7, "name": self.artist, "account_id": 1}).to_string()),
            embed = escaped(&embed.to_string()),
            tralbum = escaped(&self.tralbum().to_string()),
            word = self.kind,
            host = self.host,
            cover = image.replace("_10.jpg", "_5.jpg"),
            filler = "<p>lab</p>".repeat(FILLER_BYTES / 10),
        )
    }

    fn mobile(&self) -> Value {
        let tracks: Vec<Value> = self.entries.iter().map(|entry| {
            let open = entry.lock.is_none() && !self.hides_songs;
            json!({"track_id": entry.id, "title": entry.shown_title(), "track_num": entry.number, "duration": entry.song.seconds(),
                "streaming_url": if open { json!({"mp3-128": ""}) } else { Value::Null }, "is_streamable": open, "art_id": null,
                "band_name": self.artist, "album_title": null, "album_id": self.album.map(|(id, ..)| id)})
        }).collect();
        json!({"id": self.id, "type": self.kind.get(..1), "title": self.title, "bandcamp_url": self.url(), "art_id": self.art_id,
            "band": {"band_id": 7, "name": self.artist}, "tralbum_artist": self.artist, "tracks": tracks,
            "album_id": self.album.map(|(id, ..)| id), "album_title": self.album.map(|(_, title, _)| title),
            "release_date": 1_577_836_800, "free_download": false, "is_preorder": self.preorder, "streaming_limit": 3})
    }
}

/// `P00H01M35S`: what the site writes for a duration, cut to whole seconds.
fn iso_like(seconds: f64) -> String {
    let whole = seconds as u64;
    format!(
        "P{:02}H{:02}M{:02}S",
        whole / 3600,
        whole / 60 % 60,
        whole % 60
    )
}

pub fn slug(text: &str) -> String {
    let dashed: String = text
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let parts: Vec<&str> = dashed.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        sign::hex(&[text], 8)
    } else {
        parts.join("-")
    }
}
