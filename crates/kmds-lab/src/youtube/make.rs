//! Made-up videos, playlists and mixes, in the recorded shapes.
//!
//! Owns the builders. What they publish is served exactly like what was recorded.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::googlevideo;
use super::lists::{Item, Layout, List, album_browse_id};
use super::player::{Refusal, Video};
use crate::audio::Shape;
use crate::sign;
use crate::world::{NewSong, Shared, Site, Song, StreamSpec, Wishes, common_wishes, lock};

const ID_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// What the last of eleven characters can be (YouTube notes, 1.2).
const LAST_ALPHABET: &[u8] = b"AEIMQUYcgkosw048";
/// Audio itags: shape, bits a second (YouTube notes, 2.5).
const ITAGS: &[(u64, Shape, f64)] = &[
    (139, Shape::Mp4Low, 48_800.0),
    (140, Shape::Mp4, 129_700.0),
    (249, Shape::WebM, 50_000.0),
    (250, Shape::WebM, 66_000.0),
    (251, Shape::WebM, 105_000.0),
    (599, Shape::Mp4Low, 31_000.0),
    (600, Shape::WebM, 33_000.0),
];

/// The YouTube of one lab.
#[derive(Clone)]
pub struct YouTube(pub(crate) Arc<Shared>);

impl YouTube {
    pub fn video(&self, title: &str) -> VideoBuilder {
        VideoBuilder {
            shared: Arc::clone(&self.0),
            wishes: Wishes::of(title),
            id: None,
            itags: vec![139, 140, 249, 250, 251],
            tracks: Vec::new(),
            drc: false,
            refusal: None,
            for_kids: false,
            sabr_only: false,
            live: false,
            large_cover: true,
            moves_hosts: false,
            description: String::new(),
            answers_as: None,
        }
    }

