//! What yt-dlp prints: one JSON line a song.
//!
//! Owns the reading of its fields, leniently. Hides JSON. Never runs anything.

use std::time::Duration;

use kmds_extract::json::{number_of as number, text_of as text};
use kmds_extract::link::SoundCloudLink;
use kmds_extract::stream::{LONGEST, MOST_BYTES};
use kmds_extract::track::{BandcampSource, Unavailable};
use kmds_extract::{
    Codec, Collection, Container, Delivery, Entry, ExtractError, Kind, Link, Site, Source, Stream,
    Track, TrackId,
};
use serde_json::Value;

use super::{CLIENT, YtDlpError};
use crate::hex;

/// One song out of the printed lines: the only one, or the one with the id `wanted`.
pub fn track(site: Site, lines: &[String], wanted: Option<&str>) -> Result<Track, YtDlpError> {
    let mut first = None;
    for line in lines {
        let fields = parse(line)?;
        let id = text(&fields, "id");
        if wanted.is_none() || wanted == id.as_deref() {
            first = Some(fields);
            break;
        }
    }
    let fields =
        first.ok_or_else(|| YtDlpError::Broken("the song is not among its answers".to_owned()))?;
    one(site, &fields)
}

pub fn collection(site: Site, link: &str, lines: &[String]) -> Result<Collection, YtDlpError> {
    let all: Vec<Value> = lines
        .iter()
        .map(|line| parse(line))
        .collect::<Result<_, _>>()?;
    let head = all.first().cloned().unwrap_or(Value::Null);
    let listed = number(&head, "playlist_count").map_or(all.len(), |count| count as usize);
    let title = text(&head, "playlist_title");
    let (mut entries, mut next, mut gaps) = (Vec::new(), 1, MOST_GAPS);
    for fields in &all {
        let place = number(fields, "playlist_index").map(|index| index as u32);
        let place = place
            .filter(|place| (next..=next + gaps).contains(place))
            .unwrap_or(next);
        // What yt-dlp could not read it leaves out: its place stays.
        entries.extend((next..place).map(|number| Entry::Unavailable(unread(site, number))));
        (gaps, next) = (gaps - (place - next), place + 1);
        entries.push(match one(site, fields) {
            Ok(mut track) => {
                track.number = Some(place);
                if track.album.is_none() && site != Site::YouTube {
                    track.album.clone_from(&title);
                }
                Entry::Track(Box::new(track))
            }
            Err(YtDlpError::Extract(error)) => Entry::Unavailable(Unavailable {
                title: text(fields, "title"),
                number: place,
                error,
            }),
            Err(error) => {
                tracing::debug!(%error, place, "one song of yt-dlp's list cannot be read");
                Entry::Unavailable(Unavailable {
                    title: text(fields, "title"),
                    ..unread(site, place)
                })
            }
        });
    }
    let total = u32::try_from(listed.max(entries.len())).unwrap_or(u32::MAX);
    for entry in &mut entries {
        if let Entry::Track(track) = entry {
            track.total = Some(total);
        }
    }
    Ok(Collection {
        id: text(&head, "playlist_id").unwrap_or_default(),
        site,
        link: link.to_owned(),
        title,
        artist: None,
        cover_url: None,
        truncated: listed > entries.len(),
        entries,
        endless: false,
        rest: None,
    })
}

/// Places of a list that yt-dlp may leave out before its numbers are not believed.
const MOST_GAPS: u32 = 1_000;

fn unread(site: Site, number: u32) -> Unavailable {
    let reason = "yt-dlp could not read this song".to_owned();
    Unavailable {
        title: None,
        number,
        error: ExtractError::OriginFailed {
            site,
            page: "yt-dlp answer",
            reason,
        },
    }
}

