//! Made-up tracks and albums, as pages in the recorded shape.
//!
//! Owns the builders. What they publish is served exactly like what was recorded.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{ReleasePage, escaped, stream_path};
use crate::audio::Shape;
use crate::sign;
use crate::world::{NewSong, Shared, Site, Song, StreamSpec, Wishes, common_wishes, lock};

/// What follows the release in a page; real ones are 181 to 457 KB.
const FILLER_BYTES: usize = 60_000;

/// The Bandcamp of one lab.
#[derive(Clone)]
pub struct Bandcamp(pub(crate) Arc<Shared>);

impl Bandcamp {
    /// A single on its own page.
    pub fn track(&self, title: &str) -> TrackBuilder {
        TrackBuilder {
            shared: Arc::clone(&self.0),
            wishes: Wishes::of(title),
            lock: None,
            has_cover: true,
            own_artist: None,
            id: None,
        }
    }

    /// An album of `count` new songs of 12 s, each with its page.
    pub fn album(&self, count: usize) -> AlbumBuilder {
        AlbumBuilder {
            shared: Arc::clone(&self.0),
            title: format!("An album of {count}"),
            artist: "Lab Band".into(),
            band: None,
            songs: Vec::new(),
            new: count,
            seconds: 12.0,
            locks: Vec::new(),
            own_artists: Vec::new(),
            release_date: "01 Nov 2019 00:00:00 GMT".into(),
            preorder: false,
            subscribers_only: false,
            all_locked: false,
        }
    }

    /// The band's page: a grid, which is no release.
    pub fn band_page(&self, band: &str) -> String {
        let html = format!(
            "<!DOCTYPE html><html><head><title>Music | {band}</title><script data-band=\"{}\" data-tralbum=\"{}\"></script></head>\
             <body><ol id=\"music-grid\"></ol></body></html>",
            escaped(&json!({"id": 1, "name": band}).to_string()),
            escaped(&json!({"url": format!("https://{band}.bandcamp.com")}).to_string()),
        );
        let page = ReleasePage { html, songs: Vec::new() };
        lock(&self.0.bandcamp.pages).insert(format!("{band}.bandcamp.com/"), Arc::new(page));
        format!("https://{band}.bandcamp.com/")
    }
}

/// Why a song cannot be streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    Paid,
    Unreleased,
    /// Beyond the visitor's plays.
    Capped,
}

#[must_use = "a track is there once it is published"]
pub struct TrackBuilder {
    shared: Arc<Shared>,
    wishes: Wishes,
    lock: Option<Lock>,
    has_cover: bool,
    own_artist: Option<String>,
    id: Option<u64>,
}

impl TrackBuilder {
    common_wishes!();

    pub fn id(mut self, id: u64) -> Self {
        self.id = Some(id);
        self
    }

    pub fn locked(mut self, lock: Lock) -> Self {
        self.lock = Some(lock);
        self
    }

    pub fn without_cover(mut self) -> Self {
        self.has_cover = false;
        self
    }

    /// The song's own artist, whom the site writes before its title too.
    pub fn song_artist(mut self, artist: &str) -> Self {
        self.own_artist = Some(artist.to_owned());
        self
    }

    pub fn publish(self) -> Song {
        let artist = self.wishes.artist.clone().unwrap_or_else(|| "Lab Band".to_owned());
        let entry = Entry::publish(&self.shared, &self.wishes, &artist, self.lock, self.own_artist.clone(), self.id);
        let release = Release {
            kind: "track",
            id: entry.id,
            title: self.wishes.title.clone(),
            artist,
            host: entry.host.clone(),
            path: entry.path.clone(),
            art_id: if self.has_cover { entry.id } else { 0 },
            entries: std::slice::from_ref(&entry),
            album: None,
            release_date: Value::Null,
            preorder: false,
            subscribers_only: false,
            hides_songs: false,
        };
        release.publish(&self.shared);
        entry.song
    }
}

/// An album that is there.
#[derive(Debug, Clone)]
pub struct Album {
    id: u64,
    link: String,
    songs: Vec<Song>,
}

impl Album {
    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn link(&self) -> String {
        self.link.clone()
    }

    pub fn embed_link(&self) -> String {
        format!("https://bandcamp.com/EmbeddedPlayer/album={}/size=large/artwork=small/", self.id)
    }

    /// Every song, locked ones too, in order.
    pub fn songs(&self) -> &[Song] {
        &self.songs
    }
}

#[must_use = "an album is there once it is published"]
pub struct AlbumBuilder {
    shared: Arc<Shared>,
    title: String,
    artist: String,
    band: Option<String>,
    songs: Vec<Wishes>,
    new: usize,
    seconds: f64,
    locks: Vec<(usize, Lock)>,
    own_artists: Vec<(usize, String)>,
    release_date: String,
    preorder: bool,
    subscribers_only: bool,
    all_locked: bool,
}

impl AlbumBuilder {
    pub fn title(mut self, title: &str) -> Self {
        self.title = title.to_owned();
        self
    }

    pub fn artist(mut self, artist: &str) -> Self {
        self.artist = artist.to_owned();
        self
    }

    /// The label of its host name.
    pub fn band(mut self, label: &str) -> Self {
        self.band = Some(label.to_owned());
        self
    }

    pub fn seconds(mut self, seconds: f64) -> Self {
        self.seconds = seconds;
        self
    }

