//! Made-up tracks and short links, in the recorded shapes.
//!
//! Owns the builders. The lab serves made-up tracks exactly like recorded ones.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::make_sets::SetBuilder;
use super::{Track, client_id};
use crate::audio::Shape;
use crate::sign;
use crate::wishes::{Wishes, common_wishes};
use crate::world::{NewSong, Shared, Site, Song, StreamSpec};

pub const KEY_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A transcoding that a track lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    AacHls,
    /// As one file; the rarest.
    AacProgressive,
    Mp3Progressive,
    Mp3Hls,
    OpusHls,
    /// `abr_sq`: always listed, never answered.
    AbrHls,
    /// DRM; stands for all four encrypted entries.
    Encrypted,
}

impl Format {
    /// The stream that it delivers.
    pub fn stream_key(self) -> Option<&'static str> {
        match self {
            Self::AacHls | Self::AacProgressive => Some("aac"),
            Self::Mp3Progressive | Self::Mp3Hls => Some("mp3"),
            Self::OpusHls => Some("opus"),
            Self::AbrHls | Self::Encrypted => None,
        }
    }

    /// Preset, protocol, MIME type.
    fn listing(self) -> &'static [(&'static str, &'static str, &'static str)] {
        match self {
            Self::AacHls => &[("aac_160k", "hls", "audio/mp4; codecs=\"mp4a.40.2\"")],
            Self::AacProgressive => {
                &[("aac_160k", "progressive", "audio/mp4; codecs=\"mp4a.40.2\"")]
            }
            Self::Mp3Progressive => &[("mp3_1_0", "progressive", "audio/mpeg")],
            Self::Mp3Hls => &[("mp3_1_0", "hls", "audio/mpeg")],
            Self::OpusHls => &[("opus_0_0", "hls", "audio/ogg; codecs=\"opus\"")],
            Self::AbrHls => &[("abr_sq", "hls", "audio/mpegurl")],
            Self::Encrypted => &[
                (
                    "aac_160k",
                    "ctr-encrypted-hls",
                    "audio/mp4; codecs=\"mp4a.40.2\"",
                ),
                (
                    "aac_160k",
                    "cbc-encrypted-hls",
                    "audio/mp4; codecs=\"mp4a.40.2\"",
                ),
                ("abr_sq", "ctr-encrypted-hls", "audio/mpegurl"),
                ("abr_sq", "cbc-encrypted-hls", "audio/mpegurl"),
            ],
        }
    }
}

/// The SoundCloud of one lab.
#[derive(Clone)]
pub struct SoundCloud(pub(crate) Arc<Shared>);

impl SoundCloud {
    /// A track at `lab-artist/{slug}`; its title is the slug's words.
    pub fn track(&self, slug: &str) -> TrackBuilder {
        TrackBuilder {
            shared: Arc::clone(&self.0),
            wishes: Wishes::of(&titled(slug)),
            slug: slug.to_owned(),
            id: None,
            formats: vec![Format::Mp3Hls, Format::Mp3Progressive, Format::OpusHls],
            dead: Vec::new(),
            policy: "ALLOW".into(),
            private: false,
            deleted: false,
            publisher: json!({"artist": ""}),
            artwork: true,
        }
    }

    /// A set of `count` new tracks of 12 s.
    pub fn set(&self, count: usize) -> SetBuilder {
        SetBuilder::new(&self.0, count)
    }

    /// A link of the kind that phones share.
    pub fn short_link(&self, song: &Song) -> String {
        let code = sign::word(&["short", song.id()], 18, KEY_ALPHABET);
        let target = format!(
            "{}?ref=clipboard&p=i&c=1&si=73291&utm_source=clipboard&utm_medium=text",
            song.link()
        );
        self.short_link_to(&code, &target)
    }

    /// A short link that leads anywhere.
    pub fn short_link_to(&self, code: &str, target: &str) -> String {
        self.0
            .soundcloud
            .short_links
            .lock()
            .insert(code.to_owned(), target.to_owned());
        format!("https://on.soundcloud.com/{code}")
    }

    /// The old client id answers 401 from now on; home page and script carry a new one.
    pub fn rotate_client_id(&self) {
        *self.0.soundcloud.client_id.lock() = client_id(self.0.next_number());
    }
}

fn titled(slug: &str) -> String {
    let mut words: Vec<String> = slug.split('-').map(str::to_owned).collect();
    if let Some(first) = words.first_mut().filter(|word| !word.is_empty()) {
        first.replace_range(..1, &first[..1].to_ascii_uppercase());
    }
    words.join(" ")
}

