//! The store's promises, on a real folder and a real database.

mod catalog;
mod evicting;
mod growing;
mod holding;
mod planted;
mod publishing;
mod released;
mod restarting;
mod tidying;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use kmds::store::{Accepted, Checked, Key, Lease, Publish, Row, Store, StoreConfig};
use kmds_extract::choose::Accept;
use kmds_extract::{Codec, Container, Format, Site, Source, Track, TrackId};

pub const MIB: u64 = 1 << 20;

/// A cache and a state folder of its own, removed at the end of the test.
pub struct Place {
    root: PathBuf,
    pub config: StoreConfig,
}

impl Place {
    pub fn make() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// In memory where the machine has such a folder, for tests of many publishes: each one flushes.
    pub fn quick() -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            Self::below(memory)
        } else {
            Self::make()
        }
    }

    fn below(folder: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self::at(folder.join(format!("kmds-store-{}-{number}", std::process::id())))
    }

    pub fn at(root: PathBuf) -> Self {
        let config = StoreConfig {
            reader_pause: kmds::store::READER_PAUSE,
            cache_dir: root.join("cache"),
            state_dir: root.join("state"),
            client_path: None,
            max_bytes: 1 << 40,
            max_age: None,
            min_free_bytes: 0,
            is_shared: false,
        };
        Self { root, config }
    }

    pub fn open(&self) -> Store {
        Store::open(self.config.clone()).expect("the store opens")
    }

    pub fn cache(&self, relative: &str) -> PathBuf {
        self.config.cache_dir.join(relative)
    }

    /// The names in a folder of the cache, sorted.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.cache(folder))
            .into_iter()
            .flatten()
            .flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// This instance's work folder.
    pub fn work(&self) -> PathBuf {
        let instance =
            std::fs::read_to_string(self.config.state_dir.join("instance")).expect("an instance");
        self.cache(".kmds-work").join(instance)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

pub fn id(id: &str) -> TrackId {
    TrackId::new(Site::YouTube, id).expect("a track id")
}

pub fn key(name: &str) -> Key {
    Key::original(id(name), Format::M4a)
}

pub fn track(name: &str) -> Track {
    Track {
        id: id(name),
        source: Source::YouTube {
            video: name.to_owned(),
        },
        link: format!("https://www.youtube.com/watch?v={name}"),
        title: format!("Song {name}"),
        artist: Some("Somebody".to_owned()),
        album: None,
        album_artist: None,
        number: None,
        total: None,
        duration: Some(Duration::from_millis(61_500)),
        cover_url: None,
        date: Some("2026-11-24".to_owned()),
        streams: Vec::new(),
        loudness_db: None,
        offered: None,
        withheld: None,
    }
}

pub fn accepted(name: &str) -> Accepted {
    Accepted {
        track: track(name),
        key: key(name),
        listed: false,
        canonical_name: format!("youtube-{name}.m4a"),
        human_name: format!("Somebody - Song {name}.m4a"),
        format: Format::M4a,
        total_bytes: None,
        approximate_bytes: Some(1_000),
        accept: Accept::default(),
        requester: "bot".to_owned(),
        enqueue: true,
    }
}

pub fn publish_of(name: &str) -> Publish {
    Publish {
        track: track(name),
        format: Format::M4a,
        human_name: format!("Somebody - Song {name}.m4a"),
        stream: "itag 140".to_owned(),
        checked: checked(),
    }
}

pub fn checked() -> Checked {
    Checked {
        container: Container::Mp4,
        codec: Codec::Aac,
        duration: Some(Duration::from_millis(61_500)),
        bitrate_bps: Some(128_000),
    }
}

/// Bytes that differ at every place and from song to song.
pub fn audio(name: &str, length: usize) -> Bytes {
    let seed: usize = name.bytes().map(usize::from).sum();
    (0..length)
        .map(|at| ((at + seed) % 251) as u8)
        .collect::<Vec<u8>>()
        .into()
}

pub async fn begun(store: &Store, name: &str, total: u64) -> Lease {
    let mut lease = store.lease(&key(name)).await.expect("a lease");
    lease.begin("v1", Some(total), 0).await.expect("begun");
    lease
}

/// Accepts, writes and publishes a song of `length` bytes.
pub async fn published(store: &Store, name: &str, length: usize) -> Row {
    store.accept(vec![accepted(name)]).await.expect("accepted");
    let mut lease = begun(store, name, length as u64).await;
    lease.write(audio(name, length)).await.expect("written");
    lease.publish(publish_of(name)).await.expect("published")
}

pub async fn read_all(
    reader: &mut kmds::store::Reader,
) -> Result<Vec<u8>, kmds::store::StoreError> {
    let mut got = Vec::new();
    loop {
        let bytes = reader.read_at(got.len() as u64, usize::MAX).await?;
        if bytes.is_empty() {
            return Ok(got);
        }
        got.extend_from_slice(&bytes);
    }
}