    /// A song with this title, before the made-up ones.
    pub fn song(mut self, title: &str, seconds: f64) -> Self {
        let mut wishes = Wishes::of(title);
        wishes.seconds = Some(seconds);
        self.songs.push(wishes);
        self
    }

    /// The song at this place, counted from 0, cannot be streamed.
    pub fn locked_at(mut self, place: usize, lock: Lock) -> Self {
        self.locks.push((place, lock));
        self
    }

    pub fn song_artist_at(mut self, place: usize, artist: &str) -> Self {
        self.own_artists.push((place, artist.to_owned()));
        self
    }

    /// Not out before this date (`07 May 2099 00:00:00 GMT`).
    pub fn preorder(mut self, date: &str) -> Self {
        self.preorder = true;
        self.release_date = date.to_owned();
        self
    }

    pub fn subscribers_only(mut self) -> Self {
        self.subscribers_only = true;
        self
    }

    /// Nothing is listed, as on albums that must be bought.
    pub fn all_locked(mut self) -> Self {
        self.all_locked = true;
        self
    }

    pub fn publish(mut self) -> Album {
        for number in 1..=self.new {
            let mut wishes = Wishes::of(&format!("{} no. {number}", self.title));
            wishes.seconds = Some(self.seconds);
            self.songs.push(wishes);
        }
        let id = 2_800_000_000 + self.shared.next_number();
        let band = self.band.clone().unwrap_or_else(|| slug(&self.artist));
        let entries: Vec<Entry> = self
            .songs
            .iter()
            .enumerate()
            .map(|(place, wishes)| {
                let lock = self.locks.iter().find(|(at, _)| *at == place).map(|(_, lock)| *lock);
                let own = self.own_artists.iter().find(|(at, _)| *at == place).map(|(_, artist)| artist.clone());
                let mut entry = Entry::publish(&self.shared, wishes, &self.artist, lock, own, None);
                entry.host = format!("{band}.bandcamp.com");
                entry.number = Some(place as u64 + 1);
                entry
            })
            .collect();
        let path = format!("/album/{}-{id}", slug(&self.title));
        let release = Release {
            kind: "album",
            id,
            title: self.title.clone(),
            artist: self.artist.clone(),
            host: format!("{band}.bandcamp.com"),
            path: path.clone(),
            art_id: id,
            entries: &entries,
            album: None,
            release_date: json!(self.release_date),
            preorder: self.preorder,
            subscribers_only: self.subscribers_only,
            hides_songs: self.all_locked,
        };
        release.publish(&self.shared);
        for entry in &entries {
            let single = Release {
                kind: "track",
                id: entry.id,
                title: entry.song.title().to_owned(),
                host: entry.host.clone(),
                path: entry.path.clone(),
                entries: std::slice::from_ref(entry),
                artist: entry.own_artist.clone().unwrap_or_else(|| self.artist.clone()),
                album: Some((id, &self.title, &path)),
                release_date: json!(self.release_date),
                ..release
            };
            single.publish(&self.shared);
        }
        let link = format!("https://{band}.bandcamp.com{path}");
        Album { id, link, songs: entries.into_iter().map(|entry| entry.song).collect() }
    }
}

/// A song and its place in the site.
struct Entry {
    id: u64,
    host: String,
    path: String,
    number: Option<u64>,
    lock: Option<Lock>,
    own_artist: Option<String>,
    song: Song,
}

impl Entry {
    fn publish(
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
        let stream = StreamSpec { key: "mp3-128".into(), shape: Shape::Mp3, seconds, size_bytes: wishes.size_bytes };
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
        lock(&shared.bandcamp.songs).insert(id, song.clone());
        Self { id, host, path, number: None, lock: locked, own_artist, song }
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

#[derive(Clone)]
struct Release<'a> {
    kind: &'a str,
    id: u64,
    title: String,
    artist: String,
    host: String,
    path: String,
    art_id: u64,
    entries: &'a [Entry],
    album: Option<(u64, &'a str, &'a str)>,
    release_date: Value,
    preorder: bool,
    subscribers_only: bool,
    hides_songs: bool,
}

impl Release<'_> {
    fn publish(&self, shared: &Shared) {
        let page = ReleasePage {
            html: self.html(),
            songs: self.entries.iter().map(|entry| entry.song.id().to_owned()).collect(),
        };
        lock(&shared.bandcamp.pages).insert(format!("{}{}", self.host, self.path), Arc::new(page));
        let kind = if self.kind == "album" { 'a' } else { 't' };
        lock(&shared.bandcamp.mobile).insert((kind, self.id), self.mobile());
    }

    fn url(&self) -> String {
        format!("https://{}{}", self.host, self.path)
    }

    fn tralbum(&self) -> Value {
        let rows: Vec<Value> =
            if self.hides_songs { Vec::new() } else { self.entries.iter().map(Entry::row).collect() };
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
                "inAlbum": {"@type": "MusicAlbum", "name": self.album.map_or(self.title.as_str(), |(_, title, _)| title)}})
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
            og = if self.kind == "album" { "album" } else { "song" },
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
    format!("P{:02}H{:02}M{:02}S", whole / 3600, whole / 60 % 60, whole % 60)
}

fn slug(text: &str) -> String {
    let dashed: String = text.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let parts: Vec<&str> = dashed.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { sign::hex(&[text], 8) } else { parts.join("-") }
}