fn one(site: Site, fields: &Value) -> Result<Track, YtDlpError> {
    let broken = |what: &str| YtDlpError::Broken(format!("its answer has no `{what}`"));
    let own_id = text(fields, "id").ok_or_else(|| broken("id"))?;
    let link = text(fields, "webpage_url").unwrap_or_default();
    let source = source(site, &own_id, &link).ok_or_else(|| broken("usable id"))?;
    let id = match site {
        Site::Other => other_id(&text(fields, "extractor_key").unwrap_or_default(), &own_id),
        _ => own_id,
    };
    let id = TrackId::new(site, &id).ok_or_else(|| broken("usable id"))?;
    let title = text(fields, "track")
        .or_else(|| text(fields, "title"))
        .ok_or_else(|| broken("title"))?;
    refuse_live(site, fields, &title)?;
    let duration =
        number(fields, "duration").and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let duration = duration.filter(|length| *length <= LONGEST);
    let streams = stream(site, fields, duration).into_iter().collect();
    Ok(Track {
        id,
        source,
        link,
        title,
        artist: artist(fields),
        album: text(fields, "album"),
        album_artist: text(fields, "album_artist"),
        // No album has ten thousand songs: a greater number is another thing.
        number: number(fields, "track_number")
            .map(|number| number as u32)
            .filter(|number| (1..10_000).contains(number)),
        total: None,
        duration,
        cover_url: text(fields, "thumbnail").and_then(|url| cover(site, &url)),
        date: text(fields, "release_date")
            .or_else(|| text(fields, "upload_date"))
            .and_then(|date| day(&date)),
        streams,
        withheld: None,
    })
}

/// The picture that our own engine would name, so that a song keeps its cover whichever engine reads it.
fn cover(site: Site, url: &str) -> Option<String> {
    if !url.starts_with("https://") {
        return None;
    }
    let path = url.split('?').next().unwrap_or(url);
    Some(match site {
        Site::YouTube => match path.rsplit_once('/') {
            // Listed exactly when the largest exists, which is not listed (field notes, 2.8).
            Some((folder, "hq720.jpg")) => format!("{folder}/maxresdefault.jpg"),
            _ => path.to_owned(),
        },
        // The upload itself, many MB at times, and not always under this extension (field notes, 5).
        Site::SoundCloud => match path
            .strip_suffix("-original.jpg")
            .or_else(|| path.strip_suffix("-original.png"))
        {
            Some(name) => format!("{name}-t500x500.jpg"),
            None => url.to_owned(),
        },
        Site::Bandcamp | Site::Other => url.to_owned(),
    })
}

fn refuse_live(site: Site, fields: &Value, title: &str) -> Result<(), YtDlpError> {
    let (kind, reason) = match text(fields, "live_status").as_deref() {
        Some("is_live" | "post_live") => (
            Kind::Live,
            "this is a live stream; live streams cannot be downloaded",
        ),
        Some("is_upcoming") => (Kind::Unreleased, "this has not started yet"),
        _ => return Ok(()),
    };
    let title = Some(title.to_owned());
    Err(YtDlpError::Extract(ExtractError::Refused {
        site,
        kind,
        reason: reason.to_owned(),
        title,
    }))
}

fn artist(fields: &Value) -> Option<String> {
    let several = fields
        .get("artists")
        .and_then(Value::as_array)
        .map(|artists| {
            artists
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        });
    several
        .filter(|artists| !artists.is_empty())
        .or_else(|| text(fields, "artist"))
        .or_else(|| text(fields, "channel"))
        .or_else(|| text(fields, "uploader"))
        .map(|artist| artist.trim_end_matches(" - Topic").to_owned())
}

fn source(site: Site, id: &str, link: &str) -> Option<Source> {
    Some(match site {
        Site::YouTube => Source::YouTube {
            video: id.to_owned(),
        },
        Site::SoundCloud => Source::SoundCloud {
            id: id.parse().ok()?,
            secret: secret_of(link),
        },
        Site::Bandcamp => {
            let page = link.starts_with("https://").then(|| link.to_owned());
            Source::Bandcamp(BandcampSource {
                page,
                track_id: id.parse().ok()?,
                band_id: None,
            })
        }
        Site::Other => Source::Other {
            url: link.to_owned(),
        },
    })
}

/// The token of a private song's own page.
fn secret_of(link: &str) -> Option<String> {
    match Link::parse(link).ok()? {
        Link::SoundCloud(
            SoundCloudLink::Track { token, .. } | SoundCloudLink::TrackById { token, .. },
        ) => token,
        _ => None,
    }
}

/// A name safe for files: a hash of yt-dlp's extractor and id.
fn other_id(extractor: &str, id: &str) -> String {
    let digest = ring::digest::digest(
        &ring::digest::SHA256,
        format!("{extractor}\n{id}").as_bytes(),
    );
    hex::encode(digest.as_ref().get(..10).unwrap_or_default())
}