#[must_use = "a track is there once it is published"]
pub struct TrackBuilder {
    shared: Arc<Shared>,
    wishes: Wishes,
    slug: String,
    id: Option<u64>,
    formats: Vec<Format>,
    dead: Vec<Format>,
    policy: String,
    private: bool,
    deleted: bool,
    publisher: Value,
    artwork: bool,
}

impl TrackBuilder {
    common_wishes!();

    pub fn id(mut self, id: u64) -> Self {
        self.id = Some(id);
        self
    }

    pub fn title(mut self, title: &str) -> Self {
        self.wishes.title = title.to_owned();
        self
    }

    /// What it lists, in this order.
    pub fn formats(mut self, formats: &[Format]) -> Self {
        self.formats = formats.to_vec();
        self
    }

    /// These are listed, and their format call answers 404.
    pub fn dead(mut self, formats: &[Format]) -> Self {
        self.dead = formats.to_vec();
        self
    }

    /// Only encrypted formats answer: everything that is listed plainly is dead.
    pub fn encrypted_only(self) -> Self {
        let formats = [
            Format::Encrypted,
            Format::Mp3Hls,
            Format::Mp3Progressive,
            Format::OpusHls,
        ];
        self.formats(&formats).dead(&formats)
    }

    /// A preview of 30 s is all there is.
    pub fn snip(mut self) -> Self {
        self.policy = "SNIP".into();
        self
    }

    /// Not in this country: no transcodings.
    pub fn block(mut self) -> Self {
        self.policy = "BLOCK".into();
        self
    }

    pub fn policy(mut self, word: &str) -> Self {
        self.policy = word.to_owned();
        self
    }

    /// Only with its token.
    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Sets may still list it; nothing else knows it.
    pub fn deleted(mut self) -> Self {
        self.deleted = true;
        self
    }

    /// `publisher_metadata` of artist and album.
    pub fn published_by(mut self, artist: &str, album: &str) -> Self {
        self.publisher = json!({"artist": artist, "album_title": album, "contains_music": true});
        self
    }

    pub fn without_artwork(mut self) -> Self {
        self.artwork = false;
        self
    }

    /// The encodings that its formats lead to, and which of them is the best.
    fn streams(&self, seconds: f64) -> (Vec<StreamSpec>, usize) {
        let mut keys: Vec<&str> = Vec::new();
        for format in self
            .formats
            .iter()
            .filter(|format| !self.dead.contains(format))
        {
            keys.extend(format.stream_key().filter(|key| !keys.contains(key)));
        }
        let best = ["aac", "mp3", "opus"]
            .into_iter()
            .find(|key| keys.contains(key))
            .unwrap_or("mp3");
        let streams = keys
            .iter()
            .map(|key| StreamSpec {
                key: (*key).to_owned(),
                shape: match *key {
                    "aac" => Shape::HlsAac,
                    "opus" => Shape::Ogg,
                    _ => Shape::Mp3,
                },
                seconds,
                // HLS pieces have no announced length to be padded to.
                size_bytes: if *key == "mp3" && best == "mp3" {
                    self.wishes.size_bytes
                } else {
                    None
                },
            })
            .collect();
        let main = keys.iter().position(|key| *key == best).unwrap_or(0);
        (streams, main)
    }

    pub fn publish(self) -> Song {
        let id = self
            .id
            .unwrap_or_else(|| 2_150_000_000 + self.shared.next_number());
        let artist = self
            .wishes
            .artist
            .clone()
            .unwrap_or_else(|| "Lab Artist".to_owned());
        let user = artist
            .to_lowercase()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let seconds = self.wishes.seconds_at(16_000.0);
        let token = self
            .private
            .then(|| format!("s-{}", sign::word(&["token", &self.slug], 11, KEY_ALPHABET)));
        let number = id.to_string();
        let key = sign::word(&["key", &number], 12, KEY_ALPHABET);
        let uuid = uuid(&["opus", &number]);
        let (streams, main) = self.streams(seconds);
        let permalink = format!("{user}/{}", self.slug);
        let mut link = format!("https://soundcloud.com/{permalink}");
        if let Some(token) = &token {
            link = format!("{link}/{token}");
        }
        let (transcodings, formats) = self.transcodings(id, seconds, &uuid);
        let object = self.object(
            id,
            &artist,
            &user,
            seconds,
            &key,
            token.as_deref(),
            transcodings,
        );
        let song = Song::publish(
            &self.shared,
            NewSong {
                site: Site::SoundCloud,
                id: number,
                title: self.wishes.title.clone(),
                artist,
                link,
                seconds,
                main,
                streams,
                hold: self.wishes.hold,
                drip: self.wishes.drip,
            },
        );
        self.wishes.inject(&self.shared, &song);
        for name in [&key, &uuid] {
            self.shared
                .soundcloud
                .media_keys
                .lock()
                .insert(name.clone(), id);
        }
        let track = Track {
            id,
            permalink,
            secret_token: token,
            object,
            song: song.clone(),
            formats,
            key,
            uuid,
            deleted: self.deleted,
        };
        self.shared
            .soundcloud
            .tracks
            .lock()
            .insert(id, Arc::new(track));
        song
    }

