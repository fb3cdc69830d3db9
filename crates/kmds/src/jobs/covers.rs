//! Covers: fetched when a client first asks for one, and kept for later requests.
//!
//! Owns the cover folder: the names of its files, what counts as a picture, how many covers are fetched at once, and
//! which are removed when the folder grows too large. Songs of one album share a file. One cover is never fetched twice
//! at the same time, and no cover is fetched before a client asks for it.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kmds_extract::{Failure, Kind, Track};
use tokio::sync::Semaphore;

use crate::cluster::Peers;
use crate::hex;
use crate::origin::Client;
use crate::single_flight::SingleFlight;

/// Largest cover that is fetched, in bytes; originals at 3000 × 3000 px stay below.
const MAX_COVER_BYTES: usize = 8 << 20;
/// The size of the folder after a sweep, in bytes: some thousand covers at the usual sizes.
const MAX_KEPT_BYTES: u64 = 256 << 20;
/// Covers fetched at once: each may take [`MAX_COVER_BYTES`] of memory, though most take a tenth.
const FETCHED_AT_ONCE: usize = 6;
/// How long to wait for a free place. A slow cover ends within the time limit of a page, so this limit is seldom
/// reached.
const TURN_WITHIN: Duration = Duration::from_secs(15);

/// A picture.
#[derive(Debug, Clone)]
pub struct Cover {
    pub content_type: &'static str,
    pub bytes: bytes::Bytes,
}

/// The covers of all songs.
pub struct Covers {
    client: Client,
    peers: Peers,
    folder: PathBuf,
    slots: Semaphore,
    /// By file, and whether other nodes are asked.
    fetching: SingleFlight<(PathBuf, bool), Result<Cover, Failure>>,
}

impl Covers {
    pub fn new(client: Client, peers: Peers, state_dir: &Path) -> Self {
        Self {
            client,
            peers,
            folder: state_dir.join("covers"),
            slots: Semaphore::new(FETCHED_AT_ONCE),
            fetching: SingleFlight::default(),
        }
    }

    /// A song's cover, from the folder, else from the site; `None` if the song has none. It is fetched once for any
    /// number of requests, and no cover waits for a slow one.
    /// # Errors
    /// The site does not give it.
    pub async fn of(&self, track: &Track) -> Result<Option<Cover>, Failure> {
        self.find(track, true).await
    }

    /// The same for another node: the cover comes from the folder or the address of this node, or not at all.
    /// # Errors
    /// As [`Self::of`].
    pub async fn of_here(&self, track: &Track) -> Result<Option<Cover>, Failure> {
        self.find(track, false).await
    }

    async fn find(&self, track: &Track, asks_on: bool) -> Result<Option<Cover>, Failure> {
        let (Some(url), Some(path)) = (&track.cover_url, self.path(track)) else {
            return Ok(None);
        };
        if let Some(cover) = kept(&path).await {
            return Ok(Some(cover));
        }
        let fetch = || async {
            match kept(&path).await {
                Some(cover) => Ok(cover),
                None => self.fetch(track, url, &path, asks_on).await,
            }
        };
        // Separate from requests that may wait for the asking node.
        let flight = (path.clone(), asks_on);
        self.fetching.run(flight, fetch).await.map(Some)
    }

    /// A song's cover, if it is kept.
    pub async fn kept(&self, track: &Track) -> Option<Cover> {
        kept(&self.path(track)?).await
    }

    async fn fetch(
        &self,
        track: &Track,
        url: &str,
        path: &Path,
        asks_on: bool,
    ) -> Result<Cover, Failure> {
        let failed = |why: String| {
            let sentence = format!("the cover is not available: {why}");
            Failure::new(Kind::OriginFailed, sentence)
        };
        let slot = tokio::time::timeout(TURN_WITHIN, self.slots.acquire()).await;
        let _slot = slot
            .map_err(|_| failed("too many others are being fetched; try again later".to_owned()))?;
        let fetching = self.client.cover(track.id.site(), url, MAX_COVER_BYTES);
        let bytes = match fetching.await {
            Ok(fetched) => bytes::Bytes::from(fetched.bytes),
            Err(error) if !asks_on => return Err(failed(error.to_string())),
            Err(error) => {
                let elsewhere = self.peers.cover(&track.id, MAX_COVER_BYTES).await;
                elsewhere.ok_or_else(|| failed(error.to_string()))?
            }
        };
        let no_picture = || failed("the site sent no picture; try again later".to_owned());
        let content_type = picture_type(&bytes).ok_or_else(no_picture)?;
        // If a cover cannot be stored, it is fetched again.
        let _ = keep(path, &bytes).await;
        Ok(Cover {
            content_type,
            bytes,
        })
    }