fn stream(site: Site, fields: &Value, duration: Option<Duration>) -> Option<Stream> {
    let url = text(fields, "url").filter(|url| url.starts_with("https://"))?;
    if fields.get("has_drm").and_then(Value::as_bool) == Some(true) {
        return None;
    }
    // What our own engine downloaded of the same file is gone on with.
    let same_file = (site == Site::YouTube)
        .then(|| kmds_extract::youtube::file_of(&url))
        .flatten();
    let delivery = match text(fields, "protocol").as_deref() {
        // yt-dlp says `http` of https too; the URL's own scheme was looked at above.
        Some("https" | "http") | None => Delivery::File { url },
        Some("m3u8_native" | "m3u8") => Delivery::Hls { url },
        Some(_) => return None,
    };
    let codec = match text(fields, "acodec")
        .as_deref()
        .and_then(|codec| codec.split('.').next())
    {
        Some("mp4a" | "aac") => Codec::Aac,
        Some("mp3") => Codec::Mp3,
        Some("opus") => Codec::Opus,
        Some("vorbis") => Codec::Vorbis,
        _ => Codec::Other,
    };
    let (container, codec) = match (text(fields, "ext")?.as_str(), codec) {
        ("m4a" | "mp4", codec) => (Container::Mp4, codec),
        ("mp3", _) => (Container::Mp3, Codec::Mp3),
        ("webm", codec) => (Container::WebM, codec),
        ("opus", _) => (Container::Ogg, Codec::Opus),
        ("ogg", codec) => (Container::Ogg, codec),
        ("flac", _) => (Container::Flac, Codec::Flac),
        ("wav", _) => (Container::Wav, Codec::Pcm),
        _ => return None,
    };
    let format_id = text(fields, "format_id").unwrap_or_default();
    let size_bytes = number(fields, "filesize")
        .map(|size| size as u64)
        .filter(|size| *size <= MOST_BYTES);
    let bitrate = number(fields, "abr")
        .or_else(|| number(fields, "tbr"))
        .map(|kbit| (kbit * 1000.0) as u32);
    let header = |name: &'static str| Some((name, text(fields.get("http_headers")?, name)?));
    // What the sites look at; our own client makes the rest.
    let headers = [header("User-Agent"), header("Referer")]
        .into_iter()
        .flatten()
        .collect();
    Some(Stream {
        site,
        delivery,
        container,
        codec,
        rank: 0,
        bitrate_bps: bitrate,
        size_bytes,
        duration,
        validator: same_file
            .unwrap_or_else(|| format!("ytdlp {format_id} {}", size_bytes.unwrap_or_default())),
        expires_unix: None,
        headers,
        bounded_ranges: site == Site::YouTube,
        muxed: format_id == "18",
        available_unix: number(fields, "available_at").map(|at| at.ceil() as u64),
        client: CLIENT.to_owned(),
        label: format!("yt-dlp {format_id}"),
    })
}

fn parse(line: &str) -> Result<Value, YtDlpError> {
    kmds_extract::json::read(line.as_bytes())
        .map_err(|_| YtDlpError::Broken("it printed half an answer".to_owned()))
}

