//! The common part of all sites: songs, their bytes and their state.
//!
//! Owns a song's state: its streams, the speed and the end of its bytes, and its valid URLs. It knows no site's pages.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::audio::{Clip, Shape};
use crate::fault::Book;
use crate::log::{Kind, Log};
use crate::{bandcamp, soundcloud, youtube};

/// A hold that is none.
pub const NEVER: u64 = u64::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Site {
    YouTube,
    SoundCloud,
    Bandcamp,
}

impl Site {
    pub fn name(self) -> &'static str {
        match self {
            Self::YouTube => "youtube",
            Self::SoundCloud => "soundcloud",
            Self::Bandcamp => "bandcamp",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::YouTube, Self::SoundCloud, Self::Bandcamp]
            .into_iter()
            .find(|site| site.name() == name)
    }
}

/// The site of this host, and the host's purpose.
pub fn place_of(host: &str) -> (Option<Site>, Kind) {
    let ends = |end: &str| {
        host == end
            || host
                .strip_suffix(end)
                .is_some_and(|front| front.ends_with('.'))
    };
    if ends("googlevideo.com") {
        (Some(Site::YouTube), Kind::Media)
    } else if ends("ytimg.com") || ends("ggpht.com") {
        (Some(Site::YouTube), Kind::Cover)
    } else if ends("youtube.com") || host == "youtubei.googleapis.com" || host == "youtu.be" {
        (Some(Site::YouTube), Kind::Page)
    } else if ends("soundcloud.cloud") || (host.starts_with("cf-") && ends("sndcdn.com")) {
        (Some(Site::SoundCloud), Kind::Media)
    } else if host.starts_with("i1.") && ends("sndcdn.com") {
        (Some(Site::SoundCloud), Kind::Cover)
    } else if ends("soundcloud.com") || ends("sndcdn.com") {
        (Some(Site::SoundCloud), Kind::Page)
    } else if host.starts_with('t') && ends("bcbits.com") {
        (Some(Site::Bandcamp), Kind::Media)
    } else if ends("bcbits.com") {
        (Some(Site::Bandcamp), Kind::Cover)
    } else if ends("bandcamp.com") {
        (Some(Site::Bandcamp), Kind::Page)
    } else {
        (None, Kind::Page)
    }
}

/// Everything one lab is.
pub struct Shared {
    /// Goes into every signature, so that no lab takes another's URLs.
    pub secret: String,
    pub log: Arc<Log>,
    pub faults: Book,
    pub delay_ms: AtomicU64,
    pub youtube: youtube::World,
    pub soundcloud: soundcloud::World,
    pub bandcamp: bandcamp::World,
    /// Files of hosts that are no site's, by `host/path`.
    pub files: Mutex<HashMap<String, Bytes>>,
    songs: Mutex<HashMap<(Site, String), Song>>,
    counter: AtomicU64,
    /// Seconds by which the lab's clock is ahead of the machine's.
    ahead_secs: AtomicU64,
}

impl Shared {
    pub fn new(secret: String) -> Self {
        Self {
            secret,
            log: Arc::default(),
            faults: Book::default(),
            delay_ms: AtomicU64::new(0),
            youtube: youtube::World::default(),
            soundcloud: soundcloud::World::default(),
            bandcamp: bandcamp::World::default(),
            files: Mutex::default(),
            songs: Mutex::default(),
            counter: AtomicU64::new(0),
            ahead_secs: AtomicU64::new(0),
        }
    }

    /// A number no other thing of this lab has.
    pub fn next_number(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn now_unix(&self) -> u64 {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |age| age.as_secs());
        now + self.ahead_secs.load(Ordering::Relaxed)
    }

    pub fn advance(&self, seconds: u64) {
        self.ahead_secs.fetch_add(seconds, Ordering::Relaxed);
    }

    pub fn add_song(&self, song: &Song) {
        let mut songs = self.songs.lock();
        songs.insert((song.site(), song.id().to_owned()), song.clone());
    }

    pub fn song(&self, site: Site, id: &str) -> Option<Song> {
        self.songs.lock().get(&(site, id.to_owned())).cloned()
    }

    pub fn songs(&self) -> Vec<Song> {
        let songs = self.songs.lock();
        let mut all: Vec<Song> = songs.values().cloned().collect();
        all.sort_by(|a, b| (a.site().name(), a.id()).cmp(&(b.site().name(), b.id())));
        all
    }
}

/// One encoding of a song: how it is made.
#[derive(Debug, Clone)]
pub struct StreamSpec {
    /// The site's own name of it: an itag with its xtags, a transcoding's path.
    pub key: String,
    pub shape: Shape,
    pub seconds: f64,
    pub size_bytes: Option<u64>,
}

/// A published song. Clones are the same song.
#[derive(Clone)]
pub struct Song(Arc<SongState>);

pub struct SongState {
    site: Site,
    id: String,
    title: String,
    artist: String,
    link: String,
    seconds: f64,
    streams: Vec<StreamSpec>,
    /// The best AAC or MP3 stream, else the best of what there is.
    main: usize,
    clips: Mutex<HashMap<(usize, u64), Arc<Clip>>>,
    hold: watch::Sender<u64>,
    /// Bytes a second; 0 is line speed.
    pub(crate) drip: AtomicU64,
    generation: AtomicU64,
    version: AtomicU64,
    log: Arc<Log>,
}

