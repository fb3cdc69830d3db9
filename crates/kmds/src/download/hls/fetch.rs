//! Fetches one playlist or piece of an HLS stream, with retries, and checks that it is whole.
//!
//! Owns the requests, the size limit of an answer, and the checks of a piece. The durations of an MP4 are written into
//! its first piece here, before a listener gets it, so that listeners get the same bytes that are published. Nothing is
//! decoded.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kmds_extract::hls::{HlsError, MediaPlaylist, Resource};
use kmds_extract::recipes::Times;
use kmds_extract::{Container, Recipes, Site, Stream};

use super::super::error::DownloadError;
use super::super::retry::{Setback, Tries, refusal, setback};
use crate::media;
use crate::origin::{Client, ContentRange, MediaAnswer, MediaAsk, MediaError};

/// A playlist is some 200 bytes a segment: enough for two days of audio.
const PLAYLIST_BYTES: usize = 4 << 20;
/// Usual segments have 160 to 200 KB; this is ten minutes of 256 kbit/s in one.
const SEGMENT_BYTES: usize = 20 << 20;

/// Fetches one piece at a time, whole and checked.
pub(super) struct Fetcher {
    client: Client,
    site: Site,
    headers: Vec<(&'static str, String)>,
    container: Container,
    times: Times,
    /// Length of the audio, if durations must be written into the first piece.
    pub(super) fill_in: Option<Duration>,
}

/// Why one request brought no piece.
enum FetchError {
    TryAgain(Setback),
    Final(DownloadError),
}

impl From<DownloadError> for FetchError {
    fn from(error: DownloadError) -> Self {
        Self::Final(error)
    }
}

impl Fetcher {
    pub(super) fn new(stream: &Stream, client: &Client, recipes: &Recipes) -> Self {
        Self {
            client: client.clone(),
            site: stream.site,
            headers: stream.headers.clone(),
            container: stream.container,
            times: recipes.time.clone(),
            fill_in: None,
        }
    }

    /// The playlist, whole.
    pub(super) async fn playlist(&self, url: &str) -> Result<MediaPlaylist, DownloadError> {
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
                FetchError::TryAgain(setback) => tries.again(setback).await?,
                FetchError::Final(error) => return Err(error),
            }
        }
    }

    fn read_playlist(&self, text: &[u8], base: &str) -> Result<MediaPlaylist, FetchError> {
        let site = self.site;
        MediaPlaylist::parse(&String::from_utf8_lossy(text), base).map_err(|error| {
            let found = media::sniff(text.get(..media::SNIFF_BYTES).unwrap_or(text));
            match error {
                HlsError::NotAPlaylist if found != media::Sniffed::Playlist => {
                    DownloadError::no_audio(site, found).into()
                }
                // The answer was cut, or the song is not complete yet: the next answer may be whole.
                HlsError::Unfinished => unusable(DownloadError::Playlist {
                    site,
                    why: error.to_string(),
                }),
                other => DownloadError::Playlist {
                    site,
                    why: other.to_string(),
                }
                .into(),
            }
        })
    }

    /// The piece at `place`, whole and checked; the first one with its durations.
    pub(super) async fn piece(&self, at: Resource, place: usize) -> Result<Bytes, DownloadError> {
        let mut tries = Tries::new(&self.client, self.site, &self.times);
        loop {
            let got = match self.request(&at, SEGMENT_BYTES).await {
                Ok((bytes, _)) => self.check(bytes, place),
                Err(failed) => Err(failed),
            };
            match got {
                Ok(bytes) => return Ok(bytes),
                Err(FetchError::TryAgain(setback)) => tries.again(setback).await?,
                Err(FetchError::Final(error)) => return Err(error),
            }
        }
    }

    fn check(&self, bytes: Bytes, place: usize) -> Result<Bytes, FetchError> {
        let site = self.site;
        if let Err(broken) = media::check_segment(self.container, &bytes) {
            let error = DownloadError::NotAudio {
                site,
                found: format!("a broken segment ({broken})"),
            };
            return Err(unusable(error));
        }
        if self.container == Container::Ogg && place > 0 && begins_a_stream(&bytes) {
            return Err(DownloadError::Playlist {
                site,
                why: "its segments are Ogg streams of their own".to_owned(),
            }
            .into());
        }
        match self.fill_in {
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
    async fn request(&self, at: &Resource, limit: usize) -> Result<(Bytes, String), FetchError> {
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
                416 => unusable(DownloadError::Changed { site: self.site }),
                status => refusal(self.site, status, answer.retry_after)
                    .map_or_else(FetchError::Final, FetchError::TryAgain),
            });
        }
        let whole = self.read_body(&mut answer, limit).await?;
        let base = answer.final_url.signed().to_owned();
        Ok((self.part(whole, &answer, range)?, base))
    }

    async fn read_body(&self, answer: &mut MediaAnswer, limit: usize) -> Result<Bytes, FetchError> {
        let site = self.site;
        let too_large = || {
            FetchError::Final(DownloadError::Wrong {
                site,
                what: "a segment of an impossible size".to_owned(),
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
            return Err(unusable(DownloadError::Empty { site }));
        }
        Ok(body.freeze())
    }

    /// The requested part of an answer: all of it, or the range of a whole file if the server ignored the range.
    fn part(
        &self,
        body: Bytes,
        answer: &MediaAnswer,
        range: Option<(u64, Option<u64>)>,
    ) -> Result<Bytes, FetchError> {
        let cut = || FetchError::TryAgain(Setback::Interrupted("a segment was cut".to_owned()));
        let wrong = |what: &str| {
            unusable(DownloadError::Wrong {
                site: self.site,
                what: what.to_owned(),
            })
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
                    return Err(wrong("another part of a segment than the requested one"));
                }
                if body.len() as u64 == end - start + 1 {
                    Ok(body)
                } else {
                    Err(cut())
                }
            }
            (206, _, None) => Err(wrong("a part of a segment that does not say which")),
            _ => Ok(body),
        }
    }

    fn failure(&self, error: MediaError) -> FetchError {
        setback(self.site, error).map_or_else(FetchError::Final, FetchError::TryAgain)
    }
}

/// An answer that may be right at the next try.
const fn unusable(error: DownloadError) -> FetchError {
    FetchError::TryAgain(Setback::Unusable(error))
}

/// A page that begins a logical stream, with an Opus or Vorbis head in it: a player would stop before it.
fn begins_a_stream(bytes: &[u8]) -> bool {
    let head = bytes.get(..64).unwrap_or(bytes);
    let has = |word: &[u8]| head.windows(word.len()).any(|window| window == word);
    head.starts_with(b"OggS") && (has(b"OpusHead") || has(b"\x01vorbis"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
