//! HLS segments side by side, handed on in order as one file (SoundCloud field notes, 9).
//!
//! Owns which pieces are in flight, their order, and the byte offset after each finished piece, where a later download
//! may resume. [`fetch`] asks for a piece and checks it. No task is spawned: the pieces in flight are futures of
//! [`Hls`], and end with it.

mod fetch;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use kmds_extract::hls::{MediaPlaylist, Resource};
use kmds_extract::{Recipes, Stream};
use serde::{Deserialize, Serialize};

use super::error::DownloadError;
use super::kept::Kept;
use crate::origin::Client;

use fetch::Fetcher;

type Fetching = Pin<Box<dyn Future<Output = Result<Bytes, DownloadError>> + Send>>;

/// Facts of the playlist that must be equal for finished pieces to be kept, and where the pieces end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PlaylistMark {
    pieces: usize,
    durations: u64,
    /// Offset behind each finished piece, in order.
    ends: Vec<u64>,
}

pub(super) struct Hls {
    fetcher: Arc<Fetcher>,
    pieces: Vec<Resource>,
    at_once: usize,
    in_flight: FuturesOrdered<Fetching>,
    /// The next piece to put in flight.
    upcoming: usize,
    mark: PlaylistMark,
    start: u64,
}

impl std::fmt::Debug for Hls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hls")
            .field("pieces", &self.pieces.len())
            .field("finished", &self.mark.ends.len())
            .finish()
    }
}

impl Hls {
    pub(super) async fn open(
        stream: &Stream,
        url: &str,
        kept: Option<&Kept>,
        client: &Client,
        recipes: &Recipes,
    ) -> Result<Self, DownloadError> {
        let mut fetcher = Fetcher::new(stream, client, recipes);
        let playlist = fetcher.playlist(url).await?;
        let mut mark = PlaylistMark {
            durations: fingerprint(&playlist),
            pieces: 0,
            ends: Vec::new(),
        };
        fetcher.fill_in = playlist.init.is_some().then(|| playlist.duration());
        let pieces: Vec<Resource> = playlist
            .init
            .into_iter()
            .chain(playlist.segments.into_iter().map(|segment| segment.at))
            .collect();
        mark.pieces = pieces.len();
        if let Some(kept) = kept {
            mark.ends = reusable(kept, &mark);
        }
        let start = mark.ends.last().copied().unwrap_or_default();
        Ok(Self {
            fetcher: Arc::new(fetcher),
            at_once: recipes.soundcloud.segments_at_once.max(1),
            in_flight: FuturesOrdered::new(),
            upcoming: mark.ends.len(),
            pieces,
            mark,
            start,
        })
    }

    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn total(&self) -> Option<u64> {
        self.is_whole().then(|| self.finished_bytes())
    }

    pub(super) fn mark(&self) -> String {
        serde_json::to_string(&self.mark).unwrap_or_default()
    }

    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, DownloadError> {
        if self.is_whole() {
            return Ok(None);
        }
        while self.in_flight.len() < self.at_once
            && let Some(piece) = self.pieces.get(self.upcoming)
        {
            let (fetcher, piece, place) = (Arc::clone(&self.fetcher), piece.clone(), self.upcoming);
            self.in_flight
                .push_back(Box::pin(async move { fetcher.piece(piece, place).await }));
            self.upcoming += 1;
        }
        match self.in_flight.next().await {
            Some(Ok(bytes)) => {
                self.mark
                    .ends
                    .push(self.finished_bytes() + bytes.len() as u64);
                Ok(Some(bytes))
            }
            Some(Err(error)) => {
                // If the download continues, the pieces after it are requested again.
                self.in_flight = FuturesOrdered::new();
                self.upcoming = self.mark.ends.len();
                Err(error)
            }
            None => Ok(None),
        }
    }

    fn is_whole(&self) -> bool {
        self.mark.ends.len() == self.pieces.len()
    }

    fn finished_bytes(&self) -> u64 {
        self.mark.ends.last().copied().unwrap_or_default()
    }
}

/// The ends of finished pieces within the kept bytes, if they are pieces of the same playlist.
fn reusable(kept: &Kept, now: &PlaylistMark) -> Vec<u64> {
    let Some(then) = kept
        .mark
        .as_deref()
        .and_then(|mark| serde_json::from_str::<PlaylistMark>(mark).ok())
    else {
        return Vec::new();
    };
    let ordered = then.ends.is_sorted() && then.ends.len() <= now.pieces;
    if !ordered || then.pieces != now.pieces || then.durations != now.durations {
        return Vec::new();
    }
    then.ends
        .into_iter()
        .take_while(|&end| end <= kept.bytes)
        .collect()
}

/// FNV-1a over the segments' lengths in milliseconds: stable between versions, unlike the standard library's hash.
fn fingerprint(playlist: &MediaPlaylist) -> u64 {
    let lengths = playlist
        .segments
        .iter()
        .flat_map(|segment| segment.duration.as_millis().to_le_bytes());
    let ranges = u8::from(playlist.init.is_some());
    lengths
        .chain([ranges])
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kmds_extract::hls::Segment;

    use super::*;

    fn playlist(seconds: &[u64]) -> MediaPlaylist {
        let at = |place: usize| Resource {
            url: format!("https://cf-hls-media.sndcdn.com/{place}"),
            range: None,
        };
        let segments = seconds.iter().enumerate().map(|(place, &seconds)| Segment {
            at: at(place),
            duration: Duration::from_secs(seconds),
        });
        MediaPlaylist {
            init: None,
            segments: segments.collect(),
        }
    }

    fn mark(seconds: &[u64], ends: &[u64]) -> PlaylistMark {
        PlaylistMark {
            pieces: seconds.len(),
            durations: fingerprint(&playlist(seconds)),
            ends: ends.to_vec(),
        }
    }

    fn kept(bytes: u64, mark: &PlaylistMark) -> Kept {
        Kept {
            bytes,
            mark: serde_json::to_string(mark).ok(),
        }
    }

    #[test]
    fn a_download_goes_on_at_the_last_finished_segment_that_was_kept() {
        let now = mark(&[10, 10, 5], &[]);
        let then = mark(&[10, 10, 5], &[100, 200]);
        for (bytes, ends) in [
            (250, vec![100, 200]),
            (200, vec![100, 200]),
            (199, vec![100]),
            (99, vec![]),
        ] {
            assert_eq!(
                reusable(&kept(bytes, &then), &now),
                ends,
                "{bytes} bytes kept"
            );
        }
    }

    #[test]
    fn another_playlist_or_a_strange_mark_starts_from_the_beginning() {
        let now = mark(&[10, 10, 5], &[]);
        for then in [
            mark(&[10, 10, 6], &[100]),
            mark(&[10, 10], &[100]),
            mark(&[10, 10, 5], &[100, 50]),
            mark(&[10, 10, 5], &[1, 2, 3, 4]),
        ] {
            assert_eq!(
                reusable(&kept(1000, &then), &now),
                Vec::<u64>::new(),
                "{then:?}"
            );
        }
        for strange in [None, Some(String::new()), Some("{\"total\":5}".to_owned())] {
            assert_eq!(
                reusable(
                    &Kept {
                        bytes: 1000,
                        mark: strange
                    },
                    &now
                ),
                Vec::<u64>::new()
            );
        }
    }
}