/// What a song is made of.
pub struct NewSong {
    pub site: Site,
    pub id: String,
    pub title: String,
    pub artist: String,
    pub link: String,
    pub seconds: f64,
    pub streams: Vec<StreamSpec>,
    pub main: usize,
    pub hold: u64,
    pub drip: u64,
}

impl Song {
    pub fn publish(shared: &Shared, new: NewSong) -> Self {
        let song = Self(Arc::new(SongState {
            site: new.site,
            id: new.id,
            title: new.title,
            artist: new.artist,
            link: new.link,
            seconds: new.seconds,
            streams: new.streams,
            main: new.main,
            clips: Mutex::default(),
            hold: watch::Sender::new(new.hold),
            drip: AtomicU64::new(new.drip),
            generation: AtomicU64::new(0),
            version: AtomicU64::new(0),
            log: Arc::clone(&shared.log),
        }));
        shared.add_song(&song);
        song
    }

    pub(crate) fn state(&self) -> &SongState {
        &self.0
    }

    pub fn site(&self) -> Site {
        self.0.site
    }

    /// The site's id: eleven characters, or a number.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    pub fn title(&self) -> &str {
        &self.0.title
    }

    pub fn artist(&self) -> &str {
        &self.0.artist
    }

    /// The link that a person would paste.
    pub fn link(&self) -> String {
        self.0.link.clone()
    }

    pub fn seconds(&self) -> f64 {
        self.0.seconds
    }

    /// Exactly what a correct client ends with, of the best AAC or MP3 stream (HLS joined, durations patched).
    pub fn bytes(&self) -> Bytes {
        self.clip(self.0.main)
            .map(|clip| clip.bytes())
            .unwrap_or_default()
    }

    pub fn len(&self) -> u64 {
        self.clip(self.0.main).map_or(0, |clip| clip.len())
    }

    pub fn is_empty(&self) -> bool {
        self.0.streams.is_empty()
    }

    /// The bytes of the stream with this key: an itag (`"251"`), a SoundCloud format (`"opus_hls"`), `"mp3-128"`.
    pub fn stream_bytes(&self, key: &str) -> Option<Bytes> {
        let number = self.0.streams.iter().position(|stream| stream.key == key)?;
        self.clip(number).map(|clip| clip.bytes())
    }

    pub fn streams(&self) -> &[StreamSpec] {
        &self.0.streams
    }

    pub(crate) fn clip(&self, number: usize) -> Option<Arc<Clip>> {
        let spec = self.0.streams.get(number)?;
        let version = self.version();
        let mut clips = self.0.clips.lock();
        let clip = clips.entry((number, version)).or_insert_with(|| {
            let mark = format!(
                "{}/{}/{}/{version}",
                self.0.site.name(),
                self.0.id,
                spec.key
            );
            Arc::new(Clip::new(spec.shape, spec.seconds, spec.size_bytes, mark))
        });
        Some(Arc::clone(clip))
    }

    pub(crate) fn clip_of(&self, key: &str) -> Option<Arc<Clip>> {
        self.clip(self.0.streams.iter().position(|stream| stream.key == key)?)
    }

    /// How many requests for its audio came in, playlists and segments included.
    pub fn media_hits(&self) -> usize {
        self.0.log.count(|seen| {
            seen.kind == Kind::Media && self.is_meant_by(seen.song.as_deref(), seen.site)
        })
    }

    pub(crate) fn is_meant_by(&self, song: Option<&str>, site: Option<Site>) -> bool {
        song == Some(self.id()) && site == Some(self.site())
    }

    /// Lets every byte go that was held.
    pub fn release(&self) {
        self.hold_at(NEVER);
    }

    /// No byte from `at` on goes out, until told otherwise.
    pub fn hold_at(&self, at: u64) {
        self.0.hold.send_replace(at);
    }

    pub(crate) fn watch_hold(&self) -> watch::Receiver<u64> {
        self.0.hold.subscribe()
    }

    /// From now on its bytes come at this rate; 0 is line speed.
    pub fn drip_at(&self, bytes_per_second: u64) {
        self.0.drip.store(bytes_per_second, Ordering::Relaxed);
    }

    /// Forgets bytes that were made; they are made again when asked for. For labs that run long.
    pub fn let_go(&self) {
        self.0.clips.lock().clear();
    }

    /// Every media URL given out so far is refused from now on.
    pub fn expire_urls(&self) {
        self.0.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// From now on the site has other bytes for it, of the same length, under another validator.
    pub fn change_bytes(&self) {
        self.0.version.fetch_add(1, Ordering::SeqCst);
    }

    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::SeqCst)
    }

    pub fn version(&self) -> u64 {
        self.0.version.load(Ordering::SeqCst)
    }

    pub(crate) fn etag(&self, key: &str) -> String {
        format!(
            "\"{}\"",
            crate::sign::hex(&[self.id(), key, &self.version().to_string()], 32)
        )
    }
}

impl fmt::Debug for Song {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Song({}/{}, {:?})",
            self.site().name(),
            self.id(),
            self.title()
        )
    }
}
