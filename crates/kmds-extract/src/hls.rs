//! m3u8 text → media playlist of segments (RFC 8216).
//!
//! Owns the tags that matter for joining one finished audio stream: initialisation part, segments, byte ranges,
//! lengths. It refuses streams that cannot be joined: a master playlist, encryption, a stream that still grows, a URL
//! without TLS. It fetches nothing, and does not check hosts: the origin client does.

use std::time::Duration;

use url::Url;

/// More than two days of 10 s segments is no song.
const MAX_SEGMENTS: usize = 20_000;
/// The longest accepted segment, in seconds; sites use about 10.
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
        f.debug_struct("Resource")
            .field("url", &shown)
            .field("range", &self.range)
            .finish()
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
        let mut lines = text
            .strip_prefix('\u{feff}')
            .unwrap_or(text)
            .lines()
            .map(str::trim)
            .enumerate();
        if !lines
            .next()
            .is_some_and(|(_, first)| first == "#EXTM3U" || first.starts_with("#EXTM3U "))
        {
            return Err(HlsError::NotAPlaylist);
        }
        let mut reader = Reader::new(base);
        for (index, line) in lines.filter(|(_, line)| !line.is_empty()) {
            reader
                .line(line)
                .map_err(|problem| problem.unwrap_or(HlsError::Line(index + 1)))?;
        }
        if !reader.ended {
            return Err(HlsError::Unfinished);
        }
        if reader.segments.is_empty() {
            return Err(HlsError::NotAPlaylist);
        }
        Ok(Self {
            init: reader.init,
            segments: reader.segments,
        })
    }

    #[must_use]
    pub fn duration(&self) -> Duration {
        self.segments.iter().map(|segment| segment.duration).sum()
    }
}

/// The state of reading; `None` as an error stands for the current line.
struct Reader {
    base: Url,
    init: Option<Resource>,
    segments: Vec<Segment>,
    /// `#EXTINF` of the next segment.
    length: Option<Duration>,
    /// `#EXT-X-BYTERANGE` of the segment to come: length, and the first byte where it is named.
    range: Option<(u64, Option<u64>)>,
    ended: bool,
}

type Step = Result<(), Option<HlsError>>;

impl Reader {
    const fn new(base: Url) -> Self {
        Self {
            base,
            init: None,
            segments: Vec::new(),
            length: None,
            range: None,
            ended: false,
        }
    }

    fn line(&mut self, line: &str) -> Step {
        let Some(tag) = line.strip_prefix("#EXT") else {
            return if line.starts_with('#') {
                Ok(())
            } else {
                self.segment(line)
            };
        };
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        match name {
            "INF" => self.length = Some(seconds(value).ok_or(None)?),
            "-X-BYTERANGE" => self.range = Some(byte_range(value).ok_or(None)?),
            "-X-MAP" => self.map(value)?,
            "-X-KEY" if attribute(value, "METHOD").as_deref() != Some("NONE") => {
                return Err(Some(HlsError::Encrypted));
            }
            "-X-ENDLIST" => self.ended = true,
            "-X-STREAM-INF" | "-X-I-FRAME-STREAM-INF" | "-X-MEDIA" | "-X-SESSION-KEY" => {
                return Err(Some(HlsError::Master));
            }
            "-X-VERSION" if value.trim().parse::<u32>().is_err() => return Err(None),
            // Pieces that are missing or not whole: a file joined from them is not a song.
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
        if self.init.as_ref().is_some_and(|have| *have != map)
            || (self.init.is_none() && !self.segments.is_empty())
        {
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
                // Continues where the segment before ended, which must be of the same resource (RFC 8216, 4.3.2.2).
                let before = self
                    .segments
                    .last()
                    .filter(|before| before.at.url == url)
                    .and_then(|b| b.at.range);
                let (first, done) = before.ok_or(None)?;
                Some((first.checked_add(done).ok_or(None)?, length))
            }
            None => None,
        };
        if range.is_some_and(|(first, length)| first.checked_add(length).is_none()) {
            return Err(None);
        }
        self.segments.push(Segment {
            at: Resource { url, range },
            duration,
        });
        Ok(())
    }

