//! Made-up playlists and mixes, in the recorded shapes.
//!
//! Owns the builders. The lab serves made-up lists exactly like recorded ones.

use std::sync::Arc;

use serde_json::{Value, json};

use super::lists::{Item, Layout, List, album_browse_id};
use super::make::{ID_ALPHABET, YouTube, channel_id, video_id};
use crate::sign;
use crate::world::{Shared, Song};

fn item_of(song: &Song) -> Item {
    Item {
        id: song.id().to_owned(),
        title: song.title().to_owned(),
        author: Some(song.artist().to_owned()),
        channel_id: channel_id(song.artist()),
        seconds: Some(song.seconds().round() as u64),
        playable: true,
        badge: None,
    }
}

/// A list that is there.
#[derive(Debug, Clone)]
pub struct Playlist {
    id: String,
    songs: Vec<Song>,
}

impl Playlist {
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn link(&self) -> String {
        format!("https://www.youtube.com/playlist?list={}", self.id)
    }

    /// The music site's link of an album; only for ids that begin with `OLAK5uy_`.
    pub fn music_link(&self) -> Option<String> {
        Some(format!(
            "https://music.youtube.com/browse/{}",
            album_browse_id(&self.id)?
        ))
    }

    /// Its playable songs, in order.
    pub fn songs(&self) -> &[Song] {
        &self.songs
    }
}

#[must_use = "a list is there once it is published"]
pub struct PlaylistBuilder {
    shared: Arc<Shared>,
    title: String,
    owner: Option<String>,
    songs: Vec<Song>,
    new: usize,
    seconds: f64,
    layout: Layout,
    id: Option<String>,
    extra: Vec<(usize, Item)>,
    bylines: bool,
    short_page: bool,
}

impl PlaylistBuilder {
    pub fn new(shared: &Arc<Shared>, count: usize) -> Self {
        Self {
            shared: Arc::clone(shared),
            title: format!("A list of {count}"),
            owner: Some("Lab Lists".into()),
            songs: Vec::new(),
            new: count,
            seconds: 12.0,
            layout: Layout::Old,
            id: None,
            extra: Vec::new(),
            bylines: true,
            short_page: false,
        }
    }

    pub fn title(mut self, title: &str) -> Self {
        self.title = title.to_owned();
        self
    }

    pub fn owner(mut self, owner: &str) -> Self {
        self.owner = Some(owner.to_owned());
        self
    }

    /// No owner, as albums have none.
    pub fn without_owner(mut self) -> Self {
        self.owner = None;
        self
    }

    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Length of the videos that are made for it.
    pub fn seconds(mut self, seconds: f64) -> Self {
        self.seconds = seconds;
        self
    }

    /// These songs come before the new ones.
    pub fn songs(mut self, songs: &[Song]) -> Self {
        self.songs.extend_from_slice(songs);
        self
    }

    /// Items without a channel, as course lists are.
    pub fn without_bylines(mut self) -> Self {
        self.bylines = false;
        self
    }

    /// The third page has 99 items and the list goes on.
    pub fn with_a_short_page(mut self) -> Self {
        self.short_page = true;
        self
    }

    /// A private video at this place, counted from 0.
    pub fn private_at(self, place: usize) -> Self {
        self.gone_at(place, "[Private video]")
    }

    pub fn deleted_at(self, place: usize) -> Self {
        self.gone_at(place, "[Deleted video]")
    }

    pub fn members_only_at(self, place: usize) -> Self {
        self.badged_at(place, "Members only")
    }

    pub fn live_at(self, place: usize) -> Self {
        self.badged_at(place, "LIVE")
    }

    pub fn upcoming_at(self, place: usize) -> Self {
        self.badged_at(place, "Upcoming")
    }

    fn gone_at(mut self, place: usize, title: &str) -> Self {
        let id = video_id(&["gone", title, &place.to_string()]);
        let item = Item {
            id,
            title: title.to_owned(),
            author: None,
            channel_id: String::new(),
            seconds: None,
            playable: false,
            badge: None,
        };
        self.extra.push((place, item));
        self
    }

    fn badged_at(mut self, place: usize, badge: &'static str) -> Self {
        let id = video_id(&["badged", badge, &place.to_string()]);
        let item = Item {
            id,
            title: format!("A video that is {badge}"),
            author: Some("Lab Channel".into()),
            channel_id: channel_id("Lab Channel"),
            seconds: (badge == "Members only").then_some(61),
            playable: badge != "Upcoming",
            badge: Some(badge),
        };
        self.extra.push((place, item));
        self
    }

    fn all_songs(&mut self) -> Vec<Song> {
        let site = YouTube(Arc::clone(&self.shared));
        let mut songs = std::mem::take(&mut self.songs);
        for number in 1..=self.new {
            songs.push(
                site.video(&format!("{} no. {number}", self.title))
                    .seconds(self.seconds)
                    .publish(),
            );
        }
        songs
    }

    pub fn publish(mut self) -> Playlist {
        let songs = self.all_songs();
        let mut items: Vec<Item> = songs.iter().map(item_of).collect();
        if !self.bylines {
            for item in &mut items {
                item.author = None;
            }
        }
        self.extra.sort_by_key(|(place, _)| *place);
        for (place, item) in self.extra {
            items.insert(place.min(items.len()), item);
        }
        let number = self.shared.next_number().to_string();
        let id = self.id.unwrap_or_else(|| {
            format!("PL{}", sign::word(&[&self.title, &number], 32, ID_ALPHABET))
        });
        let list = List {
            id: id.clone(),
            title: self.title,
            owner: self.owner,
            items,
            layout: self.layout,
            recorded: None,
            short_page: self.short_page,
        };
        self.shared
            .youtube
            .lists
            .lock()
            .insert(id.clone(), Arc::new(list));
        Playlist { id, songs }
    }
}

/// A mix that is there.
#[derive(Debug, Clone)]
pub struct Mix {
    id: String,
    songs: Vec<Song>,
}

impl Mix {
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn link(&self) -> String {
        let seed = self.songs.first().map_or("", Song::id);
        format!("https://www.youtube.com/watch?v={seed}&list={}", self.id)
    }

    pub fn songs(&self) -> &[Song] {
        &self.songs
    }
}

#[must_use = "a mix is there once it is published"]
pub struct MixBuilder {
    playlist: PlaylistBuilder,
}

impl MixBuilder {
    pub fn of(playlist: PlaylistBuilder) -> Self {
        Self { playlist }
    }

    pub fn publish(mut self) -> Mix {
        let songs = self.playlist.all_songs();
        let seed = songs.first().map_or("", Song::id).to_owned();
        let id = format!("RD{seed}");
        let contents: Vec<Value> = songs.iter().map(|song| item_of(song).panel(&id)).collect();
        let answer = json!({"contents": {"twoColumnWatchNextResults": {"results": {}, "playlist": {"playlist": {
            "title": format!("Mix – {}", self.playlist.title), "playlistId": id, "isInfinite": true, "contents": contents}}}}});
        self.playlist
            .shared
            .youtube
            .mixes
            .lock()
            .insert(id.clone(), answer);
        Mix { id, songs }
    }
}
