//! HLS segments side by side, handed on in order as one file (SoundCloud field notes, 9).
//!
//! Owns the playlist, the pieces in flight, the check of each on arrival, and the byte offset after each finished piece,
//! where a later download may resume. The durations of an MP4 are written into its first piece before it is handed on,
//! so that the bytes that were streamed are those that are published. Nothing is decoded.

use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use kmds_extract::hls::{HlsError, MediaPlaylist, Resource};
use kmds_extract::recipes::Times;
use kmds_extract::{Container, Recipes, Site, Stream};
use serde::{Deserialize, Serialize};

use super::Kept;
use super::error::DownloadError;
use super::retry::{Setback, Tries, refusal, setback};
use crate::media;
use crate::origin::{Client, ContentRange, MediaAnswer, MediaAsk};

/// A playlist is some 200 bytes a segment: enough for two days of audio.
const PLAYLIST_BYTES: usize = 4 << 20;
/// Usual segments have 160 to 200 KB; this is ten minutes of 256 kbit/s in one.
const SEGMENT_BYTES: usize = 20 << 20;

type Fetching = Pin<Box<dyn Future<Output = Result<Bytes, DownloadError>> + Send>>;

/// Facts of the playlist that must be equal for finished pieces to be kept, and where the pieces end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
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
    mark: Mark,
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
        let mut fetcher = Fetcher {
            client: client.clone(),
            site: stream.site,
            headers: stream.headers.clone(),
            container: stream.container,
            times: recipes.time.clone(),
            patch: None,
        };
        let playlist = fetcher.playlist(url).await?;
        let mut mark = Mark {
            durations: fingerprint(&playlist),
            pieces: 0,
            ends: Vec::new(),
        };
        fetcher.patch = playlist.init.is_some().then(|| playlist.duration());
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
                // The pieces after it are asked for again if the download goes on.
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
fn reusable(kept: &Kept, now: &Mark) -> Vec<u64> {
    let Some(then) = kept
        .mark
        .as_deref()
        .and_then(|mark| serde_json::from_str::<Mark>(mark).ok())
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

/// Fetches one piece at a time, whole and checked.
struct Fetcher {
    client: Client,
    site: Site,
    headers: Vec<(&'static str, String)>,
    container: Container,
    times: Times,
    /// Length of the audio where the first piece carries durations to fill in.
    patch: Option<std::time::Duration>,
}

/// Why one request brought no piece.
enum Failed {
    TryAgain(Setback),
    Final(DownloadError),
}

impl From<DownloadError> for Failed {
    fn from(error: DownloadError) -> Self {
        Self::Final(error)
    }
}

impl Fetcher {
    async fn playlist(&self, url: &str) -> Result<MediaPlaylist, DownloadError> {
        let mut tries = Tries::new(&self.client, self.site, &self.times);
        loop {
            let resource = Resource {
                url: url.to_owned(),
                range: None,
            };
            let failed = match self.request(&resource, PLAYLIST_BYTES).await {
                Ok((text, base)) => match self.read_playlist(&text, &base) {
                    Ok(playlist) => return Ok(playlist),
                    Err(failed) => failed,
                },
                Err(failed) => failed,
            };
            match failed {
                Failed::TryAgain(setback) => tries.again(setback).await?,
                Failed::Final(error) => return Err(error),
            }
        }
    }

    fn read_playlist(&self, text: &[u8], base: &str) -> Result<MediaPlaylist, Failed> {
        let site = self.site;
        MediaPlaylist::parse(&String::from_utf8_lossy(text), base).map_err(|error| {
            let found = media::sniff(text.get(..media::SNIFF_BYTES).unwrap_or(text));
            match error {
                HlsError::NotAPlaylist if found != media::Sniffed::Playlist => {
                    DownloadError::NotAudio {
                        site,
                        found: super::named(found),
                    }
                    .into()
                }
                // Cut on its way, or a song that is not done yet: the next answer may be whole.
                HlsError::Unfinished => {
                    Failed::TryAgain(Setback::Unusable(DownloadError::Playlist {
                        site,
                        why: error.to_string(),
                    }))
                }
                other => DownloadError::Playlist {
                    site,
                    why: other.to_string(),
                }
                .into(),
            }
        })
    }

    async fn piece(&self, at: Resource, place: usize) -> Result<Bytes, DownloadError> {
        let mut tries = Tries::new(&self.client, self.site, &self.times);
        loop {
            let got = match self.request(&at, SEGMENT_BYTES).await {
                Ok((bytes, _)) => self.check(bytes, place),
                Err(failed) => Err(failed),
            };
            match got {
                Ok(bytes) => return Ok(bytes),
                Err(Failed::TryAgain(setback)) => tries.again(setback).await?,
                Err(Failed::Final(error)) => return Err(error),
            }
        }
    }

    fn check(&self, bytes: Bytes, place: usize) -> Result<Bytes, Failed> {
        let site = self.site;
        if let Err(broken) = media::check_segment(self.container, &bytes) {
            let error = DownloadError::NotAudio {
                site,
                found: format!("a broken segment ({broken})"),
            };
            return Err(Failed::TryAgain(Setback::Unusable(error)));
        }
        if self.container == Container::Ogg && place > 0 && begins_a_stream(&bytes) {
            return Err(DownloadError::Playlist {
                site,
                why: "its segments are Ogg streams of their own".to_owned(),
            }
            .into());
        }
        match self.patch {
            Some(duration) if place == 0 && self.container == Container::Mp4 => {
                media::mp4::patch_durations(&bytes, duration)
                    .map(Bytes::from)
                    .map_err(|broken| {
                        DownloadError::Wrong {
                            site,
                            what: format!("a first segment without its header ({broken})"),
                        }
                        .into()
                    })
            }
            _ => Ok(bytes),
        }
    }

    /// One request, its body whole, and the URL that answered.
    async fn request(&self, at: &Resource, limit: usize) -> Result<(Bytes, String), Failed> {
        let range = at
            .range
            .map(|(first, length)| (first, Some(first.saturating_add(length.max(1) - 1))));
        let ask = MediaAsk {
            range,
            if_range: None,
            headers: self.headers.clone(),
        };
        let answer = self.client.media(self.site, &at.url, &ask).await;
        let mut answer = answer.map_err(|error| self.failure(error))?;
        if !matches!(answer.status, 200 | 206) {
            return Err(match answer.status {
                416 => Failed::Final(DownloadError::Changed { site: self.site }),
                status => refusal(self.site, status, answer.retry_after)
                    .map_or_else(Failed::Final, Failed::TryAgain),
            });
        }
        let whole = self.read_body(&mut answer, limit).await?;
        let base = answer.final_url.signed().to_owned();
        Ok((self.part(whole, &answer, range)?, base))
    }

    async fn read_body(&self, answer: &mut MediaAnswer, limit: usize) -> Result<Bytes, Failed> {
        let site = self.site;
        let too_large = || {
            Failed::Final(DownloadError::Wrong {
                site,
                what: "a segment of senseless size".to_owned(),
            })
        };
        let announced =
            usize::try_from(answer.content_length.unwrap_or_default()).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_large());
        }
        let mut body = BytesMut::with_capacity(announced);
        while let Some(chunk) = answer
            .body
            .next()
            .await
            .map_err(|error| self.failure(error))?
        {
            if body.len() + chunk.len() > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        if body.is_empty() {
            return Err(Failed::TryAgain(Setback::Unusable(DownloadError::Empty {
                site,
            })));
        }
        Ok(body.freeze())
    }

    /// The wanted part of an answer: all of it, or the range out of a whole file where the server ignored the range.
    fn part(
        &self,
        body: Bytes,
        answer: &MediaAnswer,
        range: Option<(u64, Option<u64>)>,
    ) -> Result<Bytes, Failed> {
        let cut = || Failed::TryAgain(Setback::Interrupted("a segment was cut".to_owned()));
        let wrong = |what: &str| DownloadError::Wrong {
            site: self.site,
            what: what.to_owned(),
        };
        match (answer.status, range, answer.content_range) {
            (200, Some((first, Some(last))), _) => {
                let first = usize::try_from(first).map_err(|_| cut())?;
                let end = usize::try_from(last).map_err(|_| cut())?.saturating_add(1);
                if body.len() < end {
                    Err(cut())
                } else {
                    Ok(body.slice(first..end))
                }
            }
            (206, range, Some(ContentRange { start, end, total })) => {
                let (first, last) = range.unwrap_or((0, total.map(|total| total - 1)));
                if start != first || last.is_some_and(|last| end != last) {
                    return Err(wrong("another part of a segment than was asked for").into());
                }
                if body.len() as u64 == end - start + 1 {
                    Ok(body)
                } else {
                    Err(cut())
                }
            }
            (206, _, None) => Err(wrong("a part of a segment that does not say which").into()),
            _ => Ok(body),
        }
    }

    fn failure(&self, error: crate::origin::MediaError) -> Failed {
        setback(self.site, error).map_or_else(Failed::Final, Failed::TryAgain)
    }
}

/// A page that begins a logical stream, with an Opus or Vorbis head in it: a player would stop before it.
fn begins_a_stream(bytes: &[u8]) -> bool {
    let head = bytes.get(..64).unwrap_or(bytes);
    let has = |word: &[u8]| head.windows(word.len()).any(|window| window == word);
    head.starts_with(b"OggS") && (has(b"OpusHead") || has(b"\x01vorbis"))
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

    fn mark(seconds: &[u64], ends: &[u64]) -> Mark {
        Mark {
            pieces: seconds.len(),
            durations: fingerprint(&playlist(seconds)),
            ends: ends.to_vec(),
        }
    }

    fn kept(bytes: u64, mark: &Mark) -> Kept {
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

    #[test]
    fn a_second_ogg_head_is_seen_and_audio_pages_are_not() {
        let mut head = b"OggS\0\x02".to_vec();
        head.extend([0; 22]);
        head.extend(b"OpusHead");
        assert!(begins_a_stream(&head));
        let mut page = b"OggS\0\0".to_vec();
        page.extend([7; 200]);
        assert!(!begins_a_stream(&page));
        assert!(!begins_a_stream(b""));
    }
}
