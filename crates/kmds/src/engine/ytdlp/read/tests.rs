//! Tests of reading a song, and one fuzz target for the whole reader.

use kmds_extract::Entry;
use kmds_extract::stream::MOST_BYTES;

use super::*;

/// For any output of yt-dlp: a song can be kept and fetched, a list has each place once, and the passed-on part of a
/// message is short and has no signature.
#[test]
fn fuzz_ytdlp() {
    kmds_fuzz::target("ytdlp", |input| {
        let text = String::from_utf8_lossy(input);
        // The site; then the output, and after an empty line the messages.
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
fn a_private_song_keeps_its_token() {
    let line = r#"{"id": "7", "title": "T", "webpage_url": "https://soundcloud.com/a/b/s-Xy1"}"#;
    let track = track(Site::SoundCloud, &[line.to_owned()], None).expect("a song");
    assert_eq!(
        track.source,
        Source::SoundCloud {
            id: 7,
            secret: Some("s-Xy1".to_owned())
        }
    );
}