    /// Where the song's cover is kept; `None` if it has none.
    fn path(&self, track: &Track) -> Option<PathBuf> {
        let name = file_name(track.cover_url.as_deref()?);
        Some(self.folder.join(track.id.site().as_str()).join(name))
    }

    /// Removes the oldest covers if there are too many; they are fetched again when a client asks.
    pub async fn sweep(&self) {
        let folder = self.folder.clone();
        let swept = tokio::task::spawn_blocking(move || sweep(&folder, MAX_KEPT_BYTES)).await;
        if let Ok(Err(error)) = swept {
            tracing::warn!(%error, "old covers could not be removed");
        }
    }
}

async fn kept(path: &Path) -> Option<Cover> {
    let bytes = tokio::fs::read(path).await.ok()?;
    Some(Cover {
        content_type: picture_type(&bytes)?,
        bytes: bytes.into(),
    })
}

async fn keep(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let new = path.with_extension("new");
    tokio::fs::write(&new, bytes).await?;
    tokio::fs::rename(&new, path).await
}

/// Removes the oldest files until the others have at most `max_bytes`; returns how many it removed.
fn sweep(folder: &Path, max_bytes: u64) -> std::io::Result<usize> {
    let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    // No client has asked for a cover yet: no folder.
    for site in std::fs::read_dir(folder).into_iter().flatten() {
        for file in std::fs::read_dir(site?.path())? {
            let file = file?;
            let about = file.metadata()?;
            files.push((about.modified()?, about.len(), file.path()));
        }
    }
    let mut held: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    files.sort();
    let mut gone = 0;
    for (_, bytes, path) in files {
        if held <= max_bytes {
            break;
        }
        std::fs::remove_file(path)?;
        held -= bytes;
        gone += 1;
    }
    Ok(gone)
}

/// The songs of an album share one file; a changed cover has another URL, and so another file.
fn file_name(url: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, url.as_bytes());
    let (name, _) = hash.as_ref().split_at(16);
    hex::encode(name)
}

/// The type, from the picture itself: sites name PNGs `.jpg`. `None` for a web page with an error, and for pictures
/// that can contain a script.
fn picture_type(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [0xff, 0xd8, ..] => "image/jpeg",
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => "image/webp",
        [b'G', b'I', b'F', ..] => "image/gif",
        [
            _,
            _,
            _,
            _,
            b'f',
            b't',
            b'y',
            b'p',
            b'a',
            b'v',
            b'i',
            b'f',
            ..,
        ] => "image/avif",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::sweep;

    #[test]
    fn the_oldest_covers_leave_when_there_are_too_many() {
        let folder = std::env::temp_dir().join(format!("kmds-covers-{}", std::process::id()));
        assert_eq!(sweep(&folder, 0).expect("no client asked for one yet"), 0);
        let now = SystemTime::now();
        for (name, age_seconds) in [
            ("bandcamp/new", 10),
            ("youtube/old", 30),
            ("youtube/older", 40),
            ("bandcamp/oldest", 50),
        ] {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().expect("a site")).expect("a folder");
            std::fs::write(&path, [0; 100]).expect("written");
            let file = std::fs::File::options()
                .write(true)
                .open(&path)
                .expect("a file");
            file.set_modified(now - Duration::from_secs(age_seconds))
                .expect("aged");
        }
        assert_eq!(sweep(&folder, 400).expect("swept"), 0, "all of them fit");
        assert_eq!(sweep(&folder, 299).expect("swept"), 2);
        let there = |name: &str| folder.join(name).exists();
        let left = [
            "bandcamp/new",
            "youtube/old",
            "youtube/older",
            "bandcamp/oldest",
        ]
        .map(there);
        std::fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(left, [true, true, false, false]);
    }
}
