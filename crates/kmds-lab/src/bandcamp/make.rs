//! Made-up tracks and albums.
//!
//! Owns the builders; `release.rs` writes the pages. The lab serves made-up songs exactly like recorded ones.

use std::sync::Arc;

use serde_json::{Value, json};

use super::release::{Entry, Lock, Release, slug};
use super::{ReleasePage, escaped};
use crate::wishes::{Wishes, common_wishes};
use crate::world::{Shared, Song};

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
            slug: None,
            songs: Vec::new(),
            new: count,
            seconds: 12.0,
            locks: Vec::new(),
            own_artists: Vec::new(),
            release_date: "01 Nov 2019 00:00:00 GMT".into(),
            preorder: false,
            subscribers_only: false,
            all_locked: false,
            numbers: Vec::new(),
        }
    }

    /// A fan's playlist of songs that are published already; its link.
    pub fn playlist(&self, fan: &str, slug: &str, title: &str, songs: &[&Song]) -> String {
        let tracks: Vec<Value> = songs
            .iter()
            .map(|song| {
                let id = song.id().parse::<u64>().unwrap_or(0);
                json!({"id": id, "title": song.title(), "artistName": song.artist(), "album": null,
                    "bandId": 1_196_681_540_u64, "artId": id, "duration": song.seconds(), "url": song.link()})
            })
            .collect();
        let blob = json!({"appData": {"title": title, "tracklist": {"tracks": tracks}}});
        let html = format!(
            "<!DOCTYPE html><html><head><title>{title}</title></head><body><div id=\"menu\" data-blob=\"{{}}\"></div>\
             <div id=\"app\" data-blob=\"{}\"></div></body></html>",
            escaped(&blob.to_string())
        );
        let page = ReleasePage {
            html,
            songs: songs.iter().map(|song| song.id().to_owned()).collect(),
        };
        let path = format!("bandcamp.com/{fan}/playlist/{slug}");
        self.0
            .bandcamp
            .pages
            .lock()
            .insert(path.clone(), Arc::new(page));
        format!("https://{path}")
    }

    /// The band's page: a grid, which is no release.
    pub fn band_page(&self, band: &str) -> String {
        let html = format!(
            "<!DOCTYPE html><html><head><title>Music | {band}</title><script data-band=\"{}\" data-tralbum=\"{}\"></script></head>\
             <body><ol id=\"music-grid\"></ol></body></html>",
            escaped(&json!({"id": 1, "name": band}).to_string()),
            escaped(&json!({"url": format!("https://{band}.bandcamp.com")}).to_string()),
        );
        let page = ReleasePage {
            html,
            songs: Vec::new(),
        };
        self.0
            .bandcamp
            .pages
            .lock()
            .insert(format!("{band}.bandcamp.com/"), Arc::new(page));
        format!("https://{band}.bandcamp.com/")
    }
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
        let artist = self
            .wishes
            .artist
            .clone()
            .unwrap_or_else(|| "Lab Band".to_owned());
        let entry = Entry::publish(
            &self.shared,
            &self.wishes,
            &artist,
            self.lock,
            self.own_artist.clone(),
            self.id,
        );
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
        format!(
            "https://bandcamp.com/EmbeddedPlayer/album={}/size=large/artwork=small/",
            self.id
        )
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
    slug: Option<String>,
    songs: Vec<Wishes>,
    new: usize,
    seconds: f64,
    locks: Vec<(usize, Lock)>,
    own_artists: Vec<(usize, String)>,
    release_date: String,
    preorder: bool,
    subscribers_only: bool,
    all_locked: bool,
    numbers: Vec<Option<u64>>,
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

    /// Where its page is below `/album/`; else its title and number.
    pub fn slug(mut self, slug: &str) -> Self {
        self.slug = Some(slug.to_owned());
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

    /// The numbers that the page gives its songs, from the first; else their places.
    pub fn numbered(mut self, numbers: &[Option<u64>]) -> Self {
        self.numbers = numbers.to_vec();
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
                let lock = self
                    .locks
                    .iter()
                    .find(|(at, _)| *at == place)
                    .map(|(_, lock)| *lock);
                let own = self
                    .own_artists
                    .iter()
                    .find(|(at, _)| *at == place)
                    .map(|(_, artist)| artist.clone());
                let mut entry = Entry::publish(&self.shared, wishes, &self.artist, lock, own, None);
                entry.host = format!("{band}.bandcamp.com");
                entry.number = self
                    .numbers
                    .get(place)
                    .copied()
                    .unwrap_or(Some(place as u64 + 1));
                entry
            })
            .collect();
        let path = format!(
            "/album/{}",
            self.slug
                .clone()
                .unwrap_or_else(|| format!("{}-{id}", slug(&self.title)))
        );
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
                artist: entry
                    .own_artist
                    .clone()
                    .unwrap_or_else(|| self.artist.clone()),
                album: Some((id, &self.title, &path)),
                release_date: json!(self.release_date),
                ..release
            };
            single.publish(&self.shared);
        }
        let link = format!("https://{band}.bandcamp.com{path}");
        Album {
            id,
            link,
            songs: entries.into_iter().map(|entry| entry.song).collect(),
        }
    }
}