    fn transcodings(
        &self,
        id: u64,
        seconds: f64,
        uuid_of_opus: &str,
    ) -> (Vec<Value>, HashMap<String, Option<Format>>) {
        let snipped = self.policy == "SNIP";
        let kind = if snipped { "preview" } else { "stream" };
        let milliseconds = if snipped {
            30_000
        } else {
            (seconds * 1000.0).round() as u64
        };
        let (mut list, mut calls) = (Vec::new(), HashMap::new());
        if self.policy == "BLOCK" {
            return (list, calls);
        }
        for format in &self.formats {
            for (preset, protocol, mime) in format.listing() {
                let name = match format {
                    Format::OpusHls => uuid_of_opus.to_owned(),
                    _ => uuid(&[
                        preset,
                        mime,
                        &id.to_string(),
                        &protocol.replace("progressive", "hls"),
                    ]),
                };
                let path = format!("/media/soundcloud:tracks:{id}/{name}/{kind}/{protocol}");
                let legacy = preset.starts_with("mp3") || preset.starts_with("opus");
                list.push(json!({"url": format!("https://api-v2.soundcloud.com{path}"), "preset": preset, "duration": milliseconds,
                    "snipped": snipped, "format": {"protocol": protocol, "mime_type": mime}, "quality": "sq", "is_legacy_transcoding": legacy}));
                let alive = format.stream_key().is_some() && !self.dead.contains(format);
                calls.insert(path, alive.then_some(*format));
            }
        }
        (list, calls)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call, and each is a different part of one JSON object"
    )]
    fn object(
        &self,
        id: u64,
        artist: &str,
        user: &str,
        seconds: f64,
        key: &str,
        token: Option<&str>,
        transcodings: Vec<Value>,
    ) -> Value {
        let full = (seconds * 1000.0).round() as u64;
        let plays = if self.policy == "SNIP" { 30_000 } else { full };
        let permalink_url = format!("https://soundcloud.com/{user}/{}", self.slug);
        let artwork = self
            .artwork
            .then(|| format!("https://i1.sndcdn.com/artworks-{key}-lab000-large.jpg"));
        let publisher = match self.publisher["artist"].as_str() {
            Some("") | None => Value::Null,
            Some(_) => self.publisher.clone(),
        };
        json!({
            "artwork_url": artwork, "caption": null, "created_at": "2026-02-03T18:49:49Z", "description": "Made up.",
            "downloadable": false, "duration": plays, "full_duration": full, "embeddable_by": "all", "genre": "Lab",
            "has_downloads_left": false, "id": id, "kind": "track", "label_name": null, "license": "cc-by",
            "permalink": self.slug, "permalink_url": permalink_url, "public": token.is_none(), "publisher_metadata": publisher,
            "release_date": "2026-02-03T00:00:00Z", "secret_token": token, "sharing": if token.is_some() { "private" } else { "public" },
            "state": "finished", "streamable": true, "tag_list": "", "title": self.wishes.title,
            "uri": format!("https://api.soundcloud.com/tracks/soundcloud%3Atracks%3A{id}"), "urn": format!("soundcloud:tracks:{id}"),
            "user_id": 7, "visuals": null, "waveform_url": format!("https://wave.sndcdn.com/{key}_m.json"),
            "display_date": "2026-02-03T07:00:12Z", "media": {"transcodings": transcodings},
            "track_authorization": format!("eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.{}.lab", sign::hex(&["auth", &id.to_string()], 40)),
            "monetization_model": if self.policy == "SNIP" { "SUB_HIGH_TIER" } else { "NOT_APPLICABLE" }, "policy": self.policy,
            "user": user_object(artist, user),
        })
    }
}

pub fn user_object(artist: &str, user: &str) -> Value {
    json!({"avatar_url": "https://i1.sndcdn.com/avatars-lab000000000-l96tko-large.jpg", "full_name": artist, "id": 7, "kind": "user",
        "permalink": user, "permalink_url": format!("https://soundcloud.com/{user}"), "username": artist, "verified": false,
        "urn": "soundcloud:users:7"})
}

pub fn uuid(parts: &[&str]) -> String {
    let hex = sign::hex(parts, 32);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    format!(
        "{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}