    /// A list of `count` new videos of 12 s, published with it.
    pub fn playlist(&self, count: usize) -> PlaylistBuilder {
        PlaylistBuilder {
            shared: Arc::clone(&self.0),
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

    /// A mix around a new video of 12 s.
    pub fn mix(&self, count: usize) -> MixBuilder {
        MixBuilder { playlist: self.playlist(count) }
    }

    /// The longest range that is served; longer ones are refused with 403.
    pub fn range_limit(&self, bytes: u64) {
        self.0.youtube.range_limit.store(bytes, Ordering::Relaxed);
    }

    /// Serves open and too long ranges at this pace, instead of refusing them.
    pub fn paces_open_ranges(&self, bytes_per_second: u64) {
        self.0.youtube.open_range_pace.store(bytes_per_second, Ordering::Relaxed);
    }
}

/// A video to be published.
#[must_use = "a video is there once it is published"]
pub struct VideoBuilder {
    shared: Arc<Shared>,
    wishes: Wishes,
    id: Option<String>,
    itags: Vec<u64>,
    tracks: Vec<(String, String, String)>,
    drc: bool,
    refusal: Option<Refusal>,
    for_kids: bool,
    sabr_only: bool,
    live: bool,
    large_cover: bool,
    moves_hosts: bool,
    description: String,
    answers_as: Option<String>,
}

impl VideoBuilder {
    common_wishes!();

    /// Exactly this id, in place of a made-up one.
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// The audio itags to offer, of 139, 140, 249, 250, 251, 599 and 600.
    pub fn formats(mut self, itags: &[u64]) -> Self {
        self.itags = itags.to_vec();
        self
    }

    pub fn opus_only(self) -> Self {
        self.formats(&[249, 250, 251])
    }

    pub fn aac_only(self) -> Self {
        self.formats(&[139, 140])
    }

    /// Several audio tracks: `audioTrack.id` as `en-US.4`, display name, `acont` value.
    pub fn tracks(mut self, tracks: &[(&str, &str, &str)]) -> Self {
        self.tracks = tracks.iter().map(|(id, name, acont)| ((*id).into(), (*name).into(), (*acont).into())).collect();
        self
    }

    /// A dynamic-range-compressed copy beside each format.
    pub fn with_drc(mut self) -> Self {
        self.drc = true;
        self
    }

    pub fn refused(mut self, refusal: Refusal) -> Self {
        self.refusal = Some(refusal);
        self
    }

    /// Made for kids: refused to VISIONOS, played by the reel call.
    pub fn for_kids(mut self) -> Self {
        self.for_kids = true;
        self
    }

    /// Formats without URLs for every client.
    pub fn sabr_only(mut self) -> Self {
        self.sabr_only = true;
        self
    }

    /// Running now: no lengths, no sizes.
    pub fn live(mut self) -> Self {
        self.live = true;
        self
    }

    /// No `hq720`, so no `maxresdefault` either.
    pub fn small_cover(mut self) -> Self {
        self.large_cover = false;
        self
    }

    /// Its audio is served by another host, after a 302.
    pub fn moves_hosts(mut self) -> Self {
        self.moves_hosts = true;
        self
    }

    pub fn description(mut self, text: &str) -> Self {
        self.description = text.to_owned();
        self
    }

    /// A "… - Topic" upload: the description tells track, artists and album (YouTube notes, 2.9).
    pub fn topic(mut self, track: &str, artists: &[&str], album: &str) -> Self {
        self.wishes.artist = Some(format!("{} - Topic", artists.first().copied().unwrap_or("Nobody")));
        self.description = format!(
            "Provided to YouTube by Lab Records\n\n{track} · {}\n\n{album}\n\n℗ 2026 Lab Records\n\nReleased on: 2026-02-03\n\nAuto-generated by YouTube.",
            artists.join(" · ")
        );
        self
    }

    /// Answers with the details of another video, as blocked clients are answered.
    pub fn answers_as(mut self, other_id: &str) -> Self {
        self.answers_as = Some(other_id.to_owned());
        self
    }

    pub fn publish(self) -> Song {
        let number = self.shared.next_number().to_string();
        let id = self.id.clone().unwrap_or_else(|| video_id(&[&self.wishes.title, &number]));
        let artist = self.wishes.artist.clone().unwrap_or_else(|| "Lab Channel".to_owned());
        let seconds = self.wishes.seconds_at(if self.itags.contains(&140) { 129_700.0 / 8.0 } else { 105_000.0 / 8.0 });
        let media_id = format!("o-{}", sign::word(&["media", &id], 44, ID_ALPHABET));
        let mut formats = vec![picture_format(&media_id, seconds)];
        let mut streams = Vec::new();
        let plan = Plan { media_id: &media_id, id: &id, seconds, wishes: &self.wishes, live: self.live };
        let main = if self.itags.contains(&140) { 140 } else { self.itags.iter().copied().max().unwrap_or(0) };
        for itag in &self.itags {
            if self.tracks.is_empty() {
                if self.drc {
                    plan.add(*itag, Variant::Drc, false, &mut formats, &mut streams);
                }
                plan.add(*itag, Variant::Only, *itag == main, &mut formats, &mut streams);
            }
            // The original's copy comes last, as it did in every recording.
            for track in
                self.tracks.iter().filter(|t| t.2 != "original").chain(self.tracks.iter().filter(|t| t.2 == "original"))
            {
                plan.add(
                    *itag,
                    Variant::Track(track),
                    *itag == main && track.2 == "original",
                    &mut formats,
                    &mut streams,
                );
            }
        }
        let best = streams.iter().position(|(_, is_main)| *is_main).unwrap_or(0);
        let muxed = plan.muxed(&mut streams);
        let streams: Vec<StreamSpec> = streams.into_iter().map(|(stream, _)| stream).collect();
        let details = self.details(&id, &artist, seconds);
        let mut answer = json!({
            "responseContext": {"visitorData": "", "maxAgeSeconds": 0},
            "playabilityStatus": {"status": "OK", "playableInEmbed": true},
            "streamingData": {"expiresInSeconds": "21540", "adaptiveFormats": formats,
                "serverAbrStreamingUrl": "https://rr1---sn-lab00000.googlevideo.com/videoplayback?sabr=1"},
            "videoDetails": details,
            "playerConfig": {"audioConfig": {"loudnessDb": -3.5, "perceptualLoudnessDb": -17.5, "loudnessTargetLkfs": -14}},
        });
        if self.live {
            answer["playabilityStatus"]["liveStreamability"] = json!({"liveStreamabilityRenderer": {"videoId": id}});
        }
        let microformat = microformat(&id, &self.wishes.title, &artist, seconds);
        if let Some(refusal) = &self.refusal {
            refusal.apply(&mut answer);
        }
        let song = Song::publish(
            &self.shared,
            NewSong {
                site: Site::YouTube,
                id: id.clone(),
                title: self.wishes.title.clone(),
                artist,
                link: format!("https://www.youtube.com/watch?v={id}"),
                seconds,
                streams,
                main: best,
                hold: self.wishes.hold,
                drip: self.wishes.drip,
            },
        );
        self.wishes.inject(&self.shared, &song);
        lock(&self.shared.youtube.media_ids).insert(media_id, id.clone());
        let video = Video {
            answer,
            muxed: vec![muxed],
            microformat,
            reel: None,
            song: song.clone(),
            for_kids: self.for_kids,
            sabr_only: self.sabr_only,
            moves_hosts: self.moves_hosts,
        };
        lock(&self.shared.youtube.videos).insert(id, Arc::new(video));
        song
    }

    fn details(&self, id: &str, artist: &str, seconds: f64) -> Value {
        let mut covers = vec![
            json!({"url": format!("https://i.ytimg.com/vi/{id}/mqdefault.jpg?sqp=lab&rs=lab"), "width": 320, "height": 180}),
        ];
        if self.large_cover {
            covers.push(json!({"url": format!("https://i.ytimg.com/vi/{id}/hq720.jpg?sqp=lab&rs=lab"), "width": 1280, "height": 720}));
        }
        let mut details = json!({
            "videoId": self.answers_as.as_deref().unwrap_or(id), "title": self.wishes.title, "lengthSeconds": (seconds.round() as u64).to_string(),
            "keywords": ["lab"], "channelId": channel_id(artist), "isOwnerViewing": false, "shortDescription": self.description,
            "isCrawlable": true, "thumbnail": {"thumbnails": covers}, "allowRatings": true, "viewCount": "7", "author": artist,
            "isPrivate": false, "isUnpluggedCorpus": false, "isLiveContent": self.live,
        });
        if self.live {
            details["isLive"] = json!(true);
            details["lengthSeconds"] = json!("0");
        }
        details
    }
}

enum Variant<'a> {
    Only,
    Drc,
    Track(&'a (String, String, String)),
}

struct Plan<'a> {
    media_id: &'a str,
    id: &'a str,
    seconds: f64,
    wishes: &'a Wishes,
    live: bool,
}

impl Plan<'_> {
    /// Adds one audio format and its stream; `is_main` gets the wanted size.
    fn add(
        &self,
        itag: u64,
        variant: Variant<'_>,
        is_main: bool,
        formats: &mut Vec<Value>,
        streams: &mut Vec<(StreamSpec, bool)>,
    ) {
        let Some((_, shape, rate)) = ITAGS.iter().find(|(known, ..)| *known == itag) else { return };
        let readable = match &variant {
            Variant::Only => String::new(),
            Variant::Drc => "drc=1".to_owned(),
            Variant::Track((id, _, acont)) => format!("acont={acont}:lang={}", id.split('.').next().unwrap_or("en")),
        };
        let key = googlevideo::key(&itag.to_string(), &readable);
        let spread = sign::fingerprint(key.as_bytes()) % 997;
        let formula = (self.seconds * rate / 8.0) as u64 + spread;
        // Under some seconds the boxes weigh more than the formula knows.
        let size = if is_main { self.wishes.size_bytes } else { None };
        let size = size.or((self.seconds >= 5.0).then_some(formula));
        let stream = StreamSpec { key, shape: *shape, seconds: self.seconds, size_bytes: size };
        let length = size.unwrap_or_else(|| {
            let mark = format!("youtube/{}/{}/0", self.id, stream.key);
            crate::audio::Clip::new(*shape, self.seconds, None, mark).len()
        });
        let modified =
            1_724_100_171_542_570 + sign::fingerprint(format!("{}{}", self.id, stream.key).as_bytes()) % 1_000_000;
        let mime = if *shape == Shape::WebM { "audio/webm" } else { "audio/mp4" };
        let codec = match shape {
            Shape::WebM => "opus",
            Shape::Mp4Low => "mp4a.40.5",
            _ => "mp4a.40.2",
        };
        let mut format = json!({
            "itag": itag, "url": self.url(itag, mime, length, modified, &readable), "mimeType": format!("{mime}; codecs=\"{codec}\""),
            "bitrate": (rate * 1.01) as u64, "initRange": {"start": "0", "end": "722"}, "indexRange": {"start": "723", "end": "1630"},
            "lastModified": modified.to_string(), "contentLength": length.to_string(), "quality": "tiny", "projectionType": "RECTANGULAR",
            "averageBitrate": *rate as u64,
            "audioQuality": if matches!(itag, 140 | 251) { "AUDIO_QUALITY_MEDIUM" } else { "AUDIO_QUALITY_LOW" },
            "approxDurationMs": ((self.seconds * 1000.0).round() as u64).to_string(),
            "audioSampleRate": match shape { Shape::WebM => "48000", Shape::Mp4Low => "22050", _ => "44100" },
            "audioChannels": 2, "loudnessDb": -3.5, "trackAbsoluteLoudnessLkfs": -17.5,
        });
        match &variant {
            Variant::Only => {}
            Variant::Drc => {
                format["isDrc"] = json!(true);
                format["xtags"] = json!("CggKA2RyYxIBMQ");
            }
            Variant::Track((id, name, acont)) => {
                format["xtags"] = json!(xtags(&[("acont", acont), ("lang", id.split('.').next().unwrap_or("en"))]));
                format["audioTrack"] = json!({"displayName": name, "id": id, "audioIsDefault": acont == "original"});
            }
        }
        if self.live {
            for gone in ["contentLength", "approxDurationMs"] {
                format.as_object_mut().and_then(|format| format.remove(gone));
            }
            format["targetDurationSec"] = json!(5);
            format["maxDvrDurationSec"] = json!(43_200);
        }
        formats.push(format);
        streams.push((stream, is_main));
    }

