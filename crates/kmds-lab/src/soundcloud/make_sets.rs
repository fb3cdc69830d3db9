//! Made-up sets, in the recorded shape.
//!
//! Owns their builder. The lab serves made-up sets exactly like recorded ones.

use std::sync::Arc;

use serde_json::json;

use super::SetPage;
use super::make::{Format, KEY_ALPHABET, SoundCloud, user_object};
use crate::sign;
use crate::world::{Shared, Song};

/// A set that is there.
#[derive(Debug, Clone)]
pub struct Set {
    id: u64,
    link: String,
    songs: Vec<Song>,
}

impl Set {
    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn link(&self) -> String {
        self.link.clone()
    }

    /// Its songs that are not deleted, in order.
    pub fn songs(&self) -> &[Song] {
        &self.songs
    }
}

#[must_use = "a set is there once it is published"]
pub struct SetBuilder {
    shared: Arc<Shared>,
    title: String,
    songs: Vec<Song>,
    new: usize,
    seconds: f64,
    formats: Option<Vec<Format>>,
    full: usize,
    private: bool,
    deleted: Vec<usize>,
}

impl SetBuilder {
    pub fn new(shared: &Arc<Shared>, count: usize) -> Self {
        Self {
            shared: Arc::clone(shared),
            title: format!("A set of {count}"),
            songs: Vec::new(),
            new: count,
            seconds: 12.0,
            formats: None,
            full: 5,
            private: false,
            deleted: Vec::new(),
        }
    }

    pub fn title(mut self, title: &str) -> Self {
        self.title = title.to_owned();
        self
    }

    pub fn seconds(mut self, seconds: f64) -> Self {
        self.seconds = seconds;
        self
    }

    /// What the new tracks list.
    pub fn formats(mut self, formats: &[Format]) -> Self {
        self.formats = Some(formats.to_vec());
        self
    }

    /// These songs come before the new ones.
    pub fn songs(mut self, songs: &[Song]) -> Self {
        self.songs.extend_from_slice(songs);
        self
    }

    /// How many of the first come whole; the site gives at most 5.
    pub fn full(mut self, count: usize) -> Self {
        self.full = count;
        self
    }

    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// A song that no longer exists stands at this place, counted from 0.
    pub fn deleted_at(mut self, place: usize) -> Self {
        self.deleted.push(place);
        self
    }

    pub fn publish(mut self) -> Set {
        let site = SoundCloud(Arc::clone(&self.shared));
        let id = 2_100_000_000 + self.shared.next_number();
        let slug = format!("set-{id}");
        for number in 1..=self.new {
            let mut track = site
                .track(&format!("{slug}-song-{number}"))
                .seconds(self.seconds);
            track = track.title(&format!("{} no. {number}", self.title));
            if let Some(formats) = &self.formats {
                track = track.formats(formats);
            }
            self.songs.push(track.publish());
        }
        let mut tracks: Vec<u64> = self
            .songs
            .iter()
            .filter_map(|song| song.id().parse().ok())
            .collect();
        self.deleted.sort_unstable();
        for place in &self.deleted {
            tracks.insert(
                (*place).min(tracks.len()),
                1_000_000_000 + self.shared.next_number(),
            );
        }
        let token = self
            .private
            .then(|| format!("s-{}", sign::word(&["set", &slug], 11, KEY_ALPHABET)));
        let permalink = format!("lab-artist/sets/{slug}");
        let total: f64 = self.songs.iter().map(Song::seconds).sum();
        let object = json!({
            "artwork_url": null, "created_at": "2026-02-03T21:59:22Z", "description": "Made up.", "duration": (total * 1000.0).round() as u64,
            "id": id, "kind": "playlist", "permalink": slug, "permalink_url": format!("https://soundcloud.com/{permalink}"),
            "public": token.is_none(), "release_date": null, "secret_token": token, "sharing": if self.private { "private" } else { "public" },
            "title": self.title, "uri": format!("https://api.soundcloud.com/playlists/soundcloud%3Aplaylists%3A{id}"),
            "set_type": "", "is_album": false, "published_at": "2026-02-03T22:08:45Z", "user": user_object("Lab Artist", "lab-artist"),
            "track_count": tracks.len(),
        });
        let link = match &token {
            Some(token) => format!("https://soundcloud.com/{permalink}/{token}"),
            None => format!("https://soundcloud.com/{permalink}"),
        };
        let page = SetPage {
            id,
            permalink,
            secret_token: token,
            object,
            tracks,
            full: self.full,
        };
        self.shared
            .soundcloud
            .sets
            .lock()
            .insert(id, Arc::new(page));
        Set {
            id,
            link,
            songs: self.songs,
        }
    }
}