    fn absolute(&self, reference: &str) -> Result<String, Option<HlsError>> {
        let url = self.base.join(reference).map_err(|_| None)?;
        if url.scheme() == "https" && url.has_host() {
            Ok(url.into())
        } else {
            Err(None)
        }
    }
}

/// `10.0078,title`.
fn seconds(value: &str) -> Option<Duration> {
    let number: f64 = value.split(',').next()?.trim().parse().ok()?;
    (0.0..=MAX_SEGMENT_SECONDS)
        .contains(&number)
        .then(|| Duration::try_from_secs_f64(number).ok())
        .flatten()
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: &str = "https://playback.media-streaming.soundcloud.cloud/k/aac_160k/u/playlist.m3u8?Policy=p&Signature=s";

    fn read(text: &str) -> Result<MediaPlaylist, HlsError> {
        MediaPlaylist::parse(text, BASE)
    }

    #[test]
    fn an_fmp4_playlist_gives_its_init_part_and_segments_in_order() {
        let playlist = read(concat!(
            "#EXTM3U\r\n#EXT-X-VERSION:7\r\n#EXT-X-TARGETDURATION:10\r\n#EXT-X-PLAYLIST-TYPE:VOD\r\n",
            "#EXT-X-KEY:METHOD=NONE\r\n#EXT-X-MAP:URI=\"init.mp4?a=1,2\"\r\n",
            "#EXTINF:10.007800,\r\ndata000.m4s?sig=1\r\n\r\n# a comment\r\n#EXT-X-NEVER-SEEN:1\r\n",
            "#EXTINF:2.5,title, with comma\r\nhttps://cf-hls-media.sndcdn.com/x/data001.m4s\r\n#EXT-X-ENDLIST\r\n",
        ))
        .expect("reads");
        let folder = "https://playback.media-streaming.soundcloud.cloud/k/aac_160k/u/";
        assert_eq!(
            playlist.init,
            Some(Resource {
                url: format!("{folder}init.mp4?a=1,2"),
                range: None
            })
        );
        let urls: Vec<&str> = playlist
            .segments
            .iter()
            .map(|segment| segment.at.url.as_str())
            .collect();
        assert_eq!(
            urls,
            [
                &*format!("{folder}data000.m4s?sig=1"),
                "https://cf-hls-media.sndcdn.com/x/data001.m4s"
            ]
        );
        assert_eq!(playlist.duration(), Duration::from_secs_f64(12.5078));
    }

    #[test]
    fn byte_ranges_are_named_or_go_on_where_the_last_one_ended() {
        let playlist = read(
            "#EXTM3U\n#EXT-X-MAP:URI=\"a.mp4\",BYTERANGE=\"954@0\"\n#EXT-X-BYTERANGE:100@954\n#EXTINF:10,\na.mp4\n#EXTINF:10,\n#EXT-X-BYTERANGE:50\na.mp4\n#EXT-X-ENDLIST",
        )
        .expect("reads");
        assert_eq!(playlist.init.and_then(|init| init.range), Some((0, 954)));
        let ranges: Vec<_> = playlist
            .segments
            .iter()
            .map(|segment| segment.at.range)
            .collect();
        assert_eq!(ranges, [Some((954, 100)), Some((1054, 50))]);
    }

    #[test]
    fn what_cannot_be_joined_is_refused_by_name() {
        let segment = "#EXTINF:10,\nx\n";
        let end = "#EXT-X-ENDLIST\n";
        let table = [
            (String::new(), HlsError::NotAPlaylist),
            ("<html>".to_owned(), HlsError::NotAPlaylist),
            (format!("#EXTM3U\n{end}"), HlsError::NotAPlaylist),
            (
                "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nx.m3u8\n".to_owned(),
                HlsError::Master,
            ),
            (
                "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,URI=\"x\"\n".to_owned(),
                HlsError::Master,
            ),
            (
                format!("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n{segment}{end}"),
                HlsError::Encrypted,
            ),
            (
                format!("#EXTM3U\n#EXT-X-KEY:METHOD=SAMPLE-AES-CTR\n{segment}{end}"),
                HlsError::Encrypted,
            ),
            (
                format!("#EXTM3U\n#EXT-X-KEY:\n{segment}{end}"),
                HlsError::Encrypted,
            ),
            (format!("#EXTM3U\n{segment}"), HlsError::Unfinished),
            (format!("#EXTM3U\nx\n{end}"), HlsError::Line(2)),
            (
                format!("#EXTM3U\n#EXTINF:soon,\nx\n{end}"),
                HlsError::Line(2),
            ),
            (format!("#EXTM3U\n#EXTINF:-1,\nx\n{end}"), HlsError::Line(2)),
            (
                format!("#EXTM3U\n#EXTINF:NaN,\nx\n{end}"),
                HlsError::Line(2),
            ),
            (
                format!("#EXTM3U\n#EXTINF:1e9,\nx\n{end}"),
                HlsError::Line(2),
            ),
            (
                format!("#EXTM3U\n#EXTINF:1,\nhttp://cf-hls-media.sndcdn.com/x\n{end}"),
                HlsError::Line(3),
            ),
            (
                format!("#EXTM3U\n#EXTINF:1,\nfile:///x\n{end}"),
                HlsError::Line(3),
            ),
            (
                format!("#EXTM3U\n#EXT-X-MAP:BYTERANGE=\"1@0\"\n{segment}{end}"),
                HlsError::Line(2),
            ),
            (
                format!("#EXTM3U\n#EXT-X-MAP:URI=\"a\"\n{segment}#EXT-X-MAP:URI=\"b\"\n{end}"),
                HlsError::Line(5),
            ),
            (
                format!("#EXTM3U\n#EXT-X-BYTERANGE:5\n{segment}{end}"),
                HlsError::Line(4),
            ),
            (
                format!("#EXTM3U\n#EXT-X-BYTERANGE:2@{}\n{segment}{end}", u64::MAX),
                HlsError::Line(4),
            ),
            (
                format!("#EXTM3U\n#EXT-X-BYTERANGE:0@0\n{segment}{end}"),
                HlsError::Line(2),
            ),
            (
                format!("#EXTM3U\n#EXT-X-GAP\n{segment}{end}"),
                HlsError::Line(2),
            ),
            (
                format!("#EXTM3U\n{}{end}", segment.repeat(MAX_SEGMENTS + 1)),
                HlsError::Line(2 * MAX_SEGMENTS + 3),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(
                read(&text),
                Err(expected),
                "{}",
                text.get(..80).unwrap_or(&text)
            );
        }
    }

    #[test]
    fn printing_a_playlist_hides_signatures() {
        let shown = format!(
            "{:?}",
            read("#EXTM3U\n#EXTINF:1,\nx?Signature=secret\n#EXT-X-ENDLIST")
        );
        assert!(
            shown.contains("/u/x") && !shown.contains("secret"),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "(#EXTM3U\n)?[ -~\n\u{e9}\u{0}]{0,300}", base in "(https://a\\.example/)?[ -~]{0,20}") {
            let _ = MediaPlaylist::parse(&text, &base);
        }

        #[test]
        fn reading_almost_playlists_never_panics(lines in proptest::collection::vec(
            "(#EXTINF:|#EXT-X-BYTERANGE:|#EXT-X-MAP:|#EXT-X-KEY:|#EXT-X-VERSION:|#EXT-X-ENDLIST|)[A-Z=\"@,.0-9a-z-]{0,24}", 0..30)) {
            let _ = read(&format!("#EXTM3U\n{}", lines.join("\n")));
        }

        #[test]
        fn whole_playlists_keep_every_segment_in_order(lengths in proptest::collection::vec(0.0f64..3600.0, 1..60)) {
            let mut text = String::from("#EXTM3U\n");
            for (index, length) in lengths.iter().enumerate() {
                text.push_str(&format!("#EXTINF:{length:.6},\nseg{index}\n"));
            }
            let playlist = read(&(text + "#EXT-X-ENDLIST\n")).expect("reads");
            prop_assert_eq!(playlist.segments.len(), lengths.len());
            for (index, segment) in playlist.segments.iter().enumerate() {
                let name = format!("/seg{index}");
                prop_assert!(segment.at.url.ends_with(&name));
            }
        }
    }
}