    /// Itag 18: a picture and AAC in one progressive file.
    fn muxed(&self, streams: &mut Vec<(StreamSpec, bool)>) -> Value {
        let size = (self.seconds >= 5.0).then_some((self.seconds * 190_140.0 / 8.0) as u64);
        let stream = StreamSpec { key: "18".into(), shape: Shape::Muxed, seconds: self.seconds, size_bytes: size };
        let mut format = json!({
            "itag": 18, "url": self.url(18, "video/mp4", size.unwrap_or(0), 1_749_471_605_476_753, ""),
            "mimeType": "video/mp4; codecs=\"avc1.42001E, mp4a.40.2\"", "bitrate": 190_140, "width": 64, "height": 36,
            "lastModified": "1749471605476753", "quality": "medium", "fps": 1, "qualityLabel": "360p",
            "audioQuality": "AUDIO_QUALITY_LOW", "approxDurationMs": ((self.seconds * 1000.0).round() as u64).to_string(),
            "audioSampleRate": "44100", "audioChannels": 2,
        });
        if let Some(size) = size {
            format["contentLength"] = json!(size.to_string());
        }
        streams.push((stream, false));
        format
    }

    fn url(&self, itag: u64, mime: &str, length: u64, modified: u64, readable_xtags: &str) -> String {
        let mime = mime.replace('/', "%2F");
        let (xtags, named) = if readable_xtags.is_empty() {
            (String::new(), "")
        } else {
            (format!("&xtags={}", readable_xtags.replace('=', "%3D").replace(':', "%3A")), "%2Cxtags")
        };
        format!(
            "https://rr1---sn-lab00000.googlevideo.com/videoplayback?expire=0&ei=x&ip=203.0.113.7&id={}&itag={itag}&source=youtube\
             &requiressl=yes&xpc=EgVo2aDSNQ%3D%3D&cps=307&met=0%2C&mh=U1&mm=31%2C26&mn=sn-lab00000%2Csn-lab00001&ms=au%2Conr&mv=m&mvi=1\
             &pl=33&rms=au%2Cau&initcwndbps=3270000&bui=lab&spc=lab&vprv=1&svpuc=1{xtags}&mime={mime}&rqh=1&gir=yes&clen={length}\
             &dur={:.3}&lmt={modified}&mt=0&fvip=2&keepalive=yes&fexp=0&c=VISIONOS&txp=8208224\
             &sparams=expire%2Cei%2Cip%2Cid%2Citag%2Csource%2Crequiressl%2Cxpc%2Cbui%2Cspc%2Cvprv%2Csvpuc{named}%2Cmime%2Crqh%2Cgir%2Cclen%2Cdur%2Clmt\
             &sig=x&lsparams=cps%2Cmet%2Cmh%2Cmm%2Cmn%2Cms%2Cmv%2Cmvi%2Cpl%2Crms%2Cinitcwndbps&lsig=x",
            self.media_id, self.seconds
        )
    }
}

