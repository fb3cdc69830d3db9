//! m3u8 text → media playlist of segments (RFC 8216).
//!
//! Owns the tags that matter for joining one finished audio stream: initialisation part, segments, byte ranges, lengths.
//! Hides attribute lists, relative URLs and line ends. Refuses what cannot be joined: a master playlist, encryption, a
//! stream that still grows, a URL without TLS. Never fetches, and never checks hosts: the origin client does.

use std::time::Duration;

use url::Url;

/// More than two days of 10 s segments is no song.
const MAX_SEGMENTS: usize = 20_000;
/// The longest segment believed, in seconds; sites use about 10.
const MAX_SEGMENT_SECONDS: f64 = 3_600.0;

/// A finished (VOD) media playlist, every URL absolute.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaPlaylist {
    /// `#EXT-X-MAP`: fetched once, before the first segment.
    pub init: Option<Resource>,
    /// In order, at least one.
    pub segments: Vec<Segment>,
}

/// The URL is signed: only its scheme, host and path are printed.
#[derive(Clone, PartialEq)]
pub struct Resource {
    pub url: String,
    /// `#EXT-X-BYTERANGE`: first byte and length.
    pub range: Option<(u64, u64)>,
}

impl std::fmt::Debug for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.url.split('?').next().unwrap_or_default();
        f.debug_struct("Resource").field("url", &shown).field("range", &self.range).finish()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    pub at: Resource,
    pub duration: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HlsError {
    #[error("not a playlist")]
    NotAPlaylist,
    #[error("a master playlist where a media playlist was expected")]
    Master,
    #[error("encrypted")]
    Encrypted,
    #[error("not finished: no end mark")]
    Unfinished,
    #[error("line {0} is broken")]
    Line(usize),
}

impl MediaPlaylist {
    /// Reads a playlist that was served from `base`.
    /// # Errors
    /// See [`HlsError`].
    pub fn parse(text: &str, base: &str) -> Result<Self, HlsError> {
        let base = Url::parse(base).map_err(|_| HlsError::NotAPlaylist)?;
        let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().map(str::trim).enumerate();
        if !lines.next().is_some_and(|(_, first)| first == "#EXTM3U" || first.starts_with("#EXTM3U ")) {
            return Err(HlsError::NotAPlaylist);
        }
        let mut reader = Reader::new(base);
        for (index, line) in lines.filter(|(_, line)| !line.is_empty()) {
            reader.line(line).map_err(|problem| problem.unwrap_or(HlsError::Line(index + 1)))?;
        }
        if !reader.ended {
            return Err(HlsError::Unfinished);
        }
        if reader.segments.is_empty() {
            return Err(HlsError::NotAPlaylist);
        }
        Ok(Self { init: reader.init, segments: reader.segments })
    }

    #[must_use]
    pub fn duration(&self) -> Duration {
        self.segments.iter().map(|segment| segment.duration).sum()
    }
}

/// What has been read so far; `None` as an error stands for the line at hand.
struct Reader {
    base: Url,
    init: Option<Resource>,
    segments: Vec<Segment>,
    /// `#EXTINF` of the segment to come.
    length: Option<Duration>,
    /// `#EXT-X-BYTERANGE` of the segment to come: length, and the first byte where it is named.
    range: Option<(u64, Option<u64>)>,
    ended: bool,
}

type Step = Result<(), Option<HlsError>>;

impl Reader {
    const fn new(base: Url) -> Self {
        Self { base, init: None, segments: Vec::new(), length: None, range: None, ended: false }
    }

    fn line(&mut self, line: &str) -> Step {
        let Some(tag) = line.strip_prefix("#EXT") else {
            return if line.starts_with('#') { Ok(()) } else { self.segment(line) };
        };
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        match name {
            "INF" => self.length = Some(seconds(value).ok_or(None)?),
            "-X-BYTERANGE" => self.range = Some(byte_range(value).ok_or(None)?),
            "-X-MAP" => self.map(value)?,
            "-X-KEY" if attribute(value, "METHOD").as_deref() != Some("NONE") => return Err(Some(HlsError::Encrypted)),
            "-X-ENDLIST" => self.ended = true,
            "-X-STREAM-INF" | "-X-I-FRAME-STREAM-INF" | "-X-MEDIA" | "-X-SESSION-KEY" => {
                return Err(Some(HlsError::Master));
            }
            "-X-VERSION" if value.trim().parse::<u32>().is_err() => return Err(None),
            // Pieces that are not there, or not whole: what is joined from them is no song.
            "-X-GAP" | "-X-I-FRAMES-ONLY" => return Err(None),
            _ => {}
        }
        Ok(())
    }

    fn map(&mut self, attributes: &str) -> Step {
        let url = self.absolute(&attribute(attributes, "URI").ok_or(None)?)?;
        let range = match attribute(attributes, "BYTERANGE") {
            Some(text) => {
                let (length, first) = byte_range(&text).ok_or(None)?;
                Some((first.unwrap_or(0), length))
            }
            None => None,
        };
        let map = Resource { url, range };
        // One initialisation part fits one file; a repeated one is the same part.
        if self.init.as_ref().is_some_and(|have| *have != map) || (self.init.is_none() && !self.segments.is_empty()) {
            return Err(None);
        }
        self.init = Some(map);
        Ok(())
    }

    fn segment(&mut self, line: &str) -> Step {
        let duration = self.length.take().ok_or(None)?;
        if self.segments.len() >= MAX_SEGMENTS {
            return Err(None);
        }
        let url = self.absolute(line)?;
        let range = match self.range.take() {
            Some((length, Some(first))) => Some((first, length)),
            Some((length, None)) => {
                // Goes on where the segment before ended, which must be of the same resource (RFC 8216, 4.3.2.2).
                let before = self.segments.last().filter(|before| before.at.url == url).and_then(|b| b.at.range);
                let (first, done) = before.ok_or(None)?;
                Some((first.checked_add(done).ok_or(None)?, length))
            }
            None => None,
        };
        if range.is_some_and(|(first, length)| first.checked_add(length).is_none()) {
            return Err(None);
        }
        self.segments.push(Segment { at: Resource { url, range }, duration });
        Ok(())
    }

    fn absolute(&self, reference: &str) -> Result<String, Option<HlsError>> {
        let url = self.base.join(reference).map_err(|_| None)?;
        if url.scheme() == "https" && url.has_host() { Ok(url.into()) } else { Err(None) }
    }
}

/// `10.0078,title`.
fn seconds(value: &str) -> Option<Duration> {
    let number: f64 = value.split(',').next()?.trim().parse().ok()?;
    (0.0..=MAX_SEGMENT_SECONDS).contains(&number).then(|| Duration::try_from_secs_f64(number).ok()).flatten()
}

/// `length[@first]`; a length of nothing is broken.
fn byte_range(value: &str) -> Option<(u64, Option<u64>)> {
    let value = value.trim();
    let (length, first) = match value.split_once('@') {
        Some((length, first)) => (length, Some(first.parse().ok()?)),
        None => (value, None),
    };
    Some((length.parse().ok().filter(|length| *length > 0)?, first))
}

/// The value of one attribute, without its quotes. Commas inside quotes belong to the value.
fn attribute(list: &str, wanted: &str) -> Option<String> {
    let mut rest = list;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, tail) = quoted.split_once('"')?;
                (value, tail.strip_prefix(',').unwrap_or(tail))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if name.trim() == wanted {
            return Some(value.trim().to_owned());
        }
        rest = tail;
    }
}