/// `20160506` → `2016-05-06`.
fn day(date: &str) -> Option<String> {
    let digits = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever it prints, a song is one that can be kept and fetched, a list has each place once, and what is passed on of
    /// its complaints is short and carries no signature.
    #[test]
    fn fuzz_ytdlp() {
        kmds_fuzz::target("ytdlp", |input| {
            let text = String::from_utf8_lossy(input);
            // The site; then what it prints, and behind an empty line what it complains of.
            let (site, rest) = text.split_once('\n').unwrap_or((&text, ""));
            let Some(site) = Site::parse(site) else {
                return;
            };
            let (printed, complaints) = rest.split_once("\n\n").unwrap_or((rest, ""));
            let lines: Vec<String> = printed.lines().map(str::to_owned).collect();
            match track(site, &lines, None) {
                Ok(song) => sane(&song, site),
                Err(error) => readable(&error),
            }
            match collection(site, "https://a.example/", &lines) {
                Ok(list) => {
                    let numbers = list.entries.iter().map(|entry| match entry {
                        Entry::Track(song) => song.number.expect("numbered"),
                        Entry::Unavailable(gone) => gone.number,
                    });
                    assert!(
                        numbers.is_sorted_by(|before, after| before < after),
                        "each place once"
                    );
                    for entry in &list.entries {
                        match entry {
                            Entry::Track(song) => sane(song, site),
                            Entry::Unavailable(gone) => assert!(gone.error.to_string().len() > 10),
                        }
                    }
                }
                Err(error) => readable(&error),
            }
            let wait = Duration::from_secs(1);
            readable(&super::super::failure::failure(
                site, complaints, None, wait,
            ));
        });
    }

    fn sane(song: &Track, site: Site) {
        assert_eq!(TrackId::new(site, song.id.id()).as_ref(), Some(&song.id));
        assert!(!song.title.trim().is_empty(), "a song has a title");
        assert!(
            song.number != Some(0)
                && song
                    .total
                    .is_none_or(|total| song.number.is_none_or(|number| number <= total))
        );
        assert!(
            song.duration.is_none_or(|length| length <= LONGEST),
            "{:?}",
            song.duration
        );
        assert!(
            song.cover_url
                .as_ref()
                .is_none_or(|url| url.starts_with("https://")),
            "{:?}",
            song.cover_url
        );
        for stream in &song.streams {
            assert!(
                stream
                    .approximate_size()
                    .is_none_or(|size| size <= MOST_BYTES)
            );
            assert!(
                !format!("{:?}", stream.delivery).contains('?'),
                "signatures are not printed"
            );
        }
        let kept = serde_json::to_string(song).expect("JSON");
        let back: Track = serde_json::from_str(&kept).expect("our own JSON");
        assert_eq!(
            back,
            Track {
                streams: Vec::new(),
                ..song.clone()
            }
        );
    }

    fn readable(error: &YtDlpError) {
        let sentence = error.to_string();
        assert!(sentence.len() > 10 && sentence.len() < 2000, "{sentence}");
        assert!(!sentence.contains(char::is_control), "{sentence:?}");
    }

    #[test]
    fn half_a_json_is_broken_not_a_panic() {
        assert!(matches!(
            track(Site::YouTube, &["{\"id\": \"x".to_owned()], None),
            Err(YtDlpError::Broken(_))
        ));
        assert!(matches!(
            track(Site::YouTube, &["{}".to_owned()], None),
            Err(YtDlpError::Broken(_))
        ));
    }

    #[test]
    fn a_list_keeps_the_places_of_what_yt_dlp_left_out_or_mumbled() {
        let line = |index: u32, rest: &str| {
            format!(r#"{{"playlist_count": 5, "playlist_index": {index}{rest}}}"#)
        };
        let lines = [
            line(
                1,
                r#", "id": "1", "title": "One", "webpage_url": "https://a.bandcamp.com/track/one""#,
            ),
            line(
                3,
                r#", "id": "3", "title": "Three", "webpage_url": "https://a.bandcamp.com/track/three""#,
            ),
            line(4, r#", "title": "No id""#),
        ];
        let list =
            collection(Site::Bandcamp, "https://a.bandcamp.com/album/b", &lines).expect("a list");
        let places: Vec<(u32, bool)> = list
            .entries
            .iter()
            .map(|entry| match entry {
                Entry::Track(track) => (track.number.expect("numbered"), true),
                Entry::Unavailable(gone) => (gone.number, false),
            })
            .collect();
        assert_eq!(places, [(1, true), (2, false), (3, true), (4, false)]);
        assert!(list.truncated, "a fifth song is promised");
    }

    #[test]
    fn numbers_of_a_list_are_believed_as_far_as_they_make_sense() {
        let line =
            |index: f64| format!(r#"{{"playlist_index": {index}, "id": "1", "title": "One"}}"#);
        let lines = [4.0, 2.0, 1e9, 900.0, 1800.0].map(line);
        let list =
            collection(Site::Bandcamp, "https://a.bandcamp.com/album/b", &lines).expect("a list");
        let songs: Vec<(Option<u32>, Option<u32>)> = list
            .entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Track(track) => Some((track.number, track.total)),
                Entry::Unavailable(_) => None,
            })
            .collect();
        // A place that was passed, one that is too far away, and one behind more gaps than a list may have.
        assert_eq!(
            songs,
            [4, 5, 6, 900, 901].map(|number| (Some(number), Some(901)))
        );
    }

    #[test]
    fn nonsense_about_a_song_counts_as_nothing() {
        let line = r#"{"id": "7", "title": "T", "track_number": 0, "duration": 1e15}"#;
        let track = track(Site::SoundCloud, &[line.to_owned()], None).expect("a song");
        assert_eq!((track.number, track.duration), (None, None));
        let blank = r#"{"id": "7", "title": " "}"#;
        assert!(matches!(
            super::track(Site::SoundCloud, &[blank.to_owned()], None),
            Err(YtDlpError::Broken(_))
        ));
    }

    #[test]
    fn covers_are_those_of_our_own_engine() {
        for (site, url, wanted) in [
            (
                Site::YouTube,
                "https://i.ytimg.com/vi/x/hq720.jpg?sqp=1",
                Some("https://i.ytimg.com/vi/x/maxresdefault.jpg"),
            ),
            (
                Site::YouTube,
                "https://i.ytimg.com/vi/x/hqdefault.jpg",
                Some("https://i.ytimg.com/vi/x/hqdefault.jpg"),
            ),
            (
                Site::SoundCloud,
                "https://i1.sndcdn.com/a-1-original.png",
                Some("https://i1.sndcdn.com/a-1-t500x500.jpg"),
            ),
            (
                Site::Other,
                "https://a.example/c.jpg?x=1",
                Some("https://a.example/c.jpg?x=1"),
            ),
            (Site::Other, "file:///etc/passwd", None),
        ] {
            assert_eq!(cover(site, url).as_deref(), wanted, "{url}");
        }
    }

    #[test]
    fn what_our_download_can_fetch_is_a_stream_and_the_rest_is_none() {
        let of = |protocol: &str, url: &str, ext: &str| {
            let line = format!(
                r#"{{"id": "7", "title": "T", "protocol": "{protocol}", "url": "{url}", "ext": "{ext}", "acodec": "mp3"}}"#
            );
            track(Site::SoundCloud, &[line], None)
                .expect("a song")
                .streams
                .pop()
                .map(|stream| stream.delivery)
        };
        let url = "https://cf-media.sndcdn.com/a.mp3".to_owned();
        assert_eq!(
            of("https", &url, "mp3"),
            Some(Delivery::File { url: url.clone() })
        );
        assert_eq!(
            of("http", &url, "mp3"),
            Some(Delivery::File { url: url.clone() }),
            "yt-dlp's word for progressive"
        );
        assert_eq!(
            of("m3u8_native", &url, "mp3"),
            Some(Delivery::Hls { url: url.clone() })
        );
        assert_eq!(of("http_dash_segments", &url, "mp3"), None);
        assert_eq!(of("http", "http://cf-media.sndcdn.com/a.mp3", "mp3"), None);
        assert_eq!(of("https", &url, "exe"), None);
    }

    #[test]
    fn a_youtube_stream_says_from_when_it_is_served_and_which_file_it_is() {
        let url = "https://rr1---sn-x.googlevideo.com/videoplayback?itag=140&clen=1000&lmt=17";
        let of = |more: &str| {
            let line = format!(
                r#"{{"id": "M4gD1WSo5mA", "title": "T", "protocol": "https", "url": "{url}", "ext": "m4a", "acodec": "mp4a.40.2", "format_id": "140"{more}}}"#
            );
            track(Site::YouTube, &[line], None)
                .expect("a song")
                .streams
                .pop()
                .expect("a stream")
        };
        assert_eq!(of("").available_unix, None);
        assert_eq!(
            of(r#", "available_at": 1790000007.25"#).available_unix,
            Some(1_790_000_008)
        );
        assert_eq!(of(r#", "available_at": "soon""#).available_unix, None);
        assert_eq!(of("").validator, "140/1000/17/");
    }

    #[test]
    fn a_private_song_keeps_its_token() {
        let line =
            r#"{"id": "7", "title": "T", "webpage_url": "https://soundcloud.com/a/b/s-Xy1"}"#;
        let track = track(Site::SoundCloud, &[line.to_owned()], None).expect("a song");
        assert_eq!(
            track.source,
            Source::SoundCloud {
                id: 7,
                secret: Some("s-Xy1".to_owned())
            }
        );
    }
}