/// A picture format that nobody here plays, because every answer of the site has some.
fn picture_format(media_id: &str, seconds: f64) -> Value {
    json!({"itag": 137, "url": format!("https://rr1---sn-lab00000.googlevideo.com/videoplayback?expire=0&ei=x&id={media_id}&itag=137&mime=video%2Fmp4&lmt=1&sparams=expire&sig=x"),
        "mimeType": "video/mp4; codecs=\"avc1.640028\"", "bitrate": 1_500_751, "width": 1920, "height": 1080, "lastModified": "1",
        "contentLength": ((seconds * 66_000.0) as u64).to_string(), "quality": "hd1080", "fps": 24, "qualityLabel": "1080p",
        "approxDurationMs": ((seconds * 1000.0) as u64).to_string()})
}

/// base64 of a protobuf list of (key, value), as formats carry it.
fn xtags(pairs: &[(&str, &str)]) -> String {
    use base64::Engine;
    let mut out = Vec::new();
    for (key, value) in pairs {
        let mut pair = vec![0x0a, key.len() as u8];
        pair.extend_from_slice(key.as_bytes());
        pair.extend_from_slice(&[0x12, value.len() as u8]);
        pair.extend_from_slice(value.as_bytes());
        out.extend_from_slice(&[0x0a, pair.len() as u8]);
        out.extend_from_slice(&pair);
    }
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(out)
}

