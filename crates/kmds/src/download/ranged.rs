//! Progressive files: bounded ranges one after another (YouTube), or one request that is resumed (the other sites).
//!
//! Owns the offset, the known facts about the file (length, validator), and the check of every answer against both: a
//! byte is passed on only if it is the next byte of the same file.

use std::time::Instant;

use bytes::{Buf, Bytes};
use kmds_extract::stream::MOST_BYTES;
use kmds_extract::{Recipes, Site, Stream};
use serde::{Deserialize, Serialize};

use super::error::DownloadError;
use super::kept::Kept;
use super::range_size::RangeSize;
use super::retry::{Setback, Tries, refusal, setback};
use super::speed::Speed;
use crate::origin::{Client, ContentRange, MediaAnswer, MediaAsk, MediaBody};

/// What identifies the bytes of a file, beside the stream's own validator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct FileIdentity {
    total: Option<u64>,
    etag: Option<String>,
    modified: Option<String>,
}

/// How much larger a file may be than four times the product of its bitrate and duration: tags with a large cover.
const SPARE_BYTES: u64 = 16 << 20;
const SENSELESS: &str = "a file far larger than the song";

#[derive(Debug)]
pub(super) struct Ranged {
    client: Client,
    site: Site,
    url: String,
    headers: Vec<(&'static str, String)>,
    /// The target of the last redirect of a bounded range: the next ranges are requested there directly, until one
    /// fails.
    moved_to: Option<String>,
    range_size: Option<RangeSize>,
    known: FileIdentity,
    start: u64,
    /// The next byte to hand on.
    offset: u64,
    body: Option<Body>,
    /// Set when a file of unannounced length came to its end.
    ended: bool,
    /// Where an answer was met that cannot be of this file.
    odd_at: Option<u64>,
    tries: Tries,
    speed: Speed,
    /// A larger file cannot be this song.
    most_bytes: u64,
}

#[derive(Debug)]
struct Body {
    stream: MediaBody,
    /// Bytes before `offset` that a server without ranges sends again.
    skip: u64,
    /// Bytes that must still arrive, `skip` included; unknown if the length is not announced.
    left: Option<u64>,
    empty: bool,
}

/// What an answer means for the download.
enum AnswerUse {
    Use(Box<Body>),
    Whole,
    TrySmaller,
    TryAgain(Setback),
}

impl Ranged {
    /// Asks for the first answer, so that length and start are known.
    pub(super) async fn open(
        stream: &Stream,
        url: &str,
        kept: Option<&Kept>,
        client: &Client,
        recipes: &Recipes,
    ) -> Result<Self, DownloadError> {
        let site = stream.site;
        let offset = kept.map_or(0, |kept| kept.bytes);
        let mut known: FileIdentity = kept
            .and_then(|kept| kept.mark.as_deref())
            .and_then(|mark| serde_json::from_str(mark).ok())
            .unwrap_or_default();
        if stream.size_bytes.is_some() && known.total.is_some() && stream.size_bytes != known.total
        {
            return Err(DownloadError::Changed { site });
        }
        known.total = stream.size_bytes.or(known.total);
        if known.total.is_some_and(|total| offset > total) {
            return Err(DownloadError::Changed { site });
        }
        let mut ranged = Self {
            client: client.clone(),
            site,
            url: url.to_owned(),
            headers: stream.headers.clone(),
            moved_to: None,
            range_size: stream
                .bounded_ranges
                .then(|| RangeSize::new(&recipes.youtube)),
            known,
            start: offset,
            offset,
            body: None,
            ended: false,
            odd_at: None,
            tries: Tries::new(client, site, &recipes.time),
            speed: Speed::of(stream),
            most_bytes: stream.approximate_size().map_or(MOST_BYTES, |size| {
                size.saturating_mul(4)
                    .saturating_add(SPARE_BYTES)
                    .min(MOST_BYTES)
            }),
        };
        if !ranged.is_whole() {
            ranged.ask().await?;
        }
        Ok(ranged)
    }