fn microformat(id: &str, title: &str, artist: &str, seconds: f64) -> Value {
    json!({"videoDetails": {"videoId": id, "thumbnail": {"thumbnails": []}}, "microformat": {"playerMicroformatRenderer": {
        "title": {"simpleText": title}, "lengthSeconds": (seconds.ceil() as u64).to_string(), "ownerChannelName": artist,
        "externalChannelId": channel_id(artist), "isFamilySafe": true, "isUnlisted": false, "category": "Music",
        "publishDate": "2026-01-27T21:14:36-08:00", "uploadDate": "2026-01-27T21:14:36-08:00", "externalVideoId": id}}})
}

fn video_id(parts: &[&str]) -> String {
    format!("{}{}", sign::word(parts, 10, ID_ALPHABET), sign::word(parts, 1, LAST_ALPHABET))
}

fn channel_id(name: &str) -> String {
    format!("UC{}A", sign::word(&["channel", name], 21, ID_ALPHABET))
}

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
        Some(format!("https://music.youtube.com/browse/{}", album_browse_id(&self.id)?))
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
            songs.push(site.video(&format!("{} no. {number}", self.title)).seconds(self.seconds).publish());
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
        let id = self.id.unwrap_or_else(|| format!("PL{}", sign::word(&[&self.title, &number], 32, ID_ALPHABET)));
        let list = List {
            id: id.clone(),
            title: self.title,
            owner: self.owner,
            items,
            layout: self.layout,
            recorded: None,
            short_page: self.short_page,
        };
        lock(&self.shared.youtube.lists).insert(id.clone(), Arc::new(list));
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
    pub fn publish(mut self) -> Mix {
        let songs = self.playlist.all_songs();
        let seed = songs.first().map_or("", Song::id).to_owned();
        let id = format!("RD{seed}");
        let contents: Vec<Value> = songs.iter().map(|song| item_of(song).panel(&id)).collect();
        let answer = json!({"contents": {"twoColumnWatchNextResults": {"results": {}, "playlist": {"playlist": {
            "title": format!("Mix – {}", self.playlist.title), "playlistId": id, "isInfinite": true, "contents": contents}}}}});
        lock(&self.playlist.shared.youtube.mixes).insert(id.clone(), answer);
        Mix { id, songs }
    }
}