    pub(super) const fn start(&self) -> u64 {
        self.start
    }

    pub(super) const fn total(&self) -> Option<u64> {
        self.known.total
    }

    pub(super) fn mark(&self) -> String {
        serde_json::to_string(&self.known).unwrap_or_default()
    }

    pub(super) const fn is_slow(&self) -> bool {
        self.speed.is_slow()
    }

    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, DownloadError> {
        loop {
            let Some(body) = &mut self.body else {
                if self.is_whole() {
                    return Ok(None);
                }
                self.ask().await?;
                continue;
            };
            let asked = Instant::now();
            match body.stream.next().await {
                Ok(Some(chunk)) => {
                    self.speed.arrived(chunk.len(), asked.elapsed());
                    if let Some(chunk) = self.take(chunk)? {
                        return Ok(Some(chunk));
                    }
                }
                Ok(None) => self.body_ended().await?,
                // All requested bytes are here; the end of the answer does not matter.
                Err(_) if body.left == Some(0) => self.body_ended().await?,
                Err(error) => {
                    let setback = setback(self.site, error)?;
                    self.again(setback).await?;
                }
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.ended || self.known.total == Some(self.offset)
    }

    /// Counts a chunk, and removes the bytes that were handed on before.
    fn take(&mut self, mut chunk: Bytes) -> Result<Option<Bytes>, DownloadError> {
        let Some(body) = &mut self.body else {
            return Ok(None);
        };
        let length = chunk.len() as u64;
        if let Some(left) = &mut body.left {
            match left.checked_sub(length) {
                Some(rest) => *left = rest,
                None => return self.wrong("more bytes than announced"),
            }
        }
        body.empty &= chunk.is_empty();
        let skipped = body.skip.min(length);
        body.skip -= skipped;
        chunk.advance(
            usize::try_from(skipped)
                .unwrap_or(usize::MAX)
                .min(chunk.len()),
        );
        if chunk.is_empty() {
            return Ok(None);
        }
        self.offset += chunk.len() as u64;
        if self.offset > self.most_bytes {
            return self.wrong(SENSELESS);
        }
        self.tries.arrived(chunk.len());
        Ok(Some(chunk))
    }

    async fn body_ended(&mut self) -> Result<(), DownloadError> {
        let Some(body) = self.body.take() else {
            return Ok(());
        };
        match body.left {
            Some(0) => {
                if let Some(range_size) = &mut self.range_size {
                    range_size.arrived();
                    self.speed.range_ended();
                }
                Ok(())
            }
            // The URL is dead: another request gets the same answer.
            _ if body.empty => Err(DownloadError::Empty { site: self.site }),
            Some(left) => {
                self.again(Setback::Interrupted(format!(
                    "the answer was cut {left} bytes before its end"
                )))
                .await
            }
            None => {
                self.ended = true;
                self.known.total = Some(self.offset);
                Ok(())
            }
        }
    }

    async fn again(&mut self, setback: Setback) -> Result<(), DownloadError> {
        self.body = None;
        self.moved_to = None;
        self.tries.again(setback).await
    }

    /// Requests the bytes at `offset` until an answer has them.
    async fn ask(&mut self) -> Result<(), DownloadError> {
        loop {
            let range = self.next_range();
            let ask = MediaAsk {
                range,
                if_range: self.version(),
                headers: self.headers.clone(),
            };
            let url = self.moved_to.as_deref().unwrap_or(&self.url);
            let outcome = match self.client.media(self.site, url, &ask).await {
                Ok(answer) => match self.read(answer, range) {
                    Ok(outcome) => outcome,
                    Err(error) => AnswerUse::TryAgain(self.odd(error)?),
                },
                Err(error) => AnswerUse::TryAgain(setback(self.site, error)?),
            };
            match outcome {
                AnswerUse::Use(body) => {
                    self.body = Some(*body);
                    return Ok(());
                }
                AnswerUse::Whole => {
                    self.ended = true;
                    return Ok(());
                }
                AnswerUse::TrySmaller => self.moved_to = None,
                AnswerUse::TryAgain(setback) => self.again(setback).await?,
            }
        }
    }

    /// In mid-file an answer that cannot be of this file is requested once more at the same byte: the bytes before it are
    /// good, and to start over would cut off all listeners. Only YouTube's URLs name the version of the file; at the
    /// other sites a changed file stays changed.
    fn odd(&mut self, error: DownloadError) -> Result<Setback, DownloadError> {
        let may_pass = match error {
            DownloadError::NotAudio { .. } | DownloadError::Wrong { .. } => true,
            DownloadError::Changed { .. } => self.range_size.is_some(),
            _ => false,
        };
        if !may_pass || self.offset == 0 || self.odd_at == Some(self.offset) {
            return Err(error);
        }
        self.odd_at = Some(self.offset);
        Ok(Setback::Unusable(error))
    }

    fn next_range(&self) -> Option<(u64, Option<u64>)> {
        match &self.range_size {
            Some(range_size) => {
                let (first, last) = range_size.range(self.offset, self.known.total);
                Some((first, Some(last)))
            }
            None if self.offset > 0 => Some((self.offset, None)),
            None => None,
        }
    }

    /// Only strong validators may stand in `If-Range` (RFC 9110 §13.1.5). YouTube's URLs name their version themselves.
    pub(super) fn version(&self) -> Option<String> {
        if self.range_size.is_some() {
            return None;
        }
        let strong = self
            .known
            .etag
            .as_ref()
            .filter(|etag| !etag.starts_with("W/"));
        strong.or(self.known.modified.as_ref()).cloned()
    }

    fn read(
        &mut self,
        answer: MediaAnswer,
        asked: Option<(u64, Option<u64>)>,
    ) -> Result<AnswerUse, DownloadError> {
        match answer.status {
            206 => self.read_part(answer, asked),
            200 => self.read_whole(answer),
            416 => self.read_unsatisfied(&answer),
            403 => {
                let length = asked
                    .and_then(|(first, last)| Some(last? - first + 1))
                    .unwrap_or_default();
                if self
                    .range_size
                    .as_mut()
                    .is_some_and(|range_size| range_size.refused(length))
                {
                    return Ok(AnswerUse::TrySmaller);
                }
                let (site, at) = (self.site, self.offset);
                let bounded = self.range_size.is_some();
                Err(if bounded {
                    DownloadError::Denied { site, at }
                } else {
                    DownloadError::Expired { site }
                })
            }
            status => refusal(self.site, status, answer.retry_after).map(AnswerUse::TryAgain),
        }
    }

    fn read_part(
        &mut self,
        answer: MediaAnswer,
        asked: Option<(u64, Option<u64>)>,
    ) -> Result<AnswerUse, DownloadError> {
        let Some(ContentRange { start, end, total }) = answer.content_range else {
            return self.wrong("a part of the file that does not say which");
        };
        let beyond_file = self
            .known
            .total
            .is_some_and(|known| total.is_none() && end >= known);
        self.sensible(total.or(Some(end)))?;
        if start != self.offset
            || beyond_file
            || asked
                .and_then(|(_, last)| last)
                .is_some_and(|last| end > last)
        {
            return self.wrong("another range than the requested one");
        }
        if answer
            .content_length
            .is_some_and(|length| length > end - start + 1)
        {
            return self.wrong("more bytes than the range has");
        }
        self.same_file(total, &answer)?;
        self.not_a_page(&answer)?;
        self.remember_file(total, &answer);
        self.moved_to =
            Some(answer.final_url.signed().to_owned()).filter(|_| self.range_size.is_some());
        Ok(AnswerUse::Use(Box::new(Body {
            stream: answer.body,
            skip: 0,
            left: Some(end - start + 1),
            empty: true,
        })))
    }

    /// The server ignored the range, or none was asked for.
    fn read_whole(&mut self, answer: MediaAnswer) -> Result<AnswerUse, DownloadError> {
        let length = answer.content_length;
        if length == Some(0) {
            return Err(DownloadError::Empty { site: self.site });
        }
        self.sensible(length)?;
        if self.offset == 0 {
            if self.range_size.is_some() && self.known.total.is_some() && length != self.known.total
            {
                self.not_a_page(&answer)?;
                return self.wrong("the file at another length than its own");
            }
            self.same_file(length, &answer)?;
            self.remember_file(length, &answer);
            return Ok(AnswerUse::Use(Box::new(Body {
                stream: answer.body,
                skip: 0,
                left: self.known.total,
                empty: true,
            })));
        }
        self.not_a_page(&answer)?;
        if self.known.total.is_none() && self.start == self.offset {
            // It is unknown whether the kept bytes are of this file: take it from its beginning.
            (self.start, self.offset) = (0, 0);
            self.known = FileIdentity::default();
            self.remember_file(length, &answer);
            return Ok(AnswerUse::Use(Box::new(Body {
                stream: answer.body,
                skip: 0,
                left: length,
                empty: true,
            })));
        }
        if self.range_size.is_some() || length.is_none() || length != self.known.total {
            return Err(DownloadError::Changed { site: self.site });
        }
        self.same_file(length, &answer)?;
        Ok(AnswerUse::Use(Box::new(Body {
            stream: answer.body,
            skip: self.offset,
            left: length,
            empty: true,
        })))
    }

    fn read_unsatisfied(&mut self, answer: &MediaAnswer) -> Result<AnswerUse, DownloadError> {
        let site = self.site;
        match answer.unsatisfied_total.or(self.known.total) {
            Some(0) => Err(DownloadError::Empty { site }),
            Some(total)
                if total == self.offset && self.known.total.is_none_or(|known| known == total) =>
            {
                self.known.total = Some(total);
                Ok(AnswerUse::Whole)
            }
            _ => Err(DownloadError::Changed { site }),
        }
    }

    /// Whether length and validators are the same as before, if both sides name them.
    fn same_file(&self, total: Option<u64>, answer: &MediaAnswer) -> Result<(), DownloadError> {
        let differs = |known: &Option<String>, new: &Option<String>| {
            known.is_some() && new.is_some() && known != new
        };
        let etag_known = self.known.etag.is_some() && answer.etag.is_some();
        let another = self.known.total.is_some() && total.is_some() && self.known.total != total
            || differs(&self.known.etag, &answer.etag)
            || (!etag_known
                && self.range_size.is_none()
                && differs(&self.known.modified, &answer.last_modified));
        if another {
            Err(DownloadError::Changed { site: self.site })
        } else {
            Ok(())
        }
    }

    fn remember_file(&mut self, total: Option<u64>, answer: &MediaAnswer) {
        self.known.total = self.known.total.or(total);
        if answer.etag.is_some() {
            self.known.etag.clone_from(&answer.etag);
        }
        if answer.last_modified.is_some() {
            self.known.modified.clone_from(&answer.last_modified);
        }
    }

    /// In the middle of a file the first bytes tell nothing; the type does.
    fn not_a_page(&self, answer: &MediaAnswer) -> Result<(), DownloadError> {
        let page = answer.content_type.as_deref().and_then(|kind| {
            let kind = kind.to_ascii_lowercase();
            ["text/html", "application/json"]
                .into_iter()
                .find(|page| kind.starts_with(page))
        });
        match page {
            Some(page) if self.offset > 0 || self.range_size.is_some() => {
                Err(DownloadError::NotAudio {
                    site: self.site,
                    found: page.to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Checks that a length is possible for this song.
    fn sensible(&self, length: Option<u64>) -> Result<(), DownloadError> {
        if length.is_some_and(|length| length > self.most_bytes) {
            self.wrong(SENSELESS)
        } else {
            Ok(())
        }
    }

    fn wrong<T>(&self, what: &str) -> Result<T, DownloadError> {
        Err(DownloadError::Wrong {
            site: self.site,
            what: what.to_owned(),
        })
    }
}
